"""What every raster offers, whatever it is read from: facts, and windows of pixels with one mask of validity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from zoo.errors import InputError
from zoo.io.grid import Grid
from zoo.tiling import Window

Pixels = np.ndarray[Any, np.dtype[Any]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

BEYOND_DATA = 1e30  # larger numbers are somebody's fill value, as in `zoo.inputs.preprocess`


@dataclass(frozen=True, kw_only=True)
class RasterSource:
    """A raster that is read by windows, from any number of threads at once.

    Attributes:
        name: how messages and tables call it.
        grid: size, CRS and transform.
        dtype: of the pixels, as NumPy calls it.
        names: of the bands in the file's order, `None` where the file does not say.
        nodata_by_band: value of missing pixels of each band, `None` where there is none.
        tags: of the file, plain strings.
        scales: physical = number * scale + offset, per band, as the file declares; not applied.
        offsets: see `scales`.
        units: of each band, `None` where the file does not say.
        block: (height, width) of what is decoded at once; `None` = all of it.
        also_nodata: a second value of missing pixels, of all bands.
    """

    name: str
    grid: Grid
    dtype: str
    names: tuple[str | None, ...]
    nodata_by_band: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    block: tuple[int, int] | None = None
    also_nodata: float | None = None

    @property
    def height(self) -> int:
        return self.grid.height

    @property
    def width(self) -> int:
        return self.grid.width

    @property
    def count(self) -> int:
        """Number of bands that hold data; an alpha band is part of the mask instead."""
        return len(self.names)

    @property
    def crs(self) -> CRS | None:
        return self.grid.crs

    @property
    def transform(self) -> Affine:
        return self.grid.transform

    @property
    def gsd_m(self) -> float | None:
        return self.grid.gsd_m

    @property
    def nodata(self) -> float | None:
        """Value of missing pixels: that of the first band that has one."""
        return next((value for value in self.nodata_by_band if value is not None), None)

    def read(self, window: Window | None = None, channels: Sequence[int] | None = None) -> tuple[Pixels, Mask]:
        """Pixels of a window, and where they are data.

        Args:
            window: may reach beyond the edge, where nothing is data; `None` = all of the raster.
            channels: bands by number from 0, in any order; `None` = all.

        Returns:
            Pixels (C, h, w) in the raster's dtype, 0 beyond the edge; and a mask (h, w), true where there is data:
            not masked by the file (mask, alpha), finite, and not nodata. In 8-bit imagery nodata is an ordinary
            intensity too (0 black, 255 white), so a pixel is missing where all the channels that are read have it, as
            in GDAL's dataset mask; with other types one channel suffices, since -9999 must not reach a network.

        Raises:
            InputError: blocks of the file cannot be read.
        """
        window = window or Window(0, 0, self.height, self.width)
        channels = tuple(range(self.count)) if channels is None else tuple(channels)
        inside = window.clipped(self.height, self.width)
        if inside.height == 0 or inside.width == 0:
            return np.zeros((len(channels), window.height, window.width), self.dtype), _nothing(window)
        pixels, unmasked = self._inside(inside, channels)
        valid = self._holds_data(pixels, channels)
        if unmasked is not None:
            valid &= unmasked
        if inside == window:
            return pixels, valid
        padded, mask = np.zeros((len(channels), window.height, window.width), self.dtype), _nothing(window)
        rows, cols = inside.within(window).slices
        padded[:, rows, cols], mask[rows, cols] = pixels, valid
        return padded, mask

    def stored(self, window: Window, channels: Sequence[int]) -> tuple[Pixels, Mask | None]:
        """Pixels of a window within the edges, and the mask that the file itself keeps; nodata and NaN are not sought.

        Raises:
            InputError: blocks of the file cannot be read.
        """
        return self._inside(window, tuple(channels))

    def declared(self, *, crs: Any = None, nodata: float | None = None) -> Self:
        """The same raster with what the user knows besides: the CRS where it says none, a value of missing pixels.

        A value of its own stays one.

        Raises:
            InputError: the CRS is none, or another than the raster says.
        """
        changes: dict[str, Any] = {}
        if crs is not None:
            told = to_crs(crs)
            if self.crs is not None and told != self.crs:
                raise InputError(
                    f"{self.name} lies in {self.crs.to_string()} by what it says, and --crs says {told.to_string()};"
                    " leave --crs out, or correct the file (rio edit-info --crs) if it is wrong"
                )
            changes["grid"] = replace(self.grid, crs=told)
        if nodata is not None:
            changes["nodata_by_band"] = tuple(nodata if one is None else one for one in self.nodata_by_band)
            changes["also_nodata"] = nodata if {*self.nodata_by_band} - {None, nodata} else None
        return replace(self, **changes)

    def _inside(self, window: Window, channels: tuple[int, ...]) -> tuple[Pixels, Mask | None]:
        """Pixels of a window within the edges, and the mask that the file itself keeps, if it does."""
        raise NotImplementedError

    def _holds_data(self, pixels: Pixels, channels: tuple[int, ...]) -> Mask:
        missing = [self._is_nodata(band, channel) for band, channel in zip(pixels, channels, strict=True)]
        join = np.logical_and if self.dtype == "uint8" else np.logical_or
        valid: Mask = ~join.reduce(missing)
        if np.issubdtype(pixels.dtype, np.floating):
            valid &= (np.abs(pixels) < np.float32(BEYOND_DATA)).all(axis=0)
        return valid

    def _is_nodata(self, band: Pixels, channel: int) -> Mask:
        missing = np.zeros(band.shape, np.bool_)
        for value in {self.nodata_by_band[channel], self.also_nodata}:
            if (one := self._comparable(value)) is not None:
                missing |= band == one
        return missing

    def _comparable(self, value: float | None) -> Any:
        """Nodata as a pixel can hold it; `None` where no pixel can (NaN is found as such, -9999 is no uint8)."""
        dtype = np.dtype(self.dtype)
        if value is None or np.isnan(value):
            return None
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            return dtype.type(int(value)) if value == int(value) and limits.min <= value <= limits.max else None
        return dtype.type(value)


def to_crs(crs: Any) -> CRS:
    """A CRS of what a user writes (`"EPSG:32632"`, WKT, a number, an object with `to_wkt`).

    Raises:
        InputError: it is none.
    """
    try:
        return CRS.from_user_input(crs)
    except CRSError as err:
        raise InputError(
            f"{crs!r} is no CRS that PROJ knows; expected a code such as EPSG:32632 (the zone of the data)"
        ) from err


def _nothing(window: Window) -> Mask:
    return np.zeros((window.height, window.width), np.bool_)
