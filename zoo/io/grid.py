"""Where the pixels of a raster lie on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp_points

from zoo.tiling import Window, output_size

LON_LAT = "OGC:CRS84"  # WGS 84, longitude first
# Ours: a conformal projection within its zone stays well below this (UTM: 0.1 %), Web Mercator at 37 degrees does not.
NOMINAL_WITHIN = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Rows and columns of square-ish pixels, and the affine transform from (column, row) to coordinates in `crs`.

    `crs` is `None` for photographs and plain arrays; their coordinates are columns and rows.
    """

    height: int
    width: int
    crs: CRS | None = None
    transform: Affine = Affine.identity()  # noqa: RUF009  (immutable)

    @property
    def gsd_m(self) -> float | None:
        """Side of the middle pixel in metres on the ground; `None` without a CRS.

        The nominal side where the CRS is projected and the ground agrees with it within 2 %: a Sentinel-2 band has
        10 m, not 9.997. Measured on the ellipsoid otherwise: degrees, and Web Mercator away from the equator.
        """
        if self.crs is None:
            return None
        ground = self._ground_side_m()
        if not self.crs.is_projected:
            return ground
        nominal = math.sqrt(abs(self.transform.determinant)) * float(self.crs.linear_units_factor[1])
        return ground if ground is not None and abs(ground / nominal - 1) > NOMINAL_WITHIN else nominal

    @property
    def corners(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Footprint of the whole grid, as `footprint` gives it."""
        return self.footprint(Window(0, 0, self.height, self.width))

    def footprint(self, window: Window) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Corners (4, 2) of a window as x, y in `crs`, counterclockwise on the ground of a map with north up."""
        top, left, bottom, right = window.row, window.col, window.row + window.height, window.col + window.width
        corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
        ring = np.array([self.transform @ corner for corner in corners], dtype=np.float64)
        return ring if self.transform.determinant < 0 else ring[::-1]

    def coarser(self, stride_px: int) -> Grid:
        """The grid of a dense output: one pixel per `stride_px` x `stride_px`, the last ones partly beyond the edge."""
        return replace(
            self,
            height=output_size(self.height, stride_px),
            width=output_size(self.width, stride_px),
            transform=self.transform @ Affine.scale(stride_px),
        )

    def crop(self, window: Window) -> Grid:
        """The grid of a window."""
        shift = Affine.translation(window.col, window.row)
        return replace(self, height=window.height, width=window.width, transform=self.transform @ shift)

    def _ground_side_m(self) -> float | None:
        col, row = self.width / 2, self.height / 2
        sides = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
        xs, ys = zip(*(self.transform @ point for point in sides), strict=True)
        try:
            lon, lat = warp_points(self.crs, LON_LAT, xs, ys)
        except RasterioError:  # an engineering CRS has no place on the globe
            return None
        if not np.isfinite([*lon, *lat]).all():
            return None
        _, _, across = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])
        _, _, along = Geod(ellps="WGS84").inv(lon[2], lat[2], lon[3], lat[3])
        return math.sqrt(across * along)
