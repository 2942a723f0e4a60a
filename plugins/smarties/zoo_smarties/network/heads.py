"""The released heads, under the authors' keys `head.*`.

All take what the encoder gives them: a linear head and a probe the pooled feature, a segmentation head the token map.
"""

# B batch, h w patches, D width, K classes

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError

# The original enlarges 14 x 14 tokens to the 96 x 96 pixels of a DFC2020 chip.
DFC2020_FACTOR = 96 / 14


def build_head(kind: str | None, width: int, num_classes: int) -> nn.Module | None:
    """`linear` (fine-tuning), `probe` (batch norm and linear), `segment` (1 x 1 convolution), or none."""
    match kind:
        case None:
            return None
        case "linear":
            linear = nn.Linear(width, num_classes)
            nn.init.trunc_normal_(linear.weight, std=2e-5)
            nn.init.zeros_(linear.bias)
            return linear
        case "probe":
            linear = nn.Linear(width, num_classes)
            nn.init.trunc_normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)
            return nn.Sequential(nn.BatchNorm1d(width, affine=False, eps=1e-6), linear)
        case "segment":
            return nn.Sequential(nn.Conv2d(width, num_classes, kernel_size=1))
        case _:
            raise ConfigError(f"SMARTIES has no head {kind!r}; the heads are linear, probe, segment, or none at all")


def enlarge(logits_BKhw: Tensor, *, factor: float | None, size: tuple[int, int]) -> Tensor:
    """Token logits, bilinearly: by `factor`, or where it is `None` to `size` (rows, columns)."""
    if factor is None:
        return functional.interpolate(logits_BKhw, size=size, mode="bilinear", align_corners=False)
    return functional.interpolate(logits_BKhw, scale_factor=factor, mode="bilinear", align_corners=False)
