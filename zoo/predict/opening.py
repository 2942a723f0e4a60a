"""Where a model of species distributions finds its predictors: each variable by name, in a column, a raster, or the place.

A variable is taken from a column of the table of sites; where that cell is empty or there is no column, from a raster, if
there are some; longitude and latitude that neither has are those of the place.
"""

# m rows, F variables

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rasterio.crs import CRS

from zoo.bands import normal_form
from zoo.errors import ConfigError, InputError, SpecError, some
from zoo.inputs.layers import Layer, check_layers, find_layers, layers_of, open_layers, stated
from zoo.inputs.markers import MarkerCount, without
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.radiometry import Radiometry
from zoo.inputs.ranges import check_range
from zoo.inputs.variables import (
    SHOWN,
    UNUSED,
    find_variables,
    hidden_variables,
    is_variable,
    match_variables,
    of_coordinates,
)
from zoo.io.around import patches, values_at
from zoo.io.grid import Grid
from zoo.io.sources import is_collection, label
from zoo.io.table_blocks import Rows
from zoo.io.tables import ID_NAMES, LON_LAT_NAMES, XY_NAMES, TableSource, is_like_table, open_table
from zoo.io.vectors import Places
from zoo.model import Model
from zoo.options import Options
from zoo.predict.grids import grid_of
from zoo.predict.predictors import CellFeed, ColumnFeed, Feed, FilledFeed, LayersFeed, PatchFeed, Values
from zoo.predict.scene import open_feed
from zoo.spec import InputSpec, Kind

CHECKED_ROWS = 65_536  # ours: of a table, whose percentiles are compared with the declared ones; 16 MB of 61 variables
CHECKED_SIDE = 8  # ours: 64 places, of the sites or of the map, at which rasters are compared with the same
# What a simple download of GBIF has (https://www.gbif.org/occurrence/search), most of it Darwin Core
# (https://dwc.tdwg.org/terms/); `elevation` is a predictor all the same where a model has it.
GBIF = """
gbifID datasetKey occurrenceID kingdom phylum class order family genus species infraspecificEpithet taxonRank scientificName
verbatimScientificName verbatimScientificNameAuthorship country countryCode locality stateProvince occurrenceStatus
individualCount publishingOrgKey geodeticDatum coordinateUncertaintyInMeters coordinatePrecision elevation elevationAccuracy
depth depthAccuracy eventDate day month year taxonKey speciesKey basisOfRecord institutionCode collectionCode catalogNumber
recordNumber identifiedBy dateIdentified license rightsHolder recordedBy typeStatus establishmentMeans lastInterpreted
mediaType issue
"""
# Columns that tables of sites have besides predictors: who they are, where they lie, what was found there.
NO_PREDICTORS = frozenset(
    normal_form(name)
    for name in (
        *ID_NAMES,
        *(name for pair in (*LON_LAT_NAMES, *XY_NAMES) for name in pair),
        *("geometry", "crs", "presence", "split"),
        *GBIF.split(),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What is asked of the sources, of all inputs.

    Attributes:
        table: of the sites, if there is one.
        hidden: variables of each input that stay hidden.
        shares: whether all inputs are fed from one source, which need not have the optional ones.
        names: what may stand in a table beside predictors.
    """

    model: Model
    options: Options
    table: TableSource | None
    hidden: Mapping[str, frozenset[str]]
    shares: bool
    names: frozenset[str]

    def strangers(self, names: Iterable[str]) -> list[str]:
        """The names that are no variable of any input, and nothing else that belongs there."""
        inputs = self.model.variant.inputs
        return [
            name
            for name in names
            if name not in UNUSED and normal_form(name) not in self.names and not is_variable(inputs, name)
        ]

    def of_input(self, name: str, item: Any) -> Options:
        """The options that hold for an input; a CRS said once is that of the table, whatever rasters are beside it."""
        options = self.options.of_input(name)
        is_tables = self.table is not None and not isinstance(item, TableSource)
        return replace(options, crs=None) if is_tables and not isinstance(self.options.crs, Mapping) else options


def open_feeds(model: Model, source: Any, options: Options) -> tuple[TableSource | None, dict[str, Feed]]:
    """The table of sites, if there is one, and a feed for each input of the model that the source has.

    Args:
        model: says which inputs there are.
        source: a table, rasters of predictors (a file with a band per variable, or a folder, glob or list of files);
            or a mapping of input names to one of these, with the table called `"sites"` if no input takes its columns.
        options: what the sources do not say themselves.

    Raises:
        InputError: a source cannot be read, or an input that is not optional has none.
        ConfigError: an option names what the model does not have, or decides nothing here.
    """
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
        if is_like_table(item) and id(item) not in tables:
            tables[id(item)] = open_table(item, crs=options.of_input(name).crs, held=False)
    table = next(iter(tables.values()), None)
    if table is None and options.covariates is not None:
        raise InputError(
            f"--covariates are read at the sites of a table, and {label(source)} is none; give the rasters alone for a map"
        )
    asked = _Asked(
        model=model,
        options=options,
        table=table,
        hidden={}
        if options.predictors is None
        else hidden_variables(tuple(choices.values()), model.variant.groups, options.predictors),
        shares=not isinstance(source, Mapping),
        names=NO_PREDICTORS | {normal_form(name) for name in model.variant.classes},
    )
    feeds: dict[str, Feed] = {}
    for name, spec in choices.items():
        item = given.get(name, given.get("sites"))
        opened = _open_feed(asked, spec, tables.get(id(item), item))
        if opened is not None:
            feeds[name] = opened
    if len({len(one) for one in tables.values()}) > 1:
        raise InputError(
            f"the tables have {' and '.join(str(len(one)) for one in tables.values())} rows; expected as many"
        )
    if not feeds:
        raise InputError(f"{label(source)} has nothing that {model.name} takes; see `zoo info {model.spec.name}`")
    _check_shown(asked, feeds, label(source))
    _check_used(options, table, feeds)
    return table, feeds


def _check_shown(asked: _Asked, feeds: Mapping[str, Feed], where: str) -> None:
    """Raise if all that there is stays hidden."""
    if any(set(feed.spec.band_ids) - asked.hidden.get(name, frozenset()) for name, feed in feeds.items()):
        return
    inputs = asked.model.variant.inputs
    wanted = [band for spec in inputs for band in spec.band_ids if band not in asked.hidden.get(spec.name, ())]
    raise InputError(
        f"{where}: nothing of what --predictors shows is there; expected {some(wanted, SHOWN)}: add the columns or rasters, or"
        " show what there is"
    )


def _check_used(options: Options, table: TableSource | None, feeds: Mapping[str, Feed]) -> None:
    """Raise for an option that would decide nothing."""
    patched = {name for name, feed in feeds.items() if isinstance(feed, PatchFeed | LayersFeed)}
    for key in ("scale", "offset", "baseline"):
        told = getattr(options, key)
        names = {*feeds} if not isinstance(told, Mapping) else {*told} & {*feeds, "sites"}
        if told is not None and names and (names - patched if isinstance(told, Mapping) else not patched):
            raise ConfigError(
                f"--{key} holds for patches of rasters, and {', '.join(sorted(names - patched))} has columns or cells; leave it"
                " out: convert a column in the table, and declare the scale of a raster in its file (gdal_edit.py -scale 0.1"
                " -offset 0)"
            )
    if options.sampling is not None and (
        len(patched) == len(feeds) or (table is not None and not _samples(options, feeds))
    ):
        raise ConfigError(
            "--sampling says how the cells of rasters become columns of predictors, and nothing is read so here; leave it out"
        )
    if options.float16 and table is not None:
        raise ConfigError(f"--float16 is of maps, and {table.name} is a table of sites; leave it out")


def _samples(options: Options, feeds: Mapping[str, Feed]) -> bool:
    return options.covariates is not None or any(isinstance(feed, CellFeed) for feed in feeds.values())


def _open_feed(asked: _Asked, spec: InputSpec, item: Any) -> Feed | None:
    """The feed of one input; `None` where it is optional and not there, or hidden."""
    options = asked.of_input(spec.name, item)
    if spec.optional and len(asked.hidden.get(spec.name, ())) == len(spec.bands):
        return None
    if item is None:
        if spec.optional:
            return None
        raise InputError(f"{asked.model.name} also needs {spec.name}; add --input {spec.name}=SOURCE")
    if spec.kind is Kind.TABLE:
        return _variables(asked, spec, item, options)
    if spec.kind in (Kind.RASTER, Kind.IMAGE):
        if isinstance(item, TableSource) and options.covariates is not None:
            kept = ("scale", "offset", "baseline", "nodata")  # the others are of the table
            item, options = options.covariates, Options(**{key: getattr(options, key) for key in kept})
        if spec.optional and (isinstance(item, TableSource) or (asked.shares and not _has_band(spec, item, options))):
            return None
        return _patches(asked, spec, item, options)
    raise SpecError(f"input {spec.name!r} is of the kind {spec.kind.value}; the task sdm takes table and raster")


# ----------------------------------------------------------------------------------------------------------- tables


def _variables(asked: _Asked, spec: InputSpec, item: Any, options: Options) -> Feed | None:
    """Variables from where there are some: columns, rasters, the place."""
    hidden = asked.hidden.get(spec.name, frozenset())
    table = item if isinstance(item, TableSource) else None
    columns: dict[str, str] = {}
    if table is not None:
        found = find_variables(spec, table.columns, told=options.bands, where=table.name)
        columns = {name: table.columns[place] for name, place in found.items() if name not in hidden}
    rasters, names = _layers(spec, table, item, options)
    layers = {name: layer for name, layer in rasters.items() if name not in hidden}
    if spec.optional and asked.shares and not columns and not layers:
        return None
    placed = table is None or (table.places is not None and table.crs is not None)
    axes = {
        name: axis for name, axis in of_coordinates(spec).items() if placed and name not in {*columns, *layers, *hidden}
    }
    names += table.columns if table is not None else ()
    known = [name for name in spec.band_ids if name in columns or name in layers or name in axes]
    told = [] if options.bands is not None or spec is not _first_table(asked.model) else asked.strangers(names)
    where = table.name if table is not None else label(item)
    where += f" and {label(options.covariates)}" if table is not None and options.covariates is not None else ""
    if not columns and not rasters and (table is None or not axes):
        known = []  # of rasters without a single variable, the place would be all that is known
    match_variables(
        spec,
        [*known, *(name for name in names if not is_variable([spec], name))],
        where=where,
        hidden=hidden,
        extra=told,
    )
    cells = CellFeed(
        spec=spec,
        preprocess=Preprocess(spec),
        bands=tuple(layers.get(name) for name in spec.band_ids),
        axes=tuple(axes.get(name) for name in spec.band_ids),
        sampling=options.sampling or "cell",
        grid=next((rasters[name][0].grid for name in spec.band_ids if name in rasters), None),
    )
    if layers:
        places, crs = _some_places(table, cells.grid if options.grid is None else grid_of(options.grid))
        alone = [None if name in columns else layers.get(name) for name in spec.band_ids]
        where = label(item if table is None else options.covariates)
        _check_numbers(spec, _unmarked(spec, values_at(alone, places, crs), where), where)
    if table is None:
        return cells
    of_table = _columns(spec, table, columns, options)
    told_by = tuple(name in columns for name in spec.band_ids)
    return FilledFeed(columns=of_table, cells=cells, told=told_by) if cells.gives.any() else of_table


def _first_table(model: Model) -> InputSpec:
    """The input whose warning also tells of what no input uses."""
    return next(spec for spec in model.variant.inputs if spec.kind is Kind.TABLE)


def _layers(
    spec: InputSpec, table: TableSource | None, item: Any, options: Options
) -> tuple[dict[str, Layer], list[str]]:
    """Rasters of the variables that have one, and what all are called; what options say of a table is not said of them."""
    if table is None:
        return find_layers(spec, item, told=options.bands, crs=options.crs, nodata=options.nodata)
    return ({}, []) if options.covariates is None else find_layers(spec, options.covariates, nodata=options.nodata)


def _columns(spec: InputSpec, table: TableSource, columns: Mapping[str, str], options: Options) -> ColumnFeed:
    nodata = spec.nodata if options.nodata is None else options.nodata
    values = Rows(table, [columns.get(name) for name in spec.band_ids], nodata=nodata)
    if columns:
        markers = MarkerCount(spec=spec)
        some_rows = values.sample(CHECKED_ROWS, each=markers.add)
        markers.doubt("rows", table.name)
        _check_numbers(spec, without(some_rows, markers.doubtful()), table.name)
    return ColumnFeed(spec=spec, preprocess=Preprocess(spec), table=table, values=values)


def _some_places(table: TableSource | None, grid: Grid | None) -> tuple[Places, CRS | None]:
    """Places spread over the sites of a table, or over the cells of a map."""
    most = CHECKED_SIDE**2
    if table is not None:
        known = np.zeros((0, 1, 2)) if table.places is None else table.places
        return known[:: -(-len(known) // most) or 1], table.crs
    assert grid is not None, "there are layers"
    rows, cols = (np.mgrid[:CHECKED_SIDE, :CHECKED_SIDE] + 0.5) / CHECKED_SIDE
    x, y = grid.transform @ (cols.ravel() * grid.width, rows.ravel() * grid.height)
    return np.stack([x, y], axis=-1)[:, None], grid.crs


def _unmarked(spec: InputSpec, values: Values, where: str) -> Values:
    """Numbers (m, F) at some places of rasters, without those that seem to mark missing values, which are told of."""
    markers = MarkerCount(spec=spec)
    markers.add(values)
    markers.doubt("places looked at", where)
    return without(values, markers.doubtful())


def _check_numbers(spec: InputSpec, values: Values, where: str, said: Radiometry | None = None) -> None:
    """Warn when the numbers (m, F) of some rows or places cannot belong to the declared statistics."""
    percentiles = np.full((3, values.shape[1]), np.nan)
    for index in range(values.shape[1]):
        known = values[np.isfinite(values[:, index]), index].astype(np.float64)
        if known.size and np.ptp(known) > 0:  # all sites may well share a value
            percentiles[:, index] = np.percentile(known, [1, 50, 99])
    if np.isfinite(percentiles).any():
        check_range(spec, percentiles, radiometry=said, where=where)


# ---------------------------------------------------------------------------------------------------------- patches


def _has_band(spec: InputSpec, item: Any, options: Options) -> bool:
    """Whether rasters that feed all inputs have a band of this one, by name."""
    return options.bands is not None or any(is_variable([spec], name) for name in open_layers(spec, item)[1])


def _patches(asked: _Asked, spec: InputSpec, item: Any, options: Options) -> PatchFeed | LayersFeed:
    if isinstance(item, TableSource):
        raise InputError(
            f"{asked.model.name} sees patches of a raster around each site; the table {item.name} has none:"
            f" add --covariates RASTERS, or --input {spec.name}=RASTER.tif for this input alone"
        )
    if spec.window is None:
        raise SpecError(f"input {spec.name!r} has no window; a model that sees patches says their side there")
    if is_collection(item):
        return _layered(asked, spec, item, options)
    opened = open_feed(asked.model, spec.name, item, options, shares=False)
    layers = [(opened.source, channel) for channel in opened.channels]
    check_layers(opened.spec, dict(zip(opened.spec.band_ids, layers, strict=True)))
    _unmarked(opened.spec, _at_places(asked, layers, opened.source.grid), label(item))
    return PatchFeed(
        spec=opened.spec, preprocess=opened.preprocess, source=opened.source, channels=opened.channels, side=spec.window
    )


def _layered(asked: _Asked, spec: InputSpec, item: Any, options: Options) -> LayersFeed:
    """Patches of several rasters, whose numbers are looked at in the cells of some places."""
    assert spec.window is not None, "looked at above"
    bands = layers_of(spec, item, told=options.bands, crs=options.crs, nodata=options.nodata)
    said = stated(spec, bands, scale=options.scale, offset=options.offset, baseline=options.baseline)
    grid = next(band[0].grid for band in bands if band is not None)
    found = _unmarked(spec, _at_places(asked, bands, grid), label(item))
    found = found * np.array(said.factor) + np.array(said.offset)
    _check_numbers(spec, found, label(item), Radiometry(says_baseline=options.baseline is not None))
    return LayersFeed(spec=spec, preprocess=Preprocess(spec, to_declared=said), bands=bands, side=spec.window)


def _at_places(asked: _Asked, bands: Sequence[Layer | None], grid: Grid) -> Values:
    """Numbers (m, C) as stored, in the cells of some places."""
    places, crs = _some_places(asked.table, grid if asked.options.grid is None else grid_of(asked.options.grid))
    return patches(bands, places, crs, side=1)[:, :, 0, 0]
