"""Dense results: a scene goes in by windows, a map comes out by blocks, and memory does not grow with either.

Windows are computed and kept as parts (`zoo.stream`); then the main process goes over the blocks of the output, takes
what each window says of the block, in window order, and writes it. One process or many, interrupted or not: same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from zoo import assemble, stream, tiling
from zoo.errors import ConfigError, InputError
from zoo.io.whole import check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.results import Provenance, RasterResult, open_sink
from zoo.scene import Scene, check_georeference, open_scene
from zoo.tasks.base import MapTask
from zoo.tiling import Tile
from zoo.work import Arrays, Work, work_for

WINDOW = 512  # ours: for networks that declare none; large enough that a halo of 64 costs less than a third


def map_scene(model: Model, source: Any, out: Path | None, options: Options, task: MapTask) -> RasterResult:
    """The model's dense answer on one scene, in `out` or in memory.

    Raises:
        InputError: the source does not fit, or holds no data at all; nothing is written.
    """
    if out is not None:
        check_writable(out)
    scene = open_scene(model, source, options)
    check_georeference(scene)
    tiles = _lattice(model, scene, options)
    settings = options.recorded() | {"window": str(tiles[0].read.height)}
    provenance = model.provenance(settings)
    work = work_for(out, {"source": scene.fingerprint(), "provenance": provenance.tags(), "kind": "map"})

    def load(batch: Sequence[Tile]) -> dict[str, Any]:
        return scene.read([tile.read for tile in batch])

    def compute(read: dict[str, Any]) -> tuple[Arrays, dict[str, str]]:
        return _answer(model, scene, read, options, task)

    try:
        is_main = stream.run(
            tiles,
            batch_size=options.batch_size,
            load=load,
            compute=compute,
            work=work,
            what=f"{model.spec.name} {scene.label}",
            resume=options.resume,
            workers=options.workers,
        )
        if is_main:
            result = _assembled(
                model=model,
                scene=scene,
                tiles=tiles,
                work=work,
                out=out,
                options=options,
                task=task,
                provenance=provenance,
            )
    except BaseException as err:
        if out is None or isinstance(err, InputError):
            work.discard()
        raise
    stream.wait_for_everyone()
    if not is_main:
        return RasterResult.open(out) if out else RasterResult.nothing()
    work.discard()
    return result


def _lattice(model: Model, scene: Scene, options: Options) -> tuple[Tile, ...]:
    stride = model.variant.stride
    spec = scene.feeds[0].spec
    window = options.window or spec.window or WINDOW
    multiple = int(np.lcm(spec.multiple, stride))
    if window % multiple:
        below = max(window // multiple, 1) * multiple
        raise ConfigError(f"window is {window} px; expected a multiple of {multiple}: try --window {below}")
    overlap = window // 4 // stride * stride if options.blend != "none" else 0
    halo = overlap if options.halo is None else options.halo
    return tiling.lattice(scene.grid.height, scene.grid.width, window, stride, halo)


def _answer(
    model: Model, scene: Scene, read: dict[str, Any], options: Options, task: MapTask
) -> tuple[Arrays, dict[str, str]]:
    """Maps of one batch of windows, and which of their cells had data."""
    stride = model.variant.stride
    batch = scene.prepare(read, model.device, resize=False)
    seen = torch.stack([_cells_with_data(mask, stride) for mask in batch.valid.values()]).all(dim=0)
    output = model.forward(batch.tensors, bands=batch.bands, valid=batch.valid, precision=options.precision)
    maps = task.maps(output).float().cpu().numpy()
    if options.blend == "none":
        maps = np.stack([task.finish(one) for one in maps])
    return {"maps": maps, "seen": seen.cpu().numpy().astype(np.uint8)}, {"cells": str(int(seen.sum()))}


def _cells_with_data(valid: Tensor, stride: int) -> Tensor:
    """(B, h, w): cells of `stride` x `stride` pixels of which at least half have data.

    Ours: an embedding of a patch that is mostly fill is not of the place.
    """
    share = functional.avg_pool2d(valid[:, None].float(), stride)[:, 0]
    return share >= 0.5


def _assembled(
    *,
    model: Model,
    scene: Scene,
    tiles: Sequence[Tile],
    work: Work,
    out: Path | None,
    options: Options,
    task: MapTask,
    provenance: Provenance,
) -> RasterResult:
    """The parts put together, in `out` or in memory."""
    channels, cells = assemble.survey(work, stream.num_batches(tiles, options.batch_size))
    if not cells:
        raise InputError(
            f"{scene.label} holds no data: all its pixels are nodata (or NaN, or masked);"
            " check the file, or say which value marks missing pixels with --nodata"
        )
    layout = task.layout(model.variant, channels)
    parts = assemble.Assembly(
        work=work, tiles=tiles, batch_size=options.batch_size, blend=options.blend, layout=layout, task=task
    )
    grid = scene.grid.coarser(model.variant.stride)
    dtype = "float16" if options.float16 and layout.dtype == "float32" else layout.dtype
    with open_sink(out, grid, layout, dtype=dtype, provenance=provenance) as sink:
        for block in sink.blocks():
            sink.write(block, parts.block(block))
    return sink.result()
