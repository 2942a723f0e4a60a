"""sPlotOpen as the authors prepared it: tables of predictors per group, a matrix of occurrences, SatCLIP embeddings.

Rows of the authors' tables belong together by position; here they are matched by PlotObservationID, and the matrix, whose rows
are those of the sorted ids, likewise.

Source: zbirobin/MaskSDM-MEE@bfdc9487, `data/` of zenodo.org/records/16902598.
"""

# N plots, F predictors, S species

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import InputError
from zoo.spec import Variant
from zoo_masksdm import predictors
from zoo_masksdm.tables import PlotReader, Plots, frequent, ordered, read_columns

KEY = "PlotObservationID"
TABLES = {
    "worldclim_data.csv": predictors.WORLDCLIM,
    "soilgrid_data.csv": predictors.SOILGRIDS,
    "location_data.csv": predictors.LOCATION,
    "topographic_data.csv": predictors.TOPOGRAPHY,
    "metadata_data.csv": predictors.METADATA,
    "cover_data.csv": predictors.COVER,
    "height_data.csv": predictors.HEIGHT,
    "human_data.csv": predictors.HUMAN,
}
OCCURRENCES, NAMES, EMBEDDINGS = "species_occurrences.npy", "species_names.csv", "satclip_embeddings.npy"


def splot(
    folder: str | Path, *, split: str, variant: Variant | None = None, spacing: float = 1.0, satclip: bool = True
) -> PlotReader:
    """Plots of a split.

    Args:
        folder: the authors' `data/`.
        split: `train`, `val` or `test` of the split into spatial blocks.
        variant: whose predictors' statistics are used, if it has any.
        spacing: side of a block in degrees: 1 in the paper's main results, 5 in its larger blocks.
        satclip: whether embeddings are read.

    Raises:
        InputError: a file is missing or does not fit the others.
    """
    plots = read_plots(Path(folder), satclip=satclip)
    return PlotReader(plots, split=split, variant=variant, spacing_deg=spacing, label="sPlotOpen")


def read_plots(folder: Path, *, satclip: bool = True) -> Plots:
    """All plots and the species with more than 20 presences."""
    absent = [name for name in (*TABLES, OCCURRENCES, NAMES) if not (folder / name).is_file()]
    if absent:
        raise InputError(
            f"{folder} lacks {', '.join(absent)}; expected the folder data/ of the authors' archive"
            " (https://zenodo.org/records/16902598)"
        )
    tables = {name: read_columns(folder / name) for name in TABLES}
    ids, orders = _matched(tables, folder)
    x = np.concatenate(
        [ordered(tables[name], bands, folder / name)[orders[name]] for name, bands in TABLES.items()], axis=1
    )
    x[:, -len(predictors.HUMAN) :] = np.nan_to_num(x[:, -len(predictors.HUMAN) :], nan=0.0)  # the authors': 5 plots
    x[~np.isfinite(x)] = np.nan
    occurrences = _array(folder / OCCURRENCES, rows=len(ids))
    names = _names(folder / NAMES, occurrences.shape[1])
    kept = frequent(occurrences)
    place = [one.id for one in predictors.SPLOT].index("Longitude")
    embeddings = folder / EMBEDDINGS
    return Plots(
        ids=tuple(map(str, ids.tolist())),
        bands=predictors.SPLOT,
        x=x,
        lon_lat=x[:, place : place + 2].astype(np.float64),
        species=tuple(names[index] for index in kept),
        presence=np.asarray(occurrences[:, kept], np.bool_),
        satclip=_array(embeddings, rows=len(ids)).astype(np.float32) if satclip and embeddings.is_file() else None,
    )


def _matched(
    tables: dict[str, dict[str, NDArray[Any]]], folder: Path
) -> tuple[NDArray[Any], dict[str, NDArray[np.int64]]]:
    """Sorted ids, and for each table the order that sorts its rows.

    Raises:
        InputError: a table has no ids, or those of other plots.
    """
    found: NDArray[Any] | None = None
    orders = {}
    for name, columns in tables.items():
        if KEY not in columns:
            raise InputError(f"{folder / name} has no column {KEY}; found {', '.join(list(columns)[:8])}")
        orders[name] = np.argsort(columns[KEY], kind="stable")
        ids = columns[KEY][orders[name]]
        if found is None:
            found = ids
        if not np.array_equal(ids, found) or len(np.unique(ids)) < len(ids):
            raise InputError(
                f"{folder / name} has {len(ids)} plots, {next(iter(tables))} has {len(found)}; expected the same"
                f" {KEY} in each table, once"
            )
    assert found is not None
    return found, orders


def _array(path: Path, *, rows: int) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as err:
        raise InputError(f"{path} cannot be read: {err}; expected an array of NumPy") from err
    if found.ndim != 2 or len(found) != rows:
        raise InputError(f"{path} has shape {found.shape}; the tables have {rows} plots: expected a row for each")
    return found


def _names(path: Path, count: int) -> list[str]:
    columns = read_columns(path)
    if not {"Species Name", "Index"} <= set(columns):
        raise InputError(f"{path} has the columns {', '.join(columns)}; expected Species Name and Index")
    found = dict(zip(columns["Index"].tolist(), columns["Species Name"].tolist(), strict=True))
    if set(found) != set(range(count)):
        raise InputError(f"{path} names {len(found)} species; {OCCURRENCES} has {count} columns")
    return [str(found[index]) for index in range(count)]
