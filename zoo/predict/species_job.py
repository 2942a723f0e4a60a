"""What is asked of a model of species distributions, and the probabilities that it answers for any sites."""

# N sites, S species

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo.errors import InputError
from zoo.forward import answers_some
from zoo.io.sources import label
from zoo.io.tables import TableSource
from zoo.model import Model
from zoo.options import Options
from zoo.predict import stream
from zoo.predict.opening import open_feeds
from zoo.predict.predictors import Feed, LayersFeed, PatchFeed, Seen, Sites, Values, prepare
from zoo.predict.work import Arrays, Work
from zoo.results.provenance import Provenance

ROWS_PER_WINDOW = 128  # ours: rows that count as one window of a batch; 8 x 128 rows of 61 variables are 250 kB

Read = dict[str, tuple[Values, Seen]]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeciesJob:
    """What is asked of which model."""

    model: Model
    feeds: Mapping[str, Feed]
    chosen: tuple[int, ...]
    options: Options
    provenance: Provenance
    what: str

    @property
    def species(self) -> tuple[str, ...]:
        return tuple(self.model.variant.classes[index] for index in self.chosen)

    @property
    def rows(self) -> int:
        """Sites per forward pass."""
        sees_patches = any(isinstance(feed, PatchFeed | LayersFeed) for feed in self.feeds.values())
        return self.options.batch_size * (1 if sees_patches else ROWS_PER_WINDOW)

    def plan(self, kind: str, table: TableSource | None = None) -> dict[str, Any]:
        told = {name: feed.fingerprint() for name, feed in self.feeds.items()}
        sites = "" if table is None else table.fingerprint()
        return {"source": told, "sites": sites, "provenance": self.provenance.tags(), "kind": kind}

    def units(self, table: TableSource) -> list[slice]:
        """The rows of a table that are computed together."""
        return [slice(start, min(start + self.rows, len(table))) for start in range(0, len(table), self.rows)]

    def load(self, table: TableSource, rows: slice) -> Read:
        """What the feeds give at some rows of a table."""
        places = None if table.places is None else table.places[rows]
        return self.read(Sites(rows=rows, places=places, crs=table.crs))

    def read(self, sites: Sites) -> Read:
        return {name: feed.read(sites) for name, feed in self.feeds.items()}

    def probabilities(self, read: Read) -> tuple[Values, Seen]:
        """(N, S) of the species asked for, NaN for sites that lack what the model needs; and which sites those are."""
        count = len(next(iter(read.values()))[0])
        values = np.full((count, len(self.chosen)), np.nan, np.float32)
        seen = np.zeros(count, np.bool_)
        for start in range(0, count, self.rows):
            part = {
                name: (one[start : start + self.rows], mask[start : start + self.rows])
                for name, (one, mask) in read.items()
            }
            batch = prepare(self.feeds, part, self.model.device)
            seen[start : start + self.rows] = batch.seen
            if not batch.seen.any():
                continue
            output = self.model.forward(
                batch.tensors,
                bands=batch.bands,
                valid=batch.valid,
                species=self.chosen,
                precision=self.options.precision,
            )
            some = answers_some(self.model.module)
            logits = (output.logits if some else output.logits[:, list(self.chosen)]).float()
            values[start : start + self.rows] = torch.sigmoid(logits).cpu().numpy()
        values[~seen] = np.nan
        return values, seen


def run_job(
    job: SpeciesJob,
    units: Sequence[Any],
    load: Callable[[Any], Read],
    compute: Callable[[Read], tuple[Arrays, dict[str, str]]],
    work: Work,
) -> bool:
    """Compute all units, each a part of its own; whether this is the main process."""
    return stream.run(
        units,
        batch_size=1,
        load=load,
        compute=compute,
        work=work,
        what=job.what,
        workers=job.options.workers,
    )


def open_job(
    model: Model, source: Any, options: Options, chosen: tuple[int, ...], provenance: Provenance
) -> tuple[TableSource | None, SpeciesJob]:
    """The table of sites, `None` where the source is rasters; and what is asked of the model there.

    Args:
        model: of the task sdm.
        source: see `zoo.predict.opening.open_feeds`.
        options: of the prediction.
        chosen: numbers of the species.
        provenance: of what will be made.

    Raises:
        InputError: the source does not fit, or a grid is asked for of sites.
    """
    table, feeds = open_feeds(model, source, options)
    if table is not None and options.grid is not None:
        raise InputError(
            f"--grid is of a map of predictor rasters, and {table.name} is a table of sites; leave it out, or give the"
            " rasters"
        )
    what = f"{model.spec.name} {label(source)}"
    job = SpeciesJob(model=model, feeds=feeds, chosen=chosen, options=options, provenance=provenance, what=what)
    return table, job
