"""What was read of a table of sites, in words: before hours are spent, whoever trains should see what on."""

# P parts, S species

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.bands import normal_form
from zoo.datasets.dividing import SHARES
from zoo.datasets.layouts.presences import statuses
from zoo.datasets.layouts.site_rows import SPECIES, Rows, column_of, species_of_rows
from zoo.datasets.layouts.site_splits import Dealing, sites_of_split
from zoo.errors import some

Counts = NDArray[np.int64]


def parts_of(every: Rows, dealing: Dealing) -> dict[str, Rows]:
    """The sites of each split: train, val and test first."""
    column = column_of(every.table, ("split",))
    if column is None:
        names = list(dealing.splits())
    else:
        values = every.table.data[column].to_pylist()
        names = sorted({str(values[row]) for row in every.rows.tolist()})
        names = [*(one for one in SHARES if one in names), *(one for one in names if one not in SHARES)]
    return {name: sites_of_split(every, name, dealing, may_be_empty=True) for name in names}


def told_of(species: Sequence[str], parts: Mapping[str, Rows], points: Mapping[str, int]) -> tuple[str, ...]:
    """Two lines: how much there is of what, and how it is divided.

    A find is a species at a site, however many rows say so: more rows teach no more.

    Args:
        species: that are learnt.
        parts: the sites of each split.
        points: of the background, in each split that takes some.
    """
    table = next(iter(parts.values())).table
    finds, absences, again = _counted(species, parts)
    column = column_of(table, SPECIES)
    repeated = (
        f" (and {_number(again, 'row')} that {'repeats' if again == 1 else 'repeat'} one at its site)" if again else ""
    )
    told = [f"{_number(int(finds.sum()), 'find')} of {len(species)} species{repeated}"]
    told += [_number(absences, "absence")] if absences else []
    told += [_number(sum(points.values()), "background point")] if points else []
    by_other = column is not None and normal_form(column) != normal_form(SPECIES[0])
    sizes = [_listed([len(one.ids) for one in parts.values()]) + " sites"]
    sizes += [_listed([points.get(name, 0) for name in parts]) + " background points"] if points else []
    of_each = [f"{name} ({_listed(column.tolist())})" for name, column in zip(species, finds.T, strict=True)]
    return (
        f"{table.name}: {', '.join(told)}" + (f"; species are those of the column {column!r}" if by_other else ""),
        f"{', '.join(parts)}: {', '.join(sizes)}; finds of {some(of_each)}",
    )


def _counted(species: Sequence[str], parts: Mapping[str, Rows]) -> tuple[Counts, int, int]:
    """(P, S) sites with each species, absences of all that are listed, and rows beyond the first of a find."""
    table = next(iter(parts.values())).table
    listed = species_of_rows(table)
    if listed is None:
        columns = [str(column_of(table, (name,))) for name in species]
        values = [[table.numbers(name)[one.rows] for one in parts.values()] for name in columns]
        finds = np.array([[int((part == 1).sum()) for part in column] for column in values], np.int64).T
        return finds, sum(int((part == 0).sum()) for column in values for part in column), 0
    number = {name: index for index, name in enumerate(species)}
    which, status = np.array([number.get(one, -1) for one in listed], np.int64), statuses(table)
    finds, absences, rows = np.zeros((len(parts), len(species)), np.int64), 0, 0
    for index, one in enumerate(parts.values()):
        mine, present = which[one.rows], status[one.rows] == 1
        there = (mine >= 0) & present
        cells = np.unique(one.site[there] * len(species) + mine[there])
        finds[index] = np.bincount(cells % len(species), minlength=len(species))
        rows += int(there.sum())
        absences += int(((mine >= 0) & ~present).sum())
    return finds, absences, rows - int(finds.sum())


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _listed(counts: Sequence[int]) -> str:
    return " + ".join(f"{one:,}" for one in counts)
