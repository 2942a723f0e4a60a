"""Forecasts of series: windows in space, one sequence in time for each answer.

Each time for which there are inputs enough gives one answer, put together block by block as a map is (`zoo.predict.maps`).
"""

# B windows, T steps, C variables, L lead times, V quantities

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from zoo import tiling
from zoo.errors import ConfigError, InputError
from zoo.inputs.series_feed import SeriesFeed
from zoo.io.grid import Grid
from zoo.io.series import Times
from zoo.io.sources import label
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict import stream
from zoo.predict.assemble import Assembly, survey
from zoo.predict.series_feeds import last_inputs, open_feeds
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import RasterResult, open_sink
from zoo.results.provenance import Provenance
from zoo.results.series import SeriesResult, open_series_sink
from zoo.tasks.forecast import ForecastMap
from zoo.tiling import Tile

WINDOW = 256  # px, ours: for networks that declare none
EXTENSIONS = (".zarr", ".nc", ".tif", ".tiff")
DAY = np.timedelta64(86400, "s")
Read = dict[str, tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unit:
    """Windows that are computed together, of one time."""

    time: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One forecast to be made."""

    model: Model
    feeds: Mapping[str, SeriesFeed]
    times: Times
    tiles: tuple[Tile, ...]
    options: Options
    provenance: Provenance
    task: ForecastMap

    @property
    def grid(self) -> Grid:
        return next(iter(self.feeds.values())).source.grid.coarser(self.model.variant.stride)

    @property
    def batches(self) -> int:
        """Units of one time."""
        return stream.num_batches(self.tiles, self.options.batch_size)

    def units(self) -> Iterator[_Unit]:
        size = self.options.batch_size
        for time in range(len(self.times)):
            for start in range(0, len(self.tiles), size):
                yield _Unit(time=time, tiles=self.tiles[start : start + size])

    def read(self, unit: _Unit) -> Read:
        """Of each input: numbers and their validity (B, T, C, h, w), and days since 1970 (B, T)."""
        read: Read = {}
        for name, feed in self.feeds.items():
            steps = feed.steps(self.times[unit.time])
            assert steps is not None, "times were chosen so that there are steps"
            numbers, known = zip(
                *(feed.source.read(tile.read, feed.channels, steps) for tile in unit.tiles), strict=True
            )
            days = (feed.source.times[steps] - np.datetime64(0, "s")) / DAY
            read[name] = (np.stack(numbers), np.stack(known), np.tile(days, (len(unit.tiles), 1)))
        return read

    def answer(self, read: Read) -> tuple[Arrays, dict[str, str]]:
        """Maps of the windows, and which of their cells had data."""
        tensors, valid, times, seen = {}, {}, {}, []
        device, stride = self.model.device, self.model.variant.stride
        for name, (numbers, known, days) in read.items():
            pixels, here = torch.from_numpy(numbers).to(device), torch.from_numpy(known).to(device)
            flat = self.feeds[name].preprocess(pixels.flatten(0, 1), here.flatten(0, 1))
            tensors[name], valid[name] = flat.reshape(*pixels.shape[:2], *flat.shape[1:]), here
            times[name] = torch.from_numpy(days).to(device)
            share = functional.avg_pool2d(here.float().mean(dim=(1, 2))[:, None], stride)[:, 0]
            seen.append(share >= 0.5)  # ours: an answer from mostly missing numbers is none
        output = self.model.forward(
            tensors,
            bands={name: feed.spec.band_ids for name, feed in self.feeds.items()},
            valid=valid,
            times=times,
            precision=self.options.precision,
        )
        maps = self.task.maps(output)
        with_data = torch.stack(seen).all(dim=0)
        notes = {"cells": str(int(with_data.sum())), "channels": str(maps.shape[1])}
        return {"maps": maps.cpu().numpy(), "seen": with_data.cpu().numpy().astype(np.uint8)}, notes


class _Parts(Work):
    """The parts of one time among those of all."""

    def __init__(self, work: Work, first: int) -> None:
        super().__init__(work.folder, {})
        self._first = first

    def _part(self, batch: int) -> Path:
        return super()._part(self._first + batch)


def forecast(model: Model, source: Any, out: Path | None, options: Options) -> SeriesResult | RasterResult:
    """The model's answers for each time of a series that has inputs enough.

    Args:
        model: of the task forecast.
        source: what `open_series` takes; where inputs go together, a mapping of input name to one of these.
        out: `.zarr`, `.nc`, or `.tif` for one time; `None` keeps the maps in memory.
        options: `at` chooses times.

    Raises:
        InputError: the source does not fit, or holds no data; nothing is written.
        ConfigError: several times are asked of a `.tif`.
    """
    if out is not None:
        check_extension(out, EXTENSIONS, "a forecast")
        check_writable(out)
    feeds = open_feeds(model, source, options)
    times = last_inputs(model, feeds, options)
    if out is not None and out.suffix.lower() in (".tif", ".tiff") and len(times) > 1:
        raise ConfigError(
            f"{out.name} holds one time, there are {len(times)}, from {times[0]} to {times[-1]}; say which with"
            f" --at {times[-1]}, or name the output .zarr or .nc"
        )
    tiles = _lattice(model, feeds, options)
    recorded = options.recorded() | {"window": str(tiles[0].read.height)}
    job = _Job(
        model=model,
        feeds=feeds,
        times=times,
        tiles=tiles,
        options=options,
        provenance=model.provenance(recorded),
        task=ForecastMap(model.variant),
    )
    states = {name: [feed.source.state, str(feed.source.grid), str(feed.channels)] for name, feed in feeds.items()}
    plan = {
        "source": states,
        "times": [str(one) for one in times],
        "provenance": job.provenance.tags(),
        "kind": "series",
    }
    with session(out, plan, resume=options.resume) as work:
        is_main = stream.run(
            list(job.units()),
            batch_size=1,
            load=lambda units: job.read(units[0]),
            compute=job.answer,
            work=work,
            what=f"{model.spec.name} {label(source)}",
            workers=options.workers,
        )
        result = _assembled(job, work, out) if is_main else None
    if result is not None:
        return result
    assert out is not None, "results in memory are for one process"
    return RasterResult.open(out) if out.suffix.lower() in (".tif", ".tiff") else SeriesResult.open(out)


def _assembled(job: _Job, work: Work, out: Path | None) -> SeriesResult | RasterResult:
    channels, cells = survey(work, job.batches * len(job.times))
    if not cells:
        raise InputError("the series holds no data: all its numbers are missing; check the file, or say --nodata")
    bands = job.task.bands(job.model.variant, channels)
    maps = [
        Assembly(
            work=_Parts(work, time * job.batches),
            tiles=job.tiles,
            batch_size=job.options.batch_size,
            blend=job.options.blend,
            bands=bands,
            task=job.task,
            finished=False,
            channels=channels,
        )
        for time in range(len(job.times))
    ]
    if out is not None and out.suffix.lower() in (".tif", ".tiff"):
        tagged = job.provenance
        with open_sink(out, job.grid, bands, dtype=bands.dtype, provenance=tagged) as raster:
            for block in raster.blocks():
                raster.write(block, maps[0].block(block))
        return raster.result()
    variant = job.model.variant
    with open_series_sink(
        out,
        grid=job.grid,
        times=job.times,
        lead_times_h=variant.lead_times_h,
        quantities=variant.quantities,
        provenance=job.provenance,
    ) as sink:
        for time, one in enumerate(maps):
            for block in sink.blocks():
                sink.write(time, block, one.block(block))
    return sink.result()


def _lattice(model: Model, feeds: Mapping[str, SeriesFeed], options: Options) -> tuple[Tile, ...]:
    feed = next(iter(feeds.values()))
    grid, stride = feed.source.grid, model.variant.stride
    window = options.window or feed.spec.window or WINDOW
    multiple = int(np.lcm(feed.spec.multiple, stride))
    overlap = window // 4 // multiple * multiple if options.blend != "none" else 0
    halo = overlap if options.halo is None else options.halo
    return tiling.lattice(grid.height, grid.width, window, stride, halo, grain_px=multiple)
