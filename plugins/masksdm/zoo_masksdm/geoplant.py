"""GeoPlant's presence-absence surveys (Europe): a row per survey and species, and tables of predictors by survey.

Source: zbirobin/MaskSDM-MEE@bfdc9487; files as GeoPlant publishes them, with or without a prefix such as `GLC24-`.
"""

# N surveys, F predictors, S species

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import InputError
from zoo.spec import Variant
from zoo_masksdm import predictors
from zoo_masksdm.tables import PlotReader, Plots, frequent, ordered, read_columns

KEY = "surveyId"
SURVEYS = "PA_metadata_train.csv"
TABLES = tuple(f"PA-train-{name}.csv" for name in ("bioclimatic", "soilgrids", "elevation", "human_footprint"))
LARGEST = 1e10  # beyond, a number means that there is none: the authors'


def geoplant(folder: str | Path, *, split: str, variant: Variant | None = None, spacing: float = 1.0) -> PlotReader:
    """Surveys of a split.

    Args:
        folder: where the tables lie, at any depth.
        split: `train`, `val` or `test` of the split into spatial blocks.
        variant: whose predictors' statistics are used, if it has any.
        spacing: side of a block in degrees.

    Raises:
        InputError: a file is missing, or lacks a survey.
    """
    plots = read_surveys(Path(folder))
    return PlotReader(plots, split=split, variant=variant, spacing_deg=spacing, label="GeoPlant")


def read_surveys(folder: Path) -> Plots:
    """All surveys and the species with more than 20 presences, called by their speciesId."""
    rows = read_columns(_found(folder, SURVEYS))
    if absent := {KEY, "speciesId", "lon", "lat", "geoUncertaintyInM", "areaInM2"} - set(rows):
        raise InputError(f"{SURVEYS} lacks {', '.join(sorted(absent))}; found {', '.join(rows)}")
    surveys, first, site = np.unique(rows[KEY], return_index=True, return_inverse=True)
    kinds, kind = np.unique(rows["speciesId"].astype(np.int64), return_inverse=True)
    presence = np.zeros((len(surveys), len(kinds)), np.bool_)
    presence[site.reshape(-1), kind.reshape(-1)] = True
    kept = frequent(presence)
    columns = {name: rows[name][first] for name in ("lon", "lat", "geoUncertaintyInM", "areaInM2")}
    for name in TABLES:
        columns |= _of_surveys(_found(folder, name), surveys)
    x = ordered(columns, predictors.GEOPLANT, folder)
    x[~(np.abs(x) <= LARGEST)] = np.nan
    return Plots(
        ids=tuple(map(str, surveys.tolist())),
        bands=predictors.GEOPLANT,
        x=x,
        lon_lat=np.stack([columns["lon"], columns["lat"]], axis=1).astype(np.float64),
        species=tuple(f"species {kinds[index]}" for index in kept),
        presence=presence[:, kept],
    )


def _found(folder: Path, name: str) -> Path:
    files = sorted(folder.rglob(f"*{name}"))
    if not files:
        raise InputError(f"{folder} has no {name}; expected GeoPlant's tables of presence-absence surveys")
    return files[0]


def _of_surveys(path: Path, surveys: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The columns of a table, a row for each survey."""
    columns = read_columns(path)
    if KEY not in columns:
        raise InputError(f"{path} has no column {KEY}; found {', '.join(list(columns)[:8])}")
    order = np.argsort(columns[KEY], kind="stable")
    place = np.searchsorted(columns[KEY][order], surveys).clip(max=len(order) - 1)
    rows = order[place]
    if (missing := columns[KEY][rows] != surveys).any():
        raise InputError(f"{path} lacks survey {surveys[missing][0]} and {int(missing.sum()) - 1} more of {SURVEYS}")
    return {name: one[rows] for name, one in columns.items() if name != KEY}
