"""Two images of one place out of a batch: as a reader paired them, or drawn from several sensors' views.

Readers of pairs give images `first` and `second` (B, C, H, W) with the projection number of each band, `first_numbers` and
`second_numbers` (B, C), which may differ from sample to sample. Readers of views give an image (B, C, H, W) per sensor,
all of the same ground, with the names of its bands; two sensors are then taken in turn, and cut and turned alike.
"""

# B batch, C bands, H W pixels, h w patches

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import InputError
from zoo.tasks.objective import Moment
from zoo_smarties.mixing import tile_bands
from zoo_smarties.network.autoencoder import Cut
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.spectrum import numbers

SMALLEST = 0.5  # ours: side of the least part of a place that is cut out, as a share; every other step takes all of it


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What one sensor sees: an image (B, C, H, W) and the names of its bands."""

    image: Tensor
    bands: tuple[str, ...]


def grid_of(batch: Batch, patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches of the images of a batch."""
    height, width = batch.inputs["first"].shape[2:] if "first" in batch.inputs else [side_of(batch)] * 2
    return height // patch_size, width // patch_size


def pair_of(batch: Batch, moment: Moment, patch_size: int) -> tuple[Cut, Cut]:
    """Both images of the places of a batch, in patches and equal in their number of bands."""
    if "first" in batch.inputs:
        given = [(batch.inputs[name], batch.inputs[f"{name}_numbers"]) for name in ("first", "second")]
    else:
        views = draw_views(batch, moment)
        most = math.lcm(*(len(view.bands) for view in views))
        tiled = [tile_bands(view.image, view.bands, most) for view in views]
        given = [(image, torch.tensor([numbers(bands)] * len(image), device=image.device)) for image, bands in tiled]
    cuts = []
    for image, numbers_BC in given:
        patches = cut_patches(image, patch_size)
        cuts.append(Cut(patches, numbers_BC[:, None, None].expand(*patches.shape[:4])))
    return cuts[0], cuts[1]


def draw_views(batch: Batch, moment: Moment) -> tuple[View, View]:
    """Two sensors' views of the same part of each place, turned alike; which two, goes round from step to step."""
    names = list(combinations(sorted(views_of(batch)), 2))[moment.step % math.comb(len(batch.inputs), 2)]
    top, left, share = torch.rand(3, generator=moment.generator).tolist()
    side = side_of(batch)
    part = side if moment.step % 2 else round(side * (SMALLEST + (1 - SMALLEST) * share)) // 2 * 2
    turns, flips = (int(torch.randint(count, (), generator=moment.generator)) for count in (4, 2))
    drawn = []
    for name in names:
        image = turned(part_of(batch.inputs[name], side, top, left, part), turns, flips)
        drawn.append(View(image=image, bands=batch.bands[name]))
    return drawn[0], drawn[1]


def views_of(batch: Batch) -> Mapping[str, Tensor]:
    """Images by sensor.

    Raises:
        InputError: there are not two of them.
    """
    if len(batch.inputs) < 2 or set(batch.inputs) != set(batch.bands):
        raise InputError(
            f"a sample holds {', '.join(batch.inputs)}; pre-training wants two sensors' images of each place: the dataset"
            " smarties-pairs, or one that gives an image per sensor"
        )
    return batch.inputs


def side_of(batch: Batch) -> int:
    """Pixels of the coarsest view's side: the size at which views are compared."""
    return min(image.shape[-1] for image in views_of(batch).values())


def part_of(image: Tensor, size: int, top: float, left: float, side: int) -> Tensor:
    """The share `side` / `size` of the image, at the shares `top` and `left` of the room there is, as `size` pixels."""
    scale = image.shape[-1] // size
    row, column = (round(place * (size - side)) * scale for place in (top, left))
    image = image[..., row : row + side * scale, column : column + side * scale]
    if image.shape[-1] == size:
        return image
    return functional.interpolate(image, (size, size), mode="bilinear", antialias=True)


def turned(image: Tensor, turns: int, flips: int) -> Tensor:
    """Turned by quarters, then mirrored."""
    image = torch.rot90(image, turns, (2, 3))
    return image.flip(3) if flips else image


def turned_back(image: Tensor, turns: int, flips: int) -> Tensor:
    """What `turned` was given."""
    return torch.rot90(image.flip(3) if flips else image, -turns, (2, 3))
