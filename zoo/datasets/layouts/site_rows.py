"""Rows of a table of sites: which of them are one site, and where it lies."""

# N rows or sites

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bands import normal_form
from zoo.datasets.dividing import SHARES, need_folder
from zoo.errors import InputError, ZooWarning, some
from zoo.inputs.variables import SHOWN
from zoo.io import tables
from zoo.io.grid import LON_LAT
from zoo.io.tables import TableSource
from zoo.io.vectors import reproject

# Columns of a long table, as `zoo.bands.normal_form` reduces names; the second is Darwin Core's
# (https://dwc.tdwg.org/terms/#occurrence).
SPECIES = ("species", "scientificName")
# Of the columns that name rows, those that name a find, not where it was made.
FINDS = ("occurrenceID", "catalogNumber")

Places = NDArray[np.float64]  # (N, 2), longitude and latitude
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows of a table, and the sites that they tell of.

    Attributes:
        rows: their numbers in the table (N,).
        ids: of the sites, in the order of appearance.
        site: number of the site of each row (N,).
        first: first row of each site.
    """

    table: TableSource
    rows: NDArray[np.int64]
    ids: tuple[str, ...]
    site: NDArray[np.int64]
    first: NDArray[np.int64]

    @property
    def lon_lat(self) -> Places | None:
        """Where each site lies, NaN where it is not known; `None` where the table has no coordinates."""
        return lon_lat(self.table, self.first)

    def of_rows(self, mine: Mask) -> Rows:
        """Some of the rows, and the sites that these tell of."""
        numbers, order, site = np.unique(self.site[mine], return_index=True, return_inverse=True)
        return Rows(
            table=self.table,
            rows=self.rows[mine],
            ids=tuple(self.ids[one] for one in numbers.tolist()),
            site=site.reshape(-1),
            first=self.rows[mine][order],
        )

    def kept(self, sites: Mask) -> Rows:
        """The rows of some of the sites."""
        mine = sites[self.site]
        number = np.cumsum(sites) - 1
        return Rows(
            table=self.table,
            rows=self.rows[mine],
            ids=tuple(one for one, there in zip(self.ids, sites.tolist(), strict=True) if there),
            site=number[self.site[mine]],
            first=self.first[sites],
        )


def find_table(folder: str | Path, split: str, name: str | None) -> tuple[Path, bool]:
    """The table to read, and whether it is that of the split alone."""
    path = Path(folder).expanduser()
    if path.is_file():
        return path, False
    root = need_folder(path, "sites", f"a table ({', '.join(tables.SUFFIXES)}), or one per split")
    if name is not None:
        return root / name, False
    found = sorted(one for one in root.iterdir() if one.is_file() and tables.is_table(one))
    mine = [one for one in found if one.name.split(".")[0] == split]
    if len(mine) == 1:
        return mine[0], True
    if len(found) == 1 and found[0].name.split(".")[0] not in SHARES:
        return found[0], False
    told = ", ".join(one.name for one in found) or f"no tables ({', '.join(tables.SUFFIXES)})"
    raise InputError(
        f"{root} holds {told}; expected one table, or one called {split}.csv: say which with the option table=NAME"
    )


def column_of(opened: TableSource, names: Sequence[str]) -> str | None:
    """The first of the names that is a column, however it is spelled."""
    spelled = {normal_form(one): one for one in reversed(opened.columns)}
    return next((spelled[normal_form(one)] for one in names if normal_form(one) in spelled), None)


def all_sites(opened: TableSource, *, own: str = "") -> Rows:
    """All rows of a table, and their sites.

    Args:
        opened: the table.
        own: tells apart the numbers of rows of several tables.

    Raises:
        InputError: the table lists species, not where; or has two rows per site and a column per species.
    """
    long = column_of(opened, SPECIES) is not None
    named_by = _site_column(opened, long=long)
    if long and named_by is None and opened.places is None:
        raise InputError(
            f"{opened.name} lists species but not their sites; expected a column {tables.ID_NAMES[1]} (or"
            f" {', '.join(tables.ID_NAMES[2:5])}), or coordinates (decimalLongitude, decimalLatitude)"
        )
    places = place_names(opened) if long else [""] * len(opened)
    told = [""] * len(opened) if named_by is None else opened.data[named_by].to_pylist()
    of_row = [
        _text(one) or place or f"{own} row {number}".strip()
        for number, (one, place) in enumerate(zip(told, places, strict=True), 1)
    ]
    ids = tuple(dict.fromkeys(of_row))
    number = {key: site for site, key in enumerate(ids)}
    site = np.array([number[key] for key in of_row], np.int64)
    if not long and len(ids) < len(of_row):
        twice = ids[int(np.bincount(site).argmax())]
        raise InputError(
            f"{opened.name} has {len(of_row)} rows for {len(ids)} sites, such as {twice!r} more than once; expected a row per"
            " site (a column per species), or a column `species` (a row per site and species)"
        )
    first = np.unique(site, return_index=True)[1]
    return Rows(table=opened, rows=np.arange(len(opened)), ids=ids, site=site, first=first)


def species_of_rows(opened: TableSource) -> list[str] | None:
    """What each row of a long table lists, empty where it names no species; `None` for a column per species."""
    column = column_of(opened, SPECIES)
    if column is None:
        return None
    return ["" if one is None else str(one).strip() for one in opened.data[column].to_pylist()]


def named(sites: Rows) -> Rows:
    """The sites of rows that name a species, with a warning of the others: finds that nobody could name that far."""
    listed = species_of_rows(sites.table)
    if listed is None:
        return sites
    known = np.array([bool(listed[row]) for row in sites.rows.tolist()], np.bool_)
    if known.all():
        return sites
    tell_left_out(sites.table, known, "rows name no species")
    return sites.of_rows(known)


def located(sites: Rows) -> Rows:
    """The sites whose coordinates are known, with a warning of the others: downloads of occurrences have such rows.

    Raises:
        InputError: none has coordinates.
    """
    places = sites.lon_lat
    known = np.full(len(sites.ids), fill_value=False) if places is None else np.asarray(np.isfinite(places).all(axis=1))
    if not known.any():
        raise InputError(
            f"{sites.table.name} has no coordinates that are known (columns: {some(sites.table.columns, SHOWN)}); expected"
            " decimalLongitude and decimalLatitude (or x, y with the option crs)"
        )
    if known.all():
        return sites
    tell_left_out(sites.table, known, "sites have no coordinates")
    return sites.kept(known)


def tell_left_out(table: TableSource, kept: Mask, why: str) -> None:
    """Warn of rows or sites (N,) that are not kept."""
    warnings.warn(f"{table.name}: {int((~kept).sum())} of {len(kept)} {why} and are left out", ZooWarning, stacklevel=4)


def places_of(sites: Rows) -> Places:
    """(N, 2) longitude and latitude of sites that are `located`."""
    places = sites.lon_lat
    assert places is not None, "not located"
    return places


def lon_lat(opened: TableSource, rows: NDArray[Any]) -> Places | None:
    """(N, 2) longitude and latitude of rows of a table, NaN where a row has none; `None` where no row has."""
    if opened.places is None or opened.crs is None:
        return None
    places = opened.places[rows]
    known = np.isfinite(places).all(axis=(1, 2))
    found = np.full_like(places, np.nan)
    if known.any():
        found[known] = reproject(places[known], opened.crs, LON_LAT)
    answer: Places = found[:, 0]
    return answer


def place_names(opened: TableSource) -> list[str]:
    """What names the place of each row; empty where it is not known."""
    if opened.places is None:
        return [""] * len(opened)
    return [f"{x:.6f} {y:.6f}" if math.isfinite(x + y) else "" for x, y in opened.places[:, 0].tolist()]


def _site_column(opened: TableSource, *, long: bool) -> str | None:
    """The column that names sites: in a long table none that names finds, as `id` does where it differs in all rows."""
    if not long:
        return column_of(opened, tables.ID_NAMES)
    column = column_of(opened, [one for one in tables.ID_NAMES[1:] if one not in FINDS])
    if column is not None or (first := column_of(opened, tables.ID_NAMES[:1])) is None:
        return column
    several = len(opened.data[first].unique()) < len(opened)
    return first if several or opened.places is None else None


def _text(value: Any) -> str:
    """An id as text; empty where a cell is, as pandas writes those of numbers too."""
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124  (NaN)
