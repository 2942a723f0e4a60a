"""Maps in time (NetCDF, Zarr) as samples of a forecast: inputs up to a time, and what was there some hours later."""

# T times, C variables, L lead times, V quantities, H W pixels

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from zoo.bands import normal_form
from zoo.datasets.augment import cut
from zoo.datasets.dividing import SHARES, need_folder, range_of
from zoo.datasets.pictures import need_variant, whole_number
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.inputs.series_feed import SeriesFeed, open_series_input
from zoo.io.series import SUFFIXES, SeriesSource, Times
from zoo.options import Options
from zoo.spec import InputSpec, Kind, Variant
from zoo.tiling import Window, lattice

DAY = np.timedelta64(86400, "s")
HOUR_S = 3600


def series(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    targets: Mapping[str, str] | None = None,
    shares: Mapping[str, float] | None = None,
    window: int | None = None,
    bands: Any = None,
    nodata: float | None = None,
    crs: Any = None,
) -> SeriesSamples:
    """Samples of a series: a window, at a time whose inputs and targets are all there.

    Args:
        folder: a `.nc` or `.zarr`, or a folder with `<split>.nc` or `<split>.zarr`, or with one file.
        split: of one file, a stretch of its times: the first 80 % are train, the next 10 % val, the rest test. Targets lie
            in their split; inputs may reach back before it.
        variant: which inputs it takes, which quantities it answers, and for when.
        targets: variable of each quantity, where the file calls it otherwise.
        shares: of the splits, in the order of time.
        window: side in pixels; `None` = the variant's, else the whole map. In training it is drawn anywhere on the map.
        bands: names of the file's variables in its order, where they are not the input's own.
        nodata: number that marks missing values.
        crs: where the file does not say.

    Raises:
        InputError: the file cannot be read, lacks a variable, or has too few times.
        ConfigError: an option is wrong.
    """
    variant = need_variant(variant, "series")
    if others := [one.name for one in variant.inputs if one.kind is not Kind.SERIES]:
        raise InputError(
            f"the layout 'series' gives series, and variant {variant.tag!r} also takes {', '.join(others)}"
        )
    if not variant.quantities:
        raise InputError(f"variant {variant.tag!r} answers no quantities; a forecast says them in its description")
    path, divided = _file(Path(folder).expanduser(), split)
    if divided and shares is not None:
        raise ConfigError(
            f"{path.parent} has a file per split, which the option shares would divide again; leave it out"
        )
    if window is not None:
        whole_number("window", window, least=1)
    files = _Files(path=path, inputs=variant.inputs, options=Options(bands=bands, nodata=nodata, crs=crs))
    feeds = files.open()
    source = next(iter(feeds.values())).source
    layers = _layers(source, variant, targets or {})
    leads = np.array([round(hours * HOUR_S) for hours in variant.lead_times_h], "timedelta64[s]")
    span = _span(source.times, split, SHARES if shares is None else shares) if not divided else slice(0, None)
    times = _complete(feeds, source.times[span], leads)
    if not len(times):
        raise InputError(
            f"{path.name} has {len(source.times[span])} times in the split {split!r}, from {source.times[0]} to"
            f" {source.times[-1]} in all, and none with the inputs before it and a target"
            f" {', '.join(f'{hours:g}' for hours in variant.lead_times_h)} h later; give a longer series"
        )
    windows = _windows(source, variant, window)
    return SeriesSamples(
        files=files,
        times=times,
        leads=leads,
        layers=layers,
        windows=windows,
        stride=variant.stride,
        ids=tuple(f"{path.name}:{time}:{one.row}:{one.col}" for time in times for one in windows),
    )


@dataclass
class _Files:
    """The inputs' series, opened in each process that reads."""

    path: Path
    inputs: tuple[InputSpec, ...]
    options: Options
    _opened: tuple[int, dict[str, SeriesFeed]] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "inputs": self.inputs, "options": self.options, "_opened": None}

    def open(self) -> dict[str, SeriesFeed]:
        if self._opened is None or self._opened[0] != os.getpid():
            choices: dict[str, list[InputSpec]] = {}
            for spec in self.inputs:
                choices.setdefault(spec.name, []).append(spec)
            with warnings.catch_warnings():
                if self._opened is not None:
                    warnings.simplefilter("ignore", ZooWarning)  # told when the dataset was opened
                feeds = {name: open_series_input(specs, self.path, self.options) for name, specs in choices.items()}
            self._opened = os.getpid(), feeds
        return self._opened[1]


@dataclass(frozen=True, kw_only=True)
class SeriesSamples:
    """See `series`; a `zoo.datasets.sample.Reader`.

    Attributes:
        times: of the last inputs.
        leads: from there to the targets (L,).
        layers: number of the variable of each quantity (V,).
        windows: of the map; the samples are these at the first time, then at the next.
        stride: pixels of the input per pixel of the targets, which are means of what is known.
    """

    files: _Files
    times: Times
    leads: NDArray[np.timedelta64]
    layers: tuple[int, ...]
    windows: tuple[Window, ...]
    stride: int
    ids: Sequence[str]
    classes: tuple[str, ...] = ()

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        feeds = self.files.open()
        number, place = divmod(index, len(self.windows))
        time, window = self.times[number], self.windows[place]
        source = next(iter(feeds.values())).source
        if generator is not None and window.height == window.width and len(self.windows) > 1:
            window = cut((source.grid.height, source.grid.width), window.height, generator)
        inputs, valid, days = {}, {}, {}
        for name, feed in feeds.items():
            steps = feed.steps(time)
            assert steps is not None, "times were chosen so that there are steps"
            numbers, known = feed.source.read(window, feed.channels, steps)
            here = torch.from_numpy(known)
            inputs[name], valid[name] = feed.preprocess(torch.from_numpy(numbers), here), here
            days[name] = torch.from_numpy((feed.source.times[steps] - np.datetime64(0, "s")) / DAY)
        values = torch.stack([self._values(source, window, time + lead) for lead in self.leads])
        target = {"values": values if len(self.leads) > 1 else values[0]}
        if self.leads.max() > np.timedelta64(0, "s"):
            target["persistence"] = self._values(source, window, time).expand_as(target["values"]).clone()
        return Sample(
            id=self.ids[index],
            inputs=inputs,
            bands={name: feed.spec.band_ids for name, feed in feeds.items()},
            valid=valid,
            times=days,
            target=target,
        )

    def _values(self, source: SeriesSource, window: Window, time: np.datetime64) -> Tensor:
        """Quantities (V, h, w) at a time: means of the known numbers of a cell, NaN where there are none."""
        step = int(np.searchsorted(source.times, time))
        numbers, known = source.read(window, self.layers, slice(step, step + 1))
        share = functional.avg_pool2d(torch.from_numpy(known).float(), self.stride)[0]
        mean = functional.avg_pool2d(torch.from_numpy(numbers), self.stride)[0] / share
        return mean.masked_fill(share == 0, torch.nan)


def _file(path: Path, split: str) -> tuple[Path, bool]:
    """The file to read, and whether it is that of the split alone."""
    if path.suffix.lower() in SUFFIXES:
        return path, False
    root = need_folder(path, "series", f"<split>.nc or <split>.zarr, or one file ({', '.join(SUFFIXES)})")
    found = sorted(one for one in root.iterdir() if one.suffix.lower() in SUFFIXES)
    of_split = [one for one in found if one.stem == split]
    if len(of_split) == 1:
        return of_split[0], True
    if len(found) == 1 and found[0].stem not in SHARES:
        return found[0], False
    told = ", ".join(one.name for one in found) or "no series"
    raise InputError(
        f"{root} holds {told}; expected {split}.nc or {split}.zarr, or one file: give the path of the file"
    )


def _layers(source: SeriesSource, variant: Variant, told: Mapping[str, str]) -> tuple[int, ...]:
    """The variable of each quantity."""
    names = [one.name for one in variant.quantities]
    if unknown := set(told) - set(names):
        raise ConfigError(
            f"the option targets names {', '.join(sorted(unknown))}; the model answers {', '.join(names)}"
        )
    places = []
    for quantity in variant.quantities:
        name = told.get(quantity.name, quantity.name)
        fitting = [place for place, one in enumerate(source.layers) if normal_form(one.name) == normal_form(name)]
        if not fitting or not source.layers[fitting[0]].timed:
            have = ", ".join(one.name for one in source.layers if one.timed)
            raise InputError(
                f"{source.name} has no variable {name!r} over time, which the model answers; found {have}: say which it is"
                f" with the option targets.{quantity.name}=NAME"
            )
        unit = source.layers[fitting[0]].unit
        if unit and quantity.unit and normal_form(unit) != normal_form(quantity.unit):
            warnings.warn(
                f"{source.name}: {name} is in {unit!r} by its file, expected {quantity.unit!r}; convert it if they differ",
                ZooWarning,
                stacklevel=2,
            )
        places.append(fitting[0])
    return tuple(places)


def _span(times: Times, split: str, shares: Mapping[str, float]) -> slice:
    low, high = range_of(split, shares)
    return slice(round(low * len(times)), round(min(high, 1.0) * len(times)))


def _complete(feeds: Mapping[str, SeriesFeed], times: Times, leads: NDArray[np.timedelta64]) -> Times:
    """Those of a split's times with enough steps before them, and with targets among these times."""
    have = np.all([np.isin(times + lead, times) for lead in leads], axis=0)
    enough = [all(feed.steps(time) is not None for feed in feeds.values()) for time in times]
    kept: Times = times[have & np.array(enough, np.bool_)]
    return kept


def _windows(source: SeriesSource, variant: Variant, window: int | None) -> tuple[Window, ...]:
    grain = int(np.lcm(variant.inputs[0].multiple, variant.stride))
    grid = source.grid
    whole = (-(-grid.height // grain) * grain, -(-grid.width // grain) * grain)
    side = window or variant.inputs[0].window or whole
    return tuple(one.read for one in lattice(grid.height, grid.width, side, variant.stride, grain_px=grain))
