"""What rasters say at places, and patches of cells around them, by reading only the windows that hold some.

Each raster is read on its own grid, whatever its CRS, and places may have any.
"""

# N places, C bands, p side of a patch

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from affine import Affine
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from rasterio.crs import CRS

from zoo.io.nearest import FURTHEST, nearest_valid
from zoo.io.source import Pixels, RasterSource
from zoo.io.vectors import Places, reproject_known
from zoo.options import Sampling
from zoo.tiling import Window

BLOCK = 512  # px, ours: places within a block are read together
FURTHEST_ROW = 2**40  # what lies outside the projection of a raster lies outside the raster
TURN = 360.0  # degrees of longitude

NEAR = 8  # cells, ours: along coasts the nearest cell with data is mostly closer, and 17 x 17 cells are read, not 201 x 201

Numbers = NDArray[np.int64]


def values_at(
    layers: Sequence[tuple[RasterSource, int] | None],
    places: Places,
    crs: CRS | None,
    *,
    sampling: Sampling = "cell",
) -> NDArray[np.float32]:
    """What rasters say at places.

    Args:
        layers: raster and channel of each; `None` for one that is not there.
        places: (N, 1, 2).
        crs: of the places.
        sampling: `cell`, that in which the place lies. `nearest`, the same, and where it has no data the nearest that
            has, up to 100 cells away: see `zoo.io.nearest`. `bilinear`, between the centres of the four cells around the
            place; of those without data the weight goes to the others in proportion.

    Returns:
        (N, C), as the rasters' declared scale and offset make them; NaN where there are no data, and outside a raster.
    """
    if sampling == "bilinear":
        found = _between(layers, places, crs)
    else:
        found = patches(layers, places, crs, side=1)[:, :, 0, 0]
    if sampling == "nearest":
        _fill(found, layers, places, crs)
    for column, layer in zip(found.T, layers, strict=True):
        if layer is not None and (layer[0].scales[layer[1]], layer[0].offsets[layer[1]]) != (1, 0):
            column[:] = column.astype(np.float64) * layer[0].scales[layer[1]] + layer[0].offsets[layer[1]]
    return found


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
        (N, C, p, p) as stored, NaN where there are no data: beyond the edge, or missing in that band.
    """
    found = np.full((len(places), len(bands), side, side), np.nan, np.float32)
    for source in {id(band[0]): band[0] for band in bands if band is not None}.values():
        mine = [(index, band[1]) for index, band in enumerate(bands) if band and band[0] is source]
        rows, cols = cells(source, places, crs)
        for members, window in blocks(source, rows, cols, side=side):
            for index, channel in mine:
                pixels, valid = source.read(window, (channel,))
                known = np.where(valid, pixels[0], np.float32(np.nan)).astype(np.float32, copy=False)
                found[members, index] = cut(known, rows[members], cols[members], window, side=side)
    return found


def cut(pixels: Pixels, rows: Numbers, cols: Numbers, window: Window, *, side: int) -> Pixels:
    """Patches (N, ..., p, p) around cells of the raster, out of a window (..., h, w) of it that holds them all."""
    every = sliding_window_view(pixels, (side, side), axis=(-2, -1))
    here = every[..., rows - side // 2 - window.row, cols - side // 2 - window.col, :, :]
    return np.moveaxis(here, -3, 0)


def cells(source: RasterSource, places: Places, crs: CRS | None) -> tuple[Numbers, Numbers]:
    """Row and column of the cell in which each place lies; far outside for one that is not known."""
    rows, cols = (np.floor(one) for one in _positions(source, places, crs))
    near = (np.abs(rows) < FURTHEST_ROW) & (np.abs(cols) < FURTHEST_ROW)
    outside = -FURTHEST_ROW
    return np.where(near, rows, outside).astype(np.int64), np.where(near, cols, outside).astype(np.int64)


def _positions(
    source: RasterSource, places: Places, crs: CRS | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column of each place, with fractions, from the raster's corner; not finite for one that is not known."""
    xy = places if crs == source.crs else reproject_known(places, crs, source.crs)
    grid: Affine = source.transform
    x, y = _turned(source, xy[:, 0, 0]) - grid.c, xy[:, 0, 1] - grid.f  # first of all: it is exact near the origin
    size = grid.a * grid.e - grid.b * grid.d
    with np.errstate(invalid="ignore"):
        cols = x / grid.a if grid.b == 0 else (grid.e * x - grid.b * y) / size
        rows = y / grid.e if grid.d == 0 else (grid.a * y - grid.d * x) / size
    return rows, cols


def _turned(source: RasterSource, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes as the raster counts them: from -180, from 0, or across the 180th meridian."""
    if source.crs is None or not source.crs.is_geographic:
        return x
    across = source.grid.corners[..., 0]
    west, east = float(across.min()), float(across.max())
    with np.errstate(invalid="ignore"):  # of places that are not known
        return np.where((x >= west) & (x < east), x, west + np.mod(x - west, TURN))


def blocks(source: RasterSource, rows: Numbers, cols: Numbers, *, side: int) -> Iterator[tuple[Numbers, Window]]:
    """Places inside the raster, those within a block together, with the window that holds their patches."""
    inside = (rows >= 0) & (rows < source.height) & (cols >= 0) & (cols < source.width)
    keys = np.where(inside, rows // BLOCK * (source.width // BLOCK + 1) + cols // BLOCK, -1)
    for key in np.unique(keys[inside]).tolist():
        members = np.nonzero(keys == key)[0]
        top, left = int(rows[members].min()) - side // 2, int(cols[members].min()) - side // 2
        height = int(np.ptp(rows[members])) + side
        yield members, Window(top, left, height, int(np.ptp(cols[members])) + side)


def _between(layers: Sequence[tuple[RasterSource, int] | None], places: Places, crs: CRS | None) -> NDArray[np.float32]:
    """(N, C) bilinear, as weights of the 3 x 3 cells around each place; those of five or more are 0."""
    cells_around = patches(layers, places, crs, side=3)
    found = np.full(cells_around.shape[:2], np.nan, np.float32)
    for source in {id(layer[0]): layer[0] for layer in layers if layer is not None}.values():
        mine = np.array([layer is not None and layer[0] is source for layer in layers])
        rows, cols = _positions(source, places, crs)
        inside = (rows >= 0) & (rows < source.height) & (cols >= 0) & (cols < source.width)
        down, right = (_shares(one[inside]) for one in (rows, cols))
        values = cells_around[np.ix_(inside, mine)]
        known = np.isfinite(values)
        shares = known * (down[:, None, :, None] * right[:, None, None, :])
        total = shares.sum(axis=(2, 3))
        weighted = (shares * np.where(known, values, 0)).sum(axis=(2, 3))
        found[np.ix_(inside, mine)] = np.divide(weighted, total, out=np.full_like(total, np.nan), where=total > 0)
    return found


def _shares(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3): what the cells before, at and after a position weigh, by the distance of their centres."""
    fraction = positions - np.floor(positions)
    distance = np.abs(fraction[:, None] - 0.5 - np.arange(-1, 2))
    shares: NDArray[np.float64] = np.maximum(1 - distance, 0)
    return shares


def _fill(
    found: NDArray[np.float32],
    layers: Sequence[tuple[RasterSource, int] | None],
    places: Places,
    crs: CRS | None,
) -> None:
    """Put what the nearest cell with data says where `found` (N, C) has nothing; look near by first."""
    for source in {id(layer[0]): layer[0] for layer in layers if layer is not None}.values():
        rows, cols = cells(source, places, crs)
        for index, layer in enumerate(layers):
            if layer is None or layer[0] is not source:
                continue
            for reach in (NEAR, FURTHEST):
                lacking = np.isnan(found[:, index])
                found[lacking, index] = _nearest(layer, rows[lacking], cols[lacking], reach)


def _nearest(layer: tuple[RasterSource, int], rows: Numbers, cols: Numbers, reach: int) -> NDArray[np.float32]:
    """(N,) of the nearest cells with data, at most `reach` cells away."""
    source, channel = layer
    found = np.full(len(rows), np.nan, np.float32)
    for members, window in blocks(source, rows, cols, side=2 * reach + 1):
        near = window.clipped(source.height, source.width)  # squares end at the raster's edge
        pixels, valid = source.read(near, (channel,))
        down, right = nearest_valid(valid, rows[members] - near.row, cols[members] - near.col, furthest=reach)
        found[members] = np.where(down >= 0, pixels[0, down, right], np.float32(np.nan))
    return found
