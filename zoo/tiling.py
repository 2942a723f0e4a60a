"""How a scene is cut into windows of one size, and how what they say is put together again.

Input pixels are the scene's; output pixels are the dense result's, one per `stride_px` input pixels per axis. Output
pixel (r, c) covers input rows r * stride_px ... (r + 1) * stride_px - 1 and the like columns; where the scene's side is
no multiple of `stride_px` the last output pixel is partly beyond the edge, and the windows that decide it are padded.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zoo.errors import ConfigError

# Weights are multiples of 1/1024 per axis: in float64 the weighted sum of equal float32 numbers is then exact (24 bits
# of number + 20 of weight + 9 for 512 overlapping windows = 53), and a constant stays that constant, to the last bit.
WEIGHT_STEPS = 1024


@dataclass(frozen=True, slots=True)
class Window:
    """Rows row ... row + height - 1 and columns col ... col + width - 1; may reach beyond the raster's edge."""

    row: int
    col: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"rows {self.row}-{self.row + self.height - 1}, columns {self.col}-{self.col + self.width - 1}"

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def within(self, outer: Window) -> Window:
        """The same window, counted from the first row and column of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)

    def clipped(self, height: int, width: int) -> Window:
        """The part inside a raster of `height` x `width`; of height or width 0 where there is none."""
        top, bottom = (min(max(edge, 0), height) for edge in (self.row, self.row + self.height))
        left, right = (min(max(edge, 0), width) for edge in (self.col, self.col + self.width))
        return Window(top, left, bottom - top, right - left)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One window of a lattice.

    Attributes:
        index: place in the lattice, row by row.
        read: input pixels that the network sees; always of the full window size.
        out: output pixels that the network answers for, `read` divided by the stride.
        own: output pixels that this tile alone decides, a part of `out`; over all tiles they cover the output once.
    """

    index: int
    read: Window
    out: Window
    own: Window

    @property
    def own_in_out(self) -> tuple[slice, slice]:
        """Rows and columns of `own` in the array of the tile's answers."""
        return self.own.within(self.out).slices


def output_size(size: int, stride_px: int) -> int:
    """Output pixels along an axis of `size` input pixels: the last may be partly beyond the edge."""
    return -(-size // stride_px)


def lattice(
    height: int,
    width: int,
    window: int | tuple[int, int],
    stride_px: int = 1,
    halo: int = 0,
    *,
    grain_px: int | None = None,
) -> tuple[Tile, ...]:
    """Windows that cover a scene of `height` x `width` input pixels, row by row.

    Neighbours overlap by 2 * `halo`. The last row and column are moved back, by a multiple of the grain, so that they
    end with the scene or less than a grain beyond it; a scene smaller than a window gets one window, which reaches
    beyond its edge.

    Args:
        height: of the scene, input pixels.
        width: of the scene, input pixels.
        window: side of the windows, or (height, width); a multiple of `stride_px`.
        stride_px: input pixels per output pixel and axis (the patch of a transformer).
        halo: input pixels of context on each side of what a window decides; a multiple of `grain_px`.
        grain_px: every window starts at a multiple of it, so that a network that halves its input five times meets a
            pixel in the same phase in every window (32); `None` = the stride.

    Raises:
        ConfigError: window, stride and halo do not fit together.
    """
    window_height, window_width = (window, window) if isinstance(window, int) else window
    grain_px = grain_px or stride_px
    rows = _axis(height, window_height, stride_px, halo, grain_px)
    cols = _axis(width, window_width, stride_px, halo, grain_px)
    out_height, out_width = window_height // stride_px, window_width // stride_px
    return tuple(
        Tile(
            index=index,
            read=Window(row * stride_px, col * stride_px, window_height, window_width),
            out=Window(row, col, out_height, out_width),
            own=Window(top, left, bottom - top, right - left),
        )
        for index, ((row, top, bottom), (col, left, right)) in enumerate((r, c) for r in rows for c in cols)
    )


def blend_weights(n: int, kind: Literal["mean", "cosine"]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights (n, n) of one tile's output pixels in a weighted mean of overlapping tiles.

    `mean` weighs all alike; `cosine` falls from the middle to the edge as sin^2, never to 0, so that a pixel seen by
    one tile alone keeps its number. Sum weight * number and weight in float64, in tile order, then divide: equal
    float32 numbers come out unchanged.
    """
    if kind == "mean":
        along = np.ones(n)
    else:
        along = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
        along = np.maximum(np.rint(along * WEIGHT_STEPS), 1) / WEIGHT_STEPS
    return np.outer(along, along)


def _axis(size: int, window: int, stride_px: int, halo: int, grain_px: int) -> list[tuple[int, int, int]]:
    """Per tile along one axis, in output pixels: where it starts, and from where to where it decides."""
    _check(size, window, stride_px, halo, grain_px)
    total, span, margin = output_size(size, stride_px), window // stride_px, halo // stride_px
    step, grain = span - 2 * margin, grain_px // stride_px
    last = -(-max(total - span, 0) // grain) * grain
    starts = [*range(0, last, step), last]
    # The border between two tiles runs through the middle of what both see.
    borders = [(here + span + after) // 2 for here, after in itertools.pairwise(starts)]
    return list(zip(starts, [0, *borders], [*borders, total], strict=True))


def _check(size: int, window: int, stride_px: int, halo: int, grain_px: int) -> None:
    if size < 1 or stride_px < 1 or halo < 0 or grain_px % stride_px:
        raise ConfigError(
            f"a side of {size} px, stride {stride_px}, halo {halo} and grain {grain_px} make no lattice; expected at"
            " least 1, 1 and 0, and a grain that is a multiple of the stride"
        )
    if window < grain_px or window % grain_px:
        fit = max(window // grain_px, 1) * grain_px
        raise ConfigError(f"window is {window} px; expected a multiple of {grain_px}: try {fit} or {fit + grain_px}")
    if halo % grain_px:
        fit = halo // grain_px * grain_px
        raise ConfigError(f"halo is {halo} px; expected a multiple of {grain_px}: try {fit} or {fit + grain_px}")
    if 2 * halo >= window:
        fit = (window - grain_px) // 2 // grain_px * grain_px
        raise ConfigError(f"halo is {halo} px, and nothing of a window of {window} px is left; try at most {fit}")
