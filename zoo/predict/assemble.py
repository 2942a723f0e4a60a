"""From what the windows said to the blocks of a map: each cell as its one owner decided, or blended over all that see it.

Parts are read in slices, a block of the output at a time and in window order, so memory stays bounded and the sums do
not depend on who computed what.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from zoo import tiling
from zoo.options import Blend
from zoo.predict.work import Work
from zoo.results.maps import MapBands
from zoo.tasks.base import MapTask, Numbers
from zoo.tiling import Tile, Window

# Ours: of the parts that stay mapped while blocks are put together. What was read of them counts as memory of the
# process: 512 MB of parts (32 of 8 windows, 256 px, 8 classes) took 1340 MB in all, 64 MB 860, 32 MB less; a sixth more time.
MAPPED_BYTES = 32 << 20
PIECE_BYTES = 16 << 20  # ours: of the float64 sums of all maps, which a block of class ids is 300 times smaller than
LEAST_PIECE = 64  # px


def survey(work: Work, num_batches: int) -> tuple[int, int]:
    """(maps per window, cells with data over all windows)."""
    channels = cells = 0
    for batch in range(num_batches):
        with work.open(batch) as part:
            cells += int(part.metadata()["cells"])
            channels = int(part.metadata()["channels"])
    return channels, cells


@dataclass(kw_only=True, slots=True)
class Assembly:
    """The parts of one map, by block of the output.

    Attributes:
        finished: whether the parts hold what the task's `finish` gave, so that nothing is left to average.
        channels: maps per window before `finish`.
        chosen: which of the maps of a window are looked at, where they are finished.
        fit: (rows, columns) of the maps per row and column of the result; other than 1 for photographs that were
            resized before they were seen.
    """

    work: Work
    tiles: Sequence[Tile]
    batch_size: int
    blend: Blend
    bands: MapBands
    task: MapTask
    finished: bool
    channels: int
    chosen: slice = field(default_factory=lambda: slice(None))
    fit: tuple[float, float] = (1.0, 1.0)
    _extents: Any = field(init=False)
    _mapped: collections.OrderedDict[int, Any] = field(init=False, default_factory=collections.OrderedDict)

    def __post_init__(self) -> None:
        shown = [tile.own if self.blend == "none" else tile.out for tile in self.tiles]
        self._extents = np.array([(one.row, one.col, one.row + one.height, one.col + one.width) for one in shown])

    def block(self, block: Window) -> Numbers:
        """(bands, h, w) of the result in `block`."""
        result = np.full((len(self.bands.names), block.height, block.width), self.bands.nodata, self.bands.dtype)
        if self.finished:
            self._join(block, result, np.zeros(result.shape[1:], np.bool_))
            return result
        for piece in self._pieces(block):
            rows, cols = piece.within(block).slices
            maps, seen = self._resampled(piece) if self.fit != (1.0, 1.0) else self._averaged(piece)
            if seen.any():
                done = self.task.finish(torch.from_numpy(maps)).numpy()
                result[:, rows, cols] = np.where(seen, done, result[:, rows, cols])
        return result

    def _pieces(self, block: Window) -> Iterator[Window]:
        side = max(math.isqrt(PIECE_BYTES // (8 * self.channels)), LEAST_PIECE)
        for row in range(0, block.height, side):
            for col in range(0, block.width, side):
                height, width = min(side, block.height - row), min(side, block.width - col)
                yield Window(block.row + row, block.col + col, height, width)

    def _join(self, block: Window, maps: Numbers, seen: Numbers) -> None:
        """What each cell's owner says of it, into `maps`, and whether it had data, into `seen`."""
        for _, shared, said, known in self._touching(block):
            rows, cols = shared.within(block).slices
            maps[:, rows, cols] = np.where(known, said, maps[:, rows, cols])
            seen[rows, cols] |= known

    def _averaged(self, block: Window) -> tuple[Numbers, Numbers]:
        """Maps (K, h, w) before `finish`, and where there are any."""
        if self.blend == "none":
            maps = np.zeros((self.channels, block.height, block.width), np.float32)
            seen = np.zeros(maps.shape[1:], np.bool_)
            self._join(block, maps, seen)
            return maps, seen
        return self._blended(block, self.blend)

    def _blended(self, block: Window, blend: Literal["mean", "cosine"]) -> tuple[Numbers, Numbers]:
        """Weighted mean, summed in window order in float64."""
        total = np.zeros((self.channels, block.height, block.width))
        weight = np.zeros((block.height, block.width))
        for tile, shared, maps, seen in self._touching(block):
            share = tiling.blend_weights(tile.out.height, blend)[shared.within(tile.out).slices] * seen
            rows, cols = shared.within(block).slices
            total[:, rows, cols] += maps * share
            weight[rows, cols] += share
        seen = weight > 0
        mean = np.divide(total, weight, out=np.zeros_like(total), where=seen)
        return mean.astype(np.float32), seen

    def _resampled(self, block: Window) -> tuple[Numbers, Numbers]:
        """Maps at the pixels of the result, bilinear between the cells that were computed (the nearest one's mask)."""
        rows = _between(
            block.row, block.height, self.fit[0], max(tile.own.row + tile.own.height for tile in self.tiles)
        )
        cols = _between(block.col, block.width, self.fit[1], max(tile.own.col + tile.own.width for tile in self.tiles))
        around = Window(rows.first, cols.first, rows.size, cols.size)
        maps, seen = self._averaged(around)
        maps = maps[:, rows.low] * (1 - rows.share[:, None]) + maps[:, rows.high] * rows.share[:, None]
        maps = maps[:, :, cols.low] * (1 - cols.share) + maps[:, :, cols.high] * cols.share
        return maps.astype(np.float32), seen[np.ix_(rows.nearest, cols.nearest)]

    def _touching(self, block: Window) -> Iterator[tuple[Tile, Window, Numbers, Numbers]]:
        """(tile, what it shares with the block, its maps there, its mask there), in window order."""
        bottom, right = block.row + block.height, block.col + block.width
        top_edge, left_edge, bottom_edge, right_edge = self._extents.T
        hits = (top_edge < bottom) & (bottom_edge > block.row) & (left_edge < right) & (right_edge > block.col)
        for index in np.nonzero(hits)[0].tolist():
            top, left, under, beyond = self._extents[index].tolist()
            row, col = max(top, block.row), max(left, block.col)
            shared = Window(row, col, min(under, bottom) - row, min(beyond, right) - col)
            tile = self.tiles[index]
            rows, cols = shared.within(tile.out).slices
            part, slot = self._part(index // self.batch_size), index % self.batch_size
            maps = part.get_slice("maps")[slot : slot + 1, self.chosen, rows, cols][0]
            seen = part.get_slice("seen")[slot : slot + 1, rows, cols][0]
            yield tile, shared, maps, seen.astype(bool)

    def _part(self, batch: int) -> Any:
        if batch not in self._mapped:
            room = MAPPED_BYTES // self.work.size(batch)  # parts are about equal
            while self._mapped and len(self._mapped) >= room:
                self._mapped.popitem(last=False)
            self._mapped[batch] = self.work.open(batch)
        self._mapped.move_to_end(batch)
        return self._mapped[batch]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Between:
    """Along one axis: cells `first` ... `first + size - 1`, and for each pixel the two it lies between."""

    first: int
    size: int
    low: Numbers
    high: Numbers
    share: Numbers  # of `high`
    nearest: Numbers


def _between(start: int, size: int, cells_per_pixel: float, num_cells: int) -> _Between:
    """Centres of pixels `start` ... as torch's `interpolate` with `align_corners=False` places them among cells."""
    place = np.clip((np.arange(start, start + size) + 0.5) * cells_per_pixel - 0.5, 0, num_cells - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, num_cells - 1)
    first, last = int(low[0]), int(high[-1])
    return _Between(
        first=first,
        size=last - first + 1,
        low=low - first,
        high=high - first,
        share=(place - low).astype(np.float32),
        nearest=np.rint(place).astype(np.int64) - first,
    )
