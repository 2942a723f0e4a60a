"""Photographs at the size that a network was trained on: preprocessed and resized as a whole, then read by windows.

A scene on the ground is cut into windows at its own resolution. A photograph has no scale: where the input declares a
`Resize`, it is brought to that size first (the shorter side where the aspect is kept, and then nothing is cut off), and
what the network says of it is brought back to the size of the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zoo.inputs.feed import Feed
from zoo.io.grid import Grid
from zoo.io.source import Mask, Pixels
from zoo.predict.scene import Batch, Scene
from zoo.spec import Kind, Resize
from zoo.tiling import Window

LARGEST_PX = 100_000_000  # ours: the largest camera's picture; a mosaic of many is a scene and is cut into windows


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedScene(Scene):
    """A photograph after all steps, resize included; windows count its resized pixels.

    Attributes:
        size: (height, width) after the resize.
        tensors: (C, height, width) of each input.
        seen: (height, width) of each input, where there are data.
        window: (height, width) of the windows that suit it: the whole, where the network takes one size only.
    """

    size: tuple[int, int]
    tensors: Mapping[str, Pixels]
    seen: Mapping[str, Mask]
    window: tuple[int, int] | None

    @property
    def grid(self) -> Grid:
        return Grid(height=self.size[0], width=self.size[1])

    @property
    def original(self) -> Grid:
        """Size of the photograph itself."""
        return self.feeds[0].source.grid

    def read(self, windows: Sequence[Window]) -> dict[str, tuple[Pixels, Mask]]:
        return {
            name: (
                np.stack([_cut(pixels, window) for window in windows]),
                np.stack([_cut(self.seen[name], window) for window in windows]),
            )
            for name, pixels in self.tensors.items()
        }

    def prepare(self, read: Mapping[str, tuple[Pixels, Mask]], device: torch.device, *, resize: bool) -> Batch:
        """Tensors on `device`; all steps ran already, so `resize` says nothing."""
        del resize
        return Batch(
            tensors={name: torch.from_numpy(pixels).to(device) for name, (pixels, _) in read.items()},
            bands=self.bands,
            valid={name: torch.from_numpy(mask).to(device) for name, (_, mask) in read.items()},
        )


def fitted(scene: Scene) -> Scene:
    """The scene as the network wants to see it: resized if it is a photograph of an input that declares a size."""
    grid = scene.grid
    resizes = [_resize_of(feed) for feed in scene.feeds]
    if grid.crs is not None or grid.height * grid.width > LARGEST_PX or None in resizes:
        return scene
    tensors, seen, window = {}, {}, None
    size = (grid.height, grid.width)
    for feed, step in zip(scene.feeds, resizes, strict=True):
        assert step is not None
        size = step.size if step.shorter is None else _kept_aspect(grid, step.shorter)
        window = size if step.shorter is None else None
        tensors[feed.name], seen[feed.name] = _whole(feed, size)
    return FittedScene(feeds=scene.feeds, label=scene.label, size=size, tensors=tensors, seen=seen, window=window)


def _resize_of(feed: Feed) -> Resize | None:
    if feed.spec.kind is not Kind.IMAGE:
        return None
    return next((step for step in feed.spec.steps if isinstance(step, Resize)), None)


def _kept_aspect(grid: Grid, shorter: int) -> tuple[int, int]:
    """Size with the shorter side of `shorter` pixels; the longer is rounded down, as PIL-based pipelines do."""
    least = min(grid.height, grid.width)
    return grid.height * shorter // least, grid.width * shorter // least


def _whole(feed: Feed, size: tuple[int, int]) -> tuple[Pixels, Mask]:
    """The whole picture after all steps at `size`, and where it has data."""
    grid = feed.source.grid
    pixels, mask = feed.read(Window(0, 0, grid.height, grid.width))
    resized = feed.preprocess.sized(size)
    tensor = resized(torch.from_numpy(pixels)[None], torch.from_numpy(mask)[None], resize=True)[0]
    rows, cols = (np.arange(n) * old // n for n, old in zip(size, (grid.height, grid.width), strict=True))
    return tensor.numpy(), mask[np.ix_(rows, cols)]


def _cut(pixels: Pixels, window: Window) -> Pixels:
    """The window of an array (..., H, W), 0 beyond its edge."""
    height, width = pixels.shape[-2:]
    inside = window.clipped(height, width)
    rows, cols = inside.slices
    if inside == window:
        return pixels[..., rows, cols]
    padded = np.zeros((*pixels.shape[:-2], window.height, window.width), pixels.dtype)
    place_rows, place_cols = inside.within(window).slices
    padded[..., place_rows, place_cols] = pixels[..., rows, cols]
    return padded
