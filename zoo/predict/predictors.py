"""What a model of species distributions is told of places: columns of a table, cells of rasters, patches around points.

A `Feed` gives one input's numbers for any sites; `zoo.predict.opening` opens it. Rasters are read where the sites lie, each
on a grid of its own, so that climate at 1 km and soil at 250 m go together as they are.
"""

# N sites, F variables, C bands, p side of a patch

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from torch import Tensor

from zoo.inputs.layers import Layer
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.variables import of_coordinates
from zoo.io import around
from zoo.io.grid import Grid
from zoo.io.source import RasterSource
from zoo.io.table_blocks import Rows
from zoo.io.tables import TableSource
from zoo.io.vectors import Places, reproject_known
from zoo.options import Sampling
from zoo.predict.scene import state_of
from zoo.spec import Fill, InputSpec, Kind

Values = NDArray[Any]
Seen = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sites:
    """Some rows of a table, or some cells of a map.

    `rows` are their numbers in the table; `places` (N, 1, 2) is where they lie in `crs`.
    """

    rows: slice
    places: Places | None
    crs: CRS | None


class Feed(Protocol):
    """One input of the model, fed from somewhere."""

    @property
    def spec(self) -> InputSpec: ...
    @property
    def preprocess(self) -> Preprocess: ...

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        """Numbers (N, F) and which of them are data (N, F); or (N, C, p, p) and (N, p, p)."""

    def fingerprint(self) -> str:
        """What tells this source from another."""


@dataclass(frozen=True, kw_only=True)
class ColumnFeed:
    """Variables from the columns of the table of sites."""

    spec: InputSpec
    preprocess: Preprocess
    table: TableSource
    values: Rows

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        values = self.values[sites.rows]
        return values, np.isfinite(values)

    def fingerprint(self) -> str:
        return self.table.fingerprint()


@dataclass(frozen=True, kw_only=True)
class CellFeed:
    """Variables from rasters, and coordinates from the place itself.

    Attributes:
        bands: raster and channel of each variable.
        axes: of each variable that the place itself gives: 0 = longitude, 1 = latitude, in degrees.
        sampling: of the rasters.
        grid: of the first raster, whatever it is of.
    """

    spec: InputSpec
    preprocess: Preprocess
    bands: tuple[Layer | None, ...]
    axes: tuple[int | None, ...]
    sampling: Sampling
    grid: Grid | None = None

    @property
    def gives(self) -> Seen:
        """Which variables (F) there may be numbers of."""
        return np.array(
            [band is not None or axis is not None for band, axis in zip(self.bands, self.axes, strict=True)]
        )

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        values = self.at(sites)
        if any(band is not None for band in self.bands):  # in the sea, and beyond the rasters, a map has no data
            sampled = values[:, [index for index, band in enumerate(self.bands) if band is not None]]
            values[~np.isfinite(sampled).any(axis=1)] = np.nan
        return values, np.isfinite(values)

    def at(self, sites: Sites) -> Values:
        """(N, F) numbers; what the place itself gives, everywhere."""
        values = around.values_at(self.bands, _places(sites), sites.crs, sampling=self.sampling)
        if any(axis is not None for axis in self.axes):
            degrees = _lon_lat(sites)
            for index, axis in enumerate(self.axes):
                if axis is not None:
                    values[:, index] = degrees[:, axis]
        return values

    def fingerprint(self) -> str:
        return f"{_told_bands(self.bands)} {self.axes} {self.sampling}"


@dataclass(frozen=True, kw_only=True)
class FilledFeed:
    """Variables from the columns of the table of sites; where a cell is empty, or there is no column, from the cells."""

    columns: ColumnFeed
    cells: CellFeed
    told: tuple[bool, ...]  # which variables have a column

    @property
    def has_columns(self) -> bool:
        """Whether the table tells more than where the sites lie."""
        of_place = of_coordinates(self.spec)
        return any(told and band not in of_place for band, told in zip(self.spec.band_ids, self.told, strict=True))

    @property
    def alone(self) -> Seen:
        """Which variables (F) rasters alone give."""
        return np.array([band is not None and not told for band, told in zip(self.cells.bands, self.told, strict=True)])

    @property
    def spec(self) -> InputSpec:
        return self.columns.spec

    @property
    def preprocess(self) -> Preprocess:
        return self.columns.preprocess

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        values, seen = self.columns.read(sites)
        wanted = ~seen & self.cells.gives
        lacking = np.flatnonzero(wanted.any(axis=1))
        if not len(lacking):
            return values, seen
        # What all of these sites have from columns is not read from rasters.
        needed = np.flatnonzero(wanted.any(axis=0)).tolist()
        bands = tuple(band if index in needed else None for index, band in enumerate(self.cells.bands))
        sampled = replace(self.cells, bands=bands).at(replace(sites, places=_places(sites)[lacking]))
        filled = np.array(values)
        filled[lacking] = np.where(wanted[lacking], sampled, values[lacking])
        return filled, np.isfinite(filled)

    def fingerprint(self) -> str:
        return f"{self.columns.fingerprint()}; {self.cells.fingerprint()}"


@dataclass(frozen=True, kw_only=True)
class LayersFeed:
    """Patches of rasters that may have different grids: each band's cells around the one in which a site lies."""

    spec: InputSpec
    preprocess: Preprocess
    bands: tuple[Layer | None, ...]  # raster and channel of each
    side: int

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        values = around.patches(self.bands, _places(sites), sites.crs, side=self.side)
        return values, np.asarray(np.isfinite(values).any(axis=1))

    def fingerprint(self) -> str:
        return f"{_told_bands(self.bands)} {self.side}"


@dataclass(frozen=True, kw_only=True)
class PatchFeed:
    """Patches of a raster: windows centred on the cell in which each site lies; beyond the edge there are no data."""

    spec: InputSpec
    preprocess: Preprocess
    source: RasterSource
    channels: tuple[int, ...]
    side: int

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        count, side = _count(sites), self.side
        patches = np.zeros((count, len(self.channels), side, side), self.source.dtype)
        seen = np.zeros((count, side, side), np.bool_)
        rows, cols = around.cells(self.source, _places(sites), sites.crs)
        for members, window in around.blocks(self.source, rows, cols, side=side):
            pixels, valid = self.source.read(window, self.channels)
            patches[members] = around.cut(pixels, rows[members], cols[members], window, side=side)
            seen[members] = around.cut(valid, rows[members], cols[members], window, side=side)
        return patches, seen

    def fingerprint(self) -> str:
        return f"{state_of(self.source)} {self.channels} {self.side}"


# --------------------------------------------------------------------------------------------------------- reading


def _count(sites: Sites) -> int:
    return int(sites.rows.stop - sites.rows.start)


def _places(sites: Sites) -> Places:
    assert sites.places is not None, "opened without coordinates"
    return sites.places


def _lon_lat(sites: Sites) -> NDArray[np.float64]:
    """(N, 2) longitude from -180 to below 180 and latitude, in degrees, NaN where a place is not known."""
    places = _places(sites)
    assert sites.crs is not None, "places whose CRS is not known are refused, see `zoo.predict.species.check_places`"
    degrees: NDArray[np.float64] = reproject_known(places, sites.crs)[:, 0]
    longitude = degrees[:, 0]
    beyond = (longitude < -180) | (longitude >= 180)  # as a grid across the 180th meridian has them
    longitude[beyond] = (longitude[beyond] + 180) % 360 - 180
    return degrees


def _told_bands(bands: Iterable[Layer | None]) -> str:
    return "; ".join("-" if band is None else f"{state_of(band[0])} {band[1]}" for band in bands)


def beyond_rasters(feeds: Mapping[str, Feed], read: Mapping[str, tuple[Values, Seen]]) -> dict[str, int]:
    """How many sites have no data of any raster of an input, which the model goes without; by input."""
    beyond = {}
    for name, feed in feeds.items():
        mask = read[name][1].reshape(len(read[name][1]), -1)
        if isinstance(feed, FilledFeed):
            mask = mask[:, feed.alone]
        elif not (feed.spec.optional and isinstance(feed, PatchFeed | LayersFeed)):
            continue
        if mask.shape[1]:
            beyond[name] = int((~mask.any(axis=1)).sum())
    return beyond


# ------------------------------------------------------------------------------------------------------- preparing


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteBatch:
    """What the network takes of some sites, and which sites have what it needs (N,)."""

    tensors: dict[str, Tensor]
    bands: dict[str, tuple[str, ...]]
    valid: dict[str, Tensor]
    seen: Seen


def prepare(feeds: Mapping[str, Feed], read: Mapping[str, tuple[Values, Seen]], device: torch.device) -> SiteBatch:
    """Tensors of what the feeds gave.

    A site is seen if it has a value of each input: of one variable where any subset will do, those of optional inputs
    among them, or missing ones are filled by a step; else of all.
    """
    tensors, valid, seen = {}, {}, np.ones(len(next(iter(read.values()))[0]), np.bool_)
    has_more = np.zeros(len(seen), np.bool_)
    for name, feed in feeds.items():
        if feed.spec.optional:
            has_more |= read[name][1].reshape(len(seen), -1).any(axis=1)
    for name, feed in feeds.items():
        values, mask = read[name]
        is_table = feed.spec.kind is Kind.TABLE
        here = torch.from_numpy(mask).to(device)
        pixels = torch.from_numpy(values).to(device)
        if is_table:
            tensors[name] = feed.preprocess(pixels[:, :, None, None], here[:, :, None, None])[:, :, 0, 0]
        else:
            tensors[name] = feed.preprocess(pixels, here, resize=True)
        valid[name] = here
        flat = mask.reshape(len(mask), -1)
        if feed.spec.any_subset:
            seen &= flat.any(axis=1) | has_more
        elif not feed.spec.optional:
            forgiving = not is_table or any(isinstance(step, Fill) for step in feed.spec.steps)
            seen &= flat.any(axis=1) if forgiving else flat.all(axis=1)
    bands = {name: feed.spec.band_ids for name, feed in feeds.items()}
    return SiteBatch(tensors=tensors, bands=bands, valid=valid, seen=seen)
