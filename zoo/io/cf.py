"""Forecasts written as Zarr or NetCDF-4 by the CF conventions (1.11), a block at a time.

Dimensions are `time` (of the last input), `lead_time` (hours after it), y and x; the CRS stands in `spatial_ref`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import MissingDependency, OutputError
from zoo.io.grid import Grid
from zoo.io.series import Times
from zoo.io.whole import check_extension, whole
from zoo.spec import Quantity
from zoo.tiling import Window

EXTENSIONS = (".zarr", ".nc")
CHUNK = 512  # px; 1 MB of float32
EPOCH = "seconds since 1970-01-01"
CRS_NAME = "spatial_ref"
ORDER_TAG = "ZOO_QUANTITIES"  # names in order, which Zarr does not keep


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesFile:
    """What a file of forecasts holds.

    Attributes:
        grid: of all maps.
        times: of the last input, ascending, UTC.
        lead_times_h: hours after it.
        quantities: variables.
        tags: what the file says of how it was made.
    """

    grid: Grid
    times: Times
    lead_times_h: tuple[float, ...]
    quantities: tuple[Quantity, ...]
    tags: Mapping[str, str]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, L, H, W) of each variable."""
        return len(self.times), len(self.lead_times_h), self.grid.height, self.grid.width

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the last two dimensions."""
        crs = self.grid.crs
        return ("lat", "lon") if crs is not None and crs.is_geographic else ("y", "x")


class SeriesWriter:
    """Takes blocks of the maps; `write_series` gives one."""

    def __init__(self, variables: list[Any]) -> None:
        self._variables = variables

    def write(self, time: int, window: Window, maps: NDArray[np.float32]) -> None:
        """Take the maps (L, V, h, w) of one time in a window."""
        rows, cols = window.slices
        for index, variable in enumerate(self._variables):
            variable[time : time + 1, :, rows, cols] = maps[None, :, index]


@contextlib.contextmanager
def write_series(path: Path, file: SeriesFile) -> Iterator[SeriesWriter]:
    """A writer; the file appears under its name when the block ends.

    Raises:
        OutputError: unknown extension, a `.zarr` that is there already, or the place cannot be written.
    """
    suffix = check_extension(path, EXTENSIONS, "a series")
    if path.is_dir():
        raise OutputError(f"{path} is there already; remove it (rm -r {path}) or choose another name")
    with whole(path) as temporary:
        if suffix == ".zarr":
            yield _zarr(temporary, file)
            _consolidate(temporary)
        else:
            with _netcdf(temporary, file) as writer:
                yield writer


def _zarr(path: Path, file: SeriesFile) -> SeriesWriter:
    try:
        import zarr
    except ImportError as err:
        raise MissingDependency("writing .zarr needs zarr: pip install 'lasig-zoo[series]'") from err
    group = zarr.open_group(path, mode="w", zarr_format=2)  # the version that all readers know
    group.attrs.update(_globals(file))
    made = {}
    for name, (dims, values, attributes) in _variables(file).items():
        shape = file.shape if values is None else values.shape
        array = group.create_array(
            name,
            shape=shape,
            dtype="float32" if values is None else values.dtype,
            chunks=_chunks(shape) if shape else "auto",
            fill_value=float("nan") if values is None else None,
        )
        array.attrs.update({**attributes, "_ARRAY_DIMENSIONS": list(dims)})
        if values is not None:
            array[...] = values
        made[name] = array
    return SeriesWriter([made[quantity.name] for quantity in file.quantities])


def _consolidate(path: Path) -> None:
    import zarr

    zarr.consolidate_metadata(path, zarr_format=2)


@contextlib.contextmanager
def _netcdf(path: Path, file: SeriesFile) -> Iterator[SeriesWriter]:
    try:
        import h5netcdf
    except ImportError as err:
        raise MissingDependency("writing .nc needs h5netcdf: pip install 'lasig-zoo[series]'") from err
    with h5netcdf.File(path, "w") as target:
        target.attrs.update(_globals(file))
        target.dimensions = dict(zip(("time", "lead_time", *file.axes), file.shape, strict=True))
        made = {}
        for name, (dims, values, attributes) in _variables(file).items():
            storage: dict[str, Any] = {}
            if values is None:
                storage = {"chunks": _chunks(file.shape), "compression": "gzip", "shuffle": True}
                storage["fillvalue"] = np.float32("nan")
            dtype = np.dtype("float32") if values is None else values.dtype
            variable = target.create_variable(name, dims, dtype, data=values, **storage)
            variable.attrs.update(attributes)
            made[name] = variable
        yield SeriesWriter([made[quantity.name] for quantity in file.quantities])


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, 1, min(CHUNK, shape[2]), min(CHUNK, shape[3])) if len(shape) == 4 else shape


def _globals(file: SeriesFile) -> dict[str, Any]:
    return {"Conventions": "CF-1.11", ORDER_TAG: json.dumps([one.name for one in file.quantities]), **file.tags}


def _variables(file: SeriesFile) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """Name to dimensions, values (`None` for what is written later) and attributes."""
    grid, (y, x) = file.grid, file.axes
    told: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {
        "time": (
            ("time",),
            file.times.astype("datetime64[s]").astype(np.int64),
            {"units": EPOCH, "calendar": "proleptic_gregorian", "standard_name": "forecast_reference_time"},
        ),
        "lead_time": (
            ("lead_time",),
            np.array(file.lead_times_h, np.float64),
            {"units": "hours", "standard_name": "forecast_period"},
        ),
        CRS_NAME: ((), np.array(0, np.int32), _crs(grid)),
    }
    if grid.transform.is_rectilinear:
        transform = grid.transform
        told[y] = ((y,), transform.f + transform.e * (np.arange(grid.height) + 0.5), _axis(grid, y))
        told[x] = ((x,), transform.c + transform.a * (np.arange(grid.width) + 0.5), _axis(grid, x))
    for quantity in file.quantities:
        attributes = {
            "units": quantity.unit,
            "long_name": quantity.long_name or quantity.name,
            "grid_mapping": CRS_NAME,
        }
        told[quantity.name] = (("time", "lead_time", y, x), None, attributes)
    return told


def _crs(grid: Grid) -> dict[str, Any]:
    place = {"GeoTransform": " ".join(repr(number) for number in grid.transform.to_gdal())}
    return place if grid.crs is None else {"crs_wkt": grid.crs.to_wkt(), **place}


def _axis(grid: Grid, name: str) -> dict[str, Any]:
    match name:
        case "lat":
            return {"units": "degrees_north", "standard_name": "latitude"}
        case "lon":
            return {"units": "degrees_east", "standard_name": "longitude"}
        case _:
            kind = {"standard_name": f"projection_{name}_coordinate"} if grid.crs is not None else {}
            return {"units": "m" if grid.crs is not None else "1", **kind}
