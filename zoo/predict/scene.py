"""One place as all inputs of a model see it: sources opened, bands matched by name, numbers brought to the declared ones.

A `Scene` is what windows and chips are read from. Reading gives NumPy arrays (in threads); `prepare` turns a batch of
them into the tensors that the network takes.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.inputs.feed import Feed, open_input
from zoo.io.arrays import ArraySource
from zoo.io.grid import Grid
from zoo.io.photographs import PhotoSource
from zoo.io.source import Mask, Pixels, RasterSource
from zoo.io.sources import is_collection, label
from zoo.model import Model
from zoo.options import Options
from zoo.spec import Kind
from zoo.tiling import Window

SAME_PLACE_PX = 0.01  # ours: two grids are one if no corner is further apart


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What the network takes, and where its pixels had data."""

    tensors: dict[str, Tensor]
    bands: dict[str, tuple[str, ...]]
    valid: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All inputs of a model over one grid of pixels."""

    feeds: tuple[Feed, ...]
    label: str

    @property
    def grid(self) -> Grid:
        """Size, CRS and transform that the results take: those of the first input, which all share."""
        return self.feeds[0].source.grid

    @property
    def bands(self) -> dict[str, tuple[str, ...]]:
        return {feed.name: feed.spec.band_ids for feed in self.feeds}

    def fingerprint(self) -> list[str]:
        """What tells this scene from another, so that parts of the one are never taken for parts of the other."""
        return [f"{feed.name} {feed.channels} {feed.source.grid} {state_of(feed.source)}" for feed in self.feeds]

    def read(self, windows: Sequence[Window]) -> dict[str, tuple[Pixels, Mask]]:
        """Per input, (B, C, h, w) numbers and (B, h, w) where they are data; windows beyond the edge hold no data there."""
        read = {}
        for feed in self.feeds:
            pixels, valid = zip(*(feed.read(window) for window in windows), strict=True)
            read[feed.name] = (np.stack(pixels), np.stack(valid))
        return read

    def prepare(self, read: Mapping[str, tuple[Pixels, Mask]], device: torch.device, *, resize: bool) -> Batch:
        """Tensors on `device` of what `read` gave; `resize` for whole chips, not for windows of a scene."""
        tensors, valid = {}, {}
        for feed in self.feeds:
            pixels, mask = read[feed.name]
            here = torch.from_numpy(mask).to(device)
            tensors[feed.name] = feed.preprocess(torch.from_numpy(pixels).to(device), here, resize=resize)
            valid[feed.name] = feed.preprocess.prepared_mask(here, resize=resize)
        return Batch(tensors=tensors, bands=self.bands, valid=valid)


def scene_opener(model: Model, options: Options) -> Callable[[Any], Scene]:
    """`open_scene` for the files of one run: a doubt about their numbers is told of the first file alone."""
    doubted: set[str] = set()
    return lambda source: open_scene(model, source, options, doubted=doubted)


def open_scene(model: Model, source: Any, options: Options, *, doubted: set[str] | None = None) -> Scene:
    """Open `source` for `model`.

    Args:
        model: says which inputs go together, and which bands each needs.
        source: a path, an array, a DataArray; or a mapping of input name to one of these.
        options: what the files do not say themselves.
        doubted: doubts that were told already, and are not told again; see `check_range`.

    Raises:
        InputError: a file cannot be read, its bands do not fit, or two sources do not share a grid.
    """
    where = label(source)
    by_name = _by_input(model, source)
    options.check_inputs([*by_name])
    shares = not isinstance(source, Mapping)
    feeds = tuple(
        open_feed(model, name, item, options, shares=shares, doubted=doubted) for name, item in by_name.items()
    )
    _check_shared_grid(feeds)
    return Scene(feeds=feeds, label=where)


def check_georeference(scene: Scene) -> None:
    """Raise unless the scene has a CRS, for inputs that are rasters."""
    if scene.grid.crs is not None or all(feed.spec.kind is not Kind.RASTER for feed in scene.feeds):
        return
    match scene.feeds[0].source:
        case ArraySource():
            advice = (
                "an array does not say where it lies: give"
                ' zoo.open_array(pixels, names=[...], crs="EPSG:32632", transform=...) instead'
            )
        case PhotoSource():
            advice = "a photograph has no place for a map: name a table (.parquet, .csv), or say --crs if you know it"
        case _:
            advice = "if you know it, say --crs EPSG:32632 (with the right code)"
    raise InputError(f"{scene.label} has no CRS; expected a georeferenced raster; {advice}")


def no_data(scene: Scene) -> InputError:
    """What to raise for a scene in which not one pixel was found to hold data."""
    return InputError(
        f"{scene.label} holds no data: all its pixels are nodata (or NaN, or masked);"
        " check the file, or say which value marks missing pixels with --nodata"
    )


def state_of(source: RasterSource) -> str:
    """Whole path, size and time of a file; of an array a checksum, its place and scale; else something new."""
    path, pixels = getattr(source, "path", None), getattr(source, "pixels", None)
    if path is not None and Path(path).exists():
        stat = Path(path).stat()
        return f"{Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns}"
    if isinstance(pixels, np.ndarray):
        facts = (source.dtype, source.grid, source.nodata_by_band, source.scales, source.offsets)
        return f"{zlib.crc32(np.ascontiguousarray(pixels).data):08x} {facts}"
    return path or str(uuid.uuid4())


def _by_input(model: Model, source: Any) -> dict[str, Any]:
    seen = [item for item in model.variant.inputs if item.kind is not Kind.TEXT]  # words come by `zoo.predict.texts`
    names = list(dict.fromkeys(item.name for item in seen))
    required = {item.name for item in seen if not item.optional}
    if not isinstance(source, Mapping):
        return dict.fromkeys(names, source)
    if unknown := set(source) - set(names):
        raise InputError(f"{model.name} has no input {sorted(unknown)}; its inputs are {', '.join(names)}")
    if missing := required - set(source):
        raise InputError(f"{model.name} also needs {', '.join(sorted(missing))}; got {', '.join(source)}")
    if many := [name for name, item in source.items() if is_collection(item)]:
        raise InputError(
            f"input {many[0]} is {label(source[many[0]])}, which holds many files; expected one file for each input:"
            " run once for each scene, or give the folder alone, where one file feeds all inputs"
        )
    return {name: source[name] for name in names if name in source}


def open_feed(
    model: Model, name: str, item: Any, options: Options, *, shares: bool, doubted: set[str] | None = None
) -> Feed:
    """Open the source of one input; `shares` says whether other inputs are fed from it too."""
    inputs = model.variant.inputs
    return open_input(
        [spec for spec in inputs if spec.name == name],
        item,
        options,
        where=label(item),
        shared_with=[spec for spec in inputs if shares and spec.name != name],
        doubted=doubted,
    )


def _check_shared_grid(feeds: Sequence[Feed]) -> None:
    first = feeds[0].source.grid
    for feed in feeds[1:]:
        other = feed.source.grid
        same = (first.height, first.width, first.crs) == (other.height, other.width, other.crs)
        apart = np.abs(first.corners - other.corners).max() / abs(first.transform.determinant) ** 0.5
        if not same or apart > SAME_PLACE_PX:
            raise InputError(
                f"inputs {feeds[0].name} and {feed.name} lie on different grids:"
                f" {first.height} x {first.width} px in {first.crs}, and {other.height} x {other.width} px in"
                f" {other.crs}; resample one to the other (gdalwarp, rio warp --like) and run again"
            )
