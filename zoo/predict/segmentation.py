"""Class maps of scenes and photographs, and how much of each image every class covers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import OutputError
from zoo.io.label_png import check_label_png
from zoo.io.sources import is_collection, label
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict import collection
from zoo.predict.collection import Collected, Item
from zoo.predict.maps import map_scene
from zoo.predict.photographs import fitted
from zoo.predict.scene import Scene, open_scene, scene_opener
from zoo.predict.work import Arrays
from zoo.processes import Alone, processes, wait_for_all
from zoo.results.cover import Cover, CoverTable, cover_of, cover_table
from zoo.results.maps import EXTENSIONS as MAPS
from zoo.results.maps import RasterResult
from zoo.results.rows import EXTENSIONS as TABLES
from zoo.tasks.segment import LARGEST_BYTE, ClassMap, ScoreMap

COVER = "cover.csv"  # beside the maps of a folder


def segment(model: Model, source: Any, out: Path | None, options: Options) -> RasterResult | CoverTable | Collected:
    """Class maps of `source`.

    A scene or photograph gives a map of its own size: `.tif`, or `.png` coloured. A folder gives a folder of maps with
    `cover.csv`, percent of each class per image. An output named `.csv` or `.parquet` takes the cover alone.

    Raises:
        InputError: the source does not fit, or not one file of a folder does.
        OutputError: the output cannot be written, or not in that format.
    """
    if out is not None and out.suffix.lower() in TABLES:
        return _cover_alone(model, source, out, options)
    if is_collection(source):
        return _folder(model, source, out, options)
    if out is not None:
        _check_map(model, out, options)
    return _map(model, fitted(open_scene(model, source, options)), out, options, share=True)


def _map(model: Model, scene: Scene, out: Path | None, options: Options, *, share: bool) -> RasterResult:
    task = ScoreMap(model.variant) if options.scores else ClassMap(model.variant)
    if out is None or out.suffix.lower() != ".png":
        return map_scene(model, scene, out, options, task, share=share)
    size = scene.feeds[0].source.grid
    check_writable(out)
    check_label_png(out, size.height, size.width)
    interim = out.with_name(f".{out.name}.tif")
    crew = processes() if share else Alone()
    try:
        stored = map_scene(model, scene, interim, options, task, share=share)
        result = replace(stored, data=stored.values)
        wait_for_all(crew)
        if crew.is_main_process:
            result.save(out)
        wait_for_all(crew)
    finally:
        if crew.is_main_process:
            interim.unlink(missing_ok=True)
    return result


def _folder(model: Model, source: Any, out: Path | None, options: Options) -> Collected:
    """A map per file, and what they cover."""
    if out is not None:
        if out.suffix:
            raise OutputError(
                f"{out} is one file, and {label(source)} holds many; name a folder for the maps (maps/),"
                " or a table for what they cover (cover.csv)"
            )
        _check_map(model, out / f"map.{options.format}", options)
        _make_folder(out)
    items = collection.items_of(source)
    targets = {} if out is None else collection.targets_of(items, out, f".{options.format}")
    kept: dict[str, RasterResult] = {}

    def make(item: Item, scene: Scene) -> tuple[Arrays, dict[str, str]]:
        target = targets.get(item.id)
        if target is not None:
            _make_folder(target.parent)
        result = _map(model, scene, target, options, share=False)
        if target is None:
            kept[item.id] = result
        return ({} if options.scores else _arrays(cover_of(result, model.variant.void))), {}

    parts = _run(model, items, make, out=out, options=options)
    table = None if options.scores else _table(model, parts, options)
    if out is not None and table is not None and parts.is_main:
        table.save(out / COVER)
    results = {name: kept.get(name, targets.get(name)) for name in parts.made}
    return Collected(results=results, table=table, failures=parts.failures)


def _cover_alone(model: Model, source: Any, out: Path, options: Options) -> CoverTable:
    """What the maps cover; the maps themselves are not kept."""
    if options.scores:
        raise OutputError(
            f"{out.name} takes cover, and --scores are maps; name a .tif or a folder, or leave out --scores"
        )
    if not is_collection(source) and isinstance(source, str | Path):
        source = [source]
    elif not is_collection(source):
        raise OutputError("cover of an array: predict in memory, then zoo.results.cover.cover_of(result)")
    items = collection.items_of(source)

    def make(item: Item, scene: Scene) -> tuple[Arrays, dict[str, str]]:
        del item
        with _nowhere() as target:
            return _arrays(cover_of(_map(model, scene, target, options, share=False), model.variant.void)), {}

    parts = _run(model, items, make, out=out, options=options)
    table = _table(model, parts, options)
    if parts.is_main:
        table.save(out)
    return table


def _run(model: Model, items: list[Item], make: Any, *, out: Path | None, options: Options) -> collection.Parts:
    open_one = scene_opener(model, options)
    return collection.run(
        items,
        collection.Steps(open=lambda item: fitted(open_one(item.path)), make=make),
        out=out,
        plan={"provenance": model.provenance(options.recorded()).tags(), "kind": f"segment {options.format}"},
        what=f"{model.spec.name}, {len(items)} files",
        resume=options.resume,
        workers=options.workers,
    )


def _table(model: Model, parts: collection.Parts, options: Options) -> CoverTable:
    covers = {
        name: Cover(pixels=arrays["pixels"], areas_m2=arrays["areas_m2"], labelled=int(arrays["labelled"][0]))
        for name, (arrays, _) in parts.made.items()
    }
    variant, provenance = model.variant, model.provenance(options.recorded())
    return cover_table(covers, variant.classes, variant.void, provenance, parts.failures)


def _arrays(cover: Cover) -> Arrays:
    return {"pixels": cover.pixels, "areas_m2": cover.areas_m2, "labelled": np.array([cover.labelled])}


def _check_map(model: Model, out: Path, options: Options) -> None:
    """Raise for a format that cannot hold the answer, before any work is done."""
    if check_extension(out, MAPS, "a class map") != ".png":
        return
    variant = model.variant
    reason = (
        "scores are a band per class"
        if options.scores
        else "its classes may hold together, a band each"
        if variant.multi_label
        else f"it has {len(variant.classes)} classes, more than the {LARGEST_BYTE} colours of a PNG"
        if len(variant.classes) > LARGEST_BYTE
        else None
    )
    if reason:
        raise OutputError(f"cannot write {out.name} for {model.name}: {reason}; write .tif")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the folder {folder}: {err.strerror or err}; choose another output") from err


@contextmanager
def _nowhere() -> Iterator[Path]:
    """A GeoTIFF that is gone afterwards: a map in memory would grow with the scene."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        yield Path(folder) / "map.tif"
