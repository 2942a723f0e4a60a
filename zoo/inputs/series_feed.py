"""One input of a forecast, fed from one series: variables matched by name, and the steps that lead to an answer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.bands import normal_form
from zoo.errors import InputError, ZooWarning
from zoo.inputs.match import match
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.variables import match_variables
from zoo.io.series import SeriesSource, open_series
from zoo.options import Options
from zoo.spec import InputSpec, Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesFeed:
    """One input: which variables of which series."""

    spec: InputSpec
    source: SeriesSource
    channels: tuple[int | None, ...]
    preprocess: Preprocess

    def steps(self, time: np.datetime64) -> slice | None:
        """The steps up to `time`; `None` where there are not enough."""
        stop = int(np.searchsorted(self.source.times, time, side="right"))
        start = 0 if self.spec.times is None else stop - self.spec.times
        return slice(start, stop) if 0 <= start < stop else None


def open_series_input(specs: Sequence[InputSpec], item: Any, options: Options) -> SeriesFeed:
    """Open the series of one input.

    Args:
        specs: the alternatives for the input, all of one name.
        item: what `zoo.io.series.open_series` opens.
        options: what the source does not say itself.

    Raises:
        InputError: it cannot be read, or lacks a variable.
    """
    options = options.of_input(specs[0].name)
    told = [options.bands] if isinstance(options.bands, str) else options.bands
    source = open_series(item, names=told, times=options.times, crs=options.crs, nodata=options.nodata)
    spec = specs[0]
    if any(":" in band for band in spec.band_ids):
        matched = match(specs, source.names, bands=told, sensor=options.sensor, where=source.name)
        spec, channels = matched.spec, tuple[int | None, ...](matched.channels)
    else:
        channels = match_variables(spec, source.names, told=told, where=source.name).place
    if spec.kind is not Kind.SERIES:
        raise InputError(f"input {spec.name!r} is of the kind {spec.kind.value}; the task forecast takes series")
    for band, channel in zip(spec.bands, channels, strict=True):
        unit = "" if channel is None else source.layers[channel].unit
        if unit and band.unit and normal_form(unit) != normal_form(band.unit):
            warnings.warn(
                f"{source.name}: {band.id} is in {unit!r} by its file, expected {band.unit!r}; convert it if they differ",
                ZooWarning,
                stacklevel=2,
            )
    return SeriesFeed(spec=spec, source=source, channels=channels, preprocess=Preprocess(spec))
