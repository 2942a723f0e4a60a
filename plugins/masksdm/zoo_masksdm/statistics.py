"""Mean and deviation of predictors, by which they are standardised: of the training rows, without what is missing."""

# N rows, F predictors

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.spec import Normalise

ADDED = 1e-4  # to the deviation, so that a constant predictor divides by something: zbirobin/MaskSDM-MEE@bfdc9487


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Mean and population deviation, (F,) float32."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def step(self, source: str) -> Normalise:
        """What standardises: (x - mean) / (std + 0.0001)."""
        std = self.std + np.float32(ADDED)
        return Normalise(mean=tuple(self.mean.tolist()), std=tuple(std.tolist()), source=source)


def statistics_of(x: NDArray[Any]) -> Statistics:
    """Of rows (N, F), NaN where missing."""
    x = x.astype(np.float64)
    return Statistics(mean=np.nanmean(x, axis=0).astype(np.float32), std=np.nanstd(x, axis=0).astype(np.float32))
