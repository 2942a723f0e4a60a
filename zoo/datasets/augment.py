"""Changes that are drawn for a sample in training: the same for its image, its label map and its points."""

# C bands, H W pixels, n things

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo.datasets.sample import Sample
from zoo.tiling import Window


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways to lay a square on itself: left and right swapped, or not, then quarter turns to the left."""

    swapped: bool
    quarters: int

    @classmethod
    def drawn(cls, generator: torch.Generator, *, square: bool = True) -> Turn:
        """Each of the eight alike; of the four that keep the size, where it is no square."""
        swapped, quarters = bool(draw(2, generator)), draw(4, generator)
        return cls(swapped, quarters if square else quarters // 2 * 2)

    def of(self, image: Tensor) -> Tensor:
        """(..., H, W) turned."""
        image = image.flip(-1) if self.swapped else image
        return torch.rot90(image, self.quarters, (-2, -1)).contiguous()

    def of_points(self, xy_n2: Tensor, size: tuple[int, int]) -> Tensor:
        """Points x, y on an image of `size` (H, W), which is what the pixels' corners are counted in."""
        height, width = size
        x, y = xy_n2.unbind(-1)
        x = width - x if self.swapped else x
        for _ in range(self.quarters):
            x, y, height, width = y, width - x, width, height
        return torch.stack([x, y], dim=-1)


def turned(sample: Sample, generator: torch.Generator) -> Sample:
    """A sample of images laid otherwise: inputs, masks, a map of classes (`label`) and points (`points_px`)."""
    images = [one for one in sample.inputs.values() if one.ndim >= 3]
    sizes = [(int(one.shape[-2]), int(one.shape[-1])) for one in images]
    turn = Turn.drawn(generator, square=all(height == width for height, width in sizes))

    def each(tensors: Mapping[str, Tensor], least: int) -> dict[str, Tensor]:
        return {name: turn.of(one) if one.ndim >= least else one for name, one in tensors.items()}

    target: dict[str, Any] = dict(sample.target)
    if isinstance(label := target.get("label"), Tensor) and label.ndim == 2:
        target["label"] = turn.of(label)
    if "points_px" in target:
        target["points_px"] = turn.of_points(target["points_px"], sizes[0])
    return replace(sample, inputs=each(sample.inputs, 3), valid=each(sample.valid, 2), target=target)


def cut(size: tuple[int, int], side: int, generator: torch.Generator | None) -> Window:
    """A square window of an image of `size` (H, W): anywhere within it, or in its middle where nothing is drawn.

    Along an axis that is shorter than the window, it reaches beyond the edge on both sides alike.
    """
    spare = [length - side for length in size]
    row, col = (room // 2 if generator is None or room <= 0 else draw(room + 1, generator) for room in spare)
    return Window(row, col, side, side)


def draw(count: int, generator: torch.Generator) -> int:
    """One of 0 ... count - 1."""
    return int(torch.randint(count, (), generator=generator))
