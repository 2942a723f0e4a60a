"""Arrays in memory, and xarray's labelled ones, read like raster files. xarray itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine

from zoo.errors import InputError
from zoo.io.grid import Grid
from zoo.io.source import Mask, Pixels, RasterSource, to_crs
from zoo.tiling import Window

BAND_DIMS = ("band", "bands", "channel", "variable")
Y_DIMS = ("y", "lat", "latitude", "northing", "row")
X_DIMS = ("x", "lon", "longitude", "easting", "col", "column")
# Ours: coordinates written as float32 degrees are regular to about this part of a pixel.
IRREGULAR = 0.05


@dataclass(frozen=True, kw_only=True)
class ArraySource(RasterSource):
    """An array (bands, H, W); see `RasterSource`, and `open_array`, which makes one."""

    pixels: Any

    def _inside(self, window: Window, channels: tuple[int, ...]) -> tuple[Pixels, Mask | None]:
        rows, cols = window.slices
        # Slices first: a lazy array (dask, zarr) computes no more than the window.
        return np.array(np.asarray(self.pixels[:, rows, cols])[list(channels)]), None


def open_array(
    pixels: Any,
    *,
    names: Sequence[str | None] | None = None,
    crs: Any = None,
    transform: Affine | None = None,
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    name: str = "array",
) -> ArraySource:
    """Make an array readable like a raster file.

    Args:
        pixels: (bands, H, W) or (H, W), of NumPy or what NumPy understands; or an xarray DataArray with dimensions
            called band, y and x (or as in `BAND_DIMS`, `Y_DIMS`, `X_DIMS`), whose coordinates give band names and
            transform, and whose rioxarray attributes give CRS and nodata. What is said here goes first.
        names: of the bands.
        crs: as `rasterio.crs.CRS.from_user_input` takes it.
        transform: from (column, row) to coordinates.
        nodata: value of missing pixels.
        tags: facts of the product, such as `PROCESSING_BASELINE`.
        name: how messages call it.

    Raises:
        InputError: the shape or dimensions are not those of a raster.
    """
    said: dict[str, Any] = {"names": names, "crs": crs, "transform": transform, "nodata": nodata}
    scale, offset = 1.0, 0.0
    if hasattr(pixels, "dims") and hasattr(pixels, "coords"):
        pixels = _in_order(pixels)
        scale, offset = float(pixels.attrs.get("scale_factor", 1.0)), float(pixels.attrs.get("add_offset", 0.0))
        found = {"names": _band_names(pixels), "nodata": _nodata(pixels), **georeference(pixels)}
        said = {key: found[key] if value is None else value for key, value in said.items()}
        name = str(pixels.name or name)
    elif not hasattr(pixels, "ndim"):
        pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or 0 in pixels.shape or np.dtype(pixels.dtype).kind not in "uif":
        raise InputError(
            f"{name} has shape {tuple(pixels.shape)} and type {pixels.dtype};"
            " expected real numbers in the order (bands, height, width)"
        )
    count, height, width = pixels.shape
    band_names = tuple(said["names"] or (None,) * count)
    if len(band_names) != count:
        raise InputError(f"{name} has {count} bands and {len(band_names)} names; expected one name per band")
    return ArraySource(
        name=name,
        pixels=pixels,
        grid=Grid(
            height=height,
            width=width,
            crs=None if said["crs"] is None else to_crs(said["crs"]),
            transform=said["transform"] or Affine.identity(),
        ),
        dtype=str(np.dtype(pixels.dtype)),
        names=band_names,
        nodata_by_band=(None if said["nodata"] is None else float(said["nodata"]),) * count,
        scales=(scale,) * count,
        offsets=(offset,) * count,
        units=(getattr(pixels, "attrs", {}).get("units"),) * count,
        tags={key: str(value) for key, value in (tags or getattr(pixels, "attrs", {})).items()},
    )


def _in_order(array: Any) -> Any:
    """A DataArray with dimensions in the order band, y, x."""
    axes = [
        next((dim for dim in array.dims if str(dim).lower() in known), None) for known in (BAND_DIMS, Y_DIMS, X_DIMS)
    ]
    spare = [dim for dim in array.dims if dim not in axes]
    if axes[1] is None or axes[2] is None or any(array.sizes[dim] != 1 for dim in spare):
        raise InputError(
            f"DataArray has dimensions {tuple(array.dims)}; expected (band, y, x):"
            " rename them, or select one of each other dimension, e.g. .isel(time=0)"
        )
    array = array.squeeze(spare)
    return array.transpose(*[axis for axis in axes if axis is not None])


def _band_names(array: Any) -> tuple[str, ...] | None:
    """Text coordinates of the bands, else rioxarray's `long_name`."""
    if array.ndim == 3 and array.dims[0] in array.coords:
        values = array.coords[array.dims[0]].values
        if np.asarray(values).dtype.kind in "UOT":
            return tuple(str(value) for value in values)
    told = array.attrs.get("long_name")
    if isinstance(told, list | tuple) and array.ndim == 3 and len(told) == array.shape[0]:
        return tuple(str(value) for value in told)
    return None


def _nodata(array: Any) -> Any:
    for facts in (array.attrs, getattr(array, "encoding", {})):
        for key in ("_FillValue", "nodata", "missing_value"):
            if facts.get(key) is not None:
                return facts[key]
    return None


def georeference(array: Any) -> dict[str, Any]:
    """CRS and transform, from the CF grid mapping that rioxarray writes, else from regular coordinates."""
    told = array.coords[key].attrs if (key := array.attrs.get("grid_mapping", "spatial_ref")) in array.coords else {}
    crs = told.get("crs_wkt") or told.get("spatial_ref") or array.attrs.get("crs")
    y, x = array.dims[-2:]
    if x in array.coords and y in array.coords and array.sizes[x] > 1 and array.sizes[y] > 1:
        return {"crs": crs, "transform": _regular(np.asarray(array[x], float), np.asarray(array[y], float))}
    if text := told.get("GeoTransform"):
        return {"crs": crs, "transform": Affine.from_gdal(*(float(number) for number in str(text).split()))}
    return {"crs": crs, "transform": None}


def _regular(xs: np.ndarray[Any, Any], ys: np.ndarray[Any, Any]) -> Affine:
    """The transform of pixels whose centres lie at `xs`, `ys`."""
    dx, dy = ((axis[-1] - axis[0]) / (len(axis) - 1) for axis in (xs, ys))
    for axis, step in ((xs, dx), (ys, dy)):
        if step == 0 or np.abs(np.diff(axis) / step - 1).max() > IRREGULAR:
            raise InputError("DataArray has coordinates that are not equally spaced; resample it to a regular grid")
    return Affine(dx, 0.0, xs[0] - dx / 2, 0.0, dy, ys[0] - dy / 2)
