"""SMARTIES ViT-B forward, batch 8, 12 bands, 224 px, float32.

Baseline, in the same run: timm's vit_base_patch16_224 trunk with the patch embedding replaced by one linear projection
of the 12 bands to 768. Interleaved; medians. Target: at most 1.05.
"""

from __future__ import annotations

import statistics
import time

import timm
import torch
from torch import nn

import zoo

ROUNDS = 9
BATCH = 8


class Baseline(nn.Module):
    """The same transformer by timm, after one 12-band linear patch projection."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = timm.create_model("vit_base_patch16_224", in_chans=12, num_classes=0, global_pool="token")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.vit(image)


def main() -> None:
    model = zoo.build("smarties")
    bands = next(item for item in model.variant.inputs if item.label == "S2-L2A").band_ids
    image = torch.randn(BATCH, 12, 224, 224, generator=torch.Generator().manual_seed(0))
    baseline = Baseline().eval()
    runs = {
        "timm ViT-B + projection": lambda: baseline(image),
        "SMARTIES ViT-B": lambda: model.module(image, image_bands=bands),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    base = statistics.median(times["timm ViT-B + projection"][1:])
    ratio = statistics.median(
        ours / theirs
        for ours, theirs in zip(times["SMARTIES ViT-B"][1:], times["timm ViT-B + projection"][1:], strict=True)
    )
    print(f"{'network':<28}{'median s':>10}")
    for name, measured in times.items():
        print(f"{name:<28}{statistics.median(measured[1:]):>10.3f}")
    print(f"paired ratio {ratio:.3f} (target 1.05), baseline {base:.3f} s, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
