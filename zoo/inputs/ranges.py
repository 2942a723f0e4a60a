"""Whether numbers can belong to the data that a model was trained on; doubts are warnings that contain the numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from zoo.errors import ZooWarning
from zoo.inputs.radiometry import LinearMap, Radiometry
from zoo.spec import Clip, Decibel, Fill, InputSpec, Kind, Normalise, Percentile, Resize, Scale

# Ours, where no other source stands beside a number: wide enough that no scene of the training data's kind is doubted.
REFLECTANCE_MAX = 2.0  # cloud tops and snow slopes exceed 1
EIGHT_BIT_MAX = 255.0
EIGHT_BIT_USUAL = 2 * EIGHT_BIT_MAX  # mean and three standard deviations of photographs end near 300
SPREAD = 3.0  # standard deviations that count as a band's usual range where no percentiles are declared


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """One band: percentiles 1, 50, 99 of the file's numbers, the same as mapped, and the range that is usual."""

    band: str
    unit: str
    raw: tuple[float, float, float]
    mapped: tuple[float, float, float]
    low: float
    high: float

    @property
    def span(self) -> float:
        return self.high - self.low

    def found(self) -> str:
        return f"{self.band} has percentiles 1, 50, 99 of {_three(self.raw)}" + (
            "" if self.raw == self.mapped else f" (as declared: {_three(self.mapped)})"
        )

    def expected(self) -> str:
        low = 0.0 if abs(self.low) < 1e-6 * self.span else self.low  # left over from mapping back
        return f"{low:.4g} to {self.high:.4g} {self.unit}"


def check_range(
    spec: InputSpec,
    percentiles: ArrayLike,
    *,
    radiometry: Radiometry | None = None,
    where: str = "",
    doubted: set[str] | None = None,
) -> None:
    """Warn when numbers cannot belong to the statistics that the input declares.

    Args:
        spec: the input, narrowed to the file's bands.
        percentiles: percentiles 1, 50 and 99 of the file's numbers, as stored: three rows of one value per band. NaN
            where a band has no data.
        radiometry: what the file or the user says of the numbers.
        where: the file, for messages.
        doubted: causes of doubt that were told already, of other files of the run: they are not told again, and a new
            one is added.

    Warns:
        ZooWarning: the first of these doubts that applies: numbers already reflectance, linear power or decibels;
            8 bit for 16 bit or the reverse; the Sentinel-2 offset not removed, or removed twice; a band that holds one
            number only; a band outside its usual range.
    """
    said = radiometry or Radiometry()
    seen = _seen(spec, np.asarray(percentiles, np.float64).tolist(), said.to_declared(spec, where))
    if not seen:
        return
    label = spec.label or spec.name
    doubts = {
        "unit": _unit_doubt(seen),
        "offset": _offset_doubt(seen, said),
        "constant": _constant_doubt(seen),
        "outside": _outside_doubt(seen, spec.kind),
    }
    cause, doubt = next(((cause, doubt) for cause, doubt in doubts.items() if doubt), ("", None))
    key = f"{cause} {spec.name} {label}"
    if doubt is None or (doubted is not None and key in doubted):
        return
    again = ""
    if doubted is not None:
        doubted.add(key)
        again = "; said once, other files may be alike"
    at = f"{where}: " if where else ""
    warnings.warn(f"{at}{doubt} (input {label}){again}", ZooWarning, stacklevel=2)


def _seen(spec: InputSpec, percentiles: list[list[float]], to_declared: LinearMap) -> list[_Seen]:
    seen = []
    for index, band in enumerate(spec.bands):
        usual = usual_range(spec, index)
        raw = tuple(row[index] for row in percentiles)
        if usual is None or not all(math.isfinite(value) for value in raw):
            continue
        factor, offset, _ = (part[index] if isinstance(part, tuple) else part for part in to_declared)
        low, middle, high = sorted(value * factor + offset for value in raw)
        seen.append(
            _Seen(
                band=band.id,
                unit=band.unit,
                raw=(raw[0], raw[1], raw[2]),
                mapped=(low, middle, high),
                low=usual[0],
                high=usual[1],
            )
        )
    return seen


def usual_range(spec: InputSpec, index: int) -> tuple[float, float] | None:
    """The usual range of a band's numbers before the first step, from the first step that tells one; `None` if none does.

    Three standard deviations to both sides of the mean, or the percentiles or limits that are declared.
    """
    inverse: list[Scale | Decibel] = []
    for step in spec.steps:
        match step:
            case Scale() | Decibel():
                inverse.append(step)
            case Percentile():
                return _undo(inverse, step.low[index], step.high[index])
            case Normalise():
                mean, spread = step.mean[index], SPREAD * step.std[index]
                return _undo(inverse, mean - spread, mean + spread)
            case Clip():
                return _undo(inverse, step.low, step.high)
            case Fill() | Resize():
                continue
    return None


def _undo(steps: Sequence[Scale | Decibel], low: float, high: float) -> tuple[float, float]:
    for step in reversed(steps):
        if isinstance(step, Scale):
            low, high = (low - step.offset) / step.factor, (high - step.offset) / step.factor
        else:
            low, high = 10 ** (low / 10), 10 ** (high / 10)
    return min(low, high), max(low, high)


# -------------------------------------------------------------------------------------------------------------- doubts


def _unit_doubt(seen: Sequence[_Seen]) -> str | None:
    """Another unit than the statistics': all bands of one unit fail alike."""
    for unit in dict.fromkeys(one.unit for one in seen):
        bands = [one for one in seen if one.unit == unit]
        first = bands[0]
        lowest, highest = min(one.mapped[0] for one in bands), max(one.mapped[2] for one in bands)
        found = f"{first.found()}, expected about {first.expected()}"
        usual_high, usual_low = max(one.high for one in bands), min(one.low for one in bands)
        if highest == lowest:
            continue
        if unit == "dB" and lowest >= 0 and usual_low < 0:
            return f"{found}: no decibels, rather linear power or uncalibrated numbers; convert with 10 * log10(power)"
        if first.band.startswith("S1:") and usual_low >= 0 and all(one.mapped[1] < 0 for one in bands):
            return f"{found}: decibels rather than linear power; convert with 10 ** (dB / 10)"
        if unit != "DN" or lowest < 0:
            continue
        if highest <= REFLECTANCE_MAX and usual_high > 50 * REFLECTANCE_MAX:
            scale = "1" if usual_high > EIGHT_BIT_USUAL else "255"
            return f"{found}: scaled to 0..1 already? Say --scale {scale}"
        if highest <= EIGHT_BIT_MAX and usual_high > 4 * EIGHT_BIT_MAX:
            return f"{found}: a picture in 8 bit? Give the digital numbers of the product, or say their --scale"
        if usual_high <= EIGHT_BIT_USUAL and highest > EIGHT_BIT_MAX + 1:
            return f"{found}: more than 8 bit; bring them to 0..255, such as with --scale {EIGHT_BIT_MAX / highest:.3g}"
    return None


def _offset_doubt(seen: Sequence[_Seen], said: Radiometry) -> str | None:
    """The 1000 DN of processing baseline 04.00, still there or removed twice."""
    bands = [one for one in seen if one.band.startswith("S2:") and one.unit == "DN"]
    dark = [one for one in bands if one.low < 500]  # coastal and blue of L1C start near 1000 DN for their haze
    near = all(one.mapped[0] >= 1000 and one.mapped[1] <= one.high + one.span for one in dark)
    if dark and near and not said.says_baseline:
        least = min(dark, key=lambda one: one.mapped[0])
        return (
            f"no band has anything below 1000 DN ({least.found()}, expected about {least.expected()}): is the offset of"
            " processing baseline 04.00 still in the numbers? Say --baseline 04.00 to subtract it, --baseline 03.01 if not"
        )
    for one in bands:
        removed = one.raw[1] - one.mapped[1] if one.raw != one.mapped else 0.0
        if removed > 0 and one.mapped[1] < 0:
            return (
                f"{one.found()}, expected about {one.expected()}: half of the pixels fall below 0 without the offset; was"
                " it subtracted already? Say --baseline 03.01 to leave the numbers as they are"
            )
    return None


def _constant_doubt(seen: Sequence[_Seen]) -> str | None:
    constant = [one for one in seen if one.raw[0] == one.raw[2]]
    if not constant:
        return None
    numbers = {one.raw[0] for one in constant}
    held = ", ".join(f"{one.band} = {one.raw[0]:g}" for one in constant)
    options = [f"say --nodata {number:g} if that means no data" for number in numbers if len(numbers) == 1]
    if len(constant) < len(seen):
        options.insert(0, "leave an empty band out with - in --bands")
    return f"nothing but one number in {held}, expected about {constant[0].expected()}; " + (
        ", or ".join(options) or "check the file"
    )


def _outside_doubt(seen: Sequence[_Seen], kind: Kind) -> str | None:
    """Bands whose median is more than one span away from the usual range; variables, where next to no value lies in it.

    The numbers of one region are alike, and may all lie in a tail of the world's: of a variable, both percentiles 1 and 99
    must be on the same side of the usual range. A scene may well be all cloud or snow, and is doubted further out.
    """
    outside = [one for one in seen if _is_beyond(one, kind)]
    if not outside:
        return None
    first = outside[0]
    others = f", and {', '.join(one.band for one in outside[1:])} alike" if len(outside) > 1 else ""
    advice = (
        "another unit, or another variable? Convert the numbers, unless the places are truly unlike those of the training"
        " data"
        if kind is Kind.TABLE
        else "another unit, or another band? Check --bands, --scale, --offset"
    )
    return f"{first.found()}, expected about {first.expected()}{others}: {advice}"


def _is_beyond(one: _Seen, kind: Kind) -> bool:
    low, middle, high = one.mapped
    if kind is Kind.TABLE and (high < one.low or low > one.high):
        return True
    return not one.low - one.span <= middle <= one.high + one.span


def _three(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
