"""Tables of occurrences as items: a place and day each, with the species that were seen there.

The authors sort items, and their writer of submissions then puts each item's answer beside another item's Id; here the Id
stays with its item.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

# R rows of a table, N items, S species

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from zoo.errors import InputError

ITEM = ("lat", "lon", "patchID", "dayOfYear")
SPECIES, ID = "speciesId", "Id"

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """Unique (lat, lon, patchID, dayOfYear), in ascending order.

    Attributes:
        table: (N, 4) float64, the columns of `ITEM`.
        item: number of the item of each row (R,).
        row: first row of each item (N,).
        species: speciesId of each row (R,); `None` in a table to be answered.
        ids: Id of each item (N,), where the table has them.
    """

    table: NDArray[np.float64]
    item: Integers
    row: Integers
    species: Integers | None
    ids: Integers | None

    def __len__(self) -> int:
        return len(self.table)

    def patch_id(self, item: int) -> str:
        return f"{self.table[item, 2]:.0f}"


def read_items(path: Path | Any) -> Items:
    """The items of a table separated by semicolons.

    Raises:
        InputError: the file cannot be read, or has no such columns.
    """
    columns = read_columns(path)
    try:
        table = np.stack([columns[name].to_numpy().astype(np.float64) for name in ITEM], axis=1)
    except ValueError as err:
        raise InputError(f"{_name(path)} holds something else than numbers in {', '.join(ITEM)} ({err})") from err
    order = np.lexsort(table.T[::-1])
    begins = np.ones(len(table), np.bool_)
    begins[1:] = (np.diff(table[order], axis=0) != 0).any(axis=1)
    item = np.empty(len(table), np.int64)
    item[order] = np.cumsum(begins) - 1
    row = order[begins]  # lexsort is stable: the first row of each
    return Items(
        table=table[row],
        item=item,
        row=row,
        species=columns[SPECIES].to_numpy().astype(np.int64) if SPECIES in columns else None,
        ids=columns[ID].to_numpy().astype(np.int64)[row] if ID in columns else None,
    )


def read_columns(path: Path | Any, needed: tuple[str, ...] = ITEM) -> dict[str, pa.ChunkedArray]:
    """The columns of a table separated by semicolons.

    Raises:
        InputError: see `read_items`.
    """
    try:
        table = pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(delimiter=";"))
    except (OSError, pa.ArrowInvalid) as err:
        raise InputError(f"cannot read {_name(path)}: {err}; expected columns separated by semicolons") from err
    if absent := [name for name in needed if name not in table.column_names]:
        raise InputError(
            f"{_name(path)} has no column {', '.join(absent)}; found {', '.join(table.column_names)}, expected"
            f" {', '.join(needed)} separated by semicolons"
        )
    return dict(zip(table.column_names, table.columns, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Presences:
    """Which species each item has, as numbers into a list of species.

    Attributes:
        starts: (N + 1,), where each item's species begin in `numbers`.
        numbers: of species, ascending within an item.
        count: (S,) rows of each species, repeats counted.
    """

    starts: Integers
    numbers: Integers
    count: Integers

    def of(self, item: int) -> Integers:
        return self.numbers[self.starts[item] : self.starts[item + 1]]

    def dense(self) -> NDArray[np.bool_]:
        """(N, S)."""
        found = np.zeros((len(self.starts) - 1, len(self.count)), np.bool_)
        found[np.repeat(np.arange(len(found)), np.diff(self.starts)), self.numbers] = True
        return found


def presences_of(items: Items, species: Integers) -> Presences:
    """Presences among `species`, ascending; others are left out."""
    assert items.species is not None, "a table without species has none"
    place = np.searchsorted(species, items.species)
    known = species[np.minimum(place, len(species) - 1)] == items.species
    item, number = items.item[known], place[known]
    pairs = np.unique(item * len(species) + number)  # ascending by item, then by species
    starts = np.searchsorted(pairs, np.arange(len(items) + 1) * len(species))
    return Presences(
        starts=starts, numbers=pairs % len(species), count=np.bincount(number, minlength=len(species)).astype(np.int64)
    )


def _name(path: Any) -> str:
    return str(path) if isinstance(path, str | Path) else "the table"
