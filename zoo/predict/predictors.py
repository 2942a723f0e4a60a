"""What a model of species distributions is told of places: columns of a table, cells of rasters, patches around points.

A `Feed` gives one input's numbers for any sites. Rasters are read where the sites lie, each on a grid of its own, so
that climate at 1 km and soil at 250 m go together as they are; the cell that contains a site is taken, never the
interpolation of several.
"""

# N sites, F variables, C bands, p side of a patch

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from torch import Tensor

from zoo.errors import InputError, SpecError
from zoo.inputs.layers import Layer, layers_of
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.ranges import check_range
from zoo.inputs.variables import Variables, has_any, match_variables
from zoo.io import around
from zoo.io.source import RasterSource
from zoo.io.sources import is_collection, label
from zoo.io.table_blocks import Rows
from zoo.io.tables import TableSource, open_table
from zoo.io.vectors import Places
from zoo.model import Model
from zoo.options import Options
from zoo.predict.scene import open_feed, state_of
from zoo.spec import Fill, InputSpec, Kind

Values = NDArray[Any]
Seen = NDArray[np.bool_]

CHECKED_ROWS = 65_536  # ours: of a table, whose percentiles are compared with the declared ones; 16 MB of 61 variables


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
    """Variables from rasters: the cell in which each site lies."""

    spec: InputSpec
    preprocess: Preprocess
    bands: tuple[Layer | None, ...]  # raster and channel of each variable

    def read(self, sites: Sites) -> tuple[Values, Seen]:
        values = around.patches(self.bands, _places(sites), sites.crs, side=1)[:, :, 0, 0]
        return values, np.isfinite(values)

    def fingerprint(self) -> str:
        return _told_bands(self.bands)


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
            for member in members:
                row, col = rows[member] - side // 2 - window.row, cols[member] - side // 2 - window.col
                patches[member] = pixels[:, row : row + side, col : col + side]
                seen[member] = valid[row : row + side, col : col + side]
        return patches, seen

    def fingerprint(self) -> str:
        return f"{state_of(self.source)} {self.channels} {self.side}"


# --------------------------------------------------------------------------------------------------------- opening


def open_feeds(model: Model, source: Any, options: Options) -> tuple[TableSource | None, dict[str, Feed]]:
    """The table of sites, if there is one, and a feed for each input of the model that the source has.

    Args:
        model: says which inputs there are.
        source: a table, rasters of predictors (a file with a band per variable, or a folder, glob or list of files);
            or a mapping of input names to one of these, with the table called `"sites"` if no input takes its columns.
        options: what the sources do not say themselves.

    Raises:
        InputError: a source cannot be read, or an input that is not optional has none.
    """
    from zoo.io.tables import is_table

    choices: dict[str, InputSpec] = {}
    for spec in model.variant.inputs:
        choices.setdefault(spec.name, spec)
    given = dict(source) if isinstance(source, Mapping) else dict.fromkeys(choices, source)
    if unknown := set(given) - set(choices) - {"sites"}:
        raise InputError(
            f"{model.name} has no input {', '.join(sorted(unknown))}; its inputs are {', '.join(choices)}"
            " (and `sites`, a table of coordinates)"
        )
    options.check_inputs([*choices, "sites"])
    tables: dict[int, TableSource] = {}
    for name, item in given.items():
        if is_table(item) and id(item) not in tables:
            tables[id(item)] = open_table(item, crs=options.of_input(name).crs, held=False)
    table = next(iter(tables.values()), None)
    shares = not isinstance(source, Mapping)
    feeds: dict[str, Feed] = {}
    for name, spec in choices.items():
        item = given.get(name, given.get("sites"))
        opened = _open_feed(model, spec, tables.get(id(item), item), options, shares=shares)
        if opened is not None:
            feeds[name] = opened
    if len({len(one) for one in tables.values()}) > 1:
        raise InputError(
            f"the tables have {' and '.join(str(len(one)) for one in tables.values())} rows; expected as many"
        )
    if not feeds:
        raise InputError(f"{label(source)} has nothing that {model.name} takes; see `zoo info {model.spec.name}`")
    return table, feeds


def _open_feed(model: Model, spec: InputSpec, item: Any, options: Options, *, shares: bool) -> Feed | None:
    """The feed of one input; `None` where it is optional and not there."""
    options = options.of_input(spec.name)
    if item is None:
        if spec.optional:
            return None
        raise InputError(f"{model.name} also needs {spec.name}; add --input {spec.name}=SOURCE")
    if spec.kind is Kind.TABLE:
        dispensable = spec.optional and shares
        if isinstance(item, TableSource):
            return _columns(spec, item, options, dispensable=dispensable)
        return _cell_feed(spec, item, options, dispensable=dispensable)
    if spec.kind in (Kind.RASTER, Kind.IMAGE):
        return None if spec.optional and isinstance(item, TableSource) else _patches(model, spec, item, options)
    raise SpecError(f"input {spec.name!r} is of the kind {spec.kind.value}; the task sdm takes table and raster")


def _columns(spec: InputSpec, table: TableSource, options: Options, *, dispensable: bool) -> ColumnFeed | None:
    if dispensable and not has_any(spec, table.columns, told=options.bands):
        return None
    matched = match_variables(spec, table.columns, told=options.bands, where=table.name)
    nodata = spec.nodata if options.nodata is None else options.nodata
    columns = [None if place is None else table.columns[place] for place in matched.place]
    values = Rows(table, columns, nodata=nodata)
    _check_numbers(matched, values.sample(CHECKED_ROWS), table.name)
    return ColumnFeed(spec=spec, preprocess=Preprocess(spec), table=table, values=values)


def _check_numbers(matched: Variables, values: Values, where: str) -> None:
    """Warn when the numbers (m, F) of rows spread over the table cannot belong to the declared statistics."""
    percentiles = np.full((3, values.shape[1]), np.nan)
    for index, place in enumerate(matched.place):
        known = values[np.isfinite(values[:, index]), index].astype(np.float64)
        if place is not None and known.size and np.ptp(known) > 0:  # all sites may well share a value
            percentiles[:, index] = np.percentile(known, [1, 50, 99])
    if np.isfinite(percentiles).any():
        check_range(matched.spec, percentiles, where=where)


def _cell_feed(spec: InputSpec, item: Any, options: Options, *, dispensable: bool) -> CellFeed | None:
    bands = layers_of(spec, item, told=options.bands, crs=options.crs, nodata=options.nodata, dispensable=dispensable)
    return None if bands is None else CellFeed(spec=spec, preprocess=Preprocess(spec), bands=bands)


def _patches(model: Model, spec: InputSpec, item: Any, options: Options) -> PatchFeed | LayersFeed:
    if isinstance(item, TableSource):
        raise InputError(
            f"{model.name} sees patches of a raster around each site; the table {item.name} has none:"
            f" add --input {spec.name}=RASTER.tif"
        )
    if spec.window is None:
        raise SpecError(f"input {spec.name!r} has no window; a model that sees patches says their side there")
    if is_collection(item):
        bands = layers_of(spec, item, told=options.bands, crs=options.crs, nodata=options.nodata)
        assert bands is not None, "only what is dispensable may be missing"
        return LayersFeed(spec=spec, preprocess=Preprocess(spec), bands=bands, side=spec.window)
    opened = open_feed(model, spec.name, item, options, shares=False)
    return PatchFeed(
        spec=opened.spec, preprocess=opened.preprocess, source=opened.source, channels=opened.channels, side=spec.window
    )


# --------------------------------------------------------------------------------------------------------- reading


def _count(sites: Sites) -> int:
    return int(sites.rows.stop - sites.rows.start)


def _places(sites: Sites) -> Places:
    assert sites.places is not None, "opened without coordinates"
    return sites.places


def _told_bands(bands: Iterable[Layer | None]) -> str:
    return "; ".join("-" if band is None else f"{state_of(band[0])} {band[1]}" for band in bands)


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

    A site is seen if it has a value of each input: of one variable where any subset will do or missing ones are
    filled by a step, else of all.
    """
    tensors, valid, seen = {}, {}, np.ones(len(next(iter(read.values()))[0]), np.bool_)
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
        forgiving = feed.spec.any_subset or any(isinstance(step, Fill) for step in feed.spec.steps)
        flat = mask.reshape(len(mask), -1)
        if not feed.spec.optional:
            seen &= flat.any(axis=1) if forgiving or not is_table else flat.all(axis=1)
    bands = {name: feed.spec.band_ids for name, feed in feeds.items()}
    return SiteBatch(tensors=tensors, bands=bands, valid=valid, seen=seen)
