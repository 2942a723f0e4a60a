"""Statistics of a user's own data in one pass: rasters, photographs, tables, series.

Each number is read once, in threads that read and count several windows ahead; memory does not grow with the data. What
is no data is left out band by band (nodata, NaN, masks), as GDAL's own statistics do; in 8-bit pictures a pixel is
missing where all of its bands are nodata, as in prediction.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from zoo.datasets.countable import Countable, name_of, open_countable
from zoo.datasets.distributions import Distribution, Part, Tally
from zoo.errors import ConfigError, InputError
from zoo.inputs.radiometry import Radiometry
from zoo.options import Options
from zoo.progress import progress
from zoo.spec import InputSpec

PERCENTS = (1.0, 2.0, 98.0, 99.0)
MOST_WORKERS = 8  # ours: beyond, disks and not processors set the pace

Task = TypeVar("Task")
Done = TypeVar("Done")


@dataclass(frozen=True, kw_only=True, slots=True)
class BandStatistics:
    """One band, variable or column.

    Attributes:
        name: as the model calls it where one was named, else as the file does.
        numbers: how many were looked at.
        distribution: of those that are data, as they are stored.
        declared: the same as the model's first step takes them; `None` without a model.
    """

    name: str
    numbers: int
    distribution: Distribution
    declared: Distribution | None = None

    @property
    def valid(self) -> float:
        """Share of the numbers that are data."""
        return self.distribution.count / self.numbers if self.numbers else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What `statistics` found.

    Attributes:
        sources: files, in the order they were read.
        bands: one entry per band.
        percents: percentiles that were asked for.
        windows: how many were read.
        all_windows: how many there are, where a sample was asked for; else `windows`.
        left_out: columns that hold no numbers.
        spec: the input that the data feed, narrowed to their bands; `None` without a model.
        said: what files or options say of the numbers.
    """

    sources: tuple[str, ...]
    bands: tuple[BandStatistics, ...]
    percents: tuple[float, ...]
    windows: int
    all_windows: int
    left_out: tuple[str, ...] = ()
    spec: InputSpec | None = None
    said: Radiometry | None = None


def statistics(
    sources: Sequence[Any],
    *,
    inputs: Sequence[InputSpec] = (),
    options: Options | None = None,
    percents: Sequence[float] = PERCENTS,
    sample: int | None = None,
    workers: int | None = None,
) -> Statistics:
    """Statistics of all numbers of the sources, taken together.

    Args:
        sources: paths of rasters, photographs, tables or series, of one kind and with the same bands; or what else
            `zoo.io.rasters.open_source` opens.
        inputs: alternatives of one input of a model, to which bands are matched and numbers converted as in prediction.
        options: what the files do not say themselves; without `inputs`, `bands` are names alone.
        percents: percentiles, 0-100.
        sample: read that many windows (blocks of rows of tables are all read), spread evenly, instead of all.
        workers: threads; `None` = one per processor.

    Raises:
        InputError: a file cannot be read, does not fit the model, or has other bands than the first.
        ConfigError: a percentile or the sample is out of range.
    """
    options = options or Options()
    if strange := [one for one in percents if not 0 <= one <= 100]:
        raise ConfigError(f"percentile {strange[0]:g} is none; expected numbers from 0 to 100")
    if sample is not None and sample < 1:
        raise ConfigError(f"a sample of {sample} windows holds nothing; expected at least 1")

    def open_one(source: Any) -> Countable:
        return open_countable(source, inputs, options)

    with ThreadPoolExecutor(workers or _processors(), thread_name_prefix="zoo-count") as pool:
        counts = None
        if sample is not None or len(sources) == 1:
            counts = [
                len([*one.pieces]) if isinstance(one.pieces, list) else 0 for one in _ahead(pool, open_one, sources)
            ]
        run = _Run(pool=pool, open_one=open_one, chosen=None if sample is None else _chosen(counts or [], sample))
        with progress(sum(counts) if counts else len(sources), "counting") as advance:
            run.count(sources, counts, advance)
    return run.result(sources, tuple(sorted(set(percents))), sum(counts) if counts and sample else None)


class _Run:
    """One pass over all sources."""

    def __init__(self, *, pool: Executor, open_one: Callable[[Any], Countable], chosen: set[int] | None) -> None:
        self._pool, self._open_one, self._chosen = pool, open_one, chosen
        self._first: Countable | None = None
        self._tallies: list[Tally] = []
        self._read = 0

    def count(self, sources: Sequence[Any], counts: list[int] | None, advance: Callable[[int], None]) -> None:
        for parts in _ahead(self._pool, self._reduce, self._tasks(sources, None if counts else advance)):
            for tally, (part, seen) in zip(self._tallies, parts, strict=True):
                tally.add(part, seen)
            self._read += 1
            if counts:
                advance(1)

    def result(self, sources: Sequence[Any], percents: tuple[float, ...], total: int | None) -> Statistics:
        first = self._first
        assert first is not None
        maps = first.to_declared
        bands = []
        for index, (name, tally) in enumerate(zip(first.names, self._tallies, strict=True)):
            found = tally.distribution()
            declared = None if first.spec is None else found
            if maps is not None:
                factor, offset, floor = (part[index] if isinstance(part, tuple) else part for part in maps)
                declared = found.mapped(factor, offset, floor)
            bands.append(BandStatistics(name=name, numbers=tally.seen, distribution=found, declared=declared))
        return Statistics(
            sources=tuple(name_of(source) for source in sources),
            bands=tuple(bands),
            percents=percents,
            windows=self._read,
            all_windows=self._read if total is None else max(total, self._read),
            left_out=first.left_out,
            spec=first.spec,
            said=first.said,
        )

    def _tasks(self, sources: Sequence[Any], advance: Callable[[int], None] | None) -> Iterator[tuple[Countable, Any]]:
        index = 0
        for opened in _ahead(self._pool, self._open_one, sources):
            self._check_alike(opened)
            for piece in opened.pieces:
                if self._chosen is None or not isinstance(opened.pieces, list) or index in self._chosen:
                    yield opened, piece
                index += 1
            if advance is not None:
                advance(1)

    def _reduce(self, task: tuple[Countable, Any]) -> list[tuple[Part, int]]:
        opened, piece = task
        return opened.read(piece, self._tallies)

    def _check_alike(self, opened: Countable) -> None:
        """The first file says what bands there are; raise where another one says otherwise."""
        first = self._first
        if first is None:
            self._first, self._tallies = opened, [Tally(dtype) for dtype in opened.dtypes]
            return
        advice = "give the files of one kind at a time, or see `zoo data check`"
        if opened.names != first.names:
            raise InputError(
                f"{opened.where} has {len(opened.names)} bands ({', '.join(opened.names)}), {first.where} has"
                f" {len(first.names)} ({', '.join(first.names)}): no statistics of both together; {advice}"
            )
        if opened.dtypes != first.dtypes:
            raise InputError(
                f"{opened.where} holds numbers of type {opened.dtypes[0]}, {first.where} of type {first.dtypes[0]}:"
                f" different units, most likely; {advice}"
            )
        if opened.to_declared != first.to_declared:
            raise InputError(
                f"{opened.where} and {first.where} declare other scales or offsets (or Sentinel-2 processing baselines),"
                f" so the same number means different things; {advice}"
            )


# --------------------------------------------------------------------------------------------------------------- threads


def _ahead(pool: Executor, work: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
    """What `work` makes of each task, in order; a few tasks ahead of the one that is asked for are under way."""
    waiting: collections.deque[Future[Done]] = collections.deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > _processors() + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


def _chosen(counts: Sequence[int], sample: int) -> set[int]:
    """Numbers of the windows of a sample, spread evenly over all."""
    total = sum(counts)
    return set(np.linspace(0, max(total - 1, 0), min(sample, max(total, 1))).round().astype(int).tolist())


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_WORKERS)
