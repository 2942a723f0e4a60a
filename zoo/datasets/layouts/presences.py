"""What a table of sites says of species: long (Darwin Core) or a column per species."""

# N rows, S species

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.layouts.site_rows import Mask, Rows, column_of, species_of_rows
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.variables import SHOWN
from zoo.io.tables import TableSource
from zoo.spec import Variant

# Columns of a long table; the second is Darwin Core's (https://dwc.tdwg.org/terms/#occurrence).
PRESENCE = ("presence", "occurrenceStatus", "present")
SAID = {"present": 1.0, "true": 1.0, "yes": 1.0, "absent": 0.0, "false": 0.0, "no": 0.0}

Unlisted = Literal["absent", "unknown"] | None
Numbers = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What is known of species.

    Attributes:
        species: in the order of the answers.
        presence: (sites, S): 1, 0, or NaN where it is not known.
        listed_absences: (S,), of which the table, all its splits together, says that they are not somewhere.
    """

    species: tuple[str, ...]
    presence: Numbers
    listed_absences: Mask


def presences(
    chosen: Rows, asked: Sequence[str] | None, variant: Variant, unlisted: Unlisted, *, background: bool
) -> Found:
    """Species, and where they are.

    Args:
        chosen: rows of a split.
        asked: see `zoo.datasets.layouts.sites.sites`, as for `unlisted`.
        variant: its classes are the species, where none are asked for.
        unlisted: see there.
        background: whether there are background points, to which presences alone can be compared.

    Raises:
        InputError: the table names other species, or says of them what is no presence.
        ConfigError: an option is wrong or missing.
    """
    if unlisted not in (None, "absent", "unknown"):
        raise ConfigError(f"the option unlisted is {unlisted!r}; expected absent or unknown")
    of_all_splits = species_of_rows(chosen.table)
    if of_all_splits is None:
        found = _wide(chosen.table, chosen.rows, tuple(asked or variant.classes))
    else:
        found = _long(chosen, of_all_splits, asked, variant)
    if unlisted is None and not found.listed_absences.any() and not background:
        raise ConfigError(
            f"{chosen.table.name} lists presences alone; say what the species are where they are not listed:"
            " the option unlisted=absent (the lists are complete) or unknown, or compare with background=10000 points"
        )
    return replace(found, presence=np.nan_to_num(found.presence, nan=0.0)) if unlisted == "absent" else found


def _long(chosen: Rows, of_all_splits: Sequence[str], asked: Sequence[str] | None, variant: Variant) -> Found:
    opened = chosen.table
    told = sorted({one for one in of_all_splits if one})
    listed = [of_all_splits[row] for row in chosen.rows.tolist()]
    names = tuple(asked or variant.classes) or tuple(told)
    if asked is None:
        _tell_unknown(opened.name, of_all_splits, names)
    if absent := [name for name in asked or () if name not in told]:
        near = difflib.get_close_matches(absent[0], told, n=1)
        raise InputError(
            f"{opened.name} lists nothing of {some(absent, SHOWN)}; it lists {some(told, SHOWN)}"
            + (f" (did you mean {near[0]}?)" if near else "")
            + ": correct the option species=[...]"
        )
    status = statuses(opened)
    absent_once = {of_all_splits[row] for row in np.flatnonzero(status == 0).tolist()}
    presence = np.full((len(chosen.ids), len(names)), np.nan, np.float32)
    place = {name: number for number, name in enumerate(names)}
    counted = np.array([name in place for name in listed])
    cells = chosen.site[counted], np.array([place[name] for name in listed if name in place], np.int64)
    np.fmax.at(presence, cells, status[chosen.rows][counted])  # found once is present
    return Found(
        species=names, presence=presence, listed_absences=np.array([name in absent_once for name in names], np.bool_)
    )


def _tell_unknown(table: str, listed: Sequence[str], names: Sequence[str]) -> None:
    """Warn of rows of species that the model does not know, in all splits; raise where it knows none."""
    known = {*names}
    rows = [one for one in listed if one and one not in known]
    if not rows:
        return
    unknown = sorted({*rows})
    near = difflib.get_close_matches(unknown[0], names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    found = f"{len(unknown)} species that are none of the model's {len(names)}: {some(unknown, SHOWN)}{hint}"
    if known.isdisjoint(listed):
        raise InputError(f"{table} lists {found}; rename them, or say which count with the option species=[...]")
    warnings.warn(f"{table}: {len(rows)} of {len(listed)} rows are left out, of {found}", ZooWarning, stacklevel=4)


def statuses(opened: TableSource) -> Numbers:
    """Of each row of the table: 1 present, 0 absent; 1 where the table does not say."""
    column = column_of(opened, PRESENCE)
    if column is None:
        return np.ones(len(opened), np.float32)
    values = opened.data[column].to_pylist()
    told = [SAID.get(one.strip().casefold(), one) if isinstance(one, str) else one for one in values]
    if strange := [one for one in told if one not in (0, 1, True, False)]:
        raise InputError(
            f"{opened.name}: column {column!r} holds {strange[0]!r}; expected present or absent, or 1 or 0"
            " (abundances: write 1 where they are above 0)"
        )
    return np.array(told, np.float32)


def _wide(opened: TableSource, rows: NDArray[np.int64], names: tuple[str, ...]) -> Found:
    if not names:
        raise ConfigError(
            "the model names no species, and the table has no column `species`; say which columns they are:"
            " the option species=[...]"
        )
    columns = [column_of(opened, (name,)) for name in names]
    if absent := [name for name, column in zip(names, columns, strict=True) if column is None]:
        raise InputError(
            f"{opened.name} has no column for {len(absent)} of {len(names)} species: {some(absent, SHOWN)}; found"
            f" {some(opened.columns, SHOWN)}: rename the columns, or say those that are there with the option species=[...]"
        )
    presence = np.stack([opened.numbers(str(column)) for column in columns], axis=1)
    strange = np.isfinite(presence) & (presence != 0) & (presence != 1)
    if strange.any():
        row, place = np.argwhere(strange)[0].tolist()
        raise InputError(
            f"{opened.name}: column {columns[place]!r} holds {presence[row, place]:g}; expected 1 (present), 0 (absent), or"
            " nothing (abundances: write 1 where they are above 0)"
        )
    return Found(species=names, presence=presence[rows], listed_absences=(presence == 0).any(axis=0))
