"""What a task must say so that prediction can run it on scenes, and nothing of how: that is `zoo.predict.maps` and `zoo.predict.chips`."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from zoo.results.maps import MapBands
from zoo.spec import Variant

Numbers = np.ndarray[Any, np.dtype[Any]]


class MapTask(Protocol):
    """A task with an answer per pixel (or per patch) of a scene.

    `halo_share` is the part of a window's side that is read beyond what the window decides, on each side, where the
    user does not say and windows are not blended.
    """

    halo_share: ClassVar[float] = 0.0

    def maps(self, output: Any) -> Tensor:
        """(B, K, h, w) of what may be averaged where windows overlap: scores or vectors, never class ids."""

    def bands(self, variant: Variant, channels: int) -> MapBands:
        """Bands of the result for `channels` maps."""

    def finish(self, maps: Tensor) -> Tensor:
        """(..., K, h, w) maps, blended or not, to the (..., bands, h, w) of `bands`, on their device."""
