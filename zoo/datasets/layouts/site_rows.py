"""Rows of a table of sites: which of them are one site, and which sites belong to a split."""

# N rows or sites

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bands import normal_form
from zoo.datasets.blocks import block_cells, block_shares
from zoo.datasets.dividing import SHARES, NoSuchSplit, need_folder, of_split, range_of
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.variables import SHOWN
from zoo.io import tables
from zoo.io.grid import LON_LAT
from zoo.io.tables import TableSource
from zoo.io.vectors import reproject

# Columns of a long table, as `zoo.bands.normal_form` reduces names; the second is Darwin Core's
# (https://dwc.tdwg.org/terms/#occurrence).
SPECIES = ("species", "scientificName")
FINDS = (
    "occurrenceID",
    "catalogNumber",
)  # of the columns that name rows, those that name a find, not where it was made

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Dealing:
    """How sites are divided where their table does not say; see `zoo.datasets.layouts.sites.sites`."""

    shares: Mapping[str, float] | None
    seed: int
    block_km: float | None
    folds: int | None
    fold: int | None

    def check(self, where: str, *, told: str) -> None:
        """Raise `ConfigError` for options that contradict each other, or what the table says (`told`, if anything)."""
        self._check_types()
        if (self.folds is None) != (self.fold is None) or (self.folds is not None and self.block_km is None):
            raise ConfigError(
                "folds are parts of the ground, of which one is the test: say all of block_km, folds and fold, such as"
                " block_km=50 folds=5 fold=1"
            )
        if self.folds is not None and self.fold is not None and not (self.folds > 2 and 1 <= self.fold <= self.folds):
            raise ConfigError(
                f"found fold={self.fold} of folds={self.folds}; expected 3 folds or more, for one is the test and one the"
                " validation, and a fold from 1 to their number"
            )
        if self.folds is not None and self.shares is not None:
            raise ConfigError("folds have equal shares; leave the option shares out, or folds and fold")
        given = {"shares": self.shares, "block_km": self.block_km}
        if told and (mine := [name for name, value in given.items() if value is not None]):
            raise ConfigError(f"{where} has {told}, which the option {mine[0]} would overrule; leave it out")

    def _check_types(self) -> None:
        whole = {"seed": self.seed, "folds": self.folds, "fold": self.fold}
        for name, value in whole.items():
            if value is None and name != "seed":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"the option {name} is {value!r}; expected a whole number from 0, such as {name}=1")
        side = self.block_km
        if side is not None and (
            isinstance(side, bool) or not isinstance(side, int | float) or not 0 < side < math.inf
        ):
            raise ConfigError(
                f"the option block_km is {side!r}; expected a number of kilometres above 0, without a unit: block_km=50"
            )
        if self.shares is not None and not isinstance(self.shares, Mapping):
            raise ConfigError(f"the option shares is {self.shares!r}; expected a number per split, such as {SHARES}")

    def splits(self) -> tuple[str, ...]:
        """Names of the parts, where the table does not say them."""
        return tuple(SHARES if self.shares is None or self.folds is not None else self.shares)

    def parts(self, split: str) -> tuple[tuple[float, ...], list[int]]:
        """Shares of the parts that blocks are dealt to, and the parts that make a split."""
        if self.folds is not None and self.fold is not None:
            test, val = self.fold - 1, self.fold % self.folds
            of = {"test": [test], "val": [val], "train": [one for one in range(self.folds) if one not in (test, val)]}
            if split not in of:
                raise ConfigError(f"no split {split!r}: folds are divided into train, val and test")
            return (1.0,) * self.folds, of[split]
        shares = SHARES if self.shares is None else self.shares
        range_of(split, shares)  # checks them
        rest = 1 - sum(shares.values())
        return (*shares.values(), *([rest] if rest > 1e-9 else [])), [list(shares).index(split)]

    def by_blocks(self, split: str, places: Places) -> tuple[Mask, Mapping[tuple[int, int], bool]]:
        """Which sites (N,) belong to a split, and for each block of the ground that has sites, whether it does."""
        assert self.block_km is not None
        shares, wanted = self.parts(split)
        names = () if self.folds is not None else self.splits()
        dealt = block_shares(places, shares, block_km=self.block_km, seed=self.seed, names=names)
        mine = np.zeros(len(places), np.bool_)
        for part in wanted:
            mine[dealt[part]] = True
        cells = block_cells(places, block_km=self.block_km)
        return mine, {(east, north): bool(one) for (east, north), one in zip(cells.tolist(), mine, strict=True)}


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
    places = _place_names(opened) if long else [""] * len(opened)
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
    warnings.warn(
        f"{sites.table.name}: {int((~known).sum())} of {len(known)} rows name no species and are left out",
        ZooWarning,
        stacklevel=3,
    )
    return sites.of_rows(known)


def sites_of_split(sites: Rows, split: str, dealing: Dealing, *, may_be_empty: bool = False) -> Rows:
    """The sites of a split: by the table's own column `split`, by blocks of the ground, or drawn.

    What draws a site is its place, or else its id: a place is in one split, whatever the order of rows, and stays there
    when others come or go.

    Raises:
        InputError: the table has no such split, or no coordinates that blocks need; or none is drawn.
        ConfigError: an option is wrong.
    """
    opened = sites.table
    column = column_of(opened, ("split",))
    dealing.check(opened.name, told="" if column is None else f"a column {column!r}")
    if column is not None:
        return _told_split(sites, split, column)
    if dealing.block_km is None:
        places = _place_names(opened)
        names = [places[row] or one for row, one in zip(sites.first.tolist(), sites.ids, strict=True)]
        drawn = set(of_split(names, split, Path(opened.name), shares=dealing.shares, seed=dealing.seed))
        if not drawn and not may_be_empty:
            raise NoSuchSplit(
                f"{opened.name}: 0 of {len(names)} sites fall into {split!r}, drawn by chance; say larger shares of it"
                " (shares=...) or another seed, or divide by blocks of the ground (block_km=...)"
            )
        return sites.kept(np.array([one in drawn for one in names], np.bool_))
    return sites.kept(dealing.by_blocks(split, places_of(sites))[0])


def located(sites: Rows) -> Rows:
    """The sites whose coordinates are known, with a warning of the others: downloads of occurrences have such rows.

    Raises:
        InputError: none has coordinates.
    """
    places = sites.lon_lat
    known = np.full(len(sites.ids), fill_value=False) if places is None else np.asarray(np.isfinite(places).all(axis=1))
    name = sites.table.name
    if not known.any():
        raise InputError(
            f"{name} has no coordinates that are known (columns: {some(sites.table.columns, SHOWN)}); expected"
            " decimalLongitude and decimalLatitude (or x, y with the option crs)"
        )
    if known.all():
        return sites
    warnings.warn(
        f"{name}: {int((~known).sum())} of {len(known)} sites have no coordinates and are left out",
        ZooWarning,
        stacklevel=3,
    )
    return sites.kept(known)


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


def _site_column(opened: TableSource, *, long: bool) -> str | None:
    """The column that names sites: in a long table none that names finds, as `id` does where it differs in all rows."""
    if not long:
        return column_of(opened, tables.ID_NAMES)
    column = column_of(opened, [one for one in tables.ID_NAMES[1:] if one not in FINDS])
    if column is not None or (first := column_of(opened, tables.ID_NAMES[:1])) is None:
        return column
    several = len(opened.data[first].unique()) < len(opened)
    return first if several or opened.places is None else None


def _place_names(opened: TableSource) -> list[str]:
    """What names the place of each row; empty where it is not known."""
    if opened.places is None:
        return [""] * len(opened)
    return [f"{x:.6f} {y:.6f}" if math.isfinite(x + y) else "" for x, y in opened.places[:, 0].tolist()]


def _text(value: Any) -> str:
    """An id as text; empty where a cell is, as pandas writes those of numbers too."""
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124  (NaN)


def _told_split(sites: Rows, split: str, column: str) -> Rows:
    told = np.array([str(one) for one in sites.table.data[column].to_pylist()])
    unlike = told[sites.rows] != told[sites.first][sites.site]
    if unlike.any():
        site = int(sites.site[int(unlike.argmax())])
        found = sorted({*told[sites.rows[sites.site == site]].tolist()})
        raise InputError(
            f"{sites.table.name}: rows of {len(np.unique(sites.site[unlike]))} sites are in several splits, such as those of"
            f" {sites.ids[site]!r} in {some(found, SHOWN)}; expected all rows of a site in one: correct the column"
            f" {column!r}, or leave it out and divide by blocks of the ground (block_km=...)"
        )
    mine = told[sites.rows] == split
    if not mine.any():
        raise NoSuchSplit(
            f"{sites.table.name} has no row of the split {split!r}; its column {column!r} holds"
            f" {some(sorted(set(told.tolist())), SHOWN)}: give one of these as the split"
        )
    return sites.of_rows(mine)
