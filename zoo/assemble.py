"""From what the windows said to the blocks of a map: each cell as its one owner decided, or blended over all that see it.

Parts are read in slices, a block of the output at a time and in window order, so memory stays bounded and the sums do
not depend on who computed what.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from zoo import tiling
from zoo.options import Blend
from zoo.tasks.base import MapLayout, MapTask, Numbers
from zoo.tiling import Tile, Window
from zoo.work import Work

OPEN_PARTS = 32  # ours: parts that stay mapped while blocks are put together


def survey(work: Work, num_batches: int) -> tuple[int, int]:
    """(maps per window, cells with data over all windows)."""
    channels = cells = 0
    for batch in range(num_batches):
        part = work.open(batch)
        cells += int(part.metadata()["cells"])
        channels = int(part.get_slice("maps").get_shape()[1])
    return channels, cells


@dataclass(kw_only=True, slots=True)
class Assembly:
    """The parts of one map, by block of the output."""

    work: Work
    tiles: Sequence[Tile]
    batch_size: int
    blend: Blend
    layout: MapLayout
    task: MapTask
    _extents: Any = field(init=False)
    _mapped: collections.OrderedDict[int, Any] = field(init=False, default_factory=collections.OrderedDict)

    def __post_init__(self) -> None:
        shown = [tile.own if self.blend == "none" else tile.out for tile in self.tiles]
        self._extents = np.array([(one.row, one.col, one.row + one.height, one.col + one.width) for one in shown])

    def block(self, block: Window) -> Numbers:
        """(bands, h, w) of the result in `block`."""
        return self._joined(block) if self.blend == "none" else self._blended(block, self.blend)

    def _joined(self, block: Window) -> Numbers:
        result = self._empty(block)
        for _, shared, maps, seen in self._touching(block):
            rows, cols = shared.within(block).slices
            result[:, rows, cols] = np.where(seen, maps, result[:, rows, cols])
        return result

    def _blended(self, block: Window, blend: Literal["mean", "cosine"]) -> Numbers:
        """Weighted mean, summed in window order in float64, then finished."""
        result = self._empty(block)
        total: Numbers | None = None
        weight = np.zeros((block.height, block.width))
        for tile, shared, maps, seen in self._touching(block):
            if total is None:
                total = np.zeros((maps.shape[0], block.height, block.width))
            share = tiling.blend_weights(tile.out.height, blend)[shared.within(tile.out).slices] * seen
            rows, cols = shared.within(block).slices
            total[:, rows, cols] += maps * share
            weight[rows, cols] += share
        if total is None or not weight.any():
            return result
        mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)
        finished: Numbers = np.where(weight > 0, self.task.finish(mean), result)
        return finished

    def _empty(self, block: Window) -> Numbers:
        shape = (len(self.layout.names), block.height, block.width)
        return np.full(shape, self.layout.nodata, dtype=self.layout.dtype)

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
            maps = part.get_slice("maps")[slot : slot + 1, :, rows, cols][0]
            seen = part.get_slice("seen")[slot : slot + 1, rows, cols][0]
            yield tile, shared, maps, seen.astype(bool)

    def _part(self, batch: int) -> Any:
        if batch not in self._mapped:
            if len(self._mapped) >= OPEN_PARTS:
                self._mapped.popitem(last=False)
            self._mapped[batch] = self.work.open(batch)
        self._mapped.move_to_end(batch)
        return self._mapped[batch]
