"""What each group of predictors adds to the probability of a species at a place: for sites, and for the cells of a map."""

# N sites, C coalitions, S species, P groups

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from zoo.errors import ConfigError, InputError, OutputError, some
from zoo.explain.groups import Groups
from zoo.explain.method import Method
from zoo.explain.question import Question
from zoo.explain.result import BASE, EXTENSIONS, WHOLE, Bars, Explanation, ExplanationMap, Totals
from zoo.explain.shapley import Coalitions
from zoo.explain.subsets import NOTHING, Inputs, Subsets
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.sources import label
from zoo.io.streamed_rows import write_rows
from zoo.io.tables import TableSource
from zoo.io.vectors import Places
from zoo.io.whole import check_extension
from zoo.model import Model
from zoo.options import Options
from zoo.predict.predictors import Seen, Values, prepare
from zoo.predict.species import check_places, doubt_missing, least_bytes, notes_of, null_for_nan
from zoo.predict.species_job import Read, SpeciesJob, open_job, run_job
from zoo.predict.species_maps import map_sites
from zoo.predict.work import Arrays, Work, session
from zoo.processes import processes
from zoo.results.maps import MapBands
from zoo.tasks.sdm import MANY_SPECIES, species_of

PAIRS = 65_536  # ours: of sites and coalitions that are held together; with 64 coalitions 1,024 sites
CHUNK_ROWS = 500_000  # ours: of a table that is written, 20 MB


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is explained, and how."""

    job: SpeciesJob
    question: Question

    @property
    def groups(self) -> Groups:
        return self.question.groups

    @property
    def method(self) -> Method:
        return self.question.method

    @property
    def subsets(self) -> Subsets:
        job = self.job
        return Subsets(model=job.model, groups=self.groups, species=job.chosen, precision=job.options.precision)

    def plan(self, kind: str, table: TableSource | None = None) -> dict[str, Any]:
        members = {name: one.astype(int).tolist() for name, one in self.groups.members.items()}
        return self.job.plan(f"explain {kind}", table) | {"groups": [self.groups.names, members]}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What each group adds at N sites, and the probabilities without any and with all groups; NaN without an answer.

    Attributes:
        values: (N, S, P) float32, as `errors` (`None` where values are exact).
        base: (N, S) float32, as `whole`.
        seen: (N,).
    """

    values: NDArray[np.float32]
    errors: NDArray[np.float32] | None
    base: NDArray[np.float32]
    whole: NDArray[np.float32]
    seen: Seen


def explain_places(
    model: Model, source: Any, out: Path | None, question: Question
) -> Explanation | ExplanationMap | Path:
    """Explain the probabilities at the sites of a table, or in the cells of predictor rasters.

    Args:
        model: of the task sdm, which can hide predictors.
        source: see `zoo.predict.opening.open_feeds`.
        out: `.parquet`, `.geojson`, `.csv` or `.png` for sites, `.tif` or `.png` for a map; `None` keeps it in memory.
        question: what is asked; a model of few species explains all unasked.

    Raises:
        InputError: the source does not fit; nothing is written.
        ConfigError: no species is named, or one that the model does not know.
    """
    options = question.options
    chosen = species_to_explain(model, options)
    table, job = open_job(model, source, options, chosen, model.provenance(question.recorded(model.variant)))
    asked = Asked(job=job, question=question)
    if lacking := [name for name in question.groups.members if name not in job.feeds]:
        members = {name: one for name, one in question.groups.members.items() if name in job.feeds}
        if not any(one.any() for one in members.values()):
            raise InputError(
                f"{label(source)} has nothing of the groups {some(question.groups.names, 8)}, so nothing can be explained;"
                f" add --input {lacking[0]}=SOURCE"
            )
    if table is None:
        return _map(asked, out)
    if out is not None and out.suffix.lower() in MAPS:
        raise InputError(
            f"found a table of sites, expected predictor rasters for the map {out.name}; name the output .parquet, .csv or"
            " .geojson for rows, or .png for a plot"
        )
    return _rows(asked, table, out)


def species_to_explain(model: Model, options: Options) -> tuple[int, ...]:
    """Numbers of the species asked for; of a model of few, all unasked.

    Raises:
        ConfigError: a model of many is asked of none, or one is not the model's.
    """
    chosen = species_of(model.variant, options.species)
    if options.species is None and len(chosen) > MANY_SPECIES:
        raise ConfigError(
            f"{model.name} knows {len(chosen)} species, and each is explained for itself; say which with"
            f' --species "{model.variant.classes[0]},{model.variant.classes[1]}"'
        )
    return chosen


def explained(asked: Asked, read: Read) -> Parts:
    """What each group adds at the sites that were read, some at a time."""
    job, players = asked.job, len(asked.groups)
    count = len(next(iter(read.values()))[0])
    species = len(job.chosen)
    step = max(min(PAIRS // asked.method.num_coalitions(players), job.rows), 1)
    parts = Parts(
        values=np.full((count, species, players), np.nan, np.float32),
        errors=None if asked.method.is_exact else np.full((count, species, players), np.nan, np.float32),
        base=np.full((count, species), np.nan, np.float32),
        whole=np.full((count, species), np.nan, np.float32),
        seen=np.zeros(count, np.bool_),
    )
    for start in range(0, count, step):
        here = slice(start, start + step)
        batch = prepare(
            job.feeds, {name: (one[here], mask[here]) for name, (one, mask) in read.items()}, job.model.device
        )
        parts.seen[here] = batch.seen
        rows = start + np.flatnonzero(batch.seen)
        if not len(rows):
            continue
        keep = torch.from_numpy(batch.seen).to(job.model.device)
        inputs = Inputs(tensors=batch.tensors, bands=batch.bands, valid=batch.valid).rows(keep)
        found = asked.method.explain(partial(probabilities, asked.subsets, inputs), players)
        parts.values[rows] = np.moveaxis(found.values, 0, -1)
        parts.base[rows], parts.whole[rows] = found.base, found.whole
        if parts.errors is not None and found.standard_errors is not None:
            parts.errors[rows] = np.moveaxis(found.standard_errors, 0, -1)
    return parts


def probabilities(subsets: Subsets, inputs: Inputs, shown: Coalitions) -> NDArray[np.float64]:
    """(C, B, S) of coalitions (C, P) at each site."""
    pooled, index = subsets.pooled(inputs, shown)
    every = range(len(subsets.species))
    found = [subsets.logits(pooled, every)] if len(pooled) else []
    if (index == NOTHING).any():
        found.append(subsets.logits(subsets.nothing(inputs), every))  # the last, which NOTHING is the number of
    values: NDArray[np.float64] = torch.cat(found).double().sigmoid().cpu().numpy()
    return values[index]


# ------------------------------------------------------------------------------------------------------------ sites


def _rows(asked: Asked, table: TableSource, out: Path | None) -> Explanation | Path:
    if out is not None:
        check_extension(out, EXTENSIONS, "an explanation of sites")
    job, plot = asked.job, asked.question.plot
    check_places(job, table)
    units = job.units(table)

    def compute(read: Read) -> tuple[Arrays, dict[str, str]]:
        parts = explained(asked, read)
        arrays = {"values": parts.values, "base": parts.base, "whole": parts.whole}
        if parts.errors is not None:
            arrays["errors"] = parts.errors
        return arrays, notes_of(job, read, parts.seen)

    with session(out, asked.plan("sites", table), resume=job.options.resume) as work:
        numbers = len(job.chosen) * len(asked.groups)
        work.check_room(
            part_bytes=4 * job.rows * (numbers * (1 if asked.method.is_exact else 2) + 2 * len(job.chosen)),
            num_parts=len(units),
            result_bytes=least_bytes(out, len(table) * numbers),
        )
        is_main = run_job(job, units, lambda unit: job.load(table, unit[0]), compute, work)
        doubt_missing(job, table, [work.open(index).metadata() for index in range(len(units))])
        chunks = _Chunks(asked=asked, table=table, units=units, work=work)
        if out is None:
            rows, places = zip(*chunks, strict=True)
            found = Explanation(
                table=pa.concat_tables(rows),
                places=None if chunks.known is None else np.concatenate(places),
                crs=table.crs,
                provenance=job.provenance,
                bars=chunks.bars(),
            )
            if plot is not None:
                found.bars.save(plot)
            return found
        if is_main:
            if out.suffix.lower() == ".png":
                chunks.bars().save(out)
            else:
                write_rows(out, chunks, places=chunks.known, crs=table.crs, tags=job.provenance.tags())
            if plot is not None:
                chunks.bars().save(plot)
    return out


@dataclass(frozen=True, kw_only=True)
class _Chunks:
    """The rows of the result, some at a time."""

    asked: Asked
    table: TableSource
    units: Sequence[slice]
    work: Work

    @property
    def per_site(self) -> int:
        return len(self.asked.job.chosen) * len(self.asked.groups)

    @property
    def known(self) -> Places | None:
        """Where all sites lie."""
        return self.table.places if self.table.crs is not None else None

    def __iter__(self) -> Iterator[tuple[pa.Table, Places | None]]:
        ids, known = self.table.ids, self.known
        step = max(CHUNK_ROWS // self.per_site, 1)
        for unit, parts in zip(self.units, self._parts(), strict=True):
            for start in range(0, len(parts["base"]), step):
                piece = {name: one[start : start + step] for name, one in parts.items()}
                rows = slice(unit.start + start, unit.start + start + len(piece["base"]))
                places = None if known is None else np.repeat(known[rows], self.per_site, axis=0)
                yield self._table(ids[rows], piece), places

    def _parts(self) -> Iterator[Arrays]:
        for index in range(len(self.units)):
            yield self.work.load(index)[0]

    def _table(self, ids: pa.Array, parts: Mapping[str, Values]) -> pa.Table:
        sites, species, groups = parts["values"].shape
        columns = {
            "id": ids.take(pa.array(np.repeat(np.arange(sites), self.per_site))),
            "species": pa.array(np.tile(np.repeat(self.asked.job.species, groups), sites)),
            "group": pa.array(np.tile(self.asked.groups.names, sites * species)),
            "contribution": null_for_nan(parts["values"]),
        }
        if "errors" in parts:
            columns["standard_error"] = null_for_nan(parts["errors"])
        for name, key in ((BASE, "base"), (WHOLE, "whole")):
            columns[name] = null_for_nan(np.repeat(parts[key], groups, axis=1))
        return pa.table(columns)

    def bars(self) -> Bars:
        """What a plot shows: means over the sites."""
        job, groups = self.asked.job, self.asked.groups
        totals = Totals.zeros(len(job.chosen), len(groups))
        for parts in self._parts():
            totals.add(parts["values"], parts.get("errors"), parts["base"], parts["whole"])
        return Bars(
            groups=groups.names,
            value="probability of presence",
            over="" if totals.sites == 1 else f"{totals.sites:,} sites",
            panels=totals.panels(job.species, drawn=not self.asked.method.is_exact),
            provenance=job.provenance,
        )


# ------------------------------------------------------------------------------------------------------------- maps


def _map(asked: Asked, out: Path | None) -> ExplanationMap | Path:
    job = asked.job
    if out is not None and out.suffix.lower() not in (*MAPS, ".png"):
        raise OutputError(
            f"found rasters, expected a table of sites for {out.name}; name the output .tif for a map, .png for a plot, or"
            " give a table of sites and the rasters with --covariates"
        )
    if len(job.chosen) > 1:
        raise ConfigError(
            f"a map explains one species, with a band per group, and {len(job.chosen)} are asked for; say which with"
            f' --species "{job.species[0]}"'
        )
    if taken := {BASE, WHOLE} & set(asked.groups.names):
        raise ConfigError(f"a group is called {taken.pop()!r}, as a band of the map is; give it another name")
    bands = MapBands(names=(*asked.groups.names, BASE, WHOLE), dtype="float32", nodata=float("nan"), unit="1")

    def answer(read: Read) -> tuple[Values, Seen]:
        parts = explained(asked, read)
        return np.concatenate([parts.values[:, 0], parts.base, parts.whole], axis=1), parts.seen

    told = replace(job.provenance, options={**job.provenance.options, "species": job.species[0]})
    as_map = None if out is None or out.suffix.lower() == ".png" else out
    found = map_sites(replace(job, provenance=told), as_map, answer, bands, asked.plan("map"))
    made = ExplanationMap(**{one.name: getattr(found, one.name) for one in fields(found)})
    pictures = [asked.question.plot, out if as_map is None else None]
    for picture in pictures if processes().is_main_process else []:
        if picture is not None:
            made.save(picture)
    return made
