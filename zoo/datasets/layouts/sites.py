"""A table of sites, with predictors and with the species that were found: long (Darwin Core) or a column per species."""

# N rows or sites, F variables, S species

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.bands import normal_form
from zoo.datasets.dividing import SHARES, NoSuchSplit, need_folder, of_split
from zoo.datasets.layouts.patches import Patches, patches_of
from zoo.datasets.pictures import need_variant
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.variables import SHOWN, has_any, match_variables
from zoo.io import tables
from zoo.io.grid import LON_LAT
from zoo.io.tables import TableSource, open_table
from zoo.io.vectors import reproject
from zoo.spec import Fill, Kind, Variant

# Columns of a long table, as `zoo.bands.normal_form` reduces names; the second of each is Darwin Core's
# (https://dwc.tdwg.org/terms/#occurrence).
SPECIES = ("species", "scientificName")
PRESENCE = ("presence", "occurrenceStatus", "present")
SAID = {"present": 1.0, "true": 1.0, "yes": 1.0, "absent": 0.0, "false": 0.0, "no": 0.0}

Numbers = NDArray[np.float32]


def sites(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    table: str | None = None,
    species: Sequence[str] | None = None,
    unlisted: Literal["absent", "unknown"] | None = None,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    bands: Any = None,
    nodata: float | None = None,
    crs: Any = None,
    rasters: Mapping[str, str] | None = None,
    background: str | None = None,
) -> SiteTable:
    """Sites with predictors and species.

    A long table has a row per site and species (`species` or `scientificName`, and maybe `presence` or
    `occurrenceStatus`); rows of one site share its id, or else its coordinates. A wide one has a row per site and a column
    of 1, 0 or nothing per species.

    Args:
        folder: the table, or the folder that holds it: `<split>.csv` (.tsv, .parquet), or a single one.
        split: by a column `split` of a single table; without one, drawn by the sites' ids.
        variant: whose inputs are fed from the columns.
        table: name of the file, where the folder holds several.
        species: in the order of the answers; `None` = the variant's classes, or those of a long table by name.
        unlisted: what a species is at a site where a long table does not list it; must be said where the table lists
            presences alone; otherwise `None` = unknown.
        shares: see `zoo.datasets.dividing.Dividing`.
        seed: see `shares`.
        bands: names of the table's columns in its order, where they are not the variables' own.
        nodata: number that marks missing values.
        crs: of coordinates named x and y.
        rasters: by input, for models that see patches around sites: a file, or a folder with a file per variable;
            relative paths begin at the table.
        background: a table of further sites of the training data, at which it is not known what occurs, only what the
            places are like (pseudo-absences); of all splits but `train` they are left out.

    Raises:
        InputError: the table cannot be read, or does not fit the variant.
        ConfigError: an option is wrong.
    """
    variant = need_variant(variant, "sites")
    path, divided = _table(folder, split, table)
    opened = open_table(path, crs=crs)
    rows = np.arange(len(opened)) if divided else _rows_of(opened, split, shares, seed)
    if divided and shares is not None:
        raise ConfigError(
            f"{path.parent} has a table per split, which the option shares would divide again; leave it out"
        )
    chosen = _sites(opened, rows, own=path.name if divided else "")
    names, presence = _presence(chosen, species, variant, unlisted)
    patches = patches_of(variant, rasters or {}, path.parent)
    inputs, valid, seen = _predictors(chosen, variant, bands, nodata)
    if not seen.all():
        if not seen.any():
            raise InputError(f"{path.name}: not one of {len(seen)} sites has the predictors{_empty(variant, valid)}")
        warnings.warn(
            f"{path.name}: {int((~seen).sum())} of {len(seen)} sites lack predictors and are left out",
            ZooWarning,
            stacklevel=2,
        )
    kept = np.flatnonzero(seen)
    places = _lon_lat(opened, chosen.first[kept])
    if patches and (places is None or not np.isfinite(places).all()):
        raise InputError(
            f"{path.name} has sites without coordinates, and {', '.join(one.spec.name for one in patches)} is read around"
            " them; expected decimalLongitude and decimalLatitude in each row (or x, y with the option crs)"
        )
    own = SiteTable(
        ids=tuple(chosen.ids[site] for site in kept),
        classes=names,
        inputs={name: one[kept] for name, one in inputs.items()},
        valid={name: one[kept] for name, one in valid.items()},
        presence=torch.from_numpy(presence[kept]),
        places=places,
        patches=patches,
    )
    if background is None or split != "train":
        return own
    behind = open_table(path.parent / Path(background).expanduser(), crs=crs)
    return _beside(own, behind, variant, bands, nodata)


@dataclass(frozen=True, kw_only=True)
class SiteTable:
    """See `sites`; a `zoo.datasets.sample.Reader`.

    Attributes:
        inputs: (N, F) of each input, prepared.
        valid: (N, F), which values there were.
        presence: (N, S).
        places: (N, 2) longitude and latitude, where the table has them.
        patches: inputs that are read around the places.
        background: (N,) which sites are background points; `None` where the data have none.
    """

    ids: Sequence[str]
    classes: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    presence: Tensor
    places: NDArray[np.float64] | None
    patches: tuple[Patches, ...] = ()
    background: Tensor | None = None

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (the protocol's)
        place = None if self.places is None else self.places[index].tolist()
        around = {one.spec.name: one.at((place[0], place[1])) for one in self.patches if place is not None}
        return Sample(
            id=self.ids[index],
            inputs={name: one[index] for name, one in self.inputs.items()}
            | {name: one for name, (one, _) in around.items()},
            valid={name: one[index] for name, one in self.valid.items()}
            | {name: one for name, (_, one) in around.items()},
            target={"presence": self.presence[index]}
            | ({} if self.background is None else {"background": self.background[index]}),
            place=None if place is None or not np.isfinite(place).all() else (place[0], place[1]),
        )


def _beside(own: SiteTable, opened: TableSource, variant: Variant, bands: Any, nodata: float | None) -> SiteTable:
    """The sites, and after them the background points of a table."""
    rows = np.arange(len(opened))
    ids = tuple(f"background {row}" for row in range(1, len(opened) + 1))
    chosen = _Chosen(table=opened, rows=rows, ids=ids, site=rows, first=rows)
    inputs, valid, seen = _predictors(chosen, variant, bands, nodata)
    places = _lon_lat(opened, rows)
    if places is not None:
        seen &= np.isfinite(places).all(axis=1) | (not own.patches)
    if not seen.any() or (own.patches and places is None) or inputs.keys() != own.inputs.keys():
        raise InputError(
            f"{opened.name}: not one background point has what {variant.tag} takes; expected coordinates, and the columns of"
            f" predictors of the sites ({', '.join(own.inputs) or 'none'})"
        )
    kept = np.flatnonzero(seen)
    known = None if own.places is None else np.full((len(kept), 2), np.nan) if places is None else places[kept]
    nothing = torch.full((len(kept), len(own.classes)), torch.nan)
    return replace(
        own,
        ids=(*own.ids, *(ids[row] for row in kept)),
        inputs={name: torch.cat([one, inputs[name][kept]]) for name, one in own.inputs.items()},
        valid={name: torch.cat([one, valid[name][kept]]) for name, one in own.valid.items()},
        presence=torch.cat([own.presence, nothing]),
        places=None if known is None or own.places is None else np.concatenate([own.places, known]),
        background=torch.arange(len(own.ids) + len(kept)) >= len(own.ids),
    )


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The rows of a split.

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


# ---------------------------------------------------------------------------------------------------------- the table


def _table(folder: str | Path, split: str, name: str | None) -> tuple[Path, bool]:
    """The table to read, and whether it is that of the split alone."""
    path = Path(folder).expanduser()
    if path.is_file():
        return path, False
    root = need_folder(path, "sites", f"a table ({', '.join(tables.SUFFIXES)}), or one per split")
    if name is not None:
        return root / name, False
    found = sorted(one for one in root.iterdir() if one.is_file() and tables.is_table(one))
    of_split = [one for one in found if one.name.split(".")[0] == split]
    if len(of_split) == 1:
        return of_split[0], True
    if len(found) == 1 and found[0].name.split(".")[0] not in SHARES:
        return found[0], False
    told = ", ".join(one.name for one in found) or f"no tables ({', '.join(tables.SUFFIXES)})"
    raise InputError(
        f"{root} holds {told}; expected one table, or one called {split}.csv: say which with the option table=NAME"
    )


def _column(opened: TableSource, names: Sequence[str]) -> str | None:
    spelled = {normal_form(one): one for one in reversed(opened.columns)}
    return next((spelled[normal_form(one)] for one in names if normal_form(one) in spelled), None)


def _keys(opened: TableSource) -> list[str]:
    """What names the site of each row: its id, else its coordinates, else its number."""
    if _column(opened, tables.ID_NAMES) is not None:
        return [str(one) for one in opened.ids.to_pylist()]
    if opened.places is not None and _column(opened, SPECIES) is not None:
        return [f"{x:.6f} {y:.6f}" for x, y in opened.places[:, 0].tolist()]
    return [f"row {number}" for number in range(1, len(opened) + 1)]


def _rows_of(opened: TableSource, split: str, shares: Mapping[str, float] | None, seed: int) -> NDArray[np.int64]:
    """Rows of a split, by the table's own column or drawn."""
    column = _column(opened, ("split",))
    if column is None:
        keys = _keys(opened)
        kept = set(of_split(list(dict.fromkeys(keys)), split, Path(opened.name), shares=shares, seed=seed))
        return np.array([row for row, key in enumerate(keys) if key in kept], np.int64)
    if shares is not None:
        raise ConfigError(
            f"{opened.name} has a column {column!r}, which the option shares would overrule; leave it out"
        )
    told = np.array([str(one) for one in opened.data[column].to_pylist()])
    rows = np.flatnonzero(told == split)
    if not len(rows):
        raise NoSuchSplit(
            f"{opened.name} has no row of the split {split!r}; its column {column!r} holds"
            f" {some(sorted(set(told.tolist())), SHOWN)}: give one of these as the split"
        )
    return rows


def _sites(opened: TableSource, rows: NDArray[np.int64], *, own: str) -> _Chosen:
    """The sites of rows; `own` tells apart the numbers of rows of several tables."""
    keys = _keys(opened)
    numbered = keys[0] == "row 1" and _column(opened, tables.ID_NAMES) is None
    of_row = [f"{own} {keys[row]}".strip() if numbered else keys[row] for row in rows.tolist()]
    ids = tuple(dict.fromkeys(of_row))
    number = {key: site for site, key in enumerate(ids)}
    site = np.array([number[key] for key in of_row], np.int64)
    long = _column(opened, SPECIES) is not None
    if long and numbered:
        raise InputError(
            f"{opened.name} lists species but not their sites; expected a column {tables.ID_NAMES[0]} (or"
            f" {', '.join(tables.ID_NAMES[1:4])}), or coordinates (decimalLongitude, decimalLatitude)"
        )
    if not long and len(ids) < len(rows):
        twice = ids[int(np.bincount(site).argmax())]
        raise InputError(
            f"{opened.name} has {len(rows)} rows for {len(ids)} sites, such as {twice!r} more than once; expected a row per"
            " site (a column per species), or a column `species` (a row per site and species)"
        )
    first = rows[np.unique(site, return_index=True)[1]]
    return _Chosen(table=opened, rows=rows, ids=ids, site=site, first=first)


# --------------------------------------------------------------------------------------------------------- what is there


def _presence(
    chosen: _Chosen, asked: Sequence[str] | None, variant: Variant, unlisted: str | None
) -> tuple[tuple[str, ...], Numbers]:
    """Species, and their presence (sites, S): 1, 0, or NaN where it is not known."""
    if unlisted not in (None, "absent", "unknown"):
        raise ConfigError(f"the option unlisted is {unlisted!r}; expected absent or unknown")
    opened, column = chosen.table, _column(chosen.table, SPECIES)
    if column is None:
        return _wide(opened, chosen.rows, tuple(asked or variant.classes))
    of_all_splits = [str(one) for one in opened.data[column].to_pylist()]
    listed = [of_all_splits[row] for row in chosen.rows.tolist()]
    names = tuple(asked or variant.classes) or tuple(sorted(set(of_all_splits)))
    if asked is None and (unknown := sorted(set(listed) - set(names))):
        near = difflib.get_close_matches(unknown[0], names, n=1)
        raise InputError(
            f"{opened.name} lists {len(unknown)} species that are none of the model's {len(names)}: {some(unknown, SHOWN)}"
            + (f" (did you mean {near[0]}?)" if near else "")
            + "; rename them, or say which count with the option species=[...]"
        )
    status = _statuses(opened, chosen.rows)
    if unlisted is None and not (status == 0).any():
        raise ConfigError(
            f"{opened.name} lists presences alone; say what the species are where they are not listed:"
            " the option unlisted=absent (the lists are complete) or unknown"
        )
    presence = np.full((len(chosen.ids), len(names)), np.nan, np.float32)
    place = {name: number for number, name in enumerate(names)}
    counted = np.array([name in place for name in listed])
    cells = chosen.site[counted], np.array([place[name] for name in listed if name in place], np.int64)
    np.fmax.at(presence, cells, status[counted])  # found once is present
    return names, np.nan_to_num(presence, nan=0.0) if unlisted == "absent" else presence


def _statuses(opened: TableSource, rows: NDArray[np.int64]) -> Numbers:
    """Of each row: 1 present, 0 absent; 1 where the table does not say."""
    column = _column(opened, PRESENCE)
    if column is None:
        return np.ones(len(rows), np.float32)
    values = opened.data[column].take(pa.array(rows)).to_pylist()
    told = [SAID.get(one.strip().casefold(), one) if isinstance(one, str) else one for one in values]
    if strange := [one for one in told if one not in (0, 1, True, False)]:
        raise InputError(
            f"{opened.name}: column {column!r} holds {strange[0]!r}; expected present or absent, or 1 or 0"
            " (abundances: write 1 where they are above 0)"
        )
    return np.array(told, np.float32)


def _wide(opened: TableSource, rows: NDArray[np.int64], names: tuple[str, ...]) -> tuple[tuple[str, ...], Numbers]:
    if not names:
        raise ConfigError(
            "the model names no species, and the table has no column `species`; say which columns they are:"
            " the option species=[...]"
        )
    columns = [_column(opened, (name,)) for name in names]
    if absent := [name for name, column in zip(names, columns, strict=True) if column is None]:
        raise InputError(
            f"{opened.name} has no column for {len(absent)} of {len(names)} species: {some(absent, SHOWN)}; found"
            f" {some(opened.columns, SHOWN)}: rename the columns, or say those that are there with the option species=[...]"
        )
    presence = np.stack([opened.numbers(str(column))[rows] for column in columns], axis=1)
    strange = np.isfinite(presence) & (presence != 0) & (presence != 1)
    if strange.any():
        row, place = np.argwhere(strange)[0].tolist()
        raise InputError(
            f"{opened.name}: column {columns[place]!r} holds {presence[row, place]:g}; expected 1 (present), 0 (absent), or"
            " nothing (abundances: write 1 where they are above 0)"
        )
    return names, presence


# ---------------------------------------------------------------------------------------------------------- predictors


def _predictors(
    chosen: _Chosen, variant: Variant, bands: Any, nodata: float | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], NDArray[np.bool_]]:
    """Prepared inputs (sites, F), which values there were (sites, F), and which sites have what is needed."""
    inputs: dict[str, Tensor] = {}
    valid: dict[str, Tensor] = {}
    seen = np.ones(len(chosen.ids), np.bool_)
    for spec in variant.inputs:
        if spec.kind is not Kind.TABLE:
            if spec.optional or spec.kind is Kind.RASTER:
                continue  # see `patches_of`
            raise InputError(
                f"the layout 'sites' gives tables, and variant {variant.tag!r} also takes {spec.name} ({spec.kind.value});"
                " see `zoo data` for a dataset that gives both"
            )
        if spec.optional and not has_any(spec, chosen.table.columns, told=bands):
            continue
        matched = match_variables(spec, chosen.table.columns, told=bands, where=chosen.table.name)
        values = np.full((len(chosen.ids), len(spec.bands)), np.nan, np.float32)
        for index, place in enumerate(matched.place):
            if place is not None:
                values[:, index] = _of_sites(chosen, place, spec.nodata if nodata is None else nodata)
        known = np.isfinite(values)
        mask = torch.from_numpy(known)
        prepared = Preprocess(spec)(torch.from_numpy(values)[:, :, None, None], mask[:, :, None, None])
        inputs[spec.name], valid[spec.name] = prepared[:, :, 0, 0], mask
        if not spec.optional:
            forgiving = spec.any_subset or any(isinstance(step, Fill) for step in spec.steps)
            seen &= known.any(axis=1) if forgiving else known.all(axis=1)
    return inputs, valid, seen


def _empty(variant: Variant, valid: Mapping[str, Tensor]) -> str:
    """Which variables no site has."""
    names = [
        band
        for spec in variant.inputs
        if spec.name in valid
        for band, there in zip(spec.band_ids, valid[spec.name].any(dim=0).tolist(), strict=True)
        if not there
    ]
    return f": no number of {some(names, SHOWN)}; fill the column in" if names else ", all of them; fill the gaps"


def _of_sites(chosen: _Chosen, place: int, nodata: float | None) -> Numbers:
    """The numbers of a column, one per site.

    Raises:
        InputError: rows of one site say other things of it.
    """
    column = chosen.table.columns[place]
    values = chosen.table.numbers(column, nodata=nodata)
    of_site: Numbers = values[chosen.first]
    unlike = ~np.isclose(values[chosen.rows], of_site[chosen.site], equal_nan=True)
    if unlike.any():
        raise InputError(
            f"{chosen.table.name}: the rows of site {chosen.ids[chosen.site[int(unlike.argmax())]]!r} differ in {column!r};"
            " expected the same predictors in all rows of a site: correct them, or give the rows other ids"
        )
    return of_site


def _lon_lat(opened: TableSource, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    if opened.places is None or opened.crs is None:
        return None
    places = opened.places[rows]
    known = np.isfinite(places).all(axis=(1, 2))
    lon_lat = np.full_like(places, np.nan)
    if known.any():
        lon_lat[known] = reproject(places[known], opened.crs, LON_LAT)
    found: NDArray[np.float64] = lon_lat[:, 0]
    return found
