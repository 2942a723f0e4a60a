"""The demo of embeddings: one place seen by each sensor that the model takes, its embedding, and chips that look alike."""

# N chips, C channels, H W pixels, D width

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import samples
from zoo.demo.images import Numbers, map_uri, photo_uri, seen_by_eye, shared_colours
from zoo.demo.page import Chapter, Neighbour, Neighbours, Picture, Section
from zoo.options import Blend
from zoo.samples import COVERS, Scene
from zoo.spec import InputSpec, Variant

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.results.rows import ChipTable

SEED = 3  # ours: a world whose middle has seven of the covers
WINDOWS, LARGEST_PX = 10, 1120  # ours: windows along a side of the scene, and its pixels at most
BLEND: Blend = "cosine"  # ours: without it the windows of a small network show
QUERIES, SHOWN = 5, (4, 3)  # ours: rows of look-alikes; how many from the same sensor and from each other one
UNSAID_PIXEL_M = {"aerial": 5.0}  # ours: at the sample's usual 0.5 m the scene would have 160 million pixels

# Sensor of the bands -> view of the synthetic world; what people call it; what the picture shows.
VIEWS = {"S2": "sentinel2", "S1": "sentinel1", "RGB": "aerial"}
CALLED = {
    "sentinel2": "Sentinel-2",
    "sentinel2-l1c": "Sentinel-2 L1C",
    "sentinel1": "Sentinel-1",
    "aerial": "aerial camera",
}
SHOWS = {
    "sentinel2": "true colour of its bands",
    "sentinel2-l1c": "true colour of its bands",
    "sentinel1": "radar: VV in red, VH in green, their ratio in blue",
    "aerial": "red, green, blue",
}
TRUTH = "What is there"
# ours: close to what maps print
COLOURS = ("#3d7fd0", "#62a945", "#1d6b4a", "#bcd96a", "#ecc45c", "#a8957c", "#d0524a", "#62c0b4", "#eef3f8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One sensor's view of the place, and what the model made of it."""

    view: str
    scene: Scene
    file: Path
    map_file: Path
    table_file: Path
    maps: Numbers  # (D, h, w)
    chips: ChipTable
    covers: Numbers  # (N, len(COVERS)): share of each cover in each chip

    @property
    def dominant(self) -> Numbers:
        return np.asarray(self.covers.argmax(axis=1))

    @property
    def unit(self) -> Numbers:
        values = self.chips.values.astype(np.float64)
        return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))

    def thumbnail(self, chip: int) -> str:
        """The picture of one chip, as a data URI."""
        west, south, east, north = self.chips.bounds[chip]
        (left, top), (right, bottom) = (~self.scene.transform * corner for corner in ((west, north), (east, south)))
        return photo_uri(seen_by_eye(self.scene)[round(top) : round(bottom), round(left) : round(right)], side=128)


def can_show(variant: Variant) -> bool:
    """Whether the sensors of the variant's one input are among the samples'."""
    return len({item.name for item in variant.inputs}) == 1 and bool(_views(variant.inputs))


def show(model: Model, folder: Path) -> Chapter:
    """Write the sample scenes and what the model makes of them into `folder`, and tell it."""
    views = _views(model.variant.inputs)
    extent_m = _extent_m(views)
    cover = _scene("cover", extent_m, samples.VIEWS["cover"].pixel_m)
    seen = [
        _look(model, view, _scene(view, extent_m, pixel_m), cover, folder) for view, pixel_m in _pixels(views).items()
    ]
    sections = (_inputs_and_maps(seen, cover), _look_alikes(seen), _agreement(seen), _commands(model, seen))
    names = _listed([CALLED[one.view] for one in seen])
    lead = (
        f"One invented place of {extent_m / 1000:.1f} x {extent_m / 1000:.1f} km, seen by {names}. The model turned each"
        " scene into vectors, one per patch and one per chip, without being told what is there. Where it works, vectors"
        " that are close stand for places that are alike."
    )
    return Chapter.of(model, lead, sections)


# ------------------------------------------------------------------------------------------------------------- sensors


def _views(inputs: Sequence[InputSpec]) -> dict[str, InputSpec]:
    """View of the synthetic world -> the input that takes it."""
    found: dict[str, InputSpec] = {}
    for item in inputs:
        sensors = {band.partition(":")[0] for band in item.band_ids}
        if len(sensors) == 1 and (view := VIEWS.get(sensors.pop())):
            found.setdefault("sentinel2-l1c" if view == "sentinel2" and item.level == "L1C" else view, item)
    return found


def _pixels(views: Mapping[str, InputSpec]) -> dict[str, float]:
    """Pixel of each view: the finest that its input is made for."""
    pixels = {}
    for view, item in views.items():
        usual = UNSAID_PIXEL_M.get(view, samples.VIEWS[view].pixel_m)
        pixels[view] = item.gsd_m[0] if item.gsd_m and view in UNSAID_PIXEL_M else usual
    return pixels


def _extent_m(views: Mapping[str, InputSpec]) -> float:
    """Side of the place: ten windows of the coarsest sensor, in whole windows."""
    window = max(item.window or 64 for item in views.values())
    return max(_pixels(views).values()) * window * max(min(WINDOWS, LARGEST_PX // window), 1)


def _scene(view: str, extent_m: float, pixel_m: float) -> Scene:
    return samples.scene(view, seed=SEED, size=round(extent_m / pixel_m), pixel_m=pixel_m)


def _look(model: Model, view: str, scene: Scene, cover: Scene, folder: Path) -> Seen:
    """Write the scene, and run on it what `_commands` shows."""
    file = samples.write(scene, folder / f"{view}.tif")
    map_file, table_file = folder / f"{view}-features.tif", folder / f"{view}-chips.parquet"
    result = model.embed(file, map_file, blend=BLEND)
    chips = model.embed(file, table_file)
    return Seen(
        view=view,
        scene=scene,
        file=file,
        map_file=map_file,
        table_file=table_file,
        maps=result.values,
        chips=chips,
        covers=np.stack([_shares(cover, bounds) for bounds in chips.bounds]),
    )


def _shares(cover: Scene, bounds: Numbers) -> Numbers:
    """Share of each cover within west, south, east, north."""
    west, south, east, north = bounds
    (left, top), (right, bottom) = (~cover.transform * corner for corner in ((west, north), (east, south)))
    part = cover.pixels[0, round(top) : round(bottom), round(left) : round(right)]
    counts = np.bincount(part.ravel(), minlength=len(COVERS))[: len(COVERS)]
    return np.asarray(counts / max(counts.sum(), 1))


# ------------------------------------------------------------------------------------------------------------ sections


def _inputs_and_maps(seen: Sequence[Seen], cover: Scene) -> Section:
    present = [number for number in range(len(COVERS)) if (cover.pixels == number).any()]
    palette = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in COLOURS], np.uint8)
    pictures = [
        Picture(
            uri=photo_uri(seen_by_eye(one.scene)),
            title=_upper(CALLED[one.view]),
            caption=f"{one.file.name}, pixels of {one.scene.transform.a:g} m: {SHOWS[one.view]}",
            alt=f"{_upper(CALLED[one.view])}: a valley with a river, fields, woods and a town.",
        )
        for one in seen
    ]
    truth = Picture(
        uri=map_uri(palette[np.minimum(cover.pixels[0], len(COVERS) - 1)]),
        title=TRUTH,
        caption="reference land cover of the synthetic world, which the model never sees",
        alt=f"Map of the land cover: {_listed([COVERS[number] for number in present])}.",
        exact=True,
    )
    pictures.append(truth)
    for one, colours in zip(seen, shared_colours([each.maps for each in seen]), strict=True):
        patch_m = one.scene.transform.a * one.scene.pixels.shape[2] / one.maps.shape[2]
        pictures.append(
            Picture(
                uri=map_uri(colours),
                title=f"Embedding, {CALLED[one.view]}",
                caption=f"{one.map_file.name}, {len(one.maps)} numbers for every {patch_m:g} x {patch_m:g} m",
                alt=f"Embedding, {CALLED[one.view]}, in false colours: like colours are like vectors.",
                exact=True,
            )
        )
    return Section(
        title="The place, and its embeddings",
        words="Embeddings are coloured by the three principal components of all of them together: the same colour means"
        " a similar vector, whichever sensor it comes from. Windows overlap and are blended, since what the network sees"
        " around a patch colours its vector.",
        pictures=tuple(pictures),
        columns=len(seen) + 1,
        legend_title=TRUTH,
        legend=tuple((COVERS[number], COLOURS[number]) for number in present),
    )


def _look_alikes(seen: Sequence[Seen]) -> Section:
    first = seen[0]
    rows = []
    for chip in _queries(first):
        query = Neighbour(uri=first.thumbnail(chip), text=COVERS[first.dominant[chip]])
        groups = []
        for other in seen:
            likeness = _elsewhere(first, other)[chip]
            nearest = np.argsort(-likeness, kind="stable")[: SHOWN[0] if other is first else SHOWN[1]]
            groups.append(
                tuple(
                    Neighbour(
                        uri=other.thumbnail(place),
                        text=COVERS[other.dominant[place]],
                        likeness=float(likeness[place]),
                        same=bool(other.dominant[place] == first.dominant[chip]),
                    )
                    for place in nearest
                )
            )
        rows.append((query, tuple(groups)))
    return Section(
        title="Find more like this",
        words=f"For the purest chip of each common cover as {CALLED[first.view]} sees it: the chips elsewhere with the"
        " nearest vectors (cosine similarity below), also among those of the other sensors. A green frame: the same"
        " cover fills most of it.",
        neighbours=Neighbours(heads=tuple(f"nearest, {CALLED[one.view]}" for one in seen), rows=tuple(rows)),
    )


def _queries(one: Seen) -> list[int]:
    """Chips to ask for: of the most common covers, the one that is filled most; nothing of the answer is looked at."""
    covers, counts = np.unique(one.dominant, return_counts=True)
    common = covers[np.argsort(-counts, kind="stable")][:QUERIES]
    return [int(np.where(one.dominant == cover, one.covers[:, cover], -1).argmax()) for cover in common]


def _elsewhere(first: Seen, other: Seen) -> Numbers:
    """(N, M) cosine similarity of chips, -1 where the two overlap on the ground."""
    a, b = first.chips.bounds[:, None], other.chips.bounds[None]
    apart = (a[..., 2] <= b[..., 0]) | (b[..., 2] <= a[..., 0]) | (a[..., 3] <= b[..., 1]) | (b[..., 3] <= a[..., 1])
    return np.where(apart, first.unit @ other.unit.T, -1.0)


def _agreement(seen: Sequence[Seen]) -> Section:
    rows = [("chips of", *(f"nearest in {CALLED[one.view]}" for one in seen), "a chip at random")]
    for one in seen:
        shares = []
        for other in seen:
            nearest = _elsewhere(one, other).argmax(axis=1)
            shares.append(f"{np.mean(other.dominant[nearest] == one.dominant):.0%}")
        chance = np.mean([np.mean(one.dominant == cover) for cover in one.dominant])
        rows.append((_upper(CALLED[one.view]), *shares, f"{chance:.0%}"))
    return Section(
        title="How often the nearest chip has the same cover",
        words="Counted over all chips of this place. Chips of one place resemble each other more than chips of different"
        " places do, so read this as an illustration, not as an accuracy.",
        numbers=tuple(rows),
    )


def _commands(model: Model, seen: Sequence[Seen]) -> Section:
    run = []
    for one in seen:
        source, map_file, table = (shlex.quote(file.as_posix()) for file in (one.file, one.map_file, one.table_file))
        run.append(f"zoo embed {model.name} {source} {map_file} --blend {BLEND} --force")
        run.append(f"zoo embed {model.name} {source} {table} --force")
    return Section(
        title="What was run",
        words=f"These lines write the same files again; `.tif` is a map, `.parquet` a table of chips. For a scene of your"
        f" own, put its name in the place of `{seen[0].file.name}`; `zoo info {model.name}` tells which bands it needs.",
        commands=tuple(run),
    )


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
