"""Folds for validation at places that training has not seen: whole blocks of the ground go to one side.

Places near each other are alike; where some of them train a model and others judge it, its scores are too good.
"""

# N places, M blocks

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.errors import ConfigError, InputError

Array = np.ndarray[Any, np.dtype[Any]]

KM_PER_DEGREE = 111.195  # of latitude, on a sphere of the Earth's mean radius, 6371.0 km (IUGG)
TRIES = 10  # random splits of blocks among which the most even is chosen: the default of verde 1.8.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Rows of places, ascending, each in exactly one part."""

    train: Array
    val: Array
    test: Array


def block_folds(
    places: Array, *, folds: int = 5, block_km: float | None = None, block_deg: float | None = None, seed: int = 42
) -> tuple[Array, ...]:
    """`folds` parts of about as many places each, made of whole blocks.

    Blocks are fixed on the globe, not to the data: in degrees from 0 east and north; in kilometres as rows of that
    height, cut into equal blocks of about that width at the row's middle latitude. They are dealt in random order, each
    to the part that has the fewest places so far; the order of the places does not matter.

    Args:
        places: (N, 2), longitude and latitude in degrees.
        folds: how many parts, from 2.
        block_km: side of a block in kilometres; either this or `block_deg`.
        block_deg: side of a block in degrees.
        seed: of the order in which blocks are dealt.

    Returns:
        For each part, its rows of `places`, ascending. Every row is in exactly one.

    Raises:
        ConfigError: there are fewer blocks than folds, so that one would be empty.
        InputError: a place is not on the globe.
    """
    places = _checked(places)
    if folds < 2:
        raise ConfigError(f"folds is {folds}; expected 2 or more")
    if (block_km is None) == (block_deg is None):
        raise ConfigError("expected the side of a block in kilometres or in degrees: block_km=100 or block_deg=1")
    cells = _cells_km(places, _side(block_km)) if block_deg is None else _cells_deg(places, _side(block_deg))
    sizes, block_of = _occupied(cells, folds, f"{block_km} km" if block_deg is None else f"{block_deg} degrees")
    mine = _dealt(sizes, (1.0,) * folds, seed)[block_of]
    return tuple(np.flatnonzero(mine == fold) for fold in range(folds))


def block_shares(
    places: Array, shares: Sequence[float], *, block_km: float, seed: int = 42, names: Sequence[str] = ()
) -> tuple[Array, ...]:
    """Parts of about these shares of the places, each made of whole blocks; as `block_folds` in all else.

    Args:
        places: (N, 2), longitude and latitude in degrees.
        shares: of the parts, above 0.
        block_km: side of a block in kilometres.
        seed: of the order in which blocks are dealt, each to the part that has, with it, the least of its share.
        names: of the parts, for the error; none = they are folds.

    Raises:
        ConfigError: there are fewer blocks than parts.
        InputError: a place is not on the globe.
    """
    sizes, block_of = _occupied(block_cells(places, block_km=block_km), len(shares), f"{block_km} km", names)
    mine = _dealt(sizes, shares, seed)[block_of]
    return tuple(np.flatnonzero(mine == part) for part in range(len(shares)))


def block_cells(places: Array, *, block_km: float) -> Array:
    """(N, 2) column and row, int64, of the block in which each place (N, 2) lies; see `block_folds`."""
    return _cells_km(_checked(places), _side(block_km))


def _occupied(cells: Array, parts: int, side: str, names: Sequence[str] = ()) -> tuple[Array, Array]:
    """Places in each block that has some, and the number of each place's block among these."""
    _, block_of, sizes = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    if len(sizes) >= parts:
        return sizes, block_of.reshape(-1)
    lie = "1 place lies" if len(cells) == 1 else f"{len(cells)} places lie"
    found = f"{lie} in {len(sizes)} block{'s' * (len(sizes) > 1)} of {side}"
    if names:
        parted = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
        raise ConfigError(f"{found}, and {parted} take one at least each; give more places, or choose smaller blocks")
    fewer = f", or at most {len(sizes)} folds" if len(sizes) > 1 else ""
    raise ConfigError(f"{found}, so {parts - len(sizes)} of {parts} folds would be empty; choose smaller blocks{fewer}")


def _dealt(sizes: Array, shares: Sequence[float], seed: int) -> Array:
    """The part of each block: in random order, each goes where, with it, the least of the share is filled.

    A part that would stay empty gets the smallest of the blocks that are not alone in theirs.
    """
    part_of = np.zeros(len(sizes), np.int64)
    filled = np.zeros(len(shares))
    for block in np.random.default_rng(seed).permutation(len(sizes)):
        part_of[block] = np.argmin((filled + sizes[block]) / np.asarray(shares))
        filled[part_of[block]] += sizes[block]
    for part in np.flatnonzero(filled == 0):
        spare = np.flatnonzero(np.bincount(part_of, minlength=len(shares))[part_of] > 1)
        part_of[spare[np.argmin(sizes[spare])]] = part
    return part_of


def block_split(places: Array, *, spacing_deg: float, val: float = 0.15, test: float = 0.15, seed: int = 42) -> Split:
    """Training, validation and test places, as MaskSDM splits them ("extrapolate").

    First `test` of the blocks are held out, then `val` of all from the rest, whose blocks are laid anew; see `held_out`.

    Args:
        places: (N, 2), longitude and latitude in degrees.
        spacing_deg: side of a block in degrees, about.
        val: share of blocks for validation, 0 ... 1.
        test: share of blocks for the test.
        seed: of both splits.

    Raises:
        ConfigError: a part would be empty.
        InputError: a place is not on the globe.
    """
    places = _checked(places)
    if not (val > 0 and test > 0 and val + test < 1):
        raise ConfigError(f"found shares of {val} and {test}; expected two above 0 whose sum is below 1")
    rest, tested = held_out(places, spacing_deg=spacing_deg, share=test, seed=seed)
    train, validated = held_out(places[rest], spacing_deg=spacing_deg, share=val / (1 - test), seed=seed)
    return Split(train=rest[train], val=rest[validated], test=tested)


def held_out(places: Array, *, spacing_deg: float, share: float, seed: int = 42) -> tuple[Array, Array]:
    """Rows that stay and rows that are held out, both ascending.

    Blocks fill the bounding box of the places: as many per axis as its extent holds, rounded, at least one. Of ten
    random splits of the occupied blocks, the one counts whose numbers of places are most nearly in the proportion of
    its numbers of blocks.

    Raises:
        ConfigError: all places lie in one block.

    Source: `verde.train_test_split` 1.8.1 with `spacing`, as MaskSDM uses it; rows are equal, verde is not needed.
    """
    from sklearn.model_selection import ShuffleSplit

    block_of = _box_blocks(places, _side(spacing_deg))
    sizes = np.bincount(block_of)
    if len(sizes) < 2:
        raise ConfigError(
            f"{len(places)} places lie in one block of {spacing_deg} degrees, so that nothing can be held out;"
            " choose smaller blocks: spacing_deg"
        )
    splits = list(ShuffleSplit(n_splits=TRIES, test_size=share, random_state=seed).split(sizes))
    uneven = [abs(sizes[one].sum() / sizes[two].sum() - len(one) / len(two)) for one, two in splits]
    stays, held = splits[int(np.argmin(uneven))]
    return np.flatnonzero(np.isin(block_of, stays)), np.flatnonzero(np.isin(block_of, held))


def _box_blocks(places: Array, spacing: float) -> Array:
    """(N,) number of each place's block among the occupied ones, in rows from the south, in each from the west."""
    from scipy.spatial import cKDTree

    middles = [_middles(places[:, axis], spacing) for axis in (0, 1)]
    grid = np.stack(np.meshgrid(*middles), axis=-1).reshape(-1, 2)  # rows from the south
    _, nearest = cKDTree(grid).query(places)
    return np.asarray(np.unique(nearest, return_inverse=True)[1]).reshape(-1)


def _middles(values: Array, spacing: float) -> Array:
    """Middles of blocks that fill the extent of the values."""
    low, high = values.min(), values.max()
    edges = np.linspace(low, high, max(round((high - low) / spacing), 1) + 1)
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def _cells_deg(places: Array, side: float) -> Array:
    """(N, 2) column and row of each place's block; 180 degrees east is 180 degrees west."""
    east = np.where(places[:, 0] >= 180, places[:, 0] - 360, places[:, 0])
    return np.floor(np.stack([east, places[:, 1]], axis=1) / side).astype(np.int64)


def _cells_km(places: Array, side: float) -> Array:
    """(N, 2) column and row; a row of blocks goes once around the Earth and has a whole number of them."""
    height = side / KM_PER_DEGREE
    row = np.floor(places[:, 1] / height)
    middle = np.radians(np.clip((row + 0.5) * height, -90, 90))
    around = np.maximum(np.round(360 * np.cos(middle) / height), 1)
    column = np.floor((places[:, 0] % 360) / 360 * around)
    return np.stack([column, row], axis=1).astype(np.int64)


def _side(value: float | None) -> float:
    if value is None or not (value > 0 and math.isfinite(value)):
        raise ConfigError(f"the side of a block is {value}; expected a number above 0")
    return value


def _checked(places: Array) -> Array:
    """The places as float64 (N, 2), all of them on the globe."""
    places = np.asarray(places, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise InputError(
            f"found places of shape {places.shape}; expected (N, 2): longitude and latitude of each sample"
        )
    good = (np.abs(places[:, 0]) <= 360) & (np.abs(places[:, 1]) <= 90)  # NaN is not
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(
            f"{(~good).sum()} of {len(places)} places are not on the globe, the first in row {row}: longitude"
            f" {places[row, 0]:g}, latitude {places[row, 1]:g}; expected degrees: has every sample a place?"
        )
    return places
