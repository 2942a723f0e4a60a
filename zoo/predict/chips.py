"""One answer per chip: a file of a folder, or a window of a scene, becomes a row of a table.

A file that cannot be read or does not fit is noted and the rest goes on; the result lists the failures.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import tiling
from zoo.errors import InputError, ZooError
from zoo.io.sources import check_kept, is_collection, label, state_of
from zoo.io.whole import check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict import stream
from zoo.predict.collection import items_of
from zoo.predict.maps import LEAST_DATA
from zoo.predict.scene import Batch, Scene, open_scene, scene_opener
from zoo.predict.work import Arrays, session
from zoo.results.rows import ChipTable
from zoo.tiling import Window

WINDOW = 224  # ours: for models that declare none


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """One row to be: a whole file, or a window of the scene."""

    id: str
    source: Any
    window: Window | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A chip that was read: what the network takes of it, and where it lies."""

    slot: int
    batch: Batch
    bounds: tuple[float, float, float, float]
    crs: str


def table_of(
    model: Model,
    source: Any,
    out: Path | None,
    options: Options,
    *,
    rows: Callable[[Any], Tensor],
    columns: tuple[str, ...] | None,
    save: Callable[[ChipTable, Path], object] = ChipTable.save,
) -> ChipTable:
    """A row per chip of `source`.

    Args:
        model: the network and its description.
        source: a folder, glob or list of files, or one scene that is cut into windows.
        out: the table to write; `None` = keep it in memory.
        options: how data are read and computed.
        rows: (n, D) of what the network returned, one row per chip.
        columns: names of the D columns; `None` = one column with a vector.
        save: writes the table to `out`.

    Raises:
        InputError: not one chip could be read; nothing is written.
    """
    if out is not None:
        check_writable(out)
        check_kept(source, out)
    scene = None if is_collection(source) else open_scene(model, source, options)
    chips = _windows(source, scene, options) if scene else [Chip(id=i.id, source=i.path) for i in items_of(source)]
    provenance = model.provenance(options.recorded())
    told = [[chip.id, str(chip.window), *state_of(chip.source)] for chip in chips]
    scene_state = scene.fingerprint() if scene else None
    plan = {"source": told, "scene": scene_state, "provenance": provenance.tags(), "columns": columns, "kind": "table"}

    open_one = scene_opener(model, options)

    def load(batch: Sequence[Chip]) -> tuple[list[_Seen], dict[int, str]]:
        return _read(open_one, scene, batch)

    def compute(loaded: tuple[list[_Seen], dict[int, str]]) -> tuple[Arrays, dict[str, str]]:
        return _answer(model, *loaded, options, rows)

    with session(out, plan, resume=options.resume) as work:
        is_main = stream.run(
            chips,
            batch_size=options.batch_size,
            load=load,
            compute=compute,
            work=work,
            what=f"{model.spec.name} {label(source)}",
            workers=options.workers,
        )
        parts = [work.load(batch) for batch in range(stream.num_batches(chips, options.batch_size))]
        result = _together(chips, parts, options, columns, provenance)
        if is_main and out is not None:
            save(result, out)
    return result


def _windows(source: Any, scene: Scene, options: Options) -> list[Chip]:
    side = options.window or scene.feeds[0].spec.window or WINDOW
    grid = scene.grid
    if grid.height <= side and grid.width <= side:
        return [Chip(id=scene.label, source=source)]
    _check_side(scene, side, side, "the window")
    tiles = tiling.lattice(grid.height, grid.width, side, grain_px=scene.feeds[0].spec.multiple)
    return [
        Chip(id=f"{scene.label}:{tile.read.row}:{tile.read.col}", source=source, window=tile.read) for tile in tiles
    ]


def _read(
    open_one: Callable[[Any], Scene], scene: Scene | None, chips: Sequence[Chip]
) -> tuple[list[_Seen], dict[int, str]]:
    """Prepared chips, and by slot why the others could not be."""
    seen, failed = [], {}
    for slot, chip in enumerate(chips):
        try:
            place = scene or open_one(chip.source)
            grid = place.grid
            window = chip.window or Window(0, 0, grid.height, grid.width)
            shown = window.clipped(grid.height, grid.width)
            read = place.read([window])
            share = min(float(mask.mean()) for _, mask in read.values())
            if chip.window is not None and share < LEAST_DATA:
                continue
            if not share:
                raise InputError(f"{chip.id} holds no data: all its pixels are nodata")
            batch = place.prepare(read, torch.device("cpu"), resize=chip.window is None)
            for tensor in batch.tensors.values():
                _check_side(place, tensor.shape[2], tensor.shape[3], chip.id)
            crs = "" if grid.crs is None else str(grid.crs)
            seen.append(_Seen(slot=slot, batch=batch, bounds=_bounds(grid.footprint(shown)), crs=crs))
        except ZooError as err:
            failed[slot] = str(err)
    return seen, failed


def _check_side(scene: Scene, height: int, width: int, what: str) -> None:
    """Raise unless the network takes an image of that size."""
    multiple = scene.feeds[0].spec.multiple
    if height % multiple or width % multiple:
        fit = max(min(height, width) // multiple, 1) * multiple
        raise InputError(
            f"{what} is {height} x {width} px; expected sides that are multiples of {multiple}, such as {fit};"
            " crop or resize the chips, or choose --window"
        )


def _bounds(corners: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    """West, south, east, north of corners (4, 2)."""
    (west, south), (east, north) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return west, south, east, north


def _answer(
    model: Model, seen: Sequence[_Seen], failed: dict[int, str], options: Options, rows: Callable[[Any], Tensor]
) -> tuple[Arrays, dict[str, str]]:
    """Rows of one batch, computed together where bands and sizes agree."""
    alike: dict[Any, list[_Seen]] = defaultdict(list)
    for one in seen:
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in one.batch.tensors.items())
        alike[shapes, tuple(one.batch.bands.items())].append(one)
    values: dict[int, Any] = {}
    for group in alike.values():
        names = group[0].batch.tensors
        output = model.forward(
            {name: torch.cat([one.batch.tensors[name] for one in group]).to(model.device) for name in names},
            bands=group[0].batch.bands,
            valid={name: torch.cat([one.batch.valid[name] for one in group]).to(model.device) for name in names},
            precision=options.precision,
        )
        for one, row in zip(group, rows(output).float().cpu().numpy(), strict=True):
            values[one.slot] = row
    order = sorted(seen, key=lambda one: one.slot)
    arrays = {
        "slots": np.array([one.slot for one in order], dtype=np.int64),
        "bounds": np.array([one.bounds for one in order], dtype=np.float64).reshape(-1, 4),
        "rows": np.stack([values[one.slot] for one in order]) if order else np.zeros((0, 0), np.float32),
    }
    return arrays, {"failed": json.dumps(failed), "crs": json.dumps([one.crs for one in order])}


def _together(
    chips: Sequence[Chip],
    parts: Sequence[tuple[Arrays, dict[str, str]]],
    options: Options,
    columns: tuple[str, ...] | None,
    provenance: Any,
) -> ChipTable:
    ids: list[str] = []
    crs: list[str] = []
    failures: dict[str, str] = {}
    for batch, (arrays, notes) in enumerate(parts):
        first = batch * options.batch_size
        ids += [chips[first + slot].id for slot in arrays["slots"]]
        crs += json.loads(notes["crs"])
        failures |= {chips[first + int(slot)].id: why for slot, why in json.loads(notes["failed"]).items()}
    if not ids:
        (name, why), *rest = failures.items()
        more = f", and {len(rest)} more like it" if rest else ""
        raise InputError(why if not rest else f"none of {len(failures)} files could be used; {name}: {why}{more}")
    kept = [arrays for arrays, _ in parts if len(arrays["slots"])]
    return ChipTable(
        ids=tuple(ids),
        bounds=np.concatenate([arrays["bounds"] for arrays in kept]),
        crs=tuple(crs),
        values=np.concatenate([arrays["rows"] for arrays in kept]),
        columns=columns,
        provenance=provenance,
        failures=failures,
    )
