"""Statistics of a user's own data in one pass: rasters, photographs, tables, series.

Each number is read once, in threads that read and count several windows ahead; memory does not grow with the data. What
is no data is left out band by band (nodata, NaN, masks), as GDAL's own statistics do; in 8-bit pictures a pixel is
missing where all of its bands are nodata, as in prediction.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zoo.datasets.distributions import Distribution, Part, Tally
from zoo.errors import ConfigError, InputError
from zoo.inputs.feed import open_input
from zoo.inputs.radiometry import LinearMap, Radiometry
from zoo.inputs.variables import match_variables
from zoo.io import series, table_blocks, tables
from zoo.io.rasters import open_source
from zoo.io.source import RasterSource
from zoo.options import Options
from zoo.progress import progress
from zoo.spec import InputSpec
from zoo.tiling import Window

PERCENTS = (1.0, 2.0, 98.0, 99.0)
WINDOW_NUMBERS = 1 << 22  # of all bands; ours: 8 MB of uint16, enough that opening and joining cost nothing
STRIP_ROWS = 64  # of what is decoded as a whole
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """One file: what its bands are called, and pieces of it that can be read in any thread."""

    where: str
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    pieces: Iterable[Any]
    read: Callable[[Any, Sequence[Tally]], list[tuple[Part, int]]]
    spec: InputSpec | None = None
    said: Radiometry | None = None
    left_out: tuple[str, ...] = ()

    @property
    def to_declared(self) -> LinearMap | None:
        if self.spec is None or self.said is None:
            return None
        return self.said.to_declared(self.spec, self.where)


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

    def open_one(source: Any) -> _Opened:
        return _open(source, inputs, options)

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

    def __init__(self, *, pool: Executor, open_one: Callable[[Any], _Opened], chosen: set[int] | None) -> None:
        self._pool, self._open_one, self._chosen = pool, open_one, chosen
        self._first: _Opened | None = None
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
            sources=tuple(_where(source) for source in sources),
            bands=tuple(bands),
            percents=percents,
            windows=self._read,
            all_windows=self._read if total is None else max(total, self._read),
            left_out=first.left_out,
            spec=first.spec,
            said=first.said,
        )

    def _tasks(self, sources: Sequence[Any], advance: Callable[[int], None] | None) -> Iterator[tuple[_Opened, Any]]:
        index = 0
        for opened in _ahead(self._pool, self._open_one, sources):
            self._check_alike(opened)
            for piece in opened.pieces:
                if self._chosen is None or not isinstance(opened.pieces, list) or index in self._chosen:
                    yield opened, piece
                index += 1
            if advance is not None:
                advance(1)

    def _reduce(self, task: tuple[_Opened, Any]) -> list[tuple[Part, int]]:
        opened, piece = task
        return opened.read(piece, self._tallies)

    def _check_alike(self, opened: _Opened) -> None:
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


# --------------------------------------------------------------------------------------------------------------- sources


def _open(source: Any, inputs: Sequence[InputSpec], options: Options) -> _Opened:
    if tables.is_table(source):
        return _table(Path(source), inputs, options)
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in series.SUFFIXES:
        return _series(source, inputs, options)
    return _raster(source, inputs, options)


def _raster(source: Any, inputs: Sequence[InputSpec], options: Options) -> _Opened:
    where = _where(source)
    spec = said = None
    if inputs:
        feed = open_input(inputs, source, options, where=where, doubting=False)
        opened, channels, names, spec, said = feed.source, feed.channels, feed.spec.band_ids, feed.spec, feed.said
    else:
        opened = open_source(source, crs=options.crs, nodata=options.nodata)
        channels, names = tuple(range(opened.count)), _names(opened, options.bands, where)

    def read(window: Window, tallies: Sequence[Tally]) -> list[tuple[Part, int]]:
        if opened.dtype == "uint8" and opened.nodata is not None:
            pixels, mask = opened.read(window, channels)
            nodata: list[float | None] = [None] * len(channels)
        else:
            pixels, mask = opened.stored(window, channels)  # type: ignore[assignment]
            nodata = [opened.nodata_by_band[channel] for channel in channels]
        flat = [band.reshape(-1) if mask is None else band[mask] for band in pixels]
        size = window.height * window.width
        return [(tally.part(*one), size) for tally, *one in zip(tallies, flat, nodata, strict=True)]

    return _Opened(
        where=where,
        names=names,
        dtypes=(opened.dtype,) * len(names),
        pieces=windows_of(opened, len(channels)),
        read=read,
        spec=spec,
        said=said,
    )


def windows_of(source: RasterSource, num_bands: int) -> list[Window]:
    """Windows that cover a raster once, of whole blocks as the file keeps them, so that none is decoded twice."""
    high, wide = source.block or (STRIP_ROWS, source.width)
    room = max(WINDOW_NUMBERS // num_bands, 1)
    columns = source.width if wide >= source.width else max(wide, int(room**0.5) // wide * wide)
    rows = max(high, room // columns // high * high)
    return [
        Window(row, col, min(rows, source.height - row), min(columns, source.width - col))
        for row in range(0, source.height, rows)
        for col in range(0, source.width, columns)
    ]


def _names(opened: RasterSource, told: Any, where: str) -> tuple[str, ...]:
    from zoo.bands import PRESETS

    if told is None:
        return tuple(name or f"band {number}" for number, name in enumerate(opened.names, 1))
    names = PRESETS.get(told, (told,)) if isinstance(told, str) else tuple(told)
    if len(names) != opened.count:
        raise InputError(
            f"{where}: --bands names {len(names)} bands, the file has {opened.count}; name each, in the file's order"
        )
    return tuple(names)


def _table(path: Path, inputs: Sequence[InputSpec], options: Options) -> _Opened:
    """Columns of numbers; blocks of rows are read one after the other, since they cannot be jumped to."""
    columns = table_blocks.columns_of(path)
    spec = None
    names, chosen = columns.numbers, columns.numbers
    if inputs:
        matched = match_variables(inputs[0], columns.numbers, told=options.bands, where=path.name)
        there = [
            (band, place) for band, place in zip(inputs[0].band_ids, matched.place, strict=True) if place is not None
        ]
        names, chosen = tuple(band for band, _ in there), tuple(columns.numbers[place] for _, place in there)
        spec = inputs[0].subset(names)

    def read(batch: Mapping[str, Any], tallies: Sequence[Tally]) -> list[tuple[Part, int]]:
        return [
            (tally.part(batch[column], options.nodata), len(batch[column]))
            for tally, column in zip(tallies, chosen, strict=True)
        ]

    return _Opened(
        where=path.name,
        names=names,
        dtypes=("float64",) * len(names),
        pieces=table_blocks.blocks_of(path, chosen),
        read=read,
        spec=spec,
        left_out=columns.others,
    )


def _series(source: Any, inputs: Sequence[InputSpec], options: Options) -> _Opened:
    opened = series.open_series(source, crs=options.crs, nodata=options.nodata)
    spec, names = None, opened.names
    places = list(range(len(names)))
    if inputs:
        matched = match_variables(inputs[0], opened.names, told=options.bands, where=opened.name)
        there = [
            (band, place) for band, place in zip(inputs[0].band_ids, matched.place, strict=True) if place is not None
        ]
        names, places = tuple(band for band, _ in there), [place for _, place in there]
        spec = inputs[0].subset(names)
    grid, room = opened.grid, max(WINDOW_NUMBERS // len(names), 1)
    rows = min(grid.height, max(room // grid.width, 1))
    steps = max(room // (rows * grid.width), 1)

    def read(piece: tuple[int, int], tallies: Sequence[Tally]) -> list[tuple[Part, int]]:
        step, row = piece
        window = Window(row, 0, min(rows, grid.height - row), grid.width)
        parts = []
        for tally, place in zip(tallies, places, strict=True):
            timed = opened.layers[place].timed
            last = min(step + steps, len(opened.times)) if timed else step + (step == 0)
            numbers, known = opened.read(window, [place], slice(step, last))
            parts.append((tally.part(numbers[known]), numbers.size))
        return parts

    pieces = [(step, row) for step in range(0, len(opened.times), steps) for row in range(0, grid.height, rows)]
    return _Opened(
        where=opened.name, names=names, dtypes=("float32",) * len(names), pieces=pieces, read=read, spec=spec
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


def _where(source: Any) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "array"))
