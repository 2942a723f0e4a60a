"""A user's numbers beside those that a model declares: what its preprocessing would make of them, band by band.

The distribution of each band goes through the input's own steps, as its pixels would: what a `Percentile` or `Clip` cuts
off, and the mean and deviation that are left after a `Normalise`, say whether the data are of the training data's kind.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

from zoo.datasets.distributions import Distribution, percentiles_of
from zoo.datasets.statistics import BandStatistics, Statistics
from zoo.errors import InputError, ZooWarning
from zoo.inputs.ranges import SPREAD, check_range
from zoo.spec import Clip, Decibel, Fill, InputSpec, Normalise, Percentile, Resize, Scale

# Ours: a scene of one biome differs from a global training set; what exceeds these is of another kind.
MOST_CUT = 0.10  # share of the numbers that may be cut off; declared percentiles 1 and 99 cut 0.02 of the training data
ALL = 0.995
LEAST_FILLED = 0.20  # share of the declared range that percentiles 1 to 99 of the data should fill
MOST_SHIFT = 1.0  # standard deviations of the training data between its mean and that of the data
MOST_SPREAD = 3.0  # times the declared standard deviation, or as many times less


@dataclass(frozen=True, kw_only=True, slots=True)
class BandComparison:
    """One band: numbers as the step that declares something takes them, and what becomes of them.

    Attributes:
        band: as the model calls it.
        unit: of the input's first step.
        percentiles: 1, 50 and 99 of the data.
        low: declared: what becomes 0, or the training data's mean less `SPREAD` deviations; `None` = none declared.
        high: see `low`.
        cut_below: share of the numbers that the steps raise to their least number.
        cut_above: see `cut_below`.
        mean: of the data after all steps.
        std: see `mean`.
        standardised: whether the steps aim at mean 0 and std 1.
        verdict: in words; `"fits"` where there is nothing to say.
    """

    band: str
    unit: str
    percentiles: tuple[float, float, float]
    low: float | None
    high: float | None
    cut_below: float
    cut_above: float
    mean: float
    std: float
    standardised: bool
    verdict: str

    @property
    def fits(self) -> bool:
        return self.verdict == "fits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All bands, and the doubts that prediction would tell of such data."""

    bands: tuple[BandComparison, ...]
    doubts: tuple[str, ...]


def compare(found: Statistics) -> Comparison:
    """Compare statistics with the input that they were matched to.

    Raises:
        InputError: they were matched to none.
    """
    spec = found.spec
    if spec is None:
        raise InputError("these statistics were made without a model; name one to compare them with (--model smarties)")
    rows = percentiles_of([band.distribution for band in found.bands], (1, 50, 99))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ZooWarning)
        check_range(spec, rows, radiometry=found.said)
    doubts = tuple(str(one.message) for one in told if issubclass(one.category, ZooWarning))
    return Comparison(bands=tuple(_compared(spec, *one) for one in enumerate(found.bands)), doubts=doubts)


def _compared(spec: InputSpec, index: int, band: BandStatistics) -> BandComparison:
    now = band.declared or band.distribution
    shown: Distribution | None = None  # as the first step that declares something takes it
    low = high = None
    below = above = 0.0
    standardised = False
    for step in spec.steps:
        match step:
            case Scale():
                now = now.mapped(step.factor, step.offset)
            case Decibel():
                now = now.decibel(step.floor_db)
            case Percentile() | Clip():
                least, most = (step.low, step.high) if isinstance(step, Clip) else (step.low[index], step.high[index])
                if shown is None:
                    shown, low, high = now, least, most
                    below, above = now.share_below(least), 1 - now.share_below(math.nextafter(most, math.inf))
                if isinstance(step, Clip):
                    now = now.mapped(1, 0, least, most)
                else:
                    now = now.mapped(1 / (most - least), -least / (most - least), 0, 1)
            case Normalise():
                mean, std, standardised = step.mean[index], step.std[index], True
                if shown is None:
                    shown, low, high = now, mean - SPREAD * std, mean + SPREAD * std
                now = now.mapped(1 / std, -mean / std)
            case Fill() | Resize():
                continue
    shown = shown or now
    one, half, most_of = (shown.percentile(percent) for percent in (1, 50, 99))
    comparison = BandComparison(
        band=band.name,
        unit=spec.bands[index].unit,
        percentiles=(one, half, most_of),
        low=low,
        high=high,
        cut_below=below,
        cut_above=above,
        mean=now.mean,
        std=now.std,
        standardised=standardised,
        verdict="",
    )
    return _judged(comparison, empty=not shown.count, constant=shown.low == shown.high)


def _judged(one: BandComparison, *, empty: bool, constant: bool) -> BandComparison:
    return replace(one, verdict="no data" if empty else "one number only" if constant else _verdict(one))


def _verdict(one: BandComparison) -> str:
    """What a field ecologist should know of the band, the gravest first."""
    if one.low is None or one.high is None:
        return "fits"
    span = one.high - one.low
    first, middle, last = one.percentiles
    if not one.low - span <= middle <= one.high + span:
        return "another unit or another band: half of it lies far " + ("below" if middle < one.low else "above")
    if one.cut_above > MOST_CUT or one.cut_below > MOST_CUT:
        part, end = max((one.cut_above, "highest"), (one.cut_below, "lowest"))
        return f"{'all' if part > ALL else f'{part * 100:.0f} % of'} numbers are cut off at the {end} end"
    if last - first < LEAST_FILLED * span and not one.standardised:
        return f"narrow: fills {(last - first) / span * 100:.0f} % of the declared range"
    if not one.standardised:
        return "fits"
    if abs(one.mean) > MOST_SHIFT:
        return (
            f"{'higher' if one.mean > 0 else 'lower'} than the training data by {abs(one.mean):.1f} of its deviations"
        )
    if not 1 / MOST_SPREAD <= one.std <= MOST_SPREAD:
        times = one.std if one.std > 1 else 1 / one.std
        return f"{times:.1f} times {'more' if one.std > 1 else 'less'} varied than the training data"
    return "fits"
