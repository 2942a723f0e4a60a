"""From a file's numbers to a network's: the only place that scales, normalises, fills or resizes.

`Preprocess` interprets `InputSpec.steps` in order. They are compiled once, in float64: since

    limit(x, low, high) * a + b  =  limit(x * a + b, low * a + b, high * a + b)      (a > 0; swapped if a < 0)

a run of Scale, Clip, Percentile and Normalise, whatever its length, is one subtraction, one multiplication and one pair
of bounds per band. The pixels go through that in float32.
"""

# B batch, C bands, H W pixels, h w pixels after the resize

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from zoo.errors import InputError, SpecError
from zoo.inputs.radiometry import LinearMap, Numbers
from zoo.inputs.resize import resize, resize_mask, spline_resize
from zoo.spec import Clip, Decibel, Fill, InputSpec, Normalise, Percentile, Resize, Scale, Step

__all__ = ["Preprocess", "spline_resize"]

Array = NDArray[np.float64]

# Larger numbers are never data but somebody's fill value (-3.4e38 in float32 rasters); ours: physics stays below.
BEYOND_DATA = 1e30


class Preprocess:
    """The steps of one input, ready to run.

    Args:
        spec: the input, narrowed to the bands that are there (`zoo.inputs.match.match`).
        to_declared: linear map to the convention of the training data, before the first step
            (`zoo.inputs.radiometry`); `None` = the numbers are in it already.

    Raises:
        SpecError: two resizes, or a step that divides by zero.
    """

    def __init__(self, spec: InputSpec, *, to_declared: Sequence[Numbers] | None = None) -> None:
        self.spec = spec
        self._to_declared = to_declared
        where = f"input {spec.name!r} {spec.label}".rstrip()
        if sum(isinstance(step, Resize) for step in spec.steps) > 1:
            raise SpecError(f"{where} declares two Resize steps; an input has one size")
        for step in spec.steps:
            if isinstance(step, Resize) and step.shorter is not None and step.shorter < max(step.size):
                raise SpecError(f"{where}: Resize to a shorter side of {step.shorter} px leaves no {step.size} to cut")
        first = _declared(LinearMap(*to_declared or ()), len(spec.bands))
        self._whole = _compile(first, spec.steps, where)
        self._windows = _compile(first, tuple(step for step in spec.steps if not isinstance(step, Resize)), where)

    def __call__(self, pixels: Tensor, valid: Tensor | None = None, *, resize: bool = False) -> Tensor:
        """Bring pixels to what the network takes.

        Args:
            pixels: (B, C, H, W) of any real dtype, C in the order of the input's bands; left unchanged.
            valid: bool, (B, H, W) or (B, C, H, W), True where there are data; `None` = everywhere. NaN, infinity
                and numbers beyond 1e30 are never data.
            resize: whether a `Resize` step runs (whole images and chips) or is passed over (windows of a scene).

        Returns:
            float32 (B, C, H, W) or (B, C, h, w) on the device of `pixels`, finite. Pixels without data hold the value
            of the `Fill` step, or 0 after all steps (the mean, where the last step normalises); before a resize they
            hold what will become that value.

        Raises:
            InputError: the tensor has not the input's number of bands, or is complex.
        """
        if pixels.ndim != 4 or pixels.shape[1] != len(self.spec.bands) or pixels.is_complex():
            raise InputError(
                f"found an array of shape {tuple(pixels.shape)} ({pixels.dtype}), expected (batch, {len(self.spec.bands)},"
                f" height, width) of real numbers for the bands {', '.join(self.spec.band_ids)};"
                " choose and order the file's bands with --bands"
            )
        x = pixels.to(torch.float32, copy=True)
        missing = _missing(x, valid, check=pixels.is_floating_point())
        for stage in self._whole if resize else self._windows:
            x, missing = stage.run(x, missing)
        return x

    def prepared_mask(self, valid: Tensor, *, resize: bool = False) -> Tensor:
        """Where the prepared tensor has data, (B, h, w), of a mask (B, H, W) of the pixels; cut as they are."""
        for stage in self._whole if resize else self._windows:
            if isinstance(stage, _Resize):
                return resize_mask(valid, stage.step)
        return valid

    def sized(self, size: tuple[int, int]) -> Preprocess:
        """The same steps, of which the resize brings images to `size` (height, width) and cuts nothing."""
        steps = tuple(
            replace(step, size=size, shorter=None) if isinstance(step, Resize) else step for step in self.spec.steps
        )
        return Preprocess(replace(self.spec, steps=steps), to_declared=self._to_declared)


# ------------------------------------------------------------------------------------------------------------ stages


@dataclass(frozen=True, kw_only=True, slots=True)
class _Affine:
    """limit((x - centre) * factor, low, high) per band, in place."""

    centre: Array
    factor: Array
    low: Array
    high: Array

    def run(self, x: Tensor, missing: Tensor | None) -> tuple[Tensor, Tensor | None]:
        def column(values: Array) -> Tensor:
            return torch.as_tensor(values, dtype=x.dtype, device=x.device)[:, None, None]

        if self.centre.any():
            x.sub_(column(self.centre))
        if (self.factor != 1).any():
            x.mul_(column(self.factor))
        # maximum and minimum are vectorised with one bound per band, where clamp is not (6 x on a CPU)
        if np.isfinite(self.low).any():
            torch.maximum(x, column(self.low), out=x)
        if np.isfinite(self.high).any():
            torch.minimum(x, column(self.high), out=x)
        return x, missing

    def undo(self, values: Array) -> Array:
        limited: Array = np.clip(values, self.low, self.high)
        return limited / self.factor + self.centre


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decibel:
    floor_db: float

    def run(self, x: Tensor, missing: Tensor | None) -> tuple[Tensor, Tensor | None]:
        nothing = ~(x > 0)
        return x.log10_().mul_(10.0).masked_fill_(nothing, self.floor_db), missing

    def undo(self, values: Array) -> Array:
        return np.asarray(10.0 ** (values / 10.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fill:
    """One value per band where there are no data; afterwards all pixels count as data."""

    values: Array

    def run(self, x: Tensor, missing: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if missing is None:
            return x, None
        if np.ptp(self.values) == 0:
            return x.masked_fill_(missing, float(self.values[0])), None
        values = torch.as_tensor(self.values, dtype=x.dtype, device=x.device)[:, None, None]
        return torch.where(missing, values, x), None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Resize:
    step: Resize

    def run(self, x: Tensor, missing: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return resize(x, self.step), missing


_Stage = _Affine | _Decibel | _Fill | _Resize


def _missing(x: Tensor, valid: Tensor | None, *, check: bool) -> Tensor | None:
    """(B, C or 1, H, W), True where there are no data, or `None` where there are data everywhere."""
    missing = None
    if valid is not None and not bool(valid.all()):
        missing = ~(valid if valid.ndim == 4 else valid[:, None])
    if check and x.numel():
        low, high = torch.aminmax(x)  # NaN if one pixel is; a tenth of the cost of a mask
        if not bool((low > -BEYOND_DATA) & (high < BEYOND_DATA)):
            beyond = ~(x.abs() < BEYOND_DATA)
            missing = beyond if missing is None else missing | beyond
    return missing


def _declared(to_declared: LinearMap, bands: int) -> _Affine:
    """The map to the training data's convention, as the beginning of the first stage."""
    factor, offset, floor = (np.broadcast_to(np.asarray(part, np.float64), bands) for part in to_declared)
    if not np.isfinite(factor).all() or not factor.all():
        raise InputError(f"found the scale {to_declared.factor}, expected a number other than 0; give it with --scale")
    return _limit(_then(_identity(bands), factor, offset), floor, np.inf)


def _compile(first: _Affine, steps: tuple[Step, ...], where: str) -> tuple[_Stage, ...]:
    """Fuse the steps, and place the one filling: where `Fill` stands (or at the end), but always before a resize."""
    bands = len(first.factor)
    stages: list[_Stage] = [first]
    for step in steps:
        match step:
            case Decibel():
                stages.append(_Decibel(floor_db=step.floor_db))
            case Fill():
                stages.append(_Fill(values=np.full(bands, step.value)))
            case Resize():
                stages.append(_Resize(step=step))
            case Scale() | Clip() | Percentile() | Normalise():
                before = stages.pop() if isinstance(stages[-1], _Affine) else _identity(bands)
                assert isinstance(before, _Affine)
                stages.append(_fuse(before, step, where))
            case _:
                assert_never(step)
    return _with_one_filling(stages, bands)


def _with_one_filling(stages: list[_Stage], bands: int) -> tuple[_Stage, ...]:
    """Fill once, at the first `Fill` or the end; before a resize, with what the stages between turn into that value."""
    end = len(stages)
    fill = next((index for index, stage in enumerate(stages) if isinstance(stage, _Fill)), end)
    place = next((index for index, stage in enumerate(stages[:fill]) if isinstance(stage, _Resize)), fill)
    values = np.zeros(bands)
    for stage in reversed(stages[place : fill + 1]):
        match stage:
            case _Fill():
                values = stage.values
            case _Affine() | _Decibel():
                values = stage.undo(values)
    filling: list[_Stage] = [_Fill(values=values)]
    kept = [[stage for stage in part if not isinstance(stage, _Fill)] for part in (stages[:place], stages[place:])]
    return (*kept[0], *filling, *kept[1])


def _identity(bands: int) -> _Affine:
    infinite = np.full(bands, np.inf)
    return _Affine(centre=np.zeros(bands), factor=np.ones(bands), low=-infinite, high=infinite)


def _fuse(before: _Affine, step: Scale | Clip | Percentile | Normalise, where: str) -> _Affine:
    """The same as `before` and then `step`."""
    match step:
        case Clip():
            return _limit(before, step.low, step.high)
        case Scale():
            multiplier, centre = np.full(len(before.factor), step.factor), np.array(-step.offset / (step.factor or 1.0))
        case Normalise():
            multiplier, centre = _reciprocal(step.std), np.array(step.mean)
        case Percentile():
            multiplier, centre = _reciprocal(np.subtract(step.high, step.low)), np.array(step.low)
        case _:
            assert_never(step)
    if not np.isfinite(multiplier).all() or not multiplier.all():
        raise SpecError(f"{where}: {type(step).__name__} divides by zero or makes all pixels equal: {step}")
    after = _then(before, multiplier, -centre * multiplier)
    return _limit(after, 0.0, 1.0) if isinstance(step, Percentile) else after


def _reciprocal(values: ArrayLike) -> Array:
    with np.errstate(divide="ignore"):
        return np.reciprocal(np.asarray(values, np.float64))


def _then(before: _Affine, factor: Array, offset: Array) -> _Affine:
    low, high = np.sort([before.low * factor + offset, before.high * factor + offset], axis=0)
    combined = before.factor * factor
    return _Affine(centre=before.centre - offset / combined, factor=combined, low=low, high=high)


def _limit(before: _Affine, low: ArrayLike, high: ArrayLike) -> _Affine:
    return _Affine(
        centre=before.centre,
        factor=before.factor,
        low=np.clip(before.low, low, high),
        high=np.clip(before.high, low, high),
    )
