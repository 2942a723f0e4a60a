"""Maps of species: each cell is a site, seen where its centre lies; a band per species, or a file each."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo import tiling
from zoo.errors import InputError, OutputError
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.cog import RasterFile, blocks
from zoo.io.grid import Grid
from zoo.io.whole import check_extension
from zoo.predict.assemble import Assembly, survey
from zoo.predict.boxes import both_boxes
from zoo.predict.grids import grid_of
from zoo.predict.predictors import CellFeed, LayersFeed, PatchFeed, Seen, Sites, Values
from zoo.predict.species_job import Read, SpeciesJob, run_job
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import MapBands, RasterResult, open_sink
from zoo.tasks.sdm import SpeciesMap
from zoo.tiling import Tile, Window

LARGEST_WINDOW = 128  # px, ours: 16,384 sites
TOGETHER = 16  # ours: maps that are written at once, so that each part on disk is opened once for 16 species
LONGEST_NAME = 200  # bytes; file systems end at 255, and temporary names add some
WINDOW_NUMBERS = 8_000_000  # ours: 32 MB of predictors or probabilities per window


def map_species(job: SpeciesJob, out: Path | None) -> RasterResult | Path:
    """The probabilities of the species asked for in each cell: a band each, in `out` or in memory, or a map each in a folder.

    The grid is the one that is asked for, else that of the first raster.
    """
    task = SpeciesMap(job.chosen)
    bands = task.bands(job.model.variant, len(job.chosen))
    if out is not None and wants_folder(out):
        return _map_each(job, out, bands)
    return map_sites(job, out, job.probabilities, bands, job.plan("map"))


def wants_folder(out: Path) -> bool:
    """Whether an output is a folder, of a map per species."""
    return out.is_dir() or not out.suffix


def map_sites(
    job: SpeciesJob,
    out: Path | None,
    answer: Callable[[Read], tuple[Values, Seen]],
    bands: MapBands,
    plan: Mapping[str, Any],
) -> RasterResult:
    """A map of what `answer` says of each cell, on the grid asked for or that of the first raster, in `out` or in memory.

    Args:
        job: whose feeds are read.
        out: `.tif`.
        answer: numbers (N, bands), NaN where there are none, and which cells had what is needed (N).
        bands: of the map.
        plan: what decides the numbers; see `zoo.predict.work.Work`.
    """
    if out is not None:
        check_extension(out, MAPS, "a map")
    with _computed(job, out, answer, bands, plan) as windows:
        result = None
        if windows.is_main:
            parts = windows.assembly(job, bands, slice(None))
            with open_sink(out, windows.grid, bands, dtype=_dtype(job, bands), provenance=job.provenance) as sink:
                for block in sink.blocks():
                    sink.write(block, parts.block(block))
            result = sink.result()
    if result is None:
        assert out is not None  # `session` keeps results in memory to one process
        return RasterResult.open(out)
    return result


def _map_each(job: SpeciesJob, out: Path, bands: MapBands) -> Path:
    """A map per species in a folder, some at a time; those that are written are not written again."""
    check_folder(out)
    files = [out / f"{name}.tif" for name in file_names(bands.names)]
    with _computed(job, out, job.probabilities, bands, job.plan("maps")) as windows:
        for number, first in enumerate(range(0, len(files), TOGETHER)) if windows.is_main else ():
            mark, chosen = len(windows.tiles) + number, slice(first, min(first + TOGETHER, len(files)))
            if not (windows.work.has(mark) and all(file.is_file() for file in files[chosen])):
                _write_some(job, windows, files[chosen], replace(bands, names=bands.names[chosen]), chosen)
                windows.work.save(mark, {"written": np.ones(1, np.uint8)})
    return out


def _write_some(job: SpeciesJob, windows: _Windows, files: Sequence[Path], bands: MapBands, chosen: slice) -> None:
    parts = windows.assembly(job, bands, chosen)
    files[0].parent.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        sinks = [
            stack.enter_context(
                open_sink(
                    file,
                    windows.grid,
                    replace(bands, names=(name,)),
                    dtype=_dtype(job, bands),
                    provenance=job.provenance,
                )
            )
            for file, name in zip(files, bands.names, strict=True)
        ]
        for block in blocks(RasterFile(grid=windows.grid, names=bands.names, dtype=bands.dtype)):
            for sink, band in zip(sinks, parts.block(block), strict=True):
                sink.write(block, band[None])


def file_names(species: Sequence[str]) -> list[str]:
    """A file name for each species, without extension: `Poa_alpina`; names that would be one get numbers.

    Letters, digits, `-` and `.` stay; case does not tell names apart, as on many disks.
    """
    names, taken = [], set[str]()
    for one in species:
        plain = re.sub(r"[^\w.-]+", "_", one).strip("._") or "species"
        plain = plain.encode()[:LONGEST_NAME].decode(errors="ignore")
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def check_folder(out: Path) -> None:
    """Raise `OutputError` unless maps can be written to a folder of that name, before any work is done for them."""
    if not out.resolve().name:
        raise OutputError(
            f"{out} is the root of a disk, beside which no unfinished work can be kept; name a folder in it"
        )
    there = next(one for one in (out, *out.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OutputError(f"cannot write maps to the folder {out}: {there} is no folder that you may write to")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}; make it (mkdir -p {out.parent}) or choose another")


# ---------------------------------------------------------------------------------------------------------- windows


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """What was computed of the cells of a grid, kept by window."""

    grid: Grid
    tiles: tuple[Tile, ...]
    work: Work
    is_main: bool

    def assembly(self, job: SpeciesJob, bands: MapBands, chosen: slice) -> Assembly:
        """Some of the bands, block by block; each cell is a site of its own: nothing is averaged."""
        channels, cells = survey(self.work, len(self.tiles))
        if not cells:
            off = both_boxes(job.feeds.values(), self.grid.corners, self.grid.crs, "the grid's box is")
            raise InputError(
                f"{job.what}: not one cell has all that the model needs; check the rasters' extents and nodata values"
                + ("" if job.options.grid is None else f", and whether the grid lies on them{off}")
            )
        return Assembly(
            work=self.work,
            tiles=self.tiles,
            batch_size=1,
            blend="none",
            bands=bands,
            task=SpeciesMap(job.chosen),
            finished=True,
            channels=channels,
            chosen=chosen,
        )


@contextlib.contextmanager
def _computed(
    job: SpeciesJob,
    out: Path | None,
    answer: Callable[[Read], tuple[Values, Seen]],
    bands: MapBands,
    plan: Mapping[str, Any],
) -> Iterator[_Windows]:
    """All windows of the map, until the block ends."""
    grid = _grid(job)
    numbers = len(bands.names)
    side = job.options.window or _side(job, numbers)
    tiles = tiling.lattice(grid.height, grid.width, side, 1)
    window = tiles[0].read

    def load(unit: Sequence[Tile]) -> Read:
        return job.read(_sites(grid, unit[0].read))

    def compute(read: Read) -> tuple[Arrays, dict[str, str]]:
        values, seen = answer(read)
        shape = (1, -1, window.height, window.width)
        notes = {"cells": str(int(seen.sum())), "channels": str(numbers)}
        return {"maps": values.T.reshape(shape), "seen": seen.astype(np.uint8).reshape(shape)[:, 0]}, notes

    plan = {**plan, "window": str(window), "grid": str(grid)}
    with session(out, plan, resume=job.options.resume) as work:
        work.check_room(
            part_bytes=window.height * window.width * (4 * numbers + 1),
            num_parts=len(tiles),
            result_bytes=0 if out is None else grid.height * grid.width * numbers * 4,
        )
        is_main = run_job(job, tiles, load, compute, work)
        yield _Windows(grid=grid, tiles=tiles, work=work, is_main=is_main)


def _dtype(job: SpeciesJob, bands: MapBands) -> str:
    return "float16" if job.options.float16 else bands.dtype


def _grid(job: SpeciesJob) -> Grid:
    """The grid of the map: the one asked for, else that of the first raster."""
    if job.options.grid is not None:
        return grid_of(job.options.grid)
    for feed in job.feeds.values():
        if isinstance(feed, PatchFeed):
            return feed.source.grid
        if isinstance(feed, LayersFeed):
            return next(band[0].grid for band in feed.bands if band is not None)
        if isinstance(feed, CellFeed) and feed.grid is not None:
            return feed.grid
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
