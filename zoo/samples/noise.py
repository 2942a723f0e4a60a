"""Smooth random fields that depend on a seed and a position only, so that any window of the world can be drawn alone.

Random numbers sit on lattices in metres and come from a hash of (seed, channel, row, column); between them a cubic
B-spline interpolates. On an upright grid that is four weights per row and four per column, so a field costs a few
passes over the pixels, and the same position gives the same bits whatever window it is drawn in.

Hash: the finaliser of splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
"""

# C channels, H W pixels, h w lattice rows and columns

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Standard deviation of uniform(-1, 1) lattice values after cubic B-spline interpolation along one axis: the values'
# own, sqrt(1/3), times the root of the mean sum of squared weights, which is the B-spline of degree 7 at 0, 151/315.
_UNIFORM_STD = 3**-0.5
_SPLINE_STD = (151 / 315) ** 0.5


def uniform(seed: int, *keys: int | NDArray[np.integer]) -> NDArray[np.float64]:
    """Random numbers in [0, 1), one for each tuple of (broadcast) integer keys."""
    start = _mix_number(seed)
    leading = list(takewhile(lambda key: isinstance(key, int), keys))
    for number in leading:
        start = _mix_number(start ^ (int(number) & _MASK))
    mixed = np.full(1, start, np.uint64)
    for key in keys[len(leading) :]:
        mixed = _mix(mixed ^ np.asarray(key, dtype=np.int64).view(np.uint64))
    numbers: NDArray[np.float64] = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def smooth(
    seed: int, channels: Sequence[int], x_m: NDArray[np.float64], y_m: NDArray[np.float64], wavelength_m: float
) -> Floats:
    """One field per channel on the grid y_m x x_m, (C, H, W): mean 0, variance 1, features of about `wavelength_m`."""
    column, weights_W4 = _spline(x_m / wavelength_m)
    row, weights_H4 = _spline(y_m / wavelength_m)
    columns = np.arange(column.min(), column.max() + 4)
    rows = np.arange(row.min(), row.max() + 4)
    keys = np.asarray(channels)[:, None, None] + 1000 * round(wavelength_m)
    lattice_Chw = (2 * uniform(seed, keys, rows[:, None], columns) - 1).astype(np.float32)
    lattice_ChW = _along_last(lattice_Chw, column - columns[0], weights_W4)
    fields_CHW = _along_rows(lattice_ChW, row - rows[0], weights_H4)
    fields_CHW /= np.float32(_UNIFORM_STD * _SPLINE_STD**2)
    return fields_CHW


def curve(
    seed: int, channel: int | NDArray[np.integer], t_m: NDArray[np.float64], wavelength_m: float
) -> NDArray[np.float64]:
    """Smooth random functions along a line t_m (T,), one per channel, (..., T): mean 0, variance 1."""
    first, weights = _spline(t_m / wavelength_m)
    start = int(first.min())
    lattice = np.arange(start, int(first.max()) + 4)
    key = np.asarray(channel)[..., None] + 1000 * round(wavelength_m)
    values = 2 * uniform(seed, key, lattice) - 1
    picked = values[..., (first - start)[..., None] + np.arange(4)]
    drawn: NDArray[np.float64] = np.sum(weights * picked, axis=-1) / (_UNIFORM_STD * _SPLINE_STD)
    return drawn


def domes(seed: int, x_m: NDArray[np.float64], y_m: NDArray[np.float64], cell_m: float) -> tuple[Floats, Floats]:
    """Scattered round things (crowns of trees, bushes), one per cell of `cell_m`, on the grid y_m x x_m.

    Returns:
        height: 1 at the centre of the thing that reaches highest at the pixel, 0 at its rim and outside, (H, W).
        ticket: that thing's random number in [0, 1), to decide whether it is there and what it is, (H, W).
    """
    column = np.floor(x_m / cell_m).astype(np.int64)
    row = np.floor(y_m / cell_m).astype(np.int64)
    columns = np.arange(column.min() - 1, column.max() + 2)
    rows = np.arange(row.min() - 1, row.max() + 2)
    lattice = uniform(seed, np.arange(4)[:, None, None], rows[:, None], columns).astype(np.float32)
    height = np.zeros((y_m.size, x_m.size), np.float32)
    ticket = np.zeros_like(height)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            cell = np.ix_(row - rows[0] + down, column - columns[0] + right)
            dx = (x_m / cell_m - column - right).astype(np.float32) - lattice[0][cell]
            dy = (y_m / cell_m - row - down).astype(np.float32)[:, None] - lattice[1][cell]
            radius = 0.45 + 0.4 * lattice[2][cell]
            dome = 1 - (dx * dx + dy * dy) / (radius * radius)
            higher = dome > height
            np.copyto(height, dome, where=higher)
            np.copyto(ticket, lattice[3][cell], where=higher)
    return height, ticket


_MASK = 2**64 - 1
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mix_number(z: int) -> int:
    z = (z + _STEP) & _MASK
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(_STEP)
    z ^= z >> np.uint64(30)
    z *= np.uint64(_FIRST)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    return z


# The four pieces of the cubic B-spline as polynomials of the position in the cell, highest power first.
_CUBIC = np.array([[-1, 3, -3, 1], [3, -6, 3, 0], [-3, 0, 3, 0], [1, 4, 1, 0]]) / 6


def _spline(position: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First of the four lattice points that bear on each position, and their cubic B-spline weights (..., 4)."""
    cell = np.floor(position)
    t = (position - cell)[..., None]
    weights = ((_CUBIC[0] * t + _CUBIC[1]) * t + _CUBIC[2]) * t + _CUBIC[3]
    return cell.astype(np.int64) - 1, weights


def _along_rows(fields_ChX: Floats, first: NDArray[np.int64], weights: NDArray[np.float64]) -> Floats:
    taps = weights.astype(np.float32)
    out = fields_ChX[:, first] * taps[:, 0, None]
    for k in range(1, 4):
        out += fields_ChX[:, first + k] * taps[:, k, None]
    return out


def _along_last(fields_Chw: Floats, first: NDArray[np.int64], weights: NDArray[np.float64]) -> Floats:
    taps = weights.astype(np.float32)
    out = fields_Chw[..., first] * taps[:, 0]
    for k in range(1, 4):
        out += fields_Chw[..., first + k] * taps[:, k]
    return out
