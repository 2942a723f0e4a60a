"""What a forecast is told: variables of series, matched by name, and the steps that lead to each answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.errors import ConfigError, InputError
from zoo.inputs.series_feed import SeriesFeed, open_series_input
from zoo.io.series import Times
from zoo.model import Model
from zoo.options import Options
from zoo.spec import InputSpec


def open_feeds(model: Model, source: Any, options: Options) -> dict[str, SeriesFeed]:
    """A feed for each input of the model that the source has.

    Raises:
        InputError: a source cannot be read, lacks a variable, or lies on another grid than the rest.
    """
    choices: dict[str, list[InputSpec]] = {}
    for spec in model.variant.inputs:
        choices.setdefault(spec.name, []).append(spec)
    given = (
        dict(source)
        if isinstance(source, Mapping) and not hasattr(source, "data_vars")
        else dict.fromkeys(choices, source)
    )
    if unknown := set(given) - set(choices):
        raise InputError(f"{model.name} has no input {', '.join(sorted(unknown))}; its inputs are {', '.join(choices)}")
    options.check_inputs([*choices])
    feeds = {}
    for name, specs in choices.items():
        if name not in given and specs[0].optional:
            continue
        if name not in given:
            raise InputError(f"{model.name} also needs {name}; add --input {name}=SOURCE")
        feeds[name] = open_series_input(specs, given[name], options)
    first, *rest = feeds.values()
    for feed in rest:
        if feed.source.grid != first.source.grid:
            raise InputError(
                f"{feed.source.name} and {first.source.name} lie on different grids; bring one to the other"
                " (xarray: interp_like) and run again"
            )
    return feeds


def last_inputs(model: Model, feeds: Mapping[str, SeriesFeed], options: Options) -> Times:
    """Times of the last input of each answer: all with steps enough before them, or those that `at` means.

    Raises:
        InputError: there are too few steps.
        ConfigError: `at` is no time, or none of these.
    """
    first = next(iter(feeds.values()))
    known = first.source.times
    whole = all(feed.spec.times is None for feed in feeds.values()) and options.at is None
    times = known[-1:] if whole else known
    enough = [all(feed.steps(time) is not None for feed in feeds.values()) for time in times]
    needed = max(feed.spec.times or 1 for feed in feeds.values())
    found: Times = times[np.array(enough, bool)]
    if not len(found):
        raise InputError(f"{first.source.name} has {len(known)} times, {model.name} needs {needed} before it answers")
    return found if options.at is None else _chosen(found, options.at)


def _chosen(times: Times, at: str) -> Times:
    """Times that a user's `A` or `A/B` means; a date means all of its times."""
    first, _, last = at.partition("/")
    try:
        start, end = np.datetime64(first), np.datetime64(last or first)
    except ValueError as err:
        raise ConfigError(f"--at {at!r} is no time; expected 2019-06-01T12:00, or two with / between") from err
    until = (end + 1).astype("datetime64[s]")
    chosen: Times = times[(times >= start.astype("datetime64[s]")) & (times < until)]
    if not len(chosen):
        raise ConfigError(f"no forecast for --at {at}: they are for {times[0]} to {times[-1]}, {len(times)} in all")
    return chosen
