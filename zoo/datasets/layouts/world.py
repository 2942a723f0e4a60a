"""The invented world of `zoo.samples` as labelled data: chips of land cover, seen by a sensor, drawn on the spot."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from zoo.datasets.augment import turned
from zoo.datasets.pictures import Pictures, need_variant, whole_number
from zoo.datasets.sample import IGNORED, Sample
from zoo.errors import ConfigError, InputError
from zoo.inputs.match import match
from zoo.io.arrays import ArraySource, open_array
from zoo.samples.catalogue import VIEWS, chip
from zoo.samples.cover import COVER_NODATA, COVERS
from zoo.samples.scenes import Scene
from zoo.spec import InputSpec, Kind, Variant

SIZE = 64  # px, ours: a place of one cover, as `zoo.samples.chips` looks for
KEPT = 512  # chips that a process keeps; ours: 50 MB of twelve bands
SEED_BITS = 0x7FFFFFFF


def world(
    folder: str | Path | None = None,
    *,
    split: str,
    variant: Variant | None,
    n: int = 64,
    seed: int = 0,
    size: int = SIZE,
    view: str | Mapping[str, str] | None = None,
    task: Literal["classify", "segment"] = "classify",
    turn: bool = False,
) -> World:
    """Chips of other worlds for each split.

    Args:
        folder: none is needed.
        split: any name.
        variant: whose inputs see the world.
        n: chips.
        seed: other seeds, other worlds.
        size: side of the chips in pixels.
        view: of the world (`zoo.samples.VIEWS`), or one for each input by name; `None` = the first that has the bands.
        task: `classify` labels a chip by the cover that fills most of it, `segment` each of its pixels.
        turn: whether chips are turned in training.
    """
    if folder is not None:
        raise InputError(f"the dataset 'world' is drawn and takes no folder, found {folder}; leave it out")
    if task not in ("classify", "segment"):
        raise ConfigError(f"the option task is {task!r}; expected classify or segment")
    whole_number("n", n, least=1)
    whole_number("seed", seed, least=0)
    whole_number("size", size, least=1)
    variant = need_variant(variant, "world")
    names = list(dict.fromkeys(one.name for one in variant.inputs if one.kind in (Kind.RASTER, Kind.IMAGE)))
    told = view if isinstance(view, Mapping) else dict.fromkeys(names, view)
    views = {name: _view(told.get(name), [one for one in variant.inputs if one.name == name]) for name in names}
    return World(variant, views, split=split, n=n, seed=seed, size=size, dense=task == "segment", turn=turn)


class World:
    """See `world`; a `zoo.datasets.sample.Reader`."""

    classes: tuple[str, ...] = COVERS

    def __init__(
        self,
        variant: Variant,
        views: Mapping[str, str],
        *,
        split: str,
        n: int,
        seed: int,
        size: int,
        dense: bool,
        turn: bool,
    ) -> None:
        self.ids: Sequence[str] = tuple(f"world-{seed}/{split}/{index:06d}" for index in range(n))
        self._seed = zlib.crc32(f"{split} {seed}".encode()) & SEED_BITS
        self._pictures = Pictures(variant, {}, "world")
        self._views, self._size, self._dense, self._turn = dict(views), size, dense, turn

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        scenes = {name: _chip(self._seed, view, index, self._size) for name, view in self._views.items()}
        opened = {name: _source(scene, self.ids[index]) for name, scene in scenes.items()}
        picture = self._pictures.open(opened, self.ids[index])
        seen = picture.see(resize=True)
        cover = next(iter(scenes.values())).cover
        if self._dense:
            rows, cols = (one.round().long() for one in picture.places_of(picture.size))
            label = torch.from_numpy(np.where(cover == COVER_NODATA, IGNORED, cover.astype(np.int64)))[rows, cols]
        else:
            label = torch.tensor(int(np.bincount(cover[cover != COVER_NODATA]).argmax()))
        sample = Sample(
            id=self.ids[index],
            inputs=seen.inputs,
            bands=seen.bands,
            valid=seen.valid,
            target={"label": label},
            place=seen.place,
        )
        return turned(sample, generator) if self._turn and generator is not None else sample


def _view(asked: str | None, specs: Sequence[InputSpec]) -> str:
    """The view that an input is fed with: the one asked for, else the first that has its bands."""
    if asked is not None and asked not in VIEWS:
        raise ConfigError(f"the option view is {asked!r}; expected one of {', '.join(VIEWS)}")
    tried = [asked] if asked is not None else [name for name in VIEWS if name != "cover"]
    problem: InputError | None = None
    for name in tried:
        source = _source(_chip(0, name, 0, 1), f"world seen by {name}")
        try:
            match(specs, source.names, where=source.name)
        except InputError as err:
            problem = problem or err
        else:
            return name
    raise InputError(
        f"the world's views {', '.join(tried)} lack bands of input {specs[0].name!r}: {problem}"
    ) from problem


@lru_cache(maxsize=KEPT)
def _chip(seed: int, view: str, index: int, size: int) -> Scene:
    return chip(seed, view, index, size)


def _source(scene: Scene, name: str) -> ArraySource:
    return open_array(
        scene.pixels,
        names=scene.names,
        crs=scene.crs,
        transform=scene.transform,
        nodata=scene.nodata,
        tags=scene.tags,
        name=name,
    )
