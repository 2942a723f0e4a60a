"""Dense results: a scene goes in by windows, a map comes out by blocks, and memory does not grow with either.

Windows are computed and kept as parts (`zoo.predict.stream`); then the main process goes over the blocks of the output, takes
what each window says of the block, in window order, and writes it. One process or many, interrupted or not: same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from zoo import tiling
from zoo.errors import ConfigError
from zoo.io.grid import Grid
from zoo.io.sources import check_kept
from zoo.io.whole import check_writable
from zoo.model import Model
from zoo.options import Blend, Options
from zoo.predict import assemble, stream
from zoo.predict.collection import Collected, Item, Steps, check_targets, items_of, targets_of
from zoo.predict.collection import run as collect
from zoo.predict.photographs import FittedScene
from zoo.predict.scene import Scene, check_georeference, no_data, open_scene, scene_opener
from zoo.predict.work import Arrays, Work, session
from zoo.results.maps import RasterResult, open_sink
from zoo.results.provenance import Provenance
from zoo.tasks.base import MapTask
from zoo.tiling import Tile

LEAST_DATA = 0.5  # ours: the embedding of a patch, or of a window, that is mostly fill is not of the place
WINDOW = 512  # ours: for networks that declare none; large enough that a halo of 64 costs less than a third
BLENDED_SHARE = 1 / 4  # ours: half of each window is shared with each neighbour


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One map to be made."""

    model: Model
    scene: Scene
    tiles: tuple[Tile, ...]
    out: Path | None
    options: Options
    task: MapTask
    provenance: Provenance

    @property
    def fit(self) -> tuple[float, float]:
        """(rows, columns) of what is computed per row and column of the result; see `assemble.Assembly`."""
        if not isinstance(self.scene, FittedScene):
            return 1.0, 1.0
        original, computed = self.scene.original, self.scene.grid.coarser(self.model.variant.stride)
        return computed.height / original.height, computed.width / original.width

    @property
    def result_grid(self) -> Grid:
        """Size, CRS and transform of the result."""
        if isinstance(self.scene, FittedScene):
            return self.scene.original
        return self.scene.grid.coarser(self.model.variant.stride)

    @property
    def blend(self) -> Blend:
        return "none" if len(self.tiles) == 1 else self.options.blend

    @property
    def finishes_early(self) -> bool:
        """Whether nothing is averaged, so that parts may hold class ids, say, in place of a score for each class."""
        return self.blend == "none" and self.fit == (1.0, 1.0)


def map_scene(
    model: Model, source: Any, out: Path | None, options: Options, task: MapTask, *, share: bool = True
) -> RasterResult:
    """The model's dense answer on one scene, in `out` or in memory.

    Args:
        model: the network and its description.
        source: what `open_scene` takes, or a scene.
        out: the GeoTIFF to write; `None` = keep the map in memory.
        options: how data are read and computed.
        task: what the answer means.
        share: whether all processes work on it; otherwise this one does alone.

    Raises:
        InputError: the source does not fit, or holds no data at all; nothing is written.
    """
    if out is not None:
        check_writable(out)
        check_kept(source, out)
    scene = source if isinstance(source, Scene) else open_scene(model, source, options)
    check_georeference(scene)
    tiles = lattice_of(model, scene, options, halo_share=task.halo_share)
    settings = options.recorded() | {"window": str(tiles[0].read.height)}
    provenance = model.provenance(settings)
    told = {"source": scene.fingerprint(), "provenance": provenance.tags(), "kind": type(task).__name__}
    job = _Job(model=model, scene=scene, tiles=tiles, out=out, options=options, task=task, provenance=provenance)
    with session(out, told, resume=options.resume, share=share) as work:
        is_main = stream.run(
            tiles,
            batch_size=options.batch_size,
            load=lambda batch: scene.read([tile.read for tile in batch]),
            compute=lambda read: _answer(job, read, work),
            work=work,
            what=f"{model.spec.name} {scene.label}",
            workers=options.workers,
        )
        result = _assembled(job, work) if is_main else None
    if result is None:
        assert out is not None  # `session` keeps results in memory to one process
        return RasterResult.open(out)
    return result


def map_each(model: Model, source: Any, out: Path | None, options: Options, task: MapTask) -> Collected:
    """A map for every file of a folder, glob or list; in the folder `out`, or in memory.

    Raises:
        InputError: not one file could be used.
        OutputError: a map would replace the file that it is made from, or the folder cannot be made.
    """
    items = items_of(source)
    targets = {} if out is None else targets_of(items, out, ".tif")
    check_targets(items, targets)
    kept: dict[str, RasterResult] = {}

    def make(item: Item, scene: Scene) -> tuple[Arrays, dict[str, str]]:
        target = targets.get(item.id)
        result = map_scene(model, scene, target, options, task, share=False)
        if target is None:
            kept[item.id] = result
        return {}, {}

    open_one = scene_opener(model, options)
    parts = collect(
        items,
        Steps(open=lambda item: open_one(item.path), make=make),
        out=out,
        plan={"provenance": model.provenance(options.recorded()).tags(), "kind": type(task).__name__},
        what=f"{model.spec.name}, {len(items)} files",
        resume=options.resume,
        workers=options.workers,
    )
    results = {name: kept.get(name, targets.get(name)) for name in parts.made}
    return Collected(results=results, failures=parts.failures)


def lattice_of(
    model: Model, scene: Scene, options: Options, *, halo_share: float, least_halo: int = 0
) -> tuple[Tile, ...]:
    """The windows of a scene, of the side that the user, the model or zoo chooses, in this order.

    Args:
        model: see `map_scene`.
        scene: see `map_scene`.
        options: see `map_scene`.
        halo_share: halo as a share of the window's side, where the user does not say.
        least_halo: pixels that the halo has at least, up to a quarter of the window.

    Raises:
        ConfigError: the side is none that the network takes.
    """
    stride = model.variant.stride
    height, width = scene.grid.height, scene.grid.width
    if isinstance(scene, FittedScene) and scene.window and options.window is None:
        return tiling.lattice(height, width, scene.window, stride, 0)
    spec = scene.feeds[0].spec
    window = options.window or spec.window or WINDOW
    multiple = int(np.lcm(spec.multiple, stride))
    if window % multiple:
        below = max(window // multiple, 1) * multiple
        raise ConfigError(f"window is {window} px; expected a multiple of {multiple}: try --window {below}")
    share = halo_share if options.blend == "none" else BLENDED_SHARE
    context = max(int(window * share), min(least_halo, window // 4)) // multiple * multiple
    halo = context if options.halo is None else options.halo
    return tiling.lattice(height, width, window, stride, halo, grain_px=multiple)


def _answer(job: _Job, read: dict[str, Any], work: Work) -> tuple[Arrays, dict[str, str]]:
    """Maps of one batch of windows, and which of their cells had data."""
    model, stride = job.model, job.model.variant.stride
    batch = job.scene.prepare(read, model.device, resize=False)
    seen = torch.stack([_cells_with_data(mask, stride) for mask in batch.valid.values()]).all(dim=0)
    output = model.forward(batch.tensors, bands=batch.bands, valid=batch.valid, precision=job.options.precision)
    maps = job.task.maps(output).float()
    notes = {"cells": str(int(seen.sum())), "channels": str(maps.shape[1])}
    kept = job.task.finish(maps) if job.finishes_early else maps
    arrays = {"maps": kept.cpu().numpy(), "seen": seen.cpu().numpy().astype(np.uint8)}
    if work.is_empty():
        _check_room(job, work, arrays, maps.shape[1])
    return arrays, notes


def _check_room(job: _Job, work: Work, arrays: Arrays, channels: int) -> None:
    """Raise if the disk cannot hold what is to come: the first batch tells how many maps a window gives."""
    bands = job.task.bands(job.model.variant, channels)
    pixels = job.result_grid.height * job.result_grid.width
    windows = min(job.options.batch_size, len(job.tiles))
    work.check_room(
        part_bytes=sum(array.nbytes for array in arrays.values()) * windows // len(arrays["seen"]),
        num_parts=stream.num_batches(job.tiles, job.options.batch_size),
        result_bytes=0 if job.out is None else pixels * len(bands.names) * np.dtype(bands.dtype).itemsize,
    )


def _cells_with_data(valid: Tensor, stride: int) -> Tensor:
    """(B, h, w): cells of `stride` x `stride` pixels of which at least half have data."""
    share = functional.avg_pool2d(valid[:, None].float(), stride)[:, 0]
    return share >= LEAST_DATA


def _assembled(job: _Job, work: Work) -> RasterResult:
    """The parts put together, in `out` or in memory."""
    scene, options = job.scene, job.options
    channels, cells = assemble.survey(work, stream.num_batches(job.tiles, options.batch_size))
    if not cells:
        raise no_data(scene)
    bands = job.task.bands(job.model.variant, channels)
    parts = assemble.Assembly(
        work=work,
        tiles=job.tiles,
        batch_size=options.batch_size,
        blend=job.blend,
        bands=bands,
        task=job.task,
        finished=job.finishes_early,
        channels=channels,
        fit=job.fit,
    )
    dtype = "float16" if options.float16 and bands.dtype == "float32" else bands.dtype
    with open_sink(job.out, job.result_grid, bands, dtype=dtype, provenance=job.provenance) as sink:
        for block in sink.blocks():
            sink.write(block, parts.block(block))
    return sink.result()
