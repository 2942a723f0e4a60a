"""Rasters and photographs as a variant's inputs: opened, matched by band name, cut and prepared like a prediction's."""

# C bands, H W pixels

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError
from zoo.inputs.feed import Feed, open_input
from zoo.inputs.resize import resize
from zoo.io.grid import LON_LAT
from zoo.io.rasters import open_raster
from zoo.io.vectors import reproject
from zoo.options import Options
from zoo.spec import InputSpec, Kernel, Kind, Resize, Variant
from zoo.tiling import Window, lattice


class Reading(TypedDict, total=False):
    """Options of all layouts with images: what the files do not say themselves, as in `zoo.options.Options`."""

    bands: Any
    sensor: Any
    scale: Any
    offset: Any
    baseline: Any
    nodata: Any
    crs: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the network is given of one picture, without a batch dimension; see `zoo.datasets.sample.Sample`."""

    inputs: dict[str, Tensor]
    bands: dict[str, tuple[str, ...]]
    valid: dict[str, Tensor]
    place: tuple[float, float] | None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first input."""
        height, width = next(iter(self.inputs.values())).shape[-2:]
        return height, width


class Pictures:
    """Opens pictures for the image inputs of a variant, all of which one file feeds.

    Args:
        variant: whose inputs they are.
        reading: see `Reading`.
        layout: the dataset, for messages.

    Raises:
        InputError: the variant sees no images, or needs something beside them.
        ConfigError: there is no variant, or an option is wrong.
    """

    def __init__(self, variant: Variant | None, reading: Reading | Mapping[str, Any], layout: str) -> None:
        self.variant = need_variant(variant, layout)
        self.options = Options.of({name: _listed(value) for name, value in reading.items()})
        self.choices: dict[str, list[InputSpec]] = {}
        for spec in self.variant.inputs:
            if spec.kind in (Kind.RASTER, Kind.IMAGE):
                self.choices.setdefault(spec.name, []).append(spec)
        others = [
            one
            for one in self.variant.inputs
            if one.kind not in (Kind.RASTER, Kind.IMAGE, Kind.TEXT) and not one.optional
        ]
        if not self.choices or others:
            told = ", ".join(f"{one.name} ({one.kind.value})" for one in self.variant.inputs)
            raise InputError(
                f"the layout {layout!r} gives images, and variant {self.variant.tag!r} takes {told}; see `zoo data` for"
                " a layout that gives these"
            )
        self.options.check_inputs([*self.choices])
        self._last: tuple[str, Picture] | None = None

    @property
    def _all(self) -> list[InputSpec]:
        return [one for specs in self.choices.values() for one in specs]

    @property
    def window(self) -> int | None:
        """Side of the windows that the variant declares."""
        return next(iter(self.choices.values()))[0].window

    def open(self, item: Any, where: str, *, doubting: bool = False) -> Picture:
        """Open a file or raster.

        Args:
            item: what `zoo.io.rasters.open_source` opens, for all inputs, or a mapping with one for each by name; what was
                opened last is still at hand.
            where: what messages call it.
            doubting: whether to warn of numbers that cannot be what the model expects.

        Raises:
            InputError: it cannot be read, or does not fit.
        """
        if self._last is not None and self._last[0] == where:
            return self._last[1]
        shares = not isinstance(item, Mapping)
        feeds = tuple(
            open_input(
                specs,
                item if shares else item[name],
                self.options,
                where=where,
                shared_with=[one for one in self._all if shares and one.name != name],
                doubting=doubting,
            )
            for name, specs in self.choices.items()
        )
        picture = Picture(where=where, feeds=feeds)
        self._last = (where, picture)
        return picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One opened file, as all inputs see it."""

    where: str
    feeds: tuple[Feed, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in the file's pixels."""
        return self.feeds[0].source.height, self.feeds[0].source.width

    @property
    def resizes(self) -> bool:
        """Whether an input declares a size to which whole images are brought."""
        return any(_resize(feed) is not None for feed in self.feeds)

    def see(self, window: Window | None = None, *, resize: bool = True, empty: bool = False) -> Seen:
        """What the network is given of a window.

        Args:
            window: in the file's pixels; may reach beyond its edge. `None` = all of it.
            resize: whether the inputs' `Resize` steps run, as for whole images.
            empty: whether it may hold no data at all.

        Raises:
            InputError: it cannot be read, holds no data, or its sides are none that the network takes.
        """
        window = window or Window(0, 0, *self.size)
        inputs, valid = {}, {}
        for feed in self.feeds:
            pixels, mask = feed.read(window)
            if not empty and not mask.any():
                raise InputError(f"{self.where} holds no data at {window}: all its pixels are nodata; leave it out")
            here = torch.from_numpy(mask)[None]
            inputs[feed.name] = feed.preprocess(torch.from_numpy(pixels)[None], here, resize=resize)[0]
            valid[feed.name] = feed.preprocess.prepared_mask(here, resize=resize)[0]
            self._check_sides(feed, inputs[feed.name])
        bands = {feed.name: feed.spec.band_ids for feed in self.feeds}
        return Seen(inputs=inputs, bands=bands, valid=valid, place=self.place(window))

    def places_of(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Where the prepared pixels of a whole image of `size` (H, W) come from, so that labels and points follow it.

        Returns:
            Row and column (h, w), float32, counted from the middle of the first pixel; of the first input.
        """
        rows, cols = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in size), indexing="ij")
        step = _resize(self.feeds[0])
        if step is None:
            return rows, cols
        kernel = Kernel.SPLINE if step.kernel is Kernel.SPLINE else Kernel.BILINEAR
        plain = replace(step, kernel=kernel, order=1, antialias=False, clip=False)
        ramps = resize(torch.stack([rows, cols])[None], plain)[0]
        return ramps[0], ramps[1]

    def place(self, window: Window) -> tuple[float, float] | None:
        """Longitude and latitude of a window's middle; `None` where the file does not say where it lies."""
        grid = self.feeds[0].source.grid
        if grid.crs is None:
            return None
        x, y = grid.transform * (window.col + window.width / 2, window.row + window.height / 2)
        lon, lat = reproject(np.array([[[x, y]]]), grid.crs, LON_LAT)[0, 0].tolist()
        return lon, lat

    def _check_sides(self, feed: Feed, prepared: Tensor) -> None:
        height, width = prepared.shape[-2:]
        multiple = feed.spec.multiple
        if height % multiple or width % multiple:
            fit = max(min(height, width) // multiple, 1) * multiple
            raise InputError(
                f"{self.where} is {height} x {width} px; expected sides that are multiples of {multiple}, such as {fit}:"
                f" say the option crop={fit} (or window, where the layout has one)"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """One sample of a picture: a window of it, or all of it, resized (`whole`)."""

    id: str
    file: str
    window: Window | None = None

    @property
    def whole(self) -> bool:
        return self.window is None


def spots_of(pictures: Pictures, root: Path, files: Sequence[str], window: int | None) -> list[Spot]:
    """Samples of pictures below `root`: whole, or in windows side by side, of `window` px or what the variant declares.

    Whole are photographs of an input that declares a size, and what is no larger than a window of such an input.

    Raises:
        InputError: a picture cannot be opened.
        ConfigError: the window is no number, or none that the network takes.
    """
    spec = next(iter(pictures.choices.values()))[0]
    sized = window is None and any(isinstance(step, Resize) for step in spec.steps)
    side = spec.window if window is None else whole_number("window", window, least=1)
    if side is None or (sized and spec.kind is Kind.IMAGE):
        return [Spot(id=file, file=file) for file in files]
    spots = []
    for file in files:
        source = open_raster(root / file)
        if sized and max(source.height, source.width) <= side:
            spots.append(Spot(id=file, file=file))
            continue
        tiles = lattice(source.height, source.width, side, grain_px=spec.multiple)
        alone = len(tiles) == 1
        spots += [
            Spot(id=file if alone else f"{file}:{tile.read.row}:{tile.read.col}", file=file, window=tile.read)
            for tile in tiles
        ]
    return spots


def need_variant(variant: Variant | None, layout: str) -> Variant:
    """The variant, which layouts of zoo's own prepare samples for.

    Raises:
        ConfigError: there is none.
    """
    if variant is None:
        raise ConfigError(
            f"the layout {layout!r} prepares samples for a model, and none is named; say which: --model NAME"
        )
    return variant


def whole_number(name: str, value: Any, *, least: int) -> int:
    """An option that counts.

    Raises:
        ConfigError: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"the option {name} is {value!r}; expected a whole number, at least {least}")
    return value


def _resize(feed: Feed) -> Resize | None:
    return next((step for step in feed.spec.steps if isinstance(step, Resize)), None)


def _listed(value: Any) -> Any:
    """YAML has lists where options are tuples."""
    return tuple(value) if isinstance(value, list) else value
