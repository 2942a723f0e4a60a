"""Which column of a table, or which predictor raster, is which variable of a model: by name, or not at all.

Case, separators and leading zeros do not matter (`Bio_01` is `bio_1`); longitude and latitude may be called as Darwin
Core calls them. A unit in brackets (`bio_1 [K]`) must be the model's.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.bands import normal_form
from zoo.errors import InputError, ZooWarning, some
from zoo.spec import InputSpec

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
    spec: InputSpec, names: Sequence[str], *, told: Sequence[str] | str | None = None, where: str = "the data"
) -> Variables:
    """Find the variables of an input among names.

    Args:
        spec: the input.
        names: of the columns or bands, in order.
        told: names that the user gives in place of them, in the same order; `"-"` for one that is not used.
        where: the source, for messages.

    Returns:
        Where each variable is. Names that are no variable are passed over; variables that are missing are left out if
        the input takes any subset, with one warning that names them.

    Raises:
        InputError: a variable is missing, is there twice, or has another unit than the model's.
    """
    names = _told(told, names, where)
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        variable = None if name in UNUSED else _meant(name, spec, where)
        if variable is None:
            continue
        if variable in found:
            raise InputError(
                f"{where}: {names[found[variable]]!r} and {name!r} are both {variable}; rename or remove one of them"
            )
        found[variable] = index
    matched = Variables(spec=spec, place=tuple(found.get(name) for name in spec.band_ids))
    if not matched.missing:
        return matched
    spare = [name for index, name in enumerate(names) if index not in found.values() and name not in UNUSED]
    if not found or not spec.any_subset:
        raise InputError(_incomplete(matched, spare, where))
    verb = "counts" if len(matched.missing) == 1 else "count"
    warnings.warn(
        f"{where}: {_count(matched.missing, len(spec.bands))} and {verb} as missing: {some(matched.missing, SHOWN)}"
        f"{_near(matched.missing, spare)}",
        ZooWarning,
        stacklevel=2,
    )
    return matched


def has_any(spec: InputSpec, names: Sequence[str], *, told: Sequence[str] | str | None = None) -> bool:
    """Whether one of the names is a variable of the input; arguments as in `match_variables`."""
    return any(name not in UNUSED and _meant(name, spec, "") for name in _told(told, names, ""))


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
    bands = exact or [band for band in spec.bands if normal_form(band.id) in same]
    if not bands:
        return None
    band = bands[0]
    if unit is not None and band.unit and _plain(unit) != _plain(band.unit):
        raise InputError(
            f"{where}: {band.id} is in {unit!r} by its name, expected {band.unit!r}; convert the numbers and rename it"
        )
    return band.id


def _plain(unit: str) -> str:
    return re.sub(r"[\s°]", "", unit).casefold().removeprefix("deg")


def _incomplete(matched: Variables, spare: Sequence[str], where: str) -> str:
    spec = matched.spec
    return (
        f"{where}: {_count(matched.missing, len(spec.bands))} of {spec.label or spec.name}:"
        f" {some(matched.missing, SHOWN)}; found besides: {some(spare, SHOWN) or 'nothing'}{_near(matched.missing, spare)}."
        f" Expected {some(spec.band_ids, SHOWN)}; rename the columns or files, or name them in their order with --bands"
    )


def _count(missing: Sequence[str], total: int) -> str:
    if len(missing) == total:
        return f"none of the {total} variables is there"
    return f"{len(missing)} of {total} variables {'is' if len(missing) == 1 else 'are'} not there"


def _near(missing: Sequence[str], spare: Sequence[str]) -> str:
    """Spare names that look like a missing variable."""
    lower = {name.lower(): name for name in spare}
    pairs = [
        f"{lower[near[0]]} for {name}"
        for name in missing
        if (near := difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75))
    ]
    return f" (did you mean {', '.join(pairs[:3])}?)" if pairs else ""
