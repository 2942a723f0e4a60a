"""Exchanging tokens between two images of a place, and images within a batch.

Draws are arguments: whoever trains owns the generator.

Source: gsumbul/SMARTIES@fc0df04.
"""

# B batch, C bands, N tokens, K classes

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional

Box = tuple[int, int, int, int]  # pixels: from row, to row, from column, to column


def tile_bands(image_BCHW: Tensor, bands: tuple[str, ...], num_bands: int) -> tuple[Tensor, tuple[str, ...]]:
    """Repeat all bands, in order, until there are `num_bands`: (VV, VH) becomes (VV, VH, VV, VH, ...)."""
    times, rest = divmod(num_bands, len(bands))
    if rest:
        raise ValueError(f"{len(bands)} bands cannot be tiled to {num_bands}")
    return image_BCHW.repeat(1, times, 1, 1), bands * times


def kept_tokens(draws_BN: Tensor, ratio: float = 0.5) -> Tensor:
    """(B, N), true at the floor(ratio * N) tokens with the smallest draws: those keep their source."""
    rank_BN = draws_BN.argsort(dim=1).argsort(dim=1)
    return rank_BN < int(draws_BN.shape[1] * ratio)


def exchange(draws_BN: Tensor, first: Tensor, second: Tensor, ratio: float = 0.5) -> tuple[Tensor, Tensor]:
    """Swap tokens (dimension 1) between two streams, except for the share `ratio` with the smallest draws."""
    keep_BN = kept_tokens(draws_BN, ratio)
    keep = keep_BN.reshape(*keep_BN.shape, *[1] * (first.ndim - 2))
    return torch.where(keep, first, second), torch.where(keep, second, first)


def mix_images(
    image_BCHW: Tensor,
    label_B: Tensor,
    *,
    num_classes: int,
    share: float,
    box: Box | None = None,
) -> tuple[Tensor, Tensor]:
    """Mixup, or cutmix where there is a box: the partner of sample i is sample B - 1 - i.

    Args:
        image_BCHW: before it is cut in patches.
        label_B: class indices.
        num_classes: K.
        share: of the image itself, 0..1; for cutmix already corrected for the box that was cut.
        box: pixels from row, to row, from column, to column that come from the partner.

    Returns:
        Images, and soft targets (B, K).

    Source: gsumbul/SMARTIES@fc0df04 (timm's batch mode). The released script mixes after the images were cut in patches
    and fails; this is what is meant.
    """
    return mixed_pixels(image_BCHW, share, box), mixed_labels(label_B, num_classes, share)


def mixed_labels(label_B: Tensor, num_classes: int, share: float) -> Tensor:
    """The soft targets of `mix_images`."""
    target_BK = functional.one_hot(label_B, num_classes).float()
    return target_BK * share + target_BK.flip(0) * (1 - share)


def mixed_pixels(image_BCHW: Tensor, share: float, box: Box | None) -> Tensor:
    """The images of `mix_images`."""
    partner_BCHW = image_BCHW.flip(0)
    if box is None:
        return image_BCHW * share + partner_BCHW * (1 - share)
    top, bottom, left, right = box
    mixed_BCHW = image_BCHW.clone()
    mixed_BCHW[:, :, top:bottom, left:right] = partner_BCHW[:, :, top:bottom, left:right]
    return mixed_BCHW


def draw_mix(
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    switch: float = 0.5,
) -> tuple[float, Box | None]:
    """Draw (share, box) for one batch: cutmix with probability `switch`, else mixup; an alpha of 0 leaves one out.

    The box has the area (1 - share) before it is cut at the image's edges; the share is then corrected.
    """
    cuts = float(torch.rand((), generator=generator)) < switch if mixup_alpha and cutmix_alpha else bool(cutmix_alpha)
    share = _beta(cutmix_alpha if cuts else mixup_alpha, generator)
    if not cuts:
        return share, None
    side = (1 - share) ** 0.5
    box_height, box_width = int(height * side), int(width * side)
    row = int(torch.randint(height, (), generator=generator))
    column = int(torch.randint(width, (), generator=generator))
    top, bottom = max(row - box_height // 2, 0), min(row + box_height // 2, height)
    left, right = max(column - box_width // 2, 0), min(column + box_width // 2, width)
    return 1 - (bottom - top) * (right - left) / (height * width), (top, bottom, left, right)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha); torch has none that takes a generator."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return random.Random(seed).betavariate(alpha, alpha)
