"""Rivers and lakes of the synthetic world, as functions of the northing: where they run, how wide, how high.

The rivers run south; the valleys lie side by side, `VALLEY_SPACING_M` apart. All sizes are ours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zoo.samples.noise import curve, uniform

VALLEY_SPACING_M = 14_000.0  # ours
LAKE_SPACING_M = 11_000.0  # ours
COURSE = ((5000.0, 600.0), (1500.0, 300.0), (560.0, 85.0))  # ours: (wavelength, amplitude) of the river's bends, m


def river_course_m(seed: int, y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """East coordinate of the main river (the other valleys' are shifted by VALLEY_SPACING_M); 0 at y = 0."""
    here = np.append(y_m, 0.0)
    course = np.sum([size * curve(seed, 11, here, wavelength) for wavelength, size in COURSE], axis=0)
    moved: NDArray[np.float64] = course[:-1] - course[-1]
    return moved


def _lakes(seed: int, y_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Number of the stretch of river with one lake, middle of that lake (both as y_m), half its length (m)."""
    half_length = 750.0 + 500.0 * _once(seed, 21)
    stretch = np.floor(y_m / LAKE_SPACING_M)
    middle = LAKE_SPACING_M * (stretch + 0.17 + 0.05 * uniform(seed, 22, stretch.astype(np.int64)))
    return stretch, middle, half_length


@lru_cache(maxsize=1024)
def _once(seed: int, key: int) -> float:
    return float(uniform(seed, key, 0)[0])


def half_water_m(seed: int, y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the width of the water at a northing: a river of 24-60 m, a lake of up to 1 km."""
    _, middle, half_length = _lakes(seed, y_m)
    river = 12.0 + 14.0 * _once(seed, 23)
    bulge = np.clip(1 - ((y_m - middle) / half_length) ** 2, 0, 1) ** 2
    half: NDArray[np.float64] = river * (1 + 0.25 * curve(seed, 24, y_m, 700.0)).clip(0.6) + bulge * 0.3 * half_length
    return half


def river_level_m(seed: int, fall_m_per_km: float, y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of the water above that at y = 0: rises northwards everywhere but on the lakes, which are level."""
    here = np.append(y_m, 0.0)
    stretch, middle, half_length = _lakes(seed, here)
    flat = 2 * half_length * stretch + np.clip(here - (middle - half_length), 0, 2 * half_length)
    level = fall_m_per_km / 1000 * (here - flat)
    above: NDArray[np.float64] = level[:-1] - level[-1]
    return above
