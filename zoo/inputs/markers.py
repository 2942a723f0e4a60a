"""Numbers that people write where a value is missing, without saying so: told of in a warning, never taken out."""

# n values of each of F variables

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooWarning, some
from zoo.inputs.ranges import usual_range
from zoo.inputs.variables import SHOWN
from zoo.spec import InputSpec

# Ours: what people use. Fill values beyond 1e30, such as -3.4e38, count as missing wherever they stand: see
# `zoo.io.source.BEYOND_DATA`.
MARKERS = (-9999.0, -99999.0, -999.0, -32768.0, 65535.0, 1e20)


@dataclass(kw_only=True, slots=True)
class MarkerCount:
    """How often each of `MARKERS` stands among the values of an input, block by block.

    Attributes:
        spec: the input.
        values: values of each variable so far, missing ones among them.
        found: of each marker and variable (M, F).
        low: the least of the other values of each variable (F,), NaN where there is none.
        high: the largest.
    """

    spec: InputSpec
    values: int = 0
    found: NDArray[np.int64] = field(init=False)
    low: NDArray[np.float32] = field(init=False)
    high: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.found = np.zeros((len(MARKERS), len(self.spec.bands)), np.int64)
        self.low = np.full(len(self.spec.bands), np.nan, np.float32)
        self.high = self.low.copy()

    def add(self, block: NDArray[np.float32]) -> None:
        """Count in float32 (n, F), NaN where a value is missing."""
        self.values += len(block)
        others = block
        for number, marker in enumerate(MARKERS):
            here = block == np.float32(marker)
            if here.any():
                self.found[number] += here.sum(axis=0)
                others = np.where(here, np.float32(np.nan), others)
        self.low = np.fmin(self.low, np.fmin.reduce(others, axis=0, initial=np.nan))
        self.high = np.fmax(self.high, np.fmax.reduce(others, axis=0, initial=np.nan))

    def doubtful(self) -> NDArray[np.bool_]:
        """Which markers of which variables (M, F) are hardly data: they lie among none of the other values, and outside the
        variable's usual range, or, where none is declared, further from the others than these are spread.
        """
        doubtful = np.zeros(self.found.shape, np.bool_)
        for number, index in np.argwhere(self.found):
            marker, low, high = MARKERS[number], self.low[index], self.high[index]
            apart = max(low - marker, marker - high) if low <= high else np.inf
            usual = usual_range(self.spec, int(index))
            is_far = apart > high - low if usual is None else not usual[0] <= marker <= usual[1]
            doubtful[number, index] = apart > 0 and is_far and (usual is not None or low <= high)
        return doubtful

    def doubt(self, what: str, where: str) -> None:
        """Warn of markers that are hardly data.

        Args:
            what: the values looked at, such as "rows".
            where: the file, for messages.
        """
        doubtful = self.doubtful()
        if not doubtful.any():
            return
        told = [
            f"{self.spec.bands[index].id} holds {MARKERS[number]:g} in {self.found[number, index]}"
            for number, index in np.argwhere(doubtful)
        ]
        most = MARKERS[int(np.where(doubtful, self.found, 0).sum(axis=1).argmax())]
        more = "" if doubtful.any(axis=1).sum() == 1 else ", and write the others as that one"
        warnings.warn(
            f"{where}: {some(told, SHOWN)} of the {self.values} {what}; if it marks missing values say --nodata {most:g}{more}",
            ZooWarning,
            stacklevel=3,
        )


def without(values: NDArray[np.float32], doubtful: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values (n, F), NaN where a doubtful marker stands; see `MarkerCount.doubtful`."""
    for number in np.flatnonzero(doubtful.any(axis=1)):
        values = np.where((values == np.float32(MARKERS[number])) & doubtful[number], np.float32(np.nan), values)
    return values
