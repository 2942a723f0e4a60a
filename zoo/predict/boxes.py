"""Where sites or a grid lie and where rasters do, for messages about those that do not meet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from zoo.inputs.layers import Layer
from zoo.io.vectors import reproject_known
from zoo.predict.predictors import CellFeed, Feed, FilledFeed, LayersFeed, PatchFeed

LONGEST_CRS = 40  # letters, ours: a CRS without a code is a page of WKT

Points = NDArray[np.float64]


def both_boxes(feeds: Iterable[Feed], points: Points, crs: CRS | None, what: str) -> str:
    """The boxes around points and around the rasters of feeds, in the points' CRS; to be put behind a message.

    Args:
        feeds: of which some may have rasters.
        points: (N, 2) x and y, of sites or of the corners of a grid; NaN where one is not known.
        crs: of the points.
        what: begins the sentence, such as "the sites' box is".

    Returns:
        Both boxes, and the question whether x and y are swapped, where that would put the points onto the rasters; nothing
        where there are no points or rasters.
    """
    corners = [] if crs is None else [_in(crs, layer) for feed in feeds for layer in _layers(feed)]
    rasters = np.concatenate([np.empty((0, 2)), *corners])
    known = points[np.isfinite(points).all(axis=1)]
    rasters = rasters[np.isfinite(rasters).all(axis=1)]
    if crs is None or not len(known) or not len(rasters):
        return ""
    code = crs.to_string()
    told = (
        f"; {what} {_box(known, crs)}, that of the rasters {_box(rasters, crs)} (west, south, east, north in"
        f" {code if len(code) <= LONGEST_CRS else 'the CRS of the first'})"
    )
    middle, low, high = np.median(known, axis=0), rasters.min(axis=0), rasters.max(axis=0)
    beyond = ((middle < low) | (middle > high)).any()
    if beyond and ((middle[::-1] >= low) & (middle[::-1] <= high)).all():
        told += f": are {'longitude and latitude' if crs.is_geographic else 'x and y'} swapped?"
    return told


def _layers(feed: Feed) -> list[Layer]:
    if isinstance(feed, PatchFeed):
        return [(feed.source, 0)]
    bands = feed.cells.bands if isinstance(feed, FilledFeed) else ()
    bands = feed.bands if isinstance(feed, CellFeed | LayersFeed) else bands
    return [band for band in bands if band is not None]


def _in(crs: CRS, layer: Layer) -> Points:
    """The corners (4, 2) of a raster."""
    corners = layer[0].grid.corners
    found: Points = reproject_known(corners[:, None], layer[0].crs, crs)[:, 0] if layer[0].crs != crs else corners
    return found


def _box(points: Points, crs: CRS) -> str:
    decimals = 2 if crs.is_geographic else 0
    return ", ".join(f"{value:.{decimals}f}" for value in [*points.min(axis=0), *points.max(axis=0)])
