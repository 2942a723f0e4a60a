"""Which channel of a file is which band of a model: by name, or not at all.

A channel is used when its name means one band and no other. A band that is swapped, missing, doubled or unnamed is
never guessed: the error says what was found, what was expected and which option settles it.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from zoo.bands import PRESETS, meanings, normal_form
from zoo.errors import InputError, ZooWarning
from zoo.spec import InputSpec

UNUSED = ("", "-")  # what stands in --bands for a channel that is not used
S2_LEVELS = ("L1C", "L2A")


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """An input that a file can feed.

    Attributes:
        spec: the input, narrowed to the bands that are there if any subset will do.
        channels: 0-based; channel `channels[i]` of the file is band `spec.band_ids[i]`.
    """

    spec: InputSpec
    channels: tuple[int, ...]


def match(
    inputs: Sequence[InputSpec],
    names: Sequence[str | None],
    *,
    bands: Sequence[str] | str | None = None,
    sensor: str | None = None,
    level: str | None = None,
    shared_with: Sequence[InputSpec] = (),
    where: str = "",
) -> Matched:
    """Find each band of an input among a file's channels.

    Args:
        inputs: the alternatives for one input.
        names: of the file's channels, in order; `None` where the file gives none.
        bands: instead of `names`: a preset (`"S2"`), or names in the file's order, as a sequence or joined by commas;
            `"-"` or `""` for a channel that is not used.
        sensor: label of the alternative to take; needed only where names fit several.
        level: product level of the file (`"L2A"`; `product_level(tags)`), which rules out alternatives of another.
        shared_with: other inputs that the same file feeds; their bands are none of this one's business.
        where: the file, for messages.

    Returns:
        The input and the channels that feed it. Channels that the input does not use are passed over if all of its
        bands are there, or if they are bands of `shared_with`.

    Raises:
        InputError: names are absent, unknown, doubled or ambiguous, bands are missing, or several alternatives fit.
    """
    where = where or "the data"
    told, told_level = _told(bands, len(names), where)
    choices = _of_sensor(inputs, sensor, where)
    found = list(names) if told is None else told
    if told is None and _only_counts(found):
        _refuse(where, "its channels' names only count them, and do not say which bands they are", choices, found, {})
    readings = [_read(spec, found, shared_with, told=told is not None) for spec in choices]
    fitting = [reading for reading in readings if reading.problem is None]
    if not fitting:
        closest = max(readings, key=lambda reading: (len(reading.channel), len(reading.spec.bands) == len(found)))
        problem = closest.problem if any(found) else "its channels have no names"
        _refuse(where, str(problem), [closest.spec, *choices], found, closest.channel)
    level = level or told_level or ("L1C" if any(reading.has_cirrus for reading in readings) else None)
    best = _best(_of_level(fitting, level, sensor, where))
    if len(best) > 1:
        labels = [reading.spec.label for reading in best]
        raise InputError(
            f"{where}: the bands {_listed(found)} fit {len(best)} inputs: {', '.join(labels)};"
            f" say which: {' or '.join(f'--sensor {label}' for label in labels)}"
        )
    for reading in readings:  # it knows a channel that the best one leaves out, and cannot tell what to do with it
        if reading.stopped_at is not None and reading.stopped_at not in best[0].channel.values():
            _refuse(where, str(reading.problem), [reading.spec, *choices], found, reading.channel)
    return best[0].matched()


# ------------------------------------------------------------------------------------------------------ one alternative


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """A file's names as one alternative understands them; `problem` says why it cannot be fed."""

    spec: InputSpec
    channel: dict[str, int]  # of each band that was found
    by_common_name: bool = False  # all of them, none by a sensor's own name
    has_cirrus: bool = False
    problem: str | None = None
    stopped_at: int | None = None  # the first channel that is ambiguous or doubled

    @property
    def complete(self) -> bool:
        return len(self.channel) == len(self.spec.bands)

    def matched(self) -> Matched:
        ids = tuple(band for band in self.spec.band_ids if band in self.channel)
        spec = self.spec if self.complete else self.spec.subset(ids)
        return Matched(spec=spec, channels=tuple(self.channel[band] for band in ids))


def _read(spec: InputSpec, names: Sequence[str | None], shared_with: Sequence[InputSpec], *, told: bool) -> _Reading:
    channel: dict[str, int] = {}
    unknown: list[str] = []
    problem, stopped_at = None, None
    numbered = cirrus = False
    for index, name in enumerate(names):
        if told and name in UNUSED:
            continue
        ids = _means(name, spec)
        cirrus |= "S2:B10" in ids
        if not ids & set(spec.band_ids):
            if not any(_means(name, other) for other in shared_with):
                unknown.append(f"channel {index + 1} " + (f"{name!r}" if name else "without a name"))
            continue
        band, *rest = sorted(ids)
        if not rest and band not in channel:
            channel[band] = index
            numbered |= not _is_common(str(name))
        elif stopped_at is None:
            problem = _ambiguous(index, name, ids) if rest else _doubled(band, channel[band], index, names)
            stopped_at = index
    return _Reading(
        spec=spec,
        channel=channel,
        by_common_name=not numbered,
        has_cirrus=cirrus,
        problem=problem or _incomplete(spec, channel, unknown),
        stopped_at=stopped_at,
    )


def _means(name: str | None, spec: InputSpec) -> set[str]:
    """Bands that a name may be: the input's own that is spelled so, or those of its sensors' vocabulary."""
    if not name:
        return set()
    spelled = {band for band in spec.band_ids if normal_form(band) == normal_form(name)}
    sensors = {band.partition(":")[0] for band in spec.band_ids if ":" in band}
    return spelled or {band for band in meanings(name) if band.partition(":")[0] in sensors}


def _is_common(name: str) -> bool:
    """Whether a name is a colour, and not some sensor's own name of a band."""
    return not any(character.isdigit() for character in name) and ":" not in name


def _only_counts(names: Sequence[str | None]) -> bool:
    """Whether the names are `Band 1, Band 2, ...` (or `B1, B2, ...`) in order, as programs write that know no better.

    They would pass for Sentinel-2's B01, B02, ... and, from the ninth channel on, be wrong.
    """
    numbers = [re.fullmatch(r"(?:band|b|channel|ch|layer)[ _.-]?([1-9]\d*)", (name or "").lower()) for name in names]
    return all(number is not None and int(number[1]) == place for place, number in enumerate(numbers, 1))


# ------------------------------------------------------------------------------------------------------- the alternatives


def _of_sensor(inputs: Sequence[InputSpec], sensor: str | None, where: str) -> list[InputSpec]:
    if sensor is None:
        return list(inputs)
    chosen = [spec for spec in inputs if spec.label.casefold() == sensor.casefold()]
    if not chosen:
        labels = [spec.label for spec in inputs]
        near = difflib.get_close_matches(sensor, labels, n=1, cutoff=0.3)
        hint = f"; did you mean --sensor {near[0]}?" if near else ""
        raise InputError(f"{where}: no input {sensor!r} here; expected --sensor {' or '.join(labels)}{hint}")
    return chosen


def _of_level(readings: list[_Reading], level: str | None, sensor: str | None, where: str) -> list[_Reading]:
    """Without the alternatives of another product level than the file's, unless the user chose one of them."""
    if level not in S2_LEVELS:
        return readings
    kept = [
        reading for reading in readings if reading.spec.level in (level, None) or reading.spec.level not in S2_LEVELS
    ]
    if kept:
        return kept
    spec = readings[0].spec
    told = f"{where}: found Sentinel-2 {level}, expected {spec.level}, whose numbers differ"
    if sensor is None:
        raise InputError(
            f"{told}; give the {spec.level} product, or take this one all the same with --sensor {spec.label}"
        )
    warnings.warn(f"{told}; taken all the same, as --sensor {spec.label} says", ZooWarning, stacklevel=3)
    return readings


def _best(readings: Iterable[_Reading]) -> list[_Reading]:
    """Without those that another one surpasses.

    One surpasses another if it reads every channel that the other reads, and either as the same bands, with more of the
    file or with fewer bands left empty; or as all of its own bands, where the other has colour names (`red`) alone to go
    by and bands left empty: three channels named red, green and blue are a photograph before they are Sentinel-2.
    """
    readings = list(readings)
    return [one for one in readings if not any(_surpasses(other, one) for other in readings)]


def _surpasses(one: _Reading, other: _Reading) -> bool:
    if not set(other.channel.values()) <= set(one.channel.values()):
        return False
    if other.channel.items() <= one.channel.items():
        return len(one.channel) > len(other.channel) or len(one.spec.bands) < len(other.spec.bands)
    return one.complete and not other.complete and other.by_common_name


# --------------------------------------------------------------------------------------------------------------- words


def _told(bands: Sequence[str] | str | None, count: int, where: str) -> tuple[list[str | None] | None, str | None]:
    """Names that the user gives, one per channel, and the product level that a preset implies."""
    if bands is None:
        return None, None
    level = None
    if not isinstance(bands, str) and len(bands) == 1:
        (bands,) = bands
    if isinstance(bands, str):
        preset = next((key for key in PRESETS if key.casefold() == bands.casefold()), None)
        given = list(PRESETS[preset]) if preset else [name.strip() for name in bands.split(",")]
        level = next((known for known in S2_LEVELS if preset and preset.endswith(known)), None)
    else:
        given = [name.strip() for name in bands]
    if len(given) != count:
        raise InputError(
            f"{where}: --bands names {len(given)} channels ({_listed(given)}), the file has {count}; name each channel in"
            f" the file's order, with - for one that is not used. {_presets(count)}"
        )
    return list(given), level


def _incomplete(spec: InputSpec, channel: dict[str, int], unknown: Sequence[str]) -> str | None:
    missing = [band for band in spec.band_ids if band not in channel]
    if not missing:
        return None
    if not channel:
        return f"none of the names is a band of {spec.label or spec.name}"
    if not spec.any_subset:
        return f"missing {', '.join(missing)}" + (f"; not a band of it: {', '.join(unknown)}" if unknown else "")
    if unknown:
        return f"not a band of {spec.label or spec.name}: {', '.join(unknown)}"
    return None


def _ambiguous(index: int, name: str | None, ids: Iterable[str]) -> str:
    return f"channel {index + 1} {name!r} may be {' or '.join(sorted(ids))}"


def _doubled(band: str, first: int, second: int, names: Sequence[str | None]) -> str:
    return f"channels {first + 1} ({names[first]!r}) and {second + 1} ({names[second]!r}) are both {band}"


def _refuse(
    where: str, problem: str, choices: Sequence[InputSpec], names: Sequence[str | None], channel: Mapping[str, int]
) -> NoReturn:
    """Raise with what was found, what the first of `choices` expects, and a --bands line to complete."""
    spec, labels = choices[0], list(dict.fromkeys(choice.label for choice in choices if choice.label))
    expected = ("any of " if spec.any_subset else "") + _listed(spec.band_ids)
    either = f" (or, with --sensor, the bands of {', '.join(labels[1:])})" if len(labels) > 1 else ""
    own_name = {index: band.partition(":")[2] or band for band, index in channel.items()}
    line = ",".join("-" if name in UNUSED else own_name.get(index, "?") for index, name in enumerate(names))
    raise InputError(
        f"{where}: {problem}. Found {len(names)} channels: {_listed(names)}; expected {spec.label or spec.name}:"
        f" {expected}{either}. Say which channel is which band, in the file's order, with --bands {line}: a name for each"
        f" ?, or - for a channel that is not used. {_presets(len(names))}"
    )


def _presets(count: int) -> str:
    fitting = {key: ids for key, ids in PRESETS.items() if len(ids) == count}
    if not fitting:
        return f"Presets: {', '.join(f'{key} ({len(ids)} channels)' for key, ids in PRESETS.items())}."
    return "Presets of that many: " + "; ".join(
        f"--bands {key} = {','.join(band.partition(':')[2] for band in ids)}" for key, ids in fitting.items()
    )


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join("(no name)" if name is None else name or "-" for name in names)
