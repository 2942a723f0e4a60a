"""Resizing and normalising chips, as a share of a ViT-B forward. Target: at most 5 %.

    python benchmarks/bench_preprocess.py

Chips are those of BigEarthNet: 12 bands of uint16, 120 x 120 to 224 x 224 px. Both sides are run in turn, in one process, and the
median of the paired ratios is printed; the windows of a scene, which are not resized, are shown beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch

from zoo.inputs.preprocess import Preprocess
from zoo.spec import Band, InputSpec, Kind, Normalise, Percentile, Resize

BANDS = 12
OURS = "ours: benchmark"
TARGET = 0.05


def chips_input() -> InputSpec:
    return InputSpec(
        name="image",
        kind=Kind.RASTER,
        bands=tuple(Band(id=f"b{index}", unit="DN") for index in range(BANDS)),
        steps=(
            Percentile(low=(10.0,) * BANDS, high=(3000.0,) * BANDS, source=OURS),
            Normalise(mean=(0.3,) * BANDS, std=(0.2,) * BANDS, source=OURS),
            Resize(size=(224, 224), source=OURS),
        ),
    )


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    preprocess = Preprocess(chips_input())
    network = timm.create_model("vit_base_patch16_224", in_chans=BANDS, num_classes=0).eval()
    random = torch.Generator().manual_seed(0)
    chips, windows = (
        torch.randint(0, 6000, (options.batch, BANDS, side, side), generator=random).to(torch.uint16)
        for side in (120, 224)
    )
    valid = {side: torch.ones(options.batch, side, side, dtype=torch.bool) for side in (120, 224)}
    valid[224][:, :20] = False  # the edge of a scene
    image = preprocess(chips, valid[120], resize=True)
    runs: dict[str, list[float]] = {"forward": [], "chips": [], "windows": []}
    with torch.inference_mode():
        for _ in range(options.rounds + 1):  # the first round warms up
            runs["chips"].append(seconds(lambda: preprocess(chips, valid[120], resize=True)))
            runs["forward"].append(seconds(lambda: network(image)))
            runs["windows"].append(seconds(lambda: preprocess(windows, valid[224])))
    forward = runs["forward"][1:]
    print(f"ViT-B forward, batch {options.batch}, {options.threads} threads: {statistics.median(forward):.3f} s")
    for name, what in (("chips", "resize and normalise 120 -> 224 px"), ("windows", "normalise 224 px")):
        own = runs[name][1:]
        share = statistics.median(one / base for one, base in zip(own, forward, strict=True))
        print(f"{what}: {1e3 * statistics.median(own):.1f} ms, {share:.2%} of the forward (target {TARGET:.0%})")


if __name__ == "__main__":
    main()
