"""Species distributions for sites (a row each) and for maps (a band per species).

Both go the same way: places, numbers of each input there (`zoo.predict.predictors`), logits, probabilities. A site of a map is
the centre of one of its cells.
"""

# N sites, S species, K most probable ones

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rasterio.crs import CRS

from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.sources import check_kept
from zoo.io.streamed_rows import write_rows
from zoo.io.tables import TableSource
from zoo.io.vectors import Places
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict.boxes import both_boxes
from zoo.predict.predictors import ColumnFeed, Feed, FilledFeed, Seen, Values, beyond_rasters
from zoo.predict.species_job import Read, SpeciesJob, open_job, run_job
from zoo.predict.species_maps import map_species, wants_folder
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import RasterResult
from zoo.results.rows import EXTENSIONS as TABLES
from zoo.results.rows import RowsResult
from zoo.tasks.sdm import MANY_SPECIES, species_of

# Of a chunk of a table that is written, and so of a row group of Parquet. Ours: 65,536 rows are enough to compress well;
# 400 MB, 8,000 rows of 12,738 species, keep the index of a file of a million rows at 200 MB.
CHUNK_ROWS, CHUNK_NUMBERS = 65_536, 100_000_000
RANKED_NUMBERS = 1_000_000  # ours: probabilities that are ranked together, with 8 MB of keys
NUMBER_BYTES = {".parquet": 3, ".csv": 8, ".geojson": 20}  # ours: the least that a probability takes in a file


def predict_species(model: Model, source: Any, out: Path | None, options: Options) -> RowsResult | RasterResult | Path:
    """Probabilities of presence: a row per site of a table, or a map of predictor rasters.

    Args:
        model: of the task sdm.
        source: see `zoo.predict.opening.open_feeds`.
        out: `.parquet`, `.geojson`, `.csv` for sites, `.tif` for a map, a folder for a map per species; `None` keeps the
            answer in memory.
        options: `species` asks for some, `top` for the most probable ones of each site.

    Returns:
        The table or map, or the path of a table or folder that was written.

    Raises:
        InputError: the source does not fit; nothing is written.
        ConfigError: a map of too many species, or a species that the model does not know.
    """
    check_kept([source, options.covariates, options.grid], out)
    wants_each = out is not None and wants_folder(out)
    if out is not None and not wants_each:
        check_writable(out)
    chosen = species_of(model.variant, options.species)
    wants_map = out is not None and out.suffix.lower() in MAPS
    if wants_map and len(chosen) > MANY_SPECIES and options.species is None:
        raise ConfigError(
            f"{model.name} knows {len(chosen)} species, and a map has a band for each; say which with"
            f' --species "{model.variant.classes[0]},{model.variant.classes[1]}", or name a folder for a map of each'
        )
    table, job = open_job(model, source, options, chosen, model.provenance(options.recorded()))
    if table is None and options.top is not None:
        raise InputError(
            f"--top ranks the species of each site of a table, and {job.what} is rasters; leave it out, say which species"
            " the map shows with --species, or give a table of sites"
        )
    if table is None and (wants_map or wants_each or out is None):
        return map_species(job, out)
    if table is None:
        raise InputError(
            f"found rasters, expected a table of sites for {out and out.name}; name the output .tif for a map, or give"
            " a table of sites and the rasters with --covariates"
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
    top = _top(job)
    if top is None and "id" in job.species:
        raise InputError("a species is called 'id', as the column of sites is; ask for the long table with --top")
    check_places(job, table)
    units = job.units(table)

    def compute(read: Read) -> tuple[Arrays, dict[str, str]]:
        values, seen = job.probabilities(read)
        return {"probabilities": values} if top is None else most_probable(values, top), notes_of(job, read, seen)

    with session(out, job.plan("sites" if top is None else "best", table), resume=job.options.resume) as work:
        numbers = len(job.chosen) if top is None else top
        work.check_room(
            part_bytes=job.rows * (4 * numbers if top is None else 8 * numbers),
            num_parts=len(units),
            result_bytes=least_bytes(out, len(table) * numbers),
        )
        is_main = run_job(job, units, lambda unit: job.load(table, unit[0]), compute, work)
        doubt_missing(job, table, [work.open(index).metadata() for index in range(len(units))])
        chunks = _Chunks(job=job, table=table, units=units, work=work, top=top)
        result = _in_memory(job, chunks) if out is None else out
        if is_main and out is not None:
            write_rows(out, chunks, places=chunks.known, crs=table.crs, tags=job.provenance.tags())
    return result


def _top(job: SpeciesJob) -> int | None:
    """How many of the most probable species are wanted, at most those that there are."""
    top, most = job.options.top, len(job.chosen)
    if top is not None and top > most:
        warnings.warn(
            f"--top {top} asks for more than the {most} species; each site gets all {most}", ZooWarning, stacklevel=3
        )
    return None if top is None else min(top, most)


def least_bytes(out: Path | None, numbers: int) -> int:
    """The least that so many probabilities take in a table, 0 in memory and in a picture."""
    return 0 if out is None else numbers * NUMBER_BYTES.get(out.suffix.lower(), 0)


def most_probable(values: Values, top: int) -> Arrays:
    """Columns `species` (N, K) int32 and `probabilities` (N, K) of the K largest in each row of (N, S).

    The largest is first, of equal ones the first, NaN last.
    """
    species = np.empty((len(values), top), np.int32)
    step = max(RANKED_NUMBERS // values.shape[1], 1)
    for start in range(0, len(values), step):
        some = values[start : start + step]
        # As integers, floats from 0 on are in the same order; below them stands the column, which makes keys distinct.
        ranks = np.where(np.isnan(some), -1, some.view(np.int32)).astype(np.int64)
        keys = np.partition((-ranks << 32) + np.arange(values.shape[1]), top - 1, axis=1)[:, :top]
        species[start : start + step] = np.sort(keys, axis=1) & 0xFFFF_FFFF
    return {"species": species, "probabilities": np.take_along_axis(values, species, axis=1)}


def check_places(job: SpeciesJob, table: TableSource) -> None:
    """Raise unless the sites have a place, where something is read there; warn of single ones that have none."""
    if all(isinstance(feed, ColumnFeed) for feed in job.feeds.values()):
        return
    if table.places is None or table.crs is None:
        raise InputError(
            f"{table.name} has no coordinates that are known (columns: {', '.join(table.columns[:12])}); expected"
            " decimalLongitude and decimalLatitude (or longitude, latitude; or x, y with --crs EPSG:2056, say)"
        )
    without = _placeless(table)
    if without:
        warnings.warn(
            f"{table.name}: {without} of {len(table)} sites have no coordinates, and are answered without what is read at a"
            " place; fill in longitude and latitude, or leave those rows out",
            ZooWarning,
            stacklevel=2,
        )


def _placeless(table: TableSource) -> int:
    """How many sites of a table with coordinates have none."""
    return 0 if table.places is None else int((~np.isfinite(table.places).all(axis=(1, 2))).sum())


def notes_of(job: SpeciesJob, read: Read, seen: Seen) -> dict[str, str]:
    """What a part notes of its sites, for `doubt_missing`; `seen` (N,) are those that have what the model needs."""
    beyond = {f"beyond {name}": str(count) for name, count in beyond_rasters(job.feeds, read).items()}
    return {"seen": str(int(seen.sum())), **beyond}


def doubt_missing(job: SpeciesJob, table: TableSource, notes: Sequence[Mapping[str, str]]) -> None:
    """Warn of sites without an answer, or on no raster; raise if none has one, or if all but their place is unknown.

    Args:
        job: whose feeds were read.
        table: of the sites.
        notes: of all parts, see `notes_of`.
    """
    for name in job.feeds:
        _doubt_beyond(job, table, name, sum(int(one.get(f"beyond {name}", 0)) for one in notes))
    answered = sum(int(one["seen"]) for one in notes)
    without = len(table) - answered
    if not without:
        return
    needed = ", ".join(name for name, feed in job.feeds.items() if not feed.spec.optional)
    if not answered:
        raise InputError(
            f"{table.name}: not one of {len(table)} sites has all that {job.model.name} needs of {needed}; look for empty"
            " cells, for sites outside the rasters, or for a number that marks missing values (--nodata)"
            + _boxes(job.feeds, table)
        )
    warnings.warn(
        f"{table.name}: {without} of {len(table)} sites lack a number that {job.model.name} needs of {needed}; their"
        " probabilities are missing",
        ZooWarning,
        stacklevel=2,
    )


def _doubt_beyond(job: SpeciesJob, table: TableSource, name: str, count: int) -> None:
    feed = job.feeds[name]
    if count == len(table) and not (isinstance(feed, FilledFeed) and feed.has_columns):
        raise InputError(
            f"{table.name}: not one of {len(table)} sites lies where the rasters of {name} have data; check the rasters'"
            " extent and the coordinates (x, y want the right --crs), or leave the rasters out"
            + _boxes({name: feed}, table)
        )
    count -= _placeless(table)  # told by `check_places`
    if count > 0:
        warnings.warn(
            f"{table.name}: {count} of {len(table)} sites lie where no raster of {name} has data, and are answered without;"
            " check the rasters' extent and the coordinates"
            + (_boxes({name: feed}, table) if count == len(table) else ""),
            ZooWarning,
            stacklevel=3,
        )


def _boxes(feeds: Mapping[str, Feed], table: TableSource) -> str:
    """Where the sites lie, and where the rasters do, if both are known."""
    return (
        "" if table.places is None else both_boxes(feeds.values(), table.places[:, 0], table.crs, "the sites' box is")
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunks:
    """The rows of the result, some at a time: a column per species, or the most probable species of each site."""

    job: SpeciesJob
    table: TableSource
    units: Sequence[slice]
    work: Work
    top: int | None

    @property
    def known(self) -> Places | None:
        """Where all sites lie."""
        return self.table.places if self.table.crs is not None else None

    def __iter__(self) -> Iterator[tuple[pa.Table, Places | None]]:
        ids, known, numbers = self.table.ids, self.known, self.top or len(self.job.chosen)
        step = max(min(CHUNK_NUMBERS // numbers, CHUNK_ROWS) // self.job.rows, 1)  # units per chunk
        for first in range(0, len(self.units), step):
            units = self.units[first : first + step]
            rows = slice(units[0].start, units[-1].stop)
            parts = (self.work.load(index)[0] for index in range(first, first + len(units)))
            places = None if known is None else known[rows]
            if self.top is None:
                yield self._wide(ids[rows], parts), places
            else:
                yield self._long(ids[rows], parts), None if places is None else np.repeat(places, self.top, axis=0)

    def _wide(self, ids: pa.Array, parts: Iterator[Arrays]) -> pa.Table:
        count, start = len(ids), 0
        values = np.empty((len(self.job.chosen), count), np.float32)
        for part in parts:
            found = part["probabilities"]
            values[:, start : start + len(found)] = found.T
            start += len(found)
        flat = null_for_nan(values)
        columns = {name: flat[index * count : (index + 1) * count] for index, name in enumerate(self.job.species)}
        return pa.table({"id": ids} | columns)

    def _long(self, ids: pa.Array, parts: Iterator[Arrays]) -> pa.Table:
        found, top = list(parts), self.top or 0
        species = np.concatenate([part["species"] for part in found])
        return pa.table(
            {
                "id": ids.take(pa.array(np.repeat(np.arange(len(ids)), top))),
                "rank": pa.array(np.tile(np.arange(1, top + 1, dtype=np.int32), len(ids))),
                "species": pa.array(self.job.species).take(pa.array(species.ravel())),
                "probability": null_for_nan(np.concatenate([part["probabilities"] for part in found])),
            }
        )


def null_for_nan(values: Values) -> pa.Array:
    """The numbers as a column, nothing in place of NaN."""
    return pa.array(values.ravel(), from_pandas=True)


def _in_memory(job: SpeciesJob, chunks: _Chunks) -> RowsResult:
    found = list(chunks)
    places = None if chunks.known is None else np.concatenate([where for _, where in found if where is not None])
    crs: CRS | None = chunks.table.crs
    return RowsResult(
        table=pa.concat_tables([rows for rows, _ in found]), places=places, crs=crs, provenance=job.provenance
    )
