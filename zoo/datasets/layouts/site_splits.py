"""Which sites of a table belong to a split: as the table says, by blocks of the ground, or drawn."""

# N sites

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.datasets.blocks import block_cells, block_shares
from zoo.datasets.dividing import SHARES, NoSuchSplit, of_split, range_of
from zoo.datasets.layouts.site_rows import Mask, Places, Rows, column_of, place_names, places_of
from zoo.errors import ConfigError, InputError, some
from zoo.inputs.variables import SHOWN


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
        places = place_names(opened)
        names = [places[row] or one for row, one in zip(sites.first.tolist(), sites.ids, strict=True)]
        drawn = set(of_split(names, split, Path(opened.name), shares=dealing.shares, seed=dealing.seed))
        if not drawn and not may_be_empty:
            raise NoSuchSplit(
                f"{opened.name}: 0 of {len(names)} sites fall into {split!r}, drawn by chance; say larger shares of it"
                " (shares=...) or another seed, or divide by blocks of the ground (block_km=...)"
            )
        return sites.kept(np.array([one in drawn for one in names], np.bool_))
    return sites.kept(dealing.by_blocks(split, places_of(sites))[0])


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
