"""Which column of a table, or which predictor raster, is which variable of a model: by name, or not at all.

Case, separators and leading zeros do not matter (`Bio_01` is `bio_1`); longitude and latitude may be called as Darwin
Core calls them, bands of sensors as `zoo.bands` reads them. A unit in brackets (`bio_1 [K]`) must be the model's.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zoo.bands import VOCABULARY, meanings, normal_form
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.units import same_unit
from zoo.spec import Band, InputSpec

# Names that mean the same; the second is Darwin Core's.
SYNONYMS = (
    frozenset(normal_form(name) for name in ("longitude", "decimalLongitude", "lon")),
    frozenset(normal_form(name) for name in ("latitude", "decimalLatitude", "lat")),
)
UNIT = re.compile(r"^(?P<name>.+?)\s*[\[(](?P<unit>[^\])]*)[\])]\s*$")
# File names of WorldClim 2.1, e.g. wc2.1_30s_bio_1.tif (https://www.worldclim.org/data/worldclim21.html).
WORLDCLIM = re.compile(r"^wc2\.1_(?:30s|2\.5m|5m|10m)_", re.IGNORECASE)
# File names of CHELSA 2.1, e.g. CHELSA_bio12_1981-2010_V.2.1.tif (https://chelsa-climate.org).
CHELSA = re.compile(r"^CHELSA_(?P<name>[^_]+)_\d{4}-\d{4}.*$", re.IGNORECASE)
UNUSED = ("", "-")
SHOWN = 12  # names per message; ours
NEAR = 0.6  # ours: difflib's own cutoff; "elev" is that near to "elevation", "Tree cover" to "Cover_tree_layer" by its words


@dataclass(frozen=True, kw_only=True, slots=True)
class Variables:
    """Where each variable of an input is found.

    Attributes:
        spec: the input.
        place: number of the column (or raster band) of each variable, in the input's order; `None` = not there.
    """

    spec: InputSpec
    place: tuple[int | None, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, place in zip(self.spec.band_ids, self.place, strict=True) if place is None)


def match_variables(
    spec: InputSpec,
    names: Sequence[str],
    *,
    told: Sequence[str] | str | None = None,
    where: str = "the data",
    hidden: Collection[str] = (),
    extra: Sequence[str] | None = None,
) -> Variables:
    """Find the variables of an input among names.

    Args:
        spec: the input.
        names: of the columns or bands, in order.
        told: names that the user gives in place of them, in the same order; `"-"` for one that is not used.
        where: the source, for messages.
        hidden: variables that are not wanted, there or not.
        extra: names that are no variable of any input, to be told of in the same warning; one of `names` that is not among
            them is no misspelled variable. `None` = any of `names` may be one.

    Returns:
        Where each variable is. Names that are no variable are passed over; variables that are missing are left out if
        the input takes any subset, with one warning that names them.

    Raises:
        InputError: a variable is missing, is there twice, or has another unit than the model's.
    """
    names = _told(told, names, where)
    found = find_variables(spec, names, where=where)
    matched = Variables(spec=spec, place=tuple(None if name in hidden else found.get(name) for name in spec.band_ids))
    wanted = [name for name in spec.band_ids if name not in hidden]
    missing = [name for name in matched.missing if name not in hidden]
    spare = [name for index, name in enumerate(names) if index not in found.values() and name not in UNUSED]
    if missing and (len(missing) == len(wanted) or not spec.any_subset):
        raise InputError(_incomplete(spec, missing, spare, where, wanted))
    told_of = []
    if missing:
        verb = "counts" if len(missing) == 1 else "count"
        near = _near(missing, spare if extra is None else extra)
        told_of.append(f"{_count(missing, len(wanted))} and {verb} as missing: {some(missing, SHOWN)}{near}")
    if extra:
        told_of.append(f"not used, for the model has no such variable: {some(extra, SHOWN)}")
    if told_of:
        warnings.warn(f"{where}: {'; '.join(told_of)}", ZooWarning, stacklevel=2)
    return matched


def find_variables(
    spec: InputSpec, names: Sequence[str], *, told: Sequence[str] | str | None = None, where: str = "the data"
) -> dict[str, int]:
    """The number of the name of each variable of an input that is there; arguments and errors as in `match_variables`."""
    found: dict[str, int] = {}
    for index, name in enumerate(_told(told, names, where)):
        variable = None if name in UNUSED else _meant(name, spec, where)
        if variable is None:
            continue
        if variable in found:
            raise InputError(
                f"{where}: {names[found[variable]]!r} and {name!r} are both {variable}; rename or remove one of them"
            )
        found[variable] = index
    return found


def of_coordinates(spec: InputSpec) -> dict[str, int]:
    """Variables of an input that are coordinates of the place, in degrees: 0 for the longitude, 1 for the latitude."""
    return {
        band.id: axis for band in spec.bands for axis, group in enumerate(SYNONYMS) if normal_form(band.id) in group
    }


def is_variable(inputs: Iterable[InputSpec], name: str) -> bool:
    """Whether a name means a variable of one of the inputs, whatever its unit."""
    split = UNIT.match(name)
    return any(_meant(split["name"] if split else name, spec, "") for spec in inputs)


def hidden_variables(
    inputs: Sequence[InputSpec], groups: Mapping[str, Sequence[str]], shown: Sequence[str]
) -> dict[str, frozenset[str]]:
    """Variables of each input that stay hidden where only some are shown.

    Args:
        inputs: of the model.
        groups: variables by the name of their group.
        shown: names of variables, of groups, or of inputs for all of their variables, however they are spelled.

    Returns:
        For inputs that take any subset or are optional; what a model needs whole is never hidden.

    Raises:
        ConfigError: a name is none of these, the model cannot hide anything, or a part is shown of an input that is there
            as a whole or not at all.
    """
    if not shown:
        raise ConfigError("--predictors names none; leave it out to show all that there are")
    able = [spec for spec in inputs if spec.any_subset or spec.optional]
    if not any(spec.any_subset for spec in inputs):
        raise ConfigError(
            "the model takes all of its predictors or none, so that none can be switched off; leave --predictors out"
        )
    members = {normal_form(spec.name): frozenset(spec.band_ids) for spec in inputs}
    members |= {normal_form(name): frozenset(variables) for name, variables in groups.items()}
    members |= {normal_form(name): frozenset([name]) for spec in inputs for name in spec.band_ids}
    wanted: set[str] = set()
    for name in shown:
        if normal_form(name) not in members:
            known = [*groups, *(spec.name for spec in inputs), *(one for spec in able for one in spec.band_ids)]
            by_form = {one.casefold(): one for one in known}
            near = [by_form[one] for one in difflib.get_close_matches(name.casefold(), by_form, n=3)]
            raise ConfigError(
                f"--predictors names {name!r}, which is none of the model's predictors; "
                + (f"did you mean {', '.join(near)}?" if near else f"they are {some(known, SHOWN)}")
            )
        wanted |= members[normal_form(name)]
    hidden = {spec.name: frozenset(spec.band_ids) - wanted for spec in able}
    for spec in able:
        if not spec.any_subset and 0 < len(hidden[spec.name]) < len(spec.bands):
            raise ConfigError(
                f"--predictors names a part of {spec.name}, which is there as a whole or not at all; say {spec.name}"
            )
    return hidden


def _told(told: Sequence[str] | str | None, names: Sequence[str], where: str) -> list[str]:
    if told is None:
        return list(names)
    given = [name.strip() for name in (told.split(",") if isinstance(told, str) else told)]
    if len(given) != len(names):
        raise InputError(
            f"{where}: --bands names {len(given)} variables, found {len(names)}: {some(names, SHOWN)}; name each in this"
            " order, with - for one that is not used"
        )
    return given


def _meant(name: str, spec: InputSpec, where: str) -> str | None:
    """The variable that a name means, `None` if it means none."""
    unit = None
    if split := UNIT.match(name):
        name, unit = split["name"], split["unit"]
    key = normal_form(CHELSA.sub(r"\g<name>", WORLDCLIM.sub("", name)))
    same = next((group for group in SYNONYMS if key in group), frozenset({key}))
    exact = [band for band in spec.bands if normal_form(band.id) == key]
    bands = exact or [band for band in spec.bands if normal_form(band.id) in same] or _of_sensor(name, spec)
    if not bands:
        return None
    band = bands[0]
    if unit is not None and (fits := same_unit(unit, band.unit)) is not True:
        if fits is False:
            raise InputError(
                f"{where}: {band.id} is in {unit!r} by its name, expected {band.unit!r}; convert the numbers and rename it"
            )
        warnings.warn(
            f"{where}: cannot tell whether {unit!r} behind {name!r} is the model's unit {band.unit!r}; look whether it is",
            ZooWarning,
            stacklevel=3,
        )
    return band.id


def _of_sensor(name: str, spec: InputSpec) -> list[Band]:
    """The one band of a sensor that a name means, as `zoo.bands` reads it."""
    if not any(band.id in VOCABULARY for band in spec.bands):
        return []
    ids = meanings(name)
    bands = [band for band in spec.bands if band.id in ids]
    return bands if len(bands) == 1 else []


def _incomplete(
    spec: InputSpec, missing: Sequence[str], spare: Sequence[str], where: str, wanted: Sequence[str]
) -> str:
    return (
        f"{where}: {_count(missing, len(wanted))} of {spec.label or spec.name}:"
        f" {some(missing, SHOWN)}; found besides: {some(spare, SHOWN) or 'nothing'}{_near(missing, spare)}."
        f" Expected {some(wanted, SHOWN)}; rename the columns or files, or name them in their order with --bands"
    )


def _count(missing: Sequence[str], total: int) -> str:
    if len(missing) == total:
        return f"none of the {total} variables is there"
    return f"{len(missing)} of {total} variables {'is' if len(missing) == 1 else 'are'} not there"


def _near(missing: Sequence[str], spare: Sequence[str]) -> str:
    """Spare names that look like a missing variable, each with the one that it is most alike."""
    alike = {one: max((_likeness(name, one), name) for name in missing) for one in spare} if missing else {}
    pairs = [f"{one} for {name}" for one, (likeness, name) in alike.items() if likeness >= NEAR]
    return f" (did you mean {', '.join(pairs[:3])}?)" if pairs else ""


def _likeness(name: str, other: str) -> float:
    """From 0 to 1: of the letters, or of the words in any order; 0 where numbers alone differ, as those of bio_1 and bio_12."""
    a, b = (re.sub(r"([a-z])([A-Z])", r"\1 \2", one).lower() for one in (name, other))
    if re.sub(r"[\W\d_]+", "", a) == re.sub(r"[\W\d_]+", "", b) and normal_form(name) != normal_form(other):
        return 0.0
    words, others = (set(re.findall(r"[a-z]+|\d+", one)) for one in (a, b))
    shared = len(words & others) / max(len(words | others), 1)
    return max(shared, difflib.SequenceMatcher(None, a, b).ratio())
