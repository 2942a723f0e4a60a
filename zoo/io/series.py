"""Series of maps in time: NetCDF and Zarr, xarray datasets, arrays with names and times. Read by windows and steps.

Files are opened lazily through xarray, which is imported here when it is needed. A variable without a time axis (terrain)
holds at all times.
"""

# T times, C variables

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from zoo.errors import InputError, MissingDependency
from zoo.io.arrays import BAND_DIMS, X_DIMS, Y_DIMS, georeference
from zoo.io.grid import LON_LAT, Grid
from zoo.io.source import to_crs
from zoo.tiling import Window

TIME_DIMS = ("time", "valid_time", "t", "date")
SUFFIXES = (".nc", ".nc4", ".zarr")
Times = NDArray[np.datetime64]
BEYOND_DATA = 1e30  # larger numbers are somebody's fill value, as in `zoo.inputs.preprocess`


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One variable: an array (time, y, x) or (y, x) that is read when it is sliced."""

    name: str
    unit: str
    array: Any
    timed: bool


@dataclass(frozen=True, kw_only=True)
class SeriesSource:
    """Variables over one grid and one time axis.

    Attributes:
        name: how messages call it.
        layers: the variables.
        times: UTC, ascending.
        grid: size, CRS and transform.
        nodata: value that marks missing numbers, besides NaN.
        state: what tells this source from another.
    """

    name: str
    layers: tuple[Layer, ...]
    times: Times
    grid: Grid
    nodata: float | None = None
    state: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    def read(
        self, window: Window, channels: Sequence[int | None], steps: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Numbers (T, C, h, w) of a window, 0 beyond the edge, and which of them are data; `None` = a variable of none.

        Raises:
            InputError: the file cannot be read there.
        """
        count = steps.stop - steps.start
        numbers = np.zeros((count, len(channels), window.height, window.width), np.float32)
        known = np.zeros(numbers.shape, np.bool_)
        inside = window.clipped(self.grid.height, self.grid.width)
        rows, cols = inside.slices
        to_rows, to_cols = inside.within(window).slices
        for index, channel in enumerate(channels):
            if channel is None or not inside.height or not inside.width:
                continue
            layer = self.layers[channel]
            try:
                found = layer.array[steps, rows, cols] if layer.timed else layer.array[rows, cols]
                found = np.asarray(found, np.float32)
            except (OSError, ValueError, RuntimeError) as err:
                raise InputError(
                    f"{self.name}: cannot read {layer.name} at {window}: {err}; download it again"
                ) from err
            data = np.abs(found) < BEYOND_DATA
            if self.nodata is not None:
                data &= found != np.float32(self.nodata)
            numbers[:, index, to_rows, to_cols] = np.where(data, found, 0)
            known[:, index, to_rows, to_cols] = data
        return numbers, known


def open_series(
    source: Any,
    *,
    names: Sequence[str] | None = None,
    times: Sequence[Any] | None = None,
    crs: Any = None,
    nodata: float | None = None,
) -> SeriesSource:
    """Open a series.

    Args:
        source: a `.nc` or `.zarr`, a folder of NetCDF files with a variable each, an xarray Dataset, a DataArray
            (time, band, y, x), or an array (T, C, H, W).
        names: of an array's variables.
        times: of an array's steps, UTC.
        crs: where the source does not say.
        nodata: see `SeriesSource`.

    Raises:
        InputError: the source cannot be read, or has no times or no common grid.
    """
    if isinstance(source, SeriesSource):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _of_dataset(_open(path), path.name, crs, nodata, state=_state(path))
    if hasattr(source, "data_vars"):
        return _of_dataset(source, "Dataset", crs, nodata, state=str(id(source)))
    if hasattr(source, "dims") and hasattr(source, "coords"):
        return _of_dataset(_by_band(source), str(source.name or "DataArray"), crs, nodata, state=str(id(source)))
    return _of_array(np.asarray(source), names, times, crs, nodata)


def _open(path: Path) -> Mapping[str, Any]:
    """Variables of a file or folder, as DataArrays that are not read yet."""
    try:
        import xarray
    except ImportError as err:
        raise MissingDependency("series need xarray: pip install 'lasig-zoo[series]'") from err
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    files = [path]
    if path.is_dir() and path.suffix.lower() != ".zarr":
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{path} holds no series; expected NetCDF files (.nc), or a .zarr")
    found: dict[str, Any] = {}
    for file in files:
        try:
            dataset = xarray.open_zarr(file, chunks=None) if file.is_dir() else xarray.open_dataset(file)
        except (OSError, ValueError, KeyError, ImportError) as err:
            raise InputError(
                f"{file} is no series that xarray reads: {err}; expected {', '.join(SUFFIXES)} (NetCDF-4 needs h5netcdf:"
                " pip install h5netcdf)"
            ) from err
        variables = {str(name): dataset[name] for name in dataset.data_vars}
        if doubled := set(variables) & set(found) - {"spatial_ref", "crs"}:
            raise InputError(f"{path} holds {min(doubled)} in two files; move one of them away")
        found |= variables
    return found


def _by_band(array: Any) -> Mapping[str, Any]:
    """The variables of a DataArray, by the text coordinate of its band dimension, else by its name."""
    dim = next((dim for dim in array.dims if str(dim).lower() in BAND_DIMS), None)
    if dim is None:
        return {str(array.name or "variable"): array}
    if dim not in array.coords or np.asarray(array.coords[dim].values).dtype.kind not in "UOT":
        raise InputError(f"DataArray names no variables: give its dimension {dim!r} a coordinate of their names")
    return {str(name): array.sel({dim: name}) for name in array.coords[dim].values}


def _of_dataset(
    variables: Mapping[str, Any] | Any, name: str, crs: Any, nodata: float | None, *, state: str
) -> SeriesSource:
    arrays = {str(key): variables[key] for key in getattr(variables, "data_vars", variables)}
    maps = {key: axes for key, array in arrays.items() if (axes := _axes(array)) is not None}
    timed = [key for key, (time, _, _) in maps.items() if time is not None]
    if not timed:
        told = "; ".join(f"{key} {tuple(array.dims)}" for key, array in arrays.items())
        raise InputError(
            f"{name} holds no variable over time, y and x: found {told or 'nothing'}; rename its dimensions"
        )
    first = arrays[timed[0]]
    times = _times(first[maps[timed[0]][0]].values, name)
    sizes = tuple(first.sizes[axis] for axis in maps[timed[0]])
    layers = []
    for key, axes in maps.items():
        array = arrays[key].transpose(*[axis for axis in axes if axis is not None])
        _check_alike(array, axes, sizes, times, f"{name}: {key}")
        layers.append(
            Layer(name=key, unit=str(array.attrs.get("units", "")), array=_Lazy(array), timed=axes[0] is not None)
        )
    grid = _grid(first.isel({maps[timed[0]][0]: 0}).transpose(*maps[timed[0]][1:]), arrays, crs)
    return SeriesSource(name=name, layers=tuple(layers), times=times, grid=grid, nodata=nodata, state=state)


class _Lazy:
    """A DataArray that gives numbers for slices by position."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, place: tuple[slice, ...]) -> Any:
        return self._array[place].values


def _axes(array: Any) -> tuple[Any, Any, Any] | None:
    """Dimensions of time (or `None`), y and x; `None` for what is no map."""
    time, y, x = (
        next((dim for dim in array.dims if str(dim).lower() in known), None) for known in (TIME_DIMS, Y_DIMS, X_DIMS)
    )
    if y is None or x is None or set(array.dims) - {time, y, x} or array.dtype.kind not in "iufb":
        return None
    return time, y, x


def _check_alike(array: Any, axes: Any, sizes: tuple[int, ...], times: Times, where: str) -> None:
    for axis, size in zip(axes, sizes, strict=True):
        if axis is not None and array.sizes[axis] != size:
            raise InputError(
                f"{where} has {array.sizes[axis]} steps along {axis}, the others {size}; bring all"
                " variables to one grid and one time axis (xarray: interp_like, reindex)"
            )
    if axes[0] is not None and not np.array_equal(np.asarray(array[axes[0]].values, times.dtype), times):
        raise InputError(f"{where} has other times than the rest; bring all to one time axis (xarray: reindex)")


def _times(values: Any, where: str) -> Times:
    found = np.asarray(values)
    if found.dtype.kind != "M":
        raise InputError(
            f"{where} has times of the type {found.dtype}, expected dates; give the time axis CF units"
            " (`days since 1970-01-01`), or times of numpy.datetime64"
        )
    times = found.astype("datetime64[s]")
    if np.isnat(times).any() or (np.diff(times) <= np.timedelta64(0, "s")).any():
        raise InputError(f"{where} has times that do not ascend, or are missing; sort it (xarray: sortby('time'))")
    return times


def _grid(array: Any, variables: Mapping[str, Any], crs: Any) -> Grid:
    """The grid of a DataArray (y, x), with the CRS of its CF grid mapping; degrees of longitude are what they say."""
    found = georeference(array)
    mapping = variables.get(str(array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref"))))
    told = crs or found["crs"] or (mapping is not None and mapping.attrs.get("crs_wkt")) or None
    x = array.dims[-1]
    if told is None and x in array.coords and str(array[x].attrs.get("units", "")) in ("degrees_east", "degree_east"):
        told = LON_LAT
    height, width = array.shape
    return Grid(
        height=height,
        width=width,
        crs=None if told is None else to_crs(told),
        transform=found["transform"] or Affine.identity(),
    )


def _of_array(
    array: NDArray[Any], names: Sequence[str] | None, times: Sequence[Any] | None, crs: Any, nodata: float | None
) -> SeriesSource:
    if array.ndim != 4 or array.dtype.kind not in "iuf" or 0 in array.shape:
        raise InputError(
            f"found an array of shape {array.shape} and type {array.dtype}, expected real numbers (times, variables,"
            " height, width)"
        )
    if names is None or times is None or len(names) != array.shape[1] or len(times) != array.shape[0]:
        raise InputError(
            f"found an array of {array.shape[0]} times and {array.shape[1]} variables; expected as many names and dates:"
            ' bands=("t2m", ...), times=("2019-06-01T12:00", ...)'
        )
    layers = tuple(Layer(name=name, unit="", array=array[:, index], timed=True) for index, name in enumerate(names))
    grid = Grid(height=array.shape[2], width=array.shape[3], crs=None if crs is None else to_crs(crs))
    dates = _times(np.array([np.datetime64(time) for time in times]), "times")
    state = f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"
    return SeriesSource(name="array", layers=layers, times=dates, grid=grid, nodata=nodata, state=state)


def _state(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return ";".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files if file.exists())
