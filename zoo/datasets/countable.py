"""Files as pieces of numbers to be counted: what their bands are called, and how each piece is read in any thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.datasets.distributions import Part, Tally
from zoo.errors import InputError
from zoo.inputs.feed import open_input
from zoo.inputs.radiometry import LinearMap, Radiometry
from zoo.inputs.variables import match_variables
from zoo.io import series, table_blocks, tables
from zoo.io.rasters import open_source
from zoo.io.source import RasterSource
from zoo.options import Options
from zoo.spec import InputSpec
from zoo.tiling import Window

WINDOW_NUMBERS = 1 << 22  # of all bands; ours: 8 MB of uint16, enough that opening and joining cost nothing
STRIP_ROWS = 64  # of what is decoded as a whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Countable:
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


def open_countable(source: Any, inputs: Sequence[InputSpec], options: Options) -> Countable:
    """A raster, a photograph, a table or a series.

    Raises:
        InputError: it cannot be read, or does not fit the model.
    """
    if tables.is_table(source):
        return _table(Path(source), inputs, options)
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in series.SUFFIXES:
        return _series(source, inputs, options)
    return _raster(source, inputs, options)


def _raster(source: Any, inputs: Sequence[InputSpec], options: Options) -> Countable:
    where = name_of(source)
    spec = said = None
    if inputs:
        feed = open_input(inputs, source, options, where=where, doubting=False)
        opened, channels, names, spec, said = feed.source, feed.channels, feed.spec.band_ids, feed.spec, feed.said
    else:
        opened = open_source(source, crs=options.crs, nodata=options.nodata)
        channels, names = tuple(range(opened.count)), _names(opened, options.bands, where)

    def read(window: Window, tallies: Sequence[Tally]) -> list[tuple[Part, int]]:
        if (opened.dtype == "uint8" and opened.nodata is not None) or opened.also_nodata is not None:
            pixels, mask = opened.read(window, channels)
            nodata: list[float | None] = [None] * len(channels)
        else:
            pixels, mask = opened.stored(window, channels)  # type: ignore[assignment]
            nodata = [opened.nodata_by_band[channel] for channel in channels]
        flat = [band.reshape(-1) if mask is None else band[mask] for band in pixels]
        size = window.height * window.width
        return [(tally.part(*one), size) for tally, *one in zip(tallies, flat, nodata, strict=True)]

    return Countable(
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


def _table(path: Path, inputs: Sequence[InputSpec], options: Options) -> Countable:
    """Columns of numbers; blocks of rows are read one after the other, since they cannot be jumped to."""
    columns = table_blocks.columns_of(path)
    names, places, spec = _matched(inputs, columns.numbers, options, path.name)
    chosen = tuple(columns.numbers[place] for place in places)

    def read(batch: Mapping[str, Any], tallies: Sequence[Tally]) -> list[tuple[Part, int]]:
        return [
            (tally.part(batch[column], options.nodata), len(batch[column]))
            for tally, column in zip(tallies, chosen, strict=True)
        ]

    return Countable(
        where=path.name,
        names=names,
        dtypes=("float64",) * len(names),
        pieces=table_blocks.blocks_of(path, chosen),
        read=read,
        spec=spec,
        left_out=columns.others,
    )


def _series(source: Any, inputs: Sequence[InputSpec], options: Options) -> Countable:
    opened = series.open_series(source, crs=options.crs, nodata=options.nodata)
    names, places, spec = _matched(inputs, opened.names, options, opened.name)
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
    return Countable(
        where=opened.name, names=names, dtypes=("float32",) * len(names), pieces=pieces, read=read, spec=spec
    )


def _matched(
    inputs: Sequence[InputSpec], have: tuple[str, ...], options: Options, where: str
) -> tuple[tuple[str, ...], list[int], InputSpec | None]:
    """Names and places of the variables that the model knows, and its input narrowed to them; without one, of all."""
    if not inputs:
        return have, list(range(len(have))), None
    matched = match_variables(inputs[0], have, told=options.bands, where=where)
    there = [(band, place) for band, place in zip(inputs[0].band_ids, matched.place, strict=True) if place is not None]
    names = tuple(band for band, _ in there)
    return names, [place for _, place in there], inputs[0].subset(names)


def name_of(source: Any) -> str:
    """Of a file, or of what else was given."""
    return Path(source).name if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "array"))
