"""What a task must say so that prediction can run it on scenes, and nothing of how: that is `zoo.predict.maps` and `zoo.predict.chips`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from zoo.spec import Variant

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapLayout:
    """Bands of a dense result: names, dtype, value where there are no data, unit, and names of classes if it holds any.

    `colours` are those of the classes (red, green, blue; 0-255), empty for zoo's own.
    """

    names: tuple[str, ...]
    dtype: str
    nodata: float
    unit: str
    classes: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()


class MapTask(Protocol):
    """A task with an answer per pixel (or per patch) of a scene.

    `halo_share` is the part of a window's side that is read beyond what the window decides, on each side, where the
    user does not say and windows are not blended.
    """

    halo_share: ClassVar[float] = 0.0

    def maps(self, output: Any) -> Tensor:
        """(B, K, h, w) of what may be averaged where windows overlap: scores or vectors, never class ids."""

    def layout(self, variant: Variant, channels: int) -> MapLayout:
        """Bands of the result for `channels` maps."""

    def finish(self, maps: Tensor) -> Tensor:
        """(..., K, h, w) maps, blended or not, to the (..., bands, h, w) of the layout, on their device."""
