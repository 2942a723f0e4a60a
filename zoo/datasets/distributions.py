"""How the numbers of a band are distributed, counted in one pass, part by part, in bounded memory.

Integers of up to 16 bits are counted one by one: everything about them is exact. Of other numbers count, mean, standard
deviation, minimum and maximum are exact to float64 (parts are joined by the rule of Chan, Golub and LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979); percentiles are exact for the first `KEPT`
numbers. From then on numbers are counted in bins that grow with their distance from the median of those first ones: a
percentile is off by at most 1/256 of its distance from that centre, whatever the unit, and outliers do not change that.

Parts may be counted in any threads; joined in the same order they give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BEYOND_DATA = 1e30  # larger numbers are somebody's fill value, as in `zoo.inputs.preprocess`
KEPT = 1 << 17  # numbers that are kept as they are; ours: as much memory as the bins
DROPPED_BITS = 15  # of float32's 23 bits of fraction: 8 are left, so a bin is 1/256 of its number wide
NUM_BINS = 1 << 32 - DROPPED_BITS
SLAB = 1 << 17  # numbers at a time: what is computed of them stays in the processor's cache

Numbers = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """Numbers, as many per bin as were counted; bins ascend, and those of exact numbers are points.

    Attributes:
        lower: edge of each bin that holds something.
        upper: see `lower`.
        counts: how many numbers each bin holds.
        mean: NaN where there are no numbers, as are the others.
        std: of all numbers (divided by their count, not by one less).
        low: least number.
        high: largest number.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    counts: Counts
    mean: float
    std: float
    low: float
    high: float

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float:
        """The percentile (0-100), between neighbours interpolated linearly, as `numpy.percentile` does."""
        if not len(self.counts):
            return float("nan")
        rank = percent / 100 * (self.count - 1)
        below, above = self._ranked(int(rank)), self._ranked(int(np.ceil(rank)))
        return float(np.clip(below + (rank - int(rank)) * (above - below), self.low, self.high))

    def error_at(self, percent: float) -> float:
        """By how much `percentile` may be off: the width of its bin, 0 where numbers are exact."""
        if not len(self.counts):
            return 0.0
        index = self._bin(int(np.ceil(percent / 100 * (self.count - 1))))
        return float(self.upper[index] - self.lower[index])

    def share_below(self, number: float) -> float:
        """Share of the numbers that are less; NaN where there are none."""
        if not len(self.counts):
            return float("nan")
        width = self.upper - self.lower
        inside = np.clip((number - self.lower) / np.where(width > 0, width, 1), 0, 1)
        part = np.where(width > 0, inside, self.lower < number)
        return float((part * self.counts).sum() / self.count)

    def mapped(self, factor: float, offset: float, least: float = -np.inf, most: float = np.inf) -> Distribution:
        """The distribution of number * factor + offset, limited to [least, most]."""
        ends = np.stack([self.lower, self.upper]) * factor + offset
        low, high = sorted((self.low * factor + offset, self.high * factor + offset))
        turned = self._with(ends if factor >= 0 else ends[::-1, ::-1], -1 if factor < 0 else 1)
        if low >= least and high <= most:  # exact, where the sum over bins is not
            return replace(turned, mean=self.mean * factor + offset, std=self.std * abs(factor), low=low, high=high)
        return turned._with(np.clip([turned.lower, turned.upper], least, most))  # noqa: SLF001 - of this class

    def decibel(self, floor_db: float) -> Distribution:
        """The distribution of 10 log10(number), `floor_db` where there is no logarithm."""
        ends = np.stack([self.lower, self.upper])
        return self._with(np.where(ends > 0, 10 * np.log10(np.where(ends > 0, ends, 1)), floor_db))

    def _with(self, ends: NDArray[np.float64], step: int = 1) -> Distribution:
        """The same counts, or these reversed, in other bins; moments are those of the middles of the bins."""
        counts = self.counts[::step]
        if not len(counts):
            return self
        middle = ends.mean(axis=0)
        mean = float(np.average(middle, weights=counts))
        std = float(np.sqrt(np.average((middle - mean) ** 2, weights=counts)))
        low, high = float(ends.min()), float(ends.max())
        return Distribution(lower=ends[0], upper=ends[1], counts=counts, mean=mean, std=std, low=low, high=high)

    def _ranked(self, rank: int) -> float:
        """The number of a rank from 0; those of a bin are taken as spread evenly over it."""
        index = self._bin(rank)
        before = int(self.counts[:index].sum())
        share = (rank - before + 0.5) / int(self.counts[index])
        return float(self.lower[index] + share * (self.upper[index] - self.lower[index]))

    def _bin(self, rank: int) -> int:
        return int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What one window, or one block of rows, adds: moments, and numbers or bins."""

    count: int
    mean: float = 0.0
    squares: float = 0.0  # sum of (number - mean)^2
    low: float = np.inf
    high: float = -np.inf
    numbers: Numbers | None = None
    bins: Counts | None = None


class Tally:
    """Counts the numbers of one band; `part` may be called in threads, `add` in one, in order."""

    def __init__(self, dtype: str) -> None:
        kind = np.dtype(dtype)
        self.counted = kind.kind in "iub" and kind.itemsize <= 2
        self._first = int(np.iinfo(kind).min) if self.counted and kind.kind != "b" else 0
        self._bins: Counts = np.zeros(1 << (8 * kind.itemsize) if self.counted else NUM_BINS, np.int64)
        self._kept: list[Numbers] = []
        self._centre: float | None = None
        self._all = Part(count=0)
        self.seen = 0  # numbers that were looked at, with those that are no data

    def part(self, numbers: Numbers, nodata: float | None = None) -> Part:
        """Count numbers (n,) of the band's dtype; NaN, infinity, what is beyond 1e30 and `nodata` are no data."""
        if self.counted:
            bins = _counts(numbers, self._first)
            place = -1 if nodata is None or nodata != np.trunc(nodata) else int(nodata) - self._first
            if 0 <= place < len(bins):
                bins[place] = 0
            return Part(count=int(bins.sum()), bins=bins)
        found = data_of(numbers, nodata)
        if self._centre is None:
            return replace(_moments(found), numbers=found.copy())
        return replace(_moments(found), bins=_binned(found, self._centre))

    def add(self, part: Part, seen: int) -> None:
        """Add a part of which `seen` numbers were looked at."""
        self.seen += seen
        self._all = _joined(self._all, part)
        if part.bins is not None:
            self._bins[: len(part.bins)] += part.bins
        if part.numbers is None:
            return
        if self._centre is not None:  # was read ahead, before there was a centre
            self._bins += _binned(part.numbers, self._centre)
            return
        self._kept.append(part.numbers)
        if self._all.count > KEPT:
            kept = np.concatenate(self._kept)
            self._centre = float(np.float32(np.median(kept[:KEPT])))  # the same for numbers of either precision
            self._bins += _binned(kept, self._centre)
            self._kept = []

    def distribution(self) -> Distribution:
        """What was counted so far."""
        if self.counted:
            return self._of_integers()
        if self._centre is None:
            kept = np.concatenate([*self._kept, np.empty(0)])
            values, counts = np.unique(kept.astype(np.float64), return_counts=True)
            return self._of_floats(values, values, counts)
        lower, upper = _edges(self._centre)
        bins = _ascending(self._bins)
        held = bins > 0
        return self._of_floats(lower[held], upper[held], bins[held])

    def _of_integers(self) -> Distribution:
        held = np.flatnonzero(self._bins)
        values, counts = (held + self._first).astype(np.float64), self._bins[held]
        mean = float((values * counts).sum() / counts.sum()) if len(held) else np.nan
        std = float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum())) if len(held) else np.nan
        low, high = (float(values[0]), float(values[-1])) if len(held) else (np.nan, np.nan)
        return Distribution(lower=values, upper=values, counts=counts, mean=mean, std=std, low=low, high=high)

    def _of_floats(self, lower: Numbers, upper: Numbers, counts: Counts) -> Distribution:
        one = self._all if self._all.count else Part(count=0, mean=np.nan, squares=np.nan, low=np.nan, high=np.nan)
        return Distribution(
            lower=np.clip(lower, one.low, one.high),
            upper=np.clip(upper, one.low, one.high),
            counts=counts.astype(np.int64),
            mean=one.mean,
            std=float(np.sqrt(one.squares / max(one.count, 1))),
            low=one.low,
            high=one.high,
        )


def data_of(numbers: Numbers, nodata: float | None = None) -> Numbers:
    """Those of the numbers (n,) that are data: finite, not beyond 1e30, not `nodata`."""
    if not len(numbers):
        return numbers
    low, high = numbers.min(), numbers.max()  # NaN if one number is; much cheaper than to look at each
    if low > -BEYOND_DATA and high < BEYOND_DATA and not (nodata is not None and low <= nodata <= high):
        return numbers
    keep = np.abs(numbers.astype(np.float64, copy=False)) < BEYOND_DATA
    if nodata is not None:
        keep &= numbers != numbers.dtype.type(nodata) if numbers.dtype.kind == "f" else numbers != nodata
    return np.asarray(numbers[keep])


def percentiles_of(distributions: Sequence[Distribution], percents: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles (len(percents), bands), as `zoo.inputs.ranges.check_range` takes them."""
    return np.array([[one.percentile(percent) for one in distributions] for percent in percents])


# -------------------------------------------------------------------------------------------------------------- counting


def _counts(numbers: Numbers, first: int) -> Counts:
    """How often each integer from `first` to the largest is there."""
    if first or (numbers.dtype == np.uint16 and len(numbers) and numbers.max() > np.iinfo(np.int16).max):
        numbers = numbers.astype(np.int32) - first
    elif numbers.dtype == np.uint16:
        numbers = numbers.view(np.int16)
    return _frequencies(numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers)


def _frequencies(places: Numbers, length: int = 0) -> Counts:
    """As `numpy.bincount`, which copies the places to int64 first and takes three times as long."""
    counts: Counts = torch.bincount(torch.from_numpy(places), minlength=length).numpy()
    return counts


def _moments(numbers: Numbers) -> Part:
    """Count, mean, squares, minimum and maximum, in float64."""
    joined = Part(count=0)
    for start in range(0, len(numbers), SLAB):
        slab = numbers[start : start + SLAB]
        exact = slab.astype(np.float64)
        mean = float(exact.mean())
        exact -= mean
        np.square(exact, out=exact)
        here = Part(count=len(slab), mean=mean, squares=float(exact.sum()), low=slab.min(), high=slab.max())
        joined = _joined(joined, here)
    return joined


def _joined(one: Part, other: Part) -> Part:
    count = one.count + other.count
    if not count:
        return Part(count=0)
    apart, share = other.mean - one.mean, other.count / count
    return Part(
        count=count,
        mean=one.mean + apart * share,
        squares=one.squares + other.squares + apart * apart * one.count * share,
        low=float(min(one.low, other.low)),
        high=float(max(one.high, other.high)),
    )


def _binned(numbers: Numbers, centre: float) -> Counts:
    """Counts by the leading bits of the distance from the centre: sign, exponent and 8 bits of fraction."""
    bins = np.zeros(NUM_BINS, np.int64)
    exact = numbers.dtype if numbers.dtype == np.float32 else np.dtype(np.float64)
    for start in range(0, len(numbers), SLAB * 4):
        distance = numbers[start : start + SLAB * 4].astype(exact, copy=False) - exact.type(centre)
        bits = distance.astype(np.float32, copy=False).view(np.uint32)
        bits >>= DROPPED_BITS
        bins += _frequencies(bits.view(np.int32), NUM_BINS)
    return bins


def _ascending(bins: Counts) -> Counts:
    """Bins in the order of their numbers: negative distances, whose bits ascend with their size, come first, reversed."""
    half = NUM_BINS // 2
    return np.concatenate([bins[: half - 1 : -1], bins[:half]])


def _edges(centre: float) -> tuple[Numbers, Numbers]:
    """Lower and upper edge of each ascending bin."""
    bits = np.arange(NUM_BINS // 2, dtype=np.uint32) << np.uint32(DROPPED_BITS)
    with np.errstate(invalid="ignore"):  # the last bins are those of infinity and NaN, and stay empty
        near = bits.view(np.float32).astype(np.float64)
        far = (bits + np.uint32(1 << DROPPED_BITS)).view(np.float32).astype(np.float64)
        return np.concatenate([-far[::-1], near]) + centre, np.concatenate([-near[::-1], far]) + centre
