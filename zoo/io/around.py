"""Cells of rasters in which places lie, and patches of cells around them, by reading only the windows that hold some.

Each raster is read on its own grid, whatever its CRS; a cell is taken as it is, never the interpolation of several.
"""

# N places, C bands, p side of a patch

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from zoo.io.source import RasterSource
from zoo.io.vectors import Places, reproject
from zoo.tiling import Window

BLOCK = 512  # px, ours: places within a block are read together
FURTHEST_ROW = 2**40  # what lies outside the projection of a raster lies outside the raster

Numbers = NDArray[np.int64]


def patches(
    bands: Sequence[tuple[RasterSource, int] | None], places: Places, crs: CRS | None, *, side: int
) -> NDArray[np.float32]:
    """The cells around each place, of bands of rasters that may have different grids.

    Args:
        bands: raster and channel of each; `None` for one that is not there.
        places: (N, 1, 2).
        crs: of the places.
        side: of the patches, in cells of each raster; the place lies in cell `side // 2` of both axes.

    Returns:
        (N, C, p, p), NaN where there are no data: beyond the edge, or missing in that band.
    """
    found = np.full((len(places), len(bands), side, side), np.nan, np.float32)
    for source in {id(band[0]): band[0] for band in bands if band is not None}.values():
        mine = [(index, band[1]) for index, band in enumerate(bands) if band and band[0] is source]
        rows, cols = cells(source, places, crs)
        for members, window in blocks(source, rows, cols, side=side):
            tops, lefts = rows[members] - side // 2 - window.row, cols[members] - side // 2 - window.col
            for index, channel in mine:
                pixels, valid = source.read(window, (channel,))
                known = np.where(valid, pixels[0], np.float32(np.nan)).astype(np.float32, copy=False)
                for member, top, left in zip(members, tops, lefts, strict=True):
                    found[member, index] = known[top : top + side, left : left + side]
    return found


def cells(source: RasterSource, places: Places, crs: CRS | None) -> tuple[Numbers, Numbers]:
    """Row and column of the cell in which each place lies; far outside for one that is not known."""
    xy = places
    if crs != source.crs:
        xy = np.full_like(places, np.inf)
        known = np.isfinite(places).all(axis=(1, 2))
        xy[known] = reproject(places[known], crs, source.crs) if known.any() else xy[known]
    grid: Affine = source.transform
    x, y = xy[:, 0, 0] - grid.c, xy[:, 0, 1] - grid.f  # first of all: it is exact near the origin, and good everywhere
    size = grid.a * grid.e - grid.b * grid.d
    with np.errstate(invalid="ignore"):
        cols = np.floor(x / grid.a if grid.b == 0 else (grid.e * x - grid.b * y) / size)
        rows = np.floor(y / grid.e if grid.d == 0 else (grid.a * y - grid.d * x) / size)
    near = (np.abs(rows) < FURTHEST_ROW) & (np.abs(cols) < FURTHEST_ROW)
    outside = -FURTHEST_ROW
    return np.where(near, rows, outside).astype(np.int64), np.where(near, cols, outside).astype(np.int64)


def blocks(source: RasterSource, rows: Numbers, cols: Numbers, *, side: int) -> Iterator[tuple[Numbers, Window]]:
    """Places inside the raster, those within a block together, with the window that holds their patches."""
    inside = (rows >= 0) & (rows < source.height) & (cols >= 0) & (cols < source.width)
    keys = np.where(inside, rows // BLOCK * (source.width // BLOCK + 1) + cols // BLOCK, -1)
    for key in np.unique(keys[inside]).tolist():
        members = np.nonzero(keys == key)[0]
        top, left = int(rows[members].min()) - side // 2, int(cols[members].min()) - side // 2
        height = int(np.ptp(rows[members])) + side
        yield members, Window(top, left, height, int(np.ptp(cols[members])) + side)
