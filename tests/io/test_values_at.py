"""What rasters say at places: the cell's number, the nearest cell with data, between four cells."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from scipy.ndimage import map_coordinates

from zoo.io import around
from zoo.io.around import values_at
from zoo.io.nearest import FURTHEST, nearest_valid
from zoo.io.rasters import open_array
from zoo.io.vectors import reproject

ALPINE = CRS.from_epsg(2056)
LON_LAT = CRS.from_epsg(4326)
NODATA = -9999.0


def raster(pixels, *, transform, crs="EPSG:2056", nodata=NODATA):
    names = [f"b{band}" for band in range(len(pixels))]
    return open_array(pixels, names=names, crs=crs, transform=transform, nodata=nodata, name="raster")


def at(xy):
    return np.asarray(xy, float).reshape(-1, 1, 2)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def test_the_cell_is_what_is_read_unasked(rng):
    pixels = rng.random((2, 6, 7)).astype(np.float32)
    source = raster(pixels, transform=from_origin(0, 6, 1, 1))
    found = values_at([(source, 1), None, (source, 0)], at([(2.9, 3.1), (-0.1, 3)]), ALPINE)
    np.testing.assert_array_equal(found, [[pixels[1, 2, 2], np.nan, pixels[0, 2, 2]], [np.nan] * 3])


@pytest.mark.parametrize("block", [around.BLOCK, 16])
def test_nearest_is_the_rule_on_the_whole_raster(rng, monkeypatch, block):
    """Gaps wider than the first look, wider than the last one, and at the edges; two bands with gaps of their own."""
    monkeypatch.setattr(around, "BLOCK", block)
    pixels = rng.random((2, 150, 320)).astype(np.float32)
    pixels[0, :, 20:290], pixels[1, 3:40, :] = NODATA, NODATA
    pixels[:, rng.random((150, 320)) < 0.6] = NODATA
    source = raster(pixels, transform=from_origin(1000, 900, 2, 2))
    rows, cols = rng.integers(0, 150, 300), rng.integers(0, 320, 300)
    places = at(np.stack([1000 + 2 * cols + rng.uniform(0.1, 1.9, 300), 900 - 2 * rows - 1], axis=1))
    found = values_at([(source, 0), (source, 1)], places, ALPINE, sampling="nearest")
    for band in range(2):
        down, right = nearest_valid(pixels[band] != NODATA, rows, cols)
        expected = np.where(down >= 0, pixels[band, down, right], np.nan)
        np.testing.assert_array_equal(found[:, band], expected)
    assert np.isnan(found[:, 0]).any()
    assert np.isfinite(found[:, 1]).all()


def test_nearest_reads_around_the_places_that_need_it_and_no_more(monkeypatch):
    pixels = np.ones((1, 5000, 5000), np.int16)
    pixels[0, 2000:2010, 2000:2010] = -1
    source = raster(pixels, transform=from_origin(0, 5000, 1, 1), nodata=-1)
    read, whole = [], type(source).read
    monkeypatch.setattr(
        type(source), "read", lambda self, window, channels: read.append(window) or whole(self, window, channels)
    )
    places = at([(100.5, 4899.5), (2004.5, 2995.5), (-50, 10)])  # with data; without; outside
    found = values_at([(source, 0)], places, ALPINE, sampling="nearest")
    np.testing.assert_array_equal(found, [[1], [1], [np.nan]])
    assert [(one.height, one.width) for one in read] == [(1, 1), (1, 1), (17, 17)]
    read.clear()
    pixels[0, 1900:2100, 1900:2100] = -1
    assert values_at([(source, 0)], places[1:2], ALPINE, sampling="nearest").item() == 1
    assert max(one.height * one.width for one in read) == (2 * FURTHEST + 1) ** 2


def test_bilinear_is_scipys_between_the_centres_of_cells(rng):
    pixels = rng.random((2, 30, 40)).astype(np.float32)
    source = raster(pixels, transform=from_origin(500, 800, 10, 5))
    rows, cols = rng.uniform(0.5, 29.5, 200), rng.uniform(0.5, 39.5, 200)
    places = at(np.stack([500 + 10 * cols, 800 - 5 * rows], axis=1))
    found = values_at([(source, 0), None, (source, 1)], places, ALPINE, sampling="bilinear")
    assert np.isnan(found[:, 1]).all()
    for column, band in ((0, 0), (2, 1)):
        expected = map_coordinates(pixels[band].astype(float), [rows - 0.5, cols - 0.5], order=1)
        np.testing.assert_allclose(found[:, column], expected, atol=1e-6)


def test_bilinear_shares_the_weight_of_cells_without_data_and_ends_at_the_edge():
    pixels = np.array([[[1, 2], [4, NODATA]]], np.float32)
    source = raster(pixels, transform=from_origin(0, 2, 1, 1))
    # A quarter of a cell from the centre of the first: weights 9/16, 3/16, 3/16, and 1/16 of the one without data.
    places = at([(0.75, 1.25), (0.1, 1.9), (1.5, 0.5), (2.1, 1.5), (np.nan, 1)])
    found = values_at([(source, 0)], places, ALPINE, sampling="bilinear")[:, 0]
    np.testing.assert_allclose(found, [(9 + 3 * 2 + 3 * 4) / 15, 1, np.nan, np.nan, np.nan], rtol=1e-6)


@pytest.mark.parametrize("sampling", ["cell", "nearest", "bilinear"])
def test_places_and_rasters_may_have_any_projection(sampling):
    """A plane over longitude and latitude, seen from Swiss coordinates; turned by 30 degrees in the second raster."""
    east, north = np.meshgrid(8 + 0.01 * (np.arange(200) + 0.5), 47 - 0.01 * (np.arange(150) + 0.5))
    degrees = raster(
        np.stack([east, north]).astype(np.float32), transform=from_origin(8, 47, 0.01, 0.01), crs="EPSG:4326"
    )
    turned = Affine.translation(2_600_000, 1_120_000) * Affine.rotation(30) * Affine.scale(500, -500)
    x, y = turned * np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5)
    metres = raster(np.stack([x - 2_600_000, y - 1_120_000]).astype(np.float32), transform=turned)
    places = at([(2_680_000, 1_130_000), (2_690_300, 1_140_900)])
    lon_lat = reproject(places, ALPINE, LON_LAT)[:, 0]
    layers = [(degrees, 0), (degrees, 1), (metres, 0), (metres, 1)]
    found = values_at(layers, places, ALPINE, sampling=sampling)
    close = {"bilinear": (1e-5, 0.1)}.get(sampling, (0.005, 500))
    np.testing.assert_allclose(found[:, :2], lon_lat, atol=close[0])
    np.testing.assert_allclose(found[:, 2:] + [2_600_000, 1_120_000], places[:, 0], atol=close[1])
