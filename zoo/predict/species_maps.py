"""Maps of species: each cell is a site, seen where its centre lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo import tiling
from zoo.errors import InputError
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.grid import Grid
from zoo.io.whole import check_extension
from zoo.predict.assemble import Assembly, survey
from zoo.predict.predictors import CellFeed, LayersFeed, PatchFeed, Seen, Sites, Values
from zoo.predict.species_job import Read, SpeciesJob, run_job
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import MapBands, RasterResult, open_sink
from zoo.tasks.sdm import SpeciesMap
from zoo.tiling import Tile, Window

LARGEST_WINDOW = 128  # px, ours: 16,384 sites
WINDOW_NUMBERS = 8_000_000  # ours: 32 MB of predictors or probabilities per window


def map_species(job: SpeciesJob, out: Path | None) -> RasterResult:
    """A band of probabilities per species asked for, on the grid of the first raster, in `out` or in memory."""
    task = SpeciesMap(job.chosen)
    bands = task.bands(job.model.variant, len(job.chosen))
    return map_sites(job, out, job.probabilities, bands, job.plan("map"))


def map_sites(
    job: SpeciesJob,
    out: Path | None,
    answer: Callable[[Read], tuple[Values, Seen]],
    bands: MapBands,
    plan: Mapping[str, Any],
) -> RasterResult:
    """A map of what `answer` says of each cell, on the grid of the first raster, in `out` or in memory.

    Args:
        job: whose feeds are read.
        out: `.tif`.
        answer: numbers (N, bands), NaN where there are none, and which cells had what is needed (N).
        bands: of the map.
        plan: what decides the numbers; see `zoo.predict.work.Work`.
    """
    if out is not None:
        check_extension(out, MAPS, "a map")
    grid = _grid(job)
    numbers = len(bands.names)
    side = job.options.window or _side(job, numbers)
    tiles = tiling.lattice(grid.height, grid.width, side, 1)

    def load(unit: Sequence[Tile]) -> Read:
        return job.read(_sites(grid, unit[0].read))

    def compute(read: Read) -> tuple[Arrays, dict[str, str]]:
        values, seen = answer(read)
        shape = (1, -1, tiles[0].read.height, tiles[0].read.width)
        notes = {"cells": str(int(seen.sum())), "channels": str(numbers)}
        return {"maps": values.T.reshape(shape), "seen": seen.astype(np.uint8).reshape(shape)[:, 0]}, notes

    with session(out, {**plan, "window": str(tiles[0].read)}, resume=job.options.resume) as work:
        pixels = grid.height * grid.width
        work.check_room(
            part_bytes=tiles[0].read.height * tiles[0].read.width * (4 * numbers + 1),
            num_parts=len(tiles),
            result_bytes=0 if out is None else pixels * numbers * 4,
        )
        is_main = run_job(job, tiles, load, compute, work)
        result = _assembled(job, out, grid=grid, tiles=tiles, work=work, bands=bands) if is_main else None
    if result is None:
        assert out is not None  # `session` keeps results in memory to one process
        return RasterResult.open(out)
    return result


def _assembled(
    job: SpeciesJob, out: Path | None, *, grid: Grid, tiles: tuple[Tile, ...], work: Work, bands: MapBands
) -> RasterResult:
    channels, cells = survey(work, len(tiles))
    if not cells:
        raise InputError(
            f"{job.what}: not one cell has all that the model needs; check the rasters' extents and nodata values"
        )
    task = SpeciesMap(job.chosen)
    parts = Assembly(  # each cell is a site of its own: nothing is averaged
        work=work, tiles=tiles, batch_size=1, blend="none", bands=bands, task=task, finished=True, channels=channels
    )
    dtype = "float16" if job.options.float16 else bands.dtype
    with open_sink(out, grid, bands, dtype=dtype, provenance=job.provenance) as sink:
        for block in sink.blocks():
            sink.write(block, parts.block(block))
    return sink.result()


def _grid(job: SpeciesJob) -> Grid:
    """The grid of the map: that of the first raster."""
    for feed in job.feeds.values():
        if isinstance(feed, PatchFeed):
            return feed.source.grid
        if isinstance(feed, CellFeed | LayersFeed):
            return next(band[0].grid for band in feed.bands if band is not None)
    raise AssertionError("a table goes to _rows")


def _sites(grid: Grid, window: Window) -> Sites:
    """Centres of the cells of a window, row by row."""
    rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
    x, y = grid.transform @ (cols.ravel() + 0.5, rows.ravel() + 0.5)
    return Sites(rows=slice(0, rows.size), places=np.stack([x, y], axis=-1)[:, None], crs=grid.crs)


def _side(job: SpeciesJob, numbers: int) -> int:
    """Side of the windows in which cells are computed together, such that what is read and answered stays small."""
    patches = [
        len(feed.spec.bands) * feed.side**2 for feed in job.feeds.values() if isinstance(feed, PatchFeed | LayersFeed)
    ]
    return min(max(math.isqrt(WINDOW_NUMBERS // max(numbers, *patches, 1)), 1), LARGEST_WINDOW)
