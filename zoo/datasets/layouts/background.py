"""Background points: places of which it is known what they are like, not what occurs; from a table, or drawn."""

# N points

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zoo.datasets.blocks import block_cells
from zoo.datasets.dividing import SHARES, drawn, range_of
from zoo.datasets.layouts.patches import Patches
from zoo.datasets.layouts.site_rows import Mask, Places, Rows, located, places_of
from zoo.datasets.layouts.site_splits import Dealing
from zoo.datasets.layouts.site_values import Sources
from zoo.datasets.seeds import seed_of
from zoo.errors import ConfigError, InputError
from zoo.inputs.layers import Layer
from zoo.io.around import patches as cells_around
from zoo.io.around import values_at
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.io.tables import TableSource, open_table

DRAWING = 0xBAC  # tells these draws from others of a seed
ROUNDS = 50  # ours: where fewer than about 1 in 50 points of the box has data, the box is not that of the rasters


def check_background(asked: Any, sources: Sources, patches: Sequence[Patches]) -> None:
    """Raise `ConfigError` for a number that is none, or where nothing says what drawn points are like."""
    if asked is None or isinstance(asked, str):
        return
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise ConfigError(f"the option background is {asked!r}; expected a table, or how many points to draw: 10000")
    if sources.covariates is None and not patches:
        raise ConfigError(
            f"{asked} background points are to be drawn, and no rasters say what they are like; say"
            " covariates=FOLDER, or give a table of points with their predictors: background=points.csv"
        )


def open_background(
    asked: str | int, sites: Rows, folder: Path, sources: Sources, patches: Sequence[Patches], *, seed: int, crs: Any
) -> Rows:
    """All background points of all splits.

    Args:
        asked: a table below `folder`, or how many points are drawn.
        sites: all that the table has, in whose box points are drawn.
        folder: in which the table lies.
        sources: of predictors; points are drawn where all their rasters have data.
        patches: inputs that are read around points, which have data where a band has.
        seed: of the draws.
        crs: of a table's coordinates named x and y, where it does not say.

    Raises:
        InputError: the table cannot be read, or the rasters have no data where the sites lie.
    """
    if isinstance(asked, str):
        opened = open_table(folder / Path(asked).expanduser())
        if opened.crs is None:  # else `crs`, which is that of the sites, is not said of it
            opened = open_table(folder / Path(asked).expanduser(), crs=crs)
    else:
        opened = _drawn_table(asked, places_of(sites), sources, patches, seed)
    rows = np.arange(len(opened))
    ids = tuple(f"background {row}" for row in range(1, len(opened) + 1))
    points = Rows(table=opened, rows=rows, ids=ids, site=rows, first=rows)
    return located(points) if patches or opened.places is not None else points


def background_of_split(points: Rows, sites: Rows, split: str, dealing: Dealing, *, judged: bool) -> Rows:
    """The points of a split.

    With blocks of the ground, each point goes where its block goes, so that none of a held-out block trains; blocks
    without a site are dealt as those with sites are. Without, all points train, or are drawn by their names.

    Args:
        points: of all splits.
        sites: of all splits.
        split: which one.
        dealing: how sites are divided.
        judged: whether other splits than `train` need points: presences alone are judged against them.
    """
    if dealing.block_km is not None:
        return points.kept(_by_blocks(points, sites, split, dealing))
    if not judged:
        return points.kept(np.full(len(points.ids), split == "train"))
    low, high = range_of(split, SHARES if dealing.shares is None else dealing.shares)
    return points.kept(np.array([low <= drawn(one, dealing.seed) < high for one in points.ids], np.bool_))


def _by_blocks(points: Rows, sites: Rows, split: str, dealing: Dealing) -> Mask:
    assert dealing.block_km is not None
    _, mine = dealing.by_blocks(split, places_of(sites))
    places = places_of(located(points))
    cells = [(east, north) for east, north in block_cells(places, block_km=dealing.block_km).tolist()]
    found = np.array([mine.get(one, False) for one in cells], np.bool_)
    rest = np.array([one not in mine for one in cells], np.bool_)
    shares, _ = dealing.parts(split)
    if len({one for one, free in zip(cells, rest.tolist(), strict=True) if free}) >= len(shares):
        found[rest] = dealing.by_blocks(split, places[rest])[0]
    elif split == "train":
        found[rest] = True
    return found


def _drawn_table(num: int, around: Places, sources: Sources, patches: Sequence[Patches], seed: int) -> TableSource:
    """Points in the box of the sites, uniform on the sphere, where there are data."""
    draw = np.random.default_rng(seed_of(DRAWING, seed))
    west, south, east, north = _box(around)
    layers = [] if sources.covariates is None else sources.layers()
    found = np.zeros((0, 2))
    for _ in range(ROUNDS):
        lon = draw.uniform(west, east, num)
        # Equal bands of the sine of latitude are equal areas of the sphere (Archimedes).
        lat = np.degrees(np.arcsin(draw.uniform(np.sin(np.radians(south)), np.sin(np.radians(north)), num)))
        places = np.stack([np.where(lon >= 180, lon - 360, lon), lat], axis=1)
        found = np.concatenate([found, places[_has_data(places, layers, patches)]])
        if len(found) >= num:
            columns = {"decimalLongitude": found[:num, 0], "decimalLatitude": found[:num, 1]}
            return replace(open_table(pa.table(columns)), name="the background points")
    raise InputError(
        f"of {ROUNDS * num} points in the box of the sites (longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to"
        f" {north:.4f}), {len(found)} lie where all rasters have data; expected {num}: do the rasters cover the sites?"
    )


def _box(around: Places) -> tuple[float, float, float, float]:
    """West, south, east and north of the smaller box that holds the places: east is beyond 180 where it crosses that."""
    lon, lat = around[:, 0], around[:, 1]
    lon = np.where(lon >= 180, lon - 360, np.where(lon < -180, lon + 360, lon))
    across = np.where(lon < 0, lon + 360, lon)
    lon = across if np.ptp(across) < np.ptp(lon) else lon
    if not (np.ptp(lon) > 0 and np.ptp(lat) > 0):
        raise InputError(
            f"{len(around)} site{'s' * (len(around) > 1)} at longitude {lon[0]:.4f}, latitude {lat[0]:.4f} span no box in"
            " which background points could be drawn; give more sites, or a table of points: background=points.csv"
        )
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def _has_data(places: Places, layers: Sequence[Layer], patches: Sequence[Patches]) -> Mask:
    """Where the cells themselves hold data, however sites are sampled: the nearest cell would be that of another place."""
    at, crs = places[:, None], to_crs(LON_LAT)
    good = np.isfinite(values_at(layers, at, crs)).all(axis=1)
    for one in patches:
        good &= np.isfinite(cells_around(one.bands, at, crs, side=1)[:, :, 0, 0]).any(axis=1)
    return np.asarray(good)
