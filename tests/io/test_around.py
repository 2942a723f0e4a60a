"""Patches of cells around places: the right cells, of each raster's own grid, without reading the rest."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from zoo.io.around import BLOCK, cells, patches
from zoo.io.rasters import open_array
from zoo.io.vectors import reproject

LON_LAT = CRS.from_epsg(4326)
NODATA = -9999.0


def numbered(height, width, *, transform, crs="EPSG:4326", bands=1):
    """Each cell holds 1000 times its row, plus its column, plus half the number of its band."""
    rows, cols = np.mgrid[:height, :width]
    pixels = np.stack([1000.0 * rows + cols + band / 2 for band in range(bands)]).astype(np.float32)
    return pixels, lambda: open_array(
        pixels,
        names=[f"b{band}" for band in range(bands)],
        crs=crs,
        transform=transform,
        nodata=NODATA,
        name="numbered",
    )


def at(*points):
    return np.array(points, float)[:, None]


@pytest.mark.parametrize("side", [1, 4, 5])
def test_the_place_lies_in_the_middle_cell_and_there_is_nothing_beyond_the_edge(side):
    pixels, opened = numbered(40, 52, transform=from_origin(4, 50, 0.05, 0.05))
    source = opened()
    found = patches([(source, 0)], at((5.32, 49.11), (4.01, 49.99), (3.9, 49.0), (np.nan, 49.0)), LON_LAT, side=side)
    assert found.shape == (4, 1, side, side)
    padded = np.pad(pixels[0], 5, constant_values=np.nan)
    for index, (row, col) in enumerate([(17, 26), (0, 0)]):
        expected = padded[row + 5 - side // 2 :, col + 5 - side // 2 :][:side, :side]
        np.testing.assert_array_equal(found[index, 0], expected)
    assert np.isnan(found[2:]).all()


def test_bands_of_other_grids_and_projections_go_together_and_each_misses_its_own_cells():
    transform = from_origin(4_000_000, 3_000_000, 10_000, 10_000)
    pixels, metric = numbered(30, 30, transform=transform, crs="EPSG:3035", bands=2)
    pixels[1, 10, 10] = NODATA
    _, degrees = numbered(80, 80, transform=from_origin(0, 60, 0.5, 0.5))
    metric, degrees = metric(), degrees()
    place = at((4_105_000.0, 2_895_000.0))  # the middle of row 10, column 10
    found = patches([(degrees, 0), None, (metric, 1), (metric, 0)], place, CRS.from_epsg(3035), side=1)[0, :, 0, 0]
    assert found[3] == 10_010
    assert np.isnan(found[[1, 2]]).all()
    row, col = (one[0] for one in cells(degrees, place, CRS.from_epsg(3035)))
    assert found[0] == 1000 * row + col
    assert (row, col) == (21, 14)  # 49.2 N, 7.0 E: 216 km west of the projection's meridian, 10 E


def test_a_place_just_beside_an_edge_of_cells_is_on_its_own_side():
    """49.1 is 18 rows of 0.05 below 50, less a rounding: multiplied by 20 first, it would be on the edge."""
    _, opened = numbered(40, 52, transform=from_origin(4, 50, 0.05, 0.05))
    row, col = cells(opened(), at((5.3, 49.1)), LON_LAT)
    assert (row[0], col[0]) == (17, 25)


def test_turned_grids_are_read_where_the_place_lies():
    transform = Affine.translation(500_000, 5_000_000) * Affine.rotation(30) * Affine.scale(10, -10)
    _, opened = numbered(50, 60, transform=transform, crs="EPSG:32632")
    x, y = transform * (31.5, 12.5)
    assert patches([(opened(), 0)], at((x, y)), CRS.from_epsg(32632), side=1).item() == 12_031


def test_no_more_is_read_than_the_blocks_with_places(monkeypatch):
    _, opened = numbered(4 * BLOCK, 4 * BLOCK, transform=from_origin(0, 4 * BLOCK, 1, 1), crs="EPSG:32632")
    source, read = opened(), []
    whole = type(source).read
    monkeypatch.setattr(
        type(source), "read", lambda self, window, channels: read.append(window) or whole(self, window, channels)
    )
    far = at((3.5, 4 * BLOCK - 3.5), (8.5, 4 * BLOCK - 3.5), (3 * BLOCK + 0.5, 0.5))
    patches([(source, 0)], far, CRS.from_epsg(32632), side=5)
    assert [(window.height, window.width) for window in read] == [(5, 10), (5, 5)]


@pytest.mark.parametrize("west", [-180.0, 0.0, 170.0])
def test_longitudes_are_counted_as_the_raster_counts_them(west):
    """The same four places on the whole Earth from -180, from 0, and on a raster across the 180th meridian."""
    _, opened = numbered(18, 36 if west < 170 else 4, transform=from_origin(west, 90, 10, 10))
    source = opened()
    for turn in (-360, 0, 360):
        places = at((175 + turn, 5), (185 + turn, 5), (180 + turn, -5), (20 + turn, 5))
        for crs, here in ((LON_LAT, places), (CRS.from_epsg(4258), places)):
            row, col = cells(source, here, crs)
            expected = (np.array([175, 185, 180, 20]) - west) % 360 // 10
            inside = (col >= 0) & (col < source.width)
            assert inside.tolist() == [True, True, True, west < 170]
            np.testing.assert_array_equal(col[inside], expected[inside])
            assert row.tolist() == [8, 8, 9, 8]


def test_places_that_a_projection_cannot_hold_lie_outside_and_spoil_no_others():
    _, opened = numbered(30, 30, transform=from_origin(4e5, 5.6e6, 100, 100), crs="EPSG:32634")
    good = reproject(at((400_450.0, 5_599_250.0)), CRS.from_epsg(32634))[0, 0]
    found = patches([(opened(), 0)], at(good, (21, 505.6), (1e30, 5), (np.nan, 5)), LON_LAT, side=1)[:, 0, 0, 0]
    np.testing.assert_array_equal(found, [7004, np.nan, np.nan, np.nan])
