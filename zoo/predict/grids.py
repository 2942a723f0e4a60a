"""The grid that a map is asked for: a box with a step, or that of a raster file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from zoo.errors import ConfigError
from zoo.io.grid import Grid
from zoo.io.rasters import open_raster
from zoo.io.source import to_crs
from zoo.io.tables import LARGEST_DEGREES

DEGREES = "EPSG:4326"  # of rasters, longitude first
BOX = 5  # numbers: west, south, east, north, step
WRITTEN = "W,S,E,N,STEP in degrees (5.9,45.8,10.5,47.9,0.01), W,S,E,N,STEP,EPSG:2056 in that CRS, or a raster file"
# Ours: a tenth of the Earth's surface at 100 m is 5e9 cells; more is a slip of the step, and GDAL ends at 2^31 a side.
MOST_CELLS = 10_000_000_000
MOST_SIDE = 2**31 - 1
SLACK = 1e-6  # of a cell, ours: 0.3 / 0.1 is a whole number of steps


def grid_of(told: Any) -> Grid:
    """The grid that an option asks for.

    Args:
        told: a `Grid`; a raster file, whose size, CRS and transform are taken, and nothing else; or a box: west, south, east,
            north and the side of a cell, in degrees of longitude and latitude, or in the units of a CRS that stands behind
            them, as a tuple or as a text with commas. Cells are counted from the north-western corner; the last ones may reach
            beyond the box.

    Raises:
        ConfigError: it is none of these, has no CRS, the box is empty or reversed, or has too many cells.
        InputError: the file cannot be read, or has no CRS.
    """
    if isinstance(told, Grid):
        if told.crs is None:
            raise ConfigError("the grid has no CRS, so nobody knows where it lies; expected Grid(..., crs=...)")
        return told
    if isinstance(told, str | os.PathLike):
        name = os.fspath(told)
        if os.path.exists(name) or name.startswith("/vsi") or "://" in name:
            return open_raster(name, require_crs=True).grid
        parts: Sequence[Any] = name.split(",")
        if len(parts) < BOX:
            raise ConfigError(f"the grid {name!r} is neither a box nor a file; expected {WRITTEN}")
    else:
        parts = tuple(told) if isinstance(told, Sequence) else (told,)
    try:
        box = west, south, east, north, step = [float(part) for part in parts[:BOX]]
    except (TypeError, ValueError) as err:
        raise ConfigError(f"the grid {_shown(parts)} has no five numbers in front; expected {WRITTEN}") from err
    if len(parts) > BOX + 1:
        raise ConfigError(f"the grid {_shown(parts)} has {len(parts)} parts; expected {WRITTEN}")
    crs = to_crs(parts[BOX] if len(parts) > BOX else DEGREES)
    _check(box, crs, parts)
    sides = (max((north - south) / step - SLACK, 1), max((east - west) / step - SLACK, 1))
    if max(sides) > MOST_SIDE or math.prod(map(math.ceil, sides)) > MOST_CELLS:
        raise ConfigError(
            f"the grid {_shown(parts)} has {sides[0]:,.0f} x {sides[1]:,.0f} cells; expected at most {MOST_CELLS:,}: take a larger step"
            f" or a smaller box. The step is in {_unit(crs)}"
        )
    height, width = map(math.ceil, sides)
    return Grid(height=height, width=width, crs=crs, transform=Affine(step, 0, west, 0, -step, north))


def _check(box: Sequence[float], crs: CRS, parts: Sequence[Any]) -> None:
    west, south, east, north, step = box
    if not all(math.isfinite(one) for one in box) or step <= 0:
        raise ConfigError(f"the grid {_shown(parts)} has the step {step:g}; expected finite numbers and a step above 0")
    if west >= east or south >= north:
        reversed_ = "west is not west of east" if west >= east else "south is not south of north"
        across = "; across the 180th meridian, let east go beyond 180" if west >= east and not crs.is_projected else ""
        raise ConfigError(f"the grid {_shown(parts)}: {reversed_}; expected W,S,E,N in this order{across}")
    if not crs.is_projected:
        furthest = (max(abs(west), abs(east)), max(abs(south), abs(north)))
        if any(one > most for one, most in zip(furthest, LARGEST_DEGREES, strict=True)):
            raise ConfigError(
                f"the grid {_shown(parts)} reaches beyond the Earth in degrees; say the CRS of its numbers behind them:"
                f" {_shown(parts[:BOX])},EPSG:2056 (the right code)"
            )


def _unit(crs: CRS) -> str:
    return crs.linear_units or "units of the CRS" if crs.is_projected else "degrees"


def _shown(parts: Sequence[Any]) -> str:
    return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
