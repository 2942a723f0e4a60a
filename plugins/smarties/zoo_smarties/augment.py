"""Flips, quarter turns, crops and resizes of chips, single or in pairs of one place.

What is drawn is data (`Turn`, `Crop`), so that both images of a pair get the same and a test can replay it.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.inputs.preprocess import spline_resize


class Turn(NamedTuple):
    """Mirror the columns, mirror the rows, then turn clockwise by quarters; in that order."""

    columns: bool
    rows: bool
    quarters: int


class Crop(NamedTuple):
    """Pixels from the top and from the left, height and width."""

    top: int
    left: int
    height: int
    width: int


def draw_turn(generator: torch.Generator) -> Turn:
    """Each mirror with probability 1/2, and 0 to 3 quarters."""
    columns, rows = (torch.rand(2, generator=generator) < 0.5).tolist()
    return Turn(columns=columns, rows=rows, quarters=int(torch.randint(4, (), generator=generator)))


def turned(image: Tensor, turn: Turn) -> Tensor:
    """The image (..., H, W) mirrored and turned."""
    if turn.columns:
        image = image.flip(-1)
    if turn.rows:
        image = image.flip(-2)
    return image.rot90(-turn.quarters, (-2, -1))


def draw_crops(
    sizes: Sequence[tuple[int, int]],
    generator: torch.Generator,
    *,
    area: tuple[float, float] = (0.25, 1.0),
    aspect: tuple[float, float] = (1.0, 1.0),
    tries: int = 10,
) -> list[Crop]:
    """One crop per image of a place: the same share of each, at the same position.

    Args:
        sizes: (height, width) of the images in pixels; the first decides where.
        generator: draws scale, aspect, row and column, in this order.
        area: share of the image, uniform.
        aspect: width / height, uniform in the logarithm.
        tries: after so many draws that do not fit, the largest centred square is taken.
    """
    (height, width), *others = sizes
    for _ in range(tries):
        share = area[0] + (area[1] - area[0]) * float(torch.rand((), generator=generator))
        low, high = math.log(aspect[0]), math.log(aspect[1])
        ratio = math.exp(low + (high - low) * float(torch.rand((), generator=generator)))
        shapes = [_shape(size, share, ratio) for size in sizes]
        if not all(0 < h <= size[0] and 0 < w <= size[1] for (h, w), size in zip(shapes, sizes, strict=True)):
            continue
        rows, columns = height - shapes[0][0] + 1, width - shapes[0][1] + 1
        top = int(torch.randint(rows, (), generator=generator))
        left = int(torch.randint(columns, (), generator=generator))
        placed = [Crop(top, left, *shapes[0])]
        for (h, w), size in zip(shapes[1:], others, strict=True):
            # Differs: the original rounds up to one pixel beyond the last row or column that fits.
            row, column = (round(top / rows * (size[0] - h + 1)), round(left / columns * (size[1] - w + 1)))
            placed.append(Crop(min(row, size[0] - h), min(column, size[1] - w), h, w))
        return placed
    return [centre_square(size) for size in sizes]


def _shape(size: tuple[int, int], share: float, ratio: float) -> tuple[int, int]:
    area_px = share * size[0] * size[1]
    return round(math.sqrt(area_px / ratio)), round(math.sqrt(area_px * ratio))


def centre_square(size: tuple[int, int]) -> Crop:
    """The largest square, in the middle."""
    side = min(size)
    return Crop((size[0] - side) // 2, (size[1] - side) // 2, side, side)


def cropped(image: Tensor, crop: Crop) -> Tensor:
    return image[..., crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]


def shorter_side_then_centre(image: Tensor, side: int, *, order: int = 3) -> Tensor:
    """Resize so that the shorter side is 256/224 of `side`, and cut the central `side` x `side` pixels."""
    height, width = image.shape[-2:]
    scale = 256 / 224 * side / min(height, width)
    resized = spline_resize(image, (round(scale * height), round(scale * width)), order=order)
    top, left = resized.shape[-2] // 2 - side // 2, resized.shape[-1] // 2 - side // 2
    return cropped(resized, Crop(top, left, side, side))
