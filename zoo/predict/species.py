"""Species distributions for sites (a row each) and for maps (a band per species).

Both go the same way: places, numbers of each input there (`zoo.predict.predictors`), logits, probabilities. A site of a map is
the centre of one of its cells.
"""

# N sites, S species

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rasterio.crs import CRS

from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.streamed_rows import write_rows
from zoo.io.tables import TableSource
from zoo.io.vectors import Places
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict.predictors import ColumnFeed, Sites, Values
from zoo.predict.species_job import Read, SpeciesJob, open_job, run_job
from zoo.predict.species_maps import map_species
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import RasterResult
from zoo.results.rows import EXTENSIONS as TABLES
from zoo.results.rows import RowsResult
from zoo.tasks.sdm import MANY_SPECIES, species_of

CHUNK_NUMBERS = 8_000_000  # ours: 32 MB of probabilities per chunk of a table that is written


def predict_species(model: Model, source: Any, out: Path | None, options: Options) -> RowsResult | RasterResult | Path:
    """Probabilities of presence: a row per site of a table, or a map of predictor rasters.

    Args:
        model: of the task sdm.
        source: see `zoo.predict.predictors.open_feeds`.
        out: `.parquet`, `.geojson`, `.csv` for sites, `.tif` for a map; `None` keeps the answer in memory.
        options: `species` asks for some, `top` for the most probable ones of each site.

    Returns:
        The table or map, or the path of a table that was written.

    Raises:
        InputError: the source does not fit; nothing is written.
        ConfigError: a map of too many species, or a species that the model does not know.
    """
    if out is not None:
        check_writable(out)
    chosen = species_of(model.variant, options.species)
    wants_map = out is not None and out.suffix.lower() in MAPS
    if wants_map and len(chosen) > MANY_SPECIES and options.species is None:
        raise ConfigError(
            f"{model.name} knows {len(chosen)} species, and a map has a band for each; say which with"
            f' --species "{model.variant.classes[0]},{model.variant.classes[1]}"'
        )
    table, job = open_job(model, source, options, chosen, model.provenance(options.recorded()))
    if table is None and (wants_map or out is None):
        return map_species(job, out)
    if table is None:
        raise InputError(
            f"found rasters, expected a table of sites for {out and out.name}; name the output .tif for a map, or give"
            " a table of sites and the rasters with --input"
        )
    if wants_map:
        raise InputError(
            f"found a table of sites, expected predictor rasters for the map {out and out.name}; name the output"
            " .parquet, .csv or .geojson for a row per site"
        )
    return _rows(job, table, out)


# ------------------------------------------------------------------------------------------------------------ sites


def _rows(job: SpeciesJob, table: TableSource, out: Path | None) -> RowsResult | Path:
    if out is not None:
        check_extension(out, TABLES, "a row per site")
    check_places(job, table)
    units = [slice(start, min(start + job.rows, len(table))) for start in range(0, len(table), job.rows)]

    def load(unit: Sequence[slice]) -> Read:
        rows = unit[0]
        places = None if table.places is None else table.places[rows]
        return job.read(Sites(rows=rows, places=places, crs=table.crs))

    def compute(read: Read) -> tuple[Arrays, dict[str, str]]:
        values, seen = job.probabilities(read)
        return {"probabilities": values}, {"seen": str(int(seen.sum()))}

    with session(out, job.plan("sites", table), resume=job.options.resume) as work:
        is_main = run_job(job, units, load, compute, work)
        doubt_missing(job, table, sum(int(work.open(index).metadata()["seen"]) for index in range(len(units))))
        chunks = _Chunks(job=job, table=table, units=units, work=work)
        result = _in_memory(job, chunks) if out is None else out
        if is_main and out is not None:
            write_rows(out, chunks, places=chunks.places, crs=table.crs, tags=job.provenance.tags())
    return result


def check_places(job: SpeciesJob, table: TableSource) -> None:
    """Raise unless the sites have a place, where something is read there."""
    if all(isinstance(feed, ColumnFeed) for feed in job.feeds.values()):
        return
    if table.places is None or table.crs is None:
        raise InputError(
            f"{table.name} has no coordinates that are known (columns: {', '.join(table.columns[:12])}); expected"
            " decimalLongitude and decimalLatitude (or longitude, latitude; or x, y with --crs EPSG:2056, say)"
        )


def doubt_missing(job: SpeciesJob, table: TableSource, answered: int) -> None:
    """Warn of sites without an answer; raise if none has one."""
    without = len(table) - answered
    if not without:
        return
    needed = ", ".join(name for name, feed in job.feeds.items() if not feed.spec.optional)
    if not answered:
        raise InputError(
            f"{table.name}: not one of {len(table)} sites has all that {job.model.name} needs of {needed}; look for empty"
            " cells, for sites outside the rasters, or for a number that marks missing values (--nodata)"
        )
    warnings.warn(
        f"{table.name}: {without} of {len(table)} sites lack a number that {job.model.name} needs of {needed}; their"
        " probabilities are missing",
        ZooWarning,
        stacklevel=2,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunks:
    """The rows of the result, some at a time: a column per species, or the most probable species of each site."""

    job: SpeciesJob
    table: TableSource
    units: Sequence[slice]
    work: Work

    @property
    def top(self) -> int | None:
        asked = self.job.options.top
        return None if asked is None else min(asked, len(self.job.chosen))

    @property
    def places(self) -> Places | None:
        """Where all rows lie."""
        known = self.table.places if self.table.crs is not None else None
        return known if known is None or self.top is None else np.repeat(known, self.top, axis=0)

    def __iter__(self) -> Iterator[tuple[pa.Table, Places | None]]:
        ids, places = self.table.ids, self.places
        step = max(CHUNK_NUMBERS // (len(self.job.chosen) * self.job.rows), 1)  # units per chunk
        for first in range(0, len(self.units), step):
            parts = [
                self.work.load(index)[0]["probabilities"] for index in range(first, min(first + step, len(self.units)))
            ]
            values = np.concatenate(parts)
            start = self.units[first].start
            stop, per_site = start + len(values), self.top or 1
            rows = self._wide(ids[start:stop], values) if self.top is None else self._long(ids[start:stop], values)
            yield rows, None if places is None else places[start * per_site : stop * per_site]

    def _wide(self, ids: pa.Array, values: Values) -> pa.Table:
        columns = {name: pa.array(column) for name, column in zip(self.job.species, values.T, strict=True)}
        if "id" in columns:
            raise InputError("a species is called 'id', as the column of sites is; ask for the long table with --top")
        return pa.table({"id": ids} | {name: _null_for_nan(column) for name, column in columns.items()})

    def _long(self, ids: pa.Array, values: Values) -> pa.Table:
        top = self.top or 0
        order = np.argsort(-values, axis=1, kind="stable")[:, :top]
        best = np.take_along_axis(values, order, axis=1)
        names = pa.array(self.job.species).take(pa.array(order.ravel()))
        return pa.table(
            {
                "id": ids.take(pa.array(np.repeat(np.arange(len(values)), top))),
                "rank": pa.array(np.tile(np.arange(1, top + 1, dtype=np.int32), len(values))),
                "species": names,
                "probability": _null_for_nan(pa.array(best.ravel())),
            }
        )


def _null_for_nan(column: pa.Array) -> pa.Array:
    return pa.compute.if_else(pa.compute.is_nan(column), pa.scalar(None, column.type), column)


def _in_memory(job: SpeciesJob, chunks: _Chunks) -> RowsResult:
    table = pa.concat_tables([rows for rows, _ in chunks])
    crs: CRS | None = chunks.table.crs
    return RowsResult(table=table, places=chunks.places, crs=crs, provenance=job.provenance)
