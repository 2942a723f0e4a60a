"""Detection on scenes and folders: candidates by windows, each kept by the window that owns its place, then one
suppression over all, so that what lies on a seam counts once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooWarning
from zoo.io.sources import is_collection
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.predict import collection, stream
from zoo.predict.collection import Item
from zoo.predict.maps import lattice_of
from zoo.predict.photographs import FittedScene, fitted
from zoo.predict.scene import Scene, check_georeference, no_data, open_scene
from zoo.predict.work import Arrays, session
from zoo.results.detections import CountTable, PointsResult
from zoo.results.provenance import Provenance
from zoo.results.rows import EXTENSIONS
from zoo.tasks.detect import MAX_POINTS, MIN_SCORE, Array, Candidates, decode, dor_of, radii_of
from zoo.tasks.suppression import suppress
from zoo.tiling import Tile

HALO_SHARE = 1 / 16  # ours: where radii are larger, a halo of the largest one, so that a thing is seen whole


def detect(model: Model, source: Any, out: Path | None, options: Options) -> PointsResult:
    """Points on a scene, a photograph, or each file of a folder.

    Raises:
        InputError: the source does not fit, or not one file of a folder does.
        OutputError: the output cannot be written.
    """
    _check_out(out, "a table of points")
    result, is_main = _found(model, source, out, options)
    if out is not None and is_main:
        result.save(out)
    return result


def count(model: Model, source: Any, out: Path | None, options: Options) -> CountTable:
    """Number of points per image and class; arguments and errors as in `detect`."""
    _check_out(out, "a table of counts")
    result, is_main = _found(model, source, out, options)
    table = result.counts()
    if out is not None and is_main:
        table.save(out)
    return table


def _check_out(out: Path | None, what: str) -> None:
    if out is not None:
        check_extension(out, EXTENSIONS, what)
        check_writable(out)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A model, and which of its candidates are answers."""

    model: Model
    options: Options
    min_score: float
    max_points: int
    dor: float
    radii: Array | None

    @property
    def provenance(self) -> Provenance:
        rules = {"min_score": str(self.min_score), "max_points": str(self.max_points), "dor": str(self.dor)}
        return self.model.provenance(self.options.recorded() | rules)

    def open(self, source: Any, doubted: set[str] | None = None) -> Scene:
        scene = open_scene(self.model, source, self.options, doubted=doubted)
        check_georeference(scene)
        return fitted(scene)


def _job_of(model: Model, options: Options) -> _Job:
    return _Job(
        model=model,
        options=options,
        min_score=MIN_SCORE if options.min_score is None else options.min_score,
        max_points=options.max_points or MAX_POINTS,
        dor=dor_of(model.variant, options.dor),
        radii=radii_of(model.variant),
    )


def _found(model: Model, source: Any, out: Path | None, options: Options) -> tuple[PointsResult, bool]:
    """The points, and whether this is the process that writes them."""
    job = _job_of(model, options)
    if not is_collection(source):
        scene = job.open(source)
        arrays, notes, is_main = _on_scene(job, scene, out, share=True)
        return _together(job, {scene.label: (arrays, notes)}, {scene.label: source}, {}), is_main
    items = collection.items_of(source)

    def make(item: Item, scene: Scene) -> tuple[Arrays, dict[str, str]]:
        del item
        return _on_scene(job, scene, None, share=False)[:2]

    doubted: set[str] = set()
    parts = collection.run(
        items,
        collection.Steps(open=lambda item: job.open(item.path, doubted), make=make),
        out=out,
        plan={"provenance": job.provenance.tags(), "kind": "points"},
        what=f"{model.spec.name}, {len(items)} files",
        resume=options.resume,
        workers=options.workers,
    )
    sources = {item.id: item.path for item in items if item.id in parts.made}
    return _together(job, parts.made, sources, parts.failures), parts.is_main


def _on_scene(job: _Job, scene: Scene, out: Path | None, *, share: bool) -> tuple[Arrays, dict[str, str], bool]:
    """The points of one scene in its own pixels, what else is known of it, and whether this is the main process."""
    options = job.options
    reach = 0 if job.radii is None else int(np.ceil(job.radii.max()))
    tiles = lattice_of(job.model, scene, options, halo_share=HALO_SHARE, least_halo=reach)
    plan = {"source": scene.fingerprint(), "provenance": job.provenance.tags(), "kind": "points"}
    with session(out, plan, resume=options.resume and share, share=share) as work:
        is_main = stream.run(
            tiles,
            batch_size=options.batch_size,
            load=lambda batch: (batch, scene.read([tile.read for tile in batch])),
            compute=lambda loaded: _answer(job, scene, *loaded),
            work=work,
            what=f"{job.model.spec.name} {scene.label}",
            workers=options.workers,
        )
        parts = [work.load(batch) for batch in range(stream.num_batches(tiles, options.batch_size))]
        if not any(int(notes["pixels"]) for _, notes in parts):
            raise no_data(scene)
        merged = _merged(scene, [arrays for arrays, _ in parts], job)
    crs = "" if scene.grid.crs is None else scene.grid.crs.to_string()
    dropped = sum(int(notes["dropped"]) for _, notes in parts)
    return merged, {"crs": crs, "dropped": str(dropped)}, is_main


def _answer(job: _Job, scene: Scene, tiles: Sequence[Tile], read: dict[str, Any]) -> tuple[Arrays, dict[str, str]]:
    """Candidates of one batch of windows, each in the window that owns its place, in pixels of the scene."""
    model = job.model
    batch = scene.prepare(read, model.device, resize=False)
    output = model.forward(batch.tensors, bands=batch.bands, valid=batch.valid, precision=job.options.precision)
    several = model.variant.multi_label
    decoded = decode(output, min_score=job.min_score, max_points=job.max_points, multi_label=several)
    seen = np.logical_and.reduce([mask for _, mask in read.values()])
    owned = [
        _owned(found, tile, mask, model.variant.stride) for found, tile, mask in zip(decoded, tiles, seen, strict=True)
    ]
    arrays = {name: np.concatenate([one[name] for one in owned]) for name in owned[0]}
    dropped = sum(found.num_dropped for found in decoded)
    return arrays, {"dropped": str(dropped), "pixels": str(int(seen.sum()))}


def _owned(found: Candidates, tile: Tile, seen: Array, stride: int) -> Arrays:
    """The candidates on pixels that the tile alone decides and that have data."""
    own, read = tile.own, tile.read
    first = np.array([own.col, own.row]) * stride
    last = np.array([own.col + own.width, own.row + own.height]) * stride
    corner = np.array([read.col, read.row])
    xy = found.xy_px + corner
    pixel = np.floor(found.xy_px).astype(np.int64)
    inside = ((np.floor(xy) >= first) & (np.floor(xy) < last) & (pixel >= 0) & (pixel < [read.width, read.height])).all(
        axis=1
    )
    inside[inside] = seen[pixel[inside, 1], pixel[inside, 0]]
    arrays = {"xy": xy[inside], "scores": found.scores[inside], "classes": found.classes[inside]}
    if found.boxes_px is not None:
        arrays["boxes"] = (found.boxes_px + np.tile(corner, 2))[inside]
    return arrays


def _merged(scene: Scene, parts: Sequence[Arrays], job: _Job) -> Arrays:
    """All points of a scene in window order, then those that stay, the best first, in pixels of the original."""
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(-arrays["scores"], kind="stable")
    if job.radii is not None and job.dor > 0:
        order = suppress(arrays["xy"], arrays["scores"], arrays["classes"], job.radii, job.dor)
    arrays = {name: array[order] for name, array in arrays.items()}
    if isinstance(scene, FittedScene):
        factor = np.array([scene.original.width / scene.grid.width, scene.original.height / scene.grid.height])
        arrays["xy"] = arrays["xy"] * factor
        if "boxes" in arrays:
            arrays["boxes"] = arrays["boxes"] * np.tile(factor, 2)
    place = scene.grid.transform
    x, y = arrays["xy"].T
    on_ground = np.stack([place.a * x + place.b * y + place.c, place.d * x + place.e * y + place.f], axis=1)
    return arrays | {"place": on_ground if scene.grid.crs is not None else np.full_like(on_ground, np.nan)}


def _together(
    job: _Job,
    made: Mapping[str, tuple[Arrays, dict[str, str]]],
    sources: Mapping[str, Any],
    failures: Mapping[str, str],
) -> PointsResult:
    """One result of all images."""
    dropped = {name: int(notes["dropped"]) for name, (_, notes) in made.items() if int(notes["dropped"])}
    if dropped:
        warnings.warn(
            f"{sum(dropped.values())} candidates were left out in {', '.join(dropped)}: a window had more than"
            f" {job.max_points}; raise --max-points (or --min-score)",
            ZooWarning,
            stacklevel=2,
        )
    parts = [arrays for arrays, _ in made.values()]

    def joined(name: str) -> Array:
        return np.concatenate([part[name] for part in parts])

    return PointsResult(
        images=tuple(made),
        image=np.repeat(np.arange(len(parts)), [len(part["scores"]) for part in parts]),
        xy_px=joined("xy"),
        xy=joined("place"),
        crs=tuple(notes["crs"] for _, notes in made.values()),
        class_ids=joined("classes"),
        scores=joined("scores"),
        boxes_px=joined("boxes") if "boxes" in parts[0] else None,
        classes=job.model.variant.classes,
        provenance=job.provenance,
        failures=dict(failures),
        sources=dict(sources),
    )
