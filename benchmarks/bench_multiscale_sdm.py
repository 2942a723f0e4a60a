"""Forward of the published multi-scale network, env 1 and 5 cells with satellite images 25, 59 and 115 px wide.

Baseline, in the same run and with the same weights: the formulation of the authors' description. The backbone and each
branch run on the whole patch and map, and one pixel of the branch's result is kept. Interleaved; the median of the paired
ratios. Targets: at least 2 times as fast in evaluation, outputs equal to 1e-5.

On one CPU thread at batch 8, beside other processes: 3.1 times as fast with the authors' off-centre crop, which the baseline
answers like, and 2.5 times with the centred one, whose largest scale sees nearly all of the image (2.6 sites/s become 8.0
and 6.5); at batch 1, 2.3 and 1.9 times; at batch 64, measured once, 2.1 and 1.6. Forward and backward in training, where
batch norms want the whole map: 2.2 times, at batch 1 1.6 times. Logits differ by 2e-6. Part of it is the order of the numbers in memory (channels last); folding batch
norms into convolutions gave nothing that could be told from noise, and is not done.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from zoo_multiscale_sdm.network.multiscale import Modality, MultiScale, build
from zoo_multiscale_sdm.variants import PUBLISHED

from zoo.testing.filled import filled_like

TOLERANCE, TARGET = 1e-5, 2.0


def full_map(network: MultiScale, patches: dict[str, Tensor]) -> Tensor:
    """Logits (B, S), everything computed everywhere."""
    embeddings = [whole(network.modalities[name], patch) for name, patch in patches.items()]
    logits: Tensor = network.head(torch.cat(embeddings, dim=1))
    return logits


def whole(modality: Modality, patch: Tensor) -> Tensor:
    features = modality.backbone(patch)
    found = []
    for branch in modality.branches:
        out = branch.convs(features)
        row, col = (round((size - 1) / 2) for size in out.shape[2:])
        found.append(branch.linears(out[:, :, row, col]))
    return torch.cat(found, dim=1)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    config = {**PUBLISHED[0].config}
    networks = {crop: build(**{**config, "crop": crop}) for crop in ("original", "centred")}
    for network in networks.values():
        network.load_state_dict(filled_like(network))
    generator = torch.Generator().manual_seed(0)
    patches = {
        spec.name: torch.randn(given.batch, len(spec.bands), spec.window, spec.window, generator=generator)
        for spec in PUBLISHED[0].inputs
    }
    evaluate(networks, patches, given.repeats)
    train(networks["original"], patches, max(given.repeats // 2, 2))


def evaluate(networks: dict[str, MultiScale], patches: dict[str, Tensor], repeats: int) -> None:
    original = networks["original"].eval()
    networks["centred"].eval()
    with torch.inference_mode():
        apart = float((original(**patches).logits - full_map(original, patches)).abs().max())
        print(f"logits differ by {apart:.1e}; target at most {TOLERANCE:g}")
        times: dict[str, list[float]] = {"full map": [], "original": [], "centred": []}
        for _ in range(repeats):
            times["full map"].append(seconds(lambda: full_map(original, patches)))
            for crop, network in networks.items():
                times[crop].append(seconds(lambda network=network: network(**patches)))  # type: ignore[misc]
    count = len(next(iter(patches.values())))
    for name, taken in times.items():
        ratios = [base / one for base, one in zip(times["full map"], taken, strict=True)]
        print(f"{name}: {count / statistics.median(taken):.1f} sites/s, {statistics.median(ratios):.2f} x")
    best = statistics.median(base / one for base, one in zip(times["full map"], times["original"], strict=True))
    print(f"the same answers, cropped: {best:.2f} times as fast; target {TARGET:g}")


def train(network: MultiScale, patches: dict[str, Tensor], repeats: int) -> None:
    """Forward and backward in training, where the backbone sees the whole patch."""
    network.train()

    def stepped(answer: Callable[[], Tensor]) -> float:
        network.zero_grad()
        return seconds(lambda: answer().square().mean().backward())

    pairs = [
        (stepped(lambda: full_map(network, patches)), stepped(lambda: network(**patches).logits))
        for _ in range(repeats)
    ]
    print(f"training, forward and backward: {statistics.median(base / one for base, one in pairs):.2f} x")


if __name__ == "__main__":
    main()
