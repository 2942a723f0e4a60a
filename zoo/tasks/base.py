"""What a task must say so that prediction can run it on scenes, and nothing of how: that is `zoo.maps` and `zoo.chips`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from zoo.spec import Variant

Floats = np.ndarray[Any, np.dtype[np.float32]]
Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapLayout:
    """Bands of a dense result: names, dtype, value where there are no data, unit, and names of classes if it holds any."""

    names: tuple[str, ...]
    dtype: str
    nodata: float
    unit: str
    classes: tuple[str, ...] = ()


class MapTask(Protocol):
    """A task with an answer per pixel (or per patch) of a scene."""

    def maps(self, output: Any) -> Tensor:
        """(B, K, h, w) of what may be averaged where windows overlap: scores or vectors, never class ids."""

    def layout(self, variant: Variant, channels: int) -> MapLayout:
        """Bands of the result for `channels` maps."""

    def finish(self, maps: Floats) -> Numbers:
        """(K, h, w) blended maps to the (bands, h, w) of the layout."""
