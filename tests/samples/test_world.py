"""Known facts of the synthetic world: physics of the ground, agreement of the sensors, files, chips."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import rasterio
from rasterio.transform import xy

from zoo import samples
from zoo.errors import ConfigError, OutputError
from zoo.samples import COVERS, Frame, build_world
from zoo.samples.noise import curve, smooth, uniform
from zoo.samples.sensors import LOOKS, noise_reflectance
from zoo.samples.spectra import BACKSCATTER, BANDS, MATERIALS, REFLECTANCE, VARIATION

WATER, BROADLEAVED, CONIFEROUS, GRASSLAND, CROPLAND, BARE, URBAN, WETLAND, SNOW = range(9)
# SMARTIES's declared percentiles (1st, 99th) of Sentinel-2 L2A DN, in the order B01 .. B12, and of S1 GRD dB.
S2_LOW = [1.0, 27.0, 45.1, 12.5, 6.0, 1.0, 1.1, 1.0, 1.0, 1.0, 2.3, 4.3]
S2_HIGH = [2811.5, 2604.8, 2580.4, 2829.5, 3138.5, 4338.9, 5183.0, 5529.3, 5433.9, 5170.2, 4418.2, 3387.4]
S1_LOW, S1_HIGH = [-29.52, -33.42], [-3.46, -9.91]


@pytest.fixture(scope="module")
def optical():
    return samples.scene("sentinel2", seed=0, size=512)


@pytest.fixture(scope="module")
def radar():
    return samples.scene("sentinel1", seed=0, size=512)


@pytest.fixture(scope="module")
def place():
    return build_world(0).at(Frame.centred(512, pixel_m=10.0))


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def inland(mask: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours, as far as a cell of 60 m reaches, are of the mask too."""
    deep = mask.copy()
    for shift in (1, 2, 3, 4, 5):
        for axis in (0, 1):
            deep &= np.roll(mask, shift, axis) & np.roll(mask, -shift, axis)
    return deep


# ---------------------------------------------------------------------------------------------------------------- noise


def test_noise_has_mean_0_and_variance_1():
    line = np.arange(4000) * 10.0
    field = smooth(3, [0, 1], line[:1000], line[:1000], 40.0)
    assert abs(field.mean()) < 0.02
    assert field.std() == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]) < 0.03
    assert curve(3, 5, line * 10, 40.0).std() == pytest.approx(1.0, abs=0.05)


def test_hash_is_uniform_and_takes_numbers_and_arrays_alike():
    drawn = uniform(7, np.arange(20_000))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.histogram(drawn, 10, (0, 1))[0].std() < 100
    assert uniform(7, 11, -4, 2)[0] == uniform(7, np.array([11]), np.array([-4]), np.array([2]))[0]


# -------------------------------------------------------------------------------------------------- determinism, windows


@pytest.mark.parametrize("sensor", list(samples.VIEWS))
def test_same_seed_gives_the_same_bytes_whatever_numpys_global_state(sensor):
    np.random.seed(1)  # noqa: NPY002 - the state that must not matter
    first = samples.scene(sensor, seed=4, size=(40, 70))
    np.random.seed(2)  # noqa: NPY002
    again = samples.scene(sensor, seed=4, size=(40, 70))
    other = samples.scene(sensor, seed=5, size=(40, 70))
    assert digest(first.pixels) == digest(again.pixels)
    assert digest(first.pixels) != digest(other.pixels)
    assert first.pixels.shape[1:] == (40, 70) == first.cover.shape


def test_a_window_drawn_alone_equals_the_same_window_of_a_larger_one():
    world = build_world(2)
    large = Frame.centred(200, pixel_m=10.0)
    small = Frame(west_m=large.west_m + 300, north_m=large.north_m - 500, pixel_m=10.0, height=80, width=90)
    whole, part = world.at(large), world.at(small)
    rows, columns = slice(50, 130), slice(30, 120)
    np.testing.assert_array_equal(part.elevation_m, whole.elevation_m[rows, columns])
    np.testing.assert_array_equal(part.cover, whole.cover[rows, columns])
    np.testing.assert_array_equal(part.materials, whole.materials[:, rows, columns])


def test_finer_pixels_show_the_same_place():
    world = build_world(1)
    coarse = world.at(Frame.centred(100, pixel_m=10.0))
    fine = world.at(Frame.centred(500, pixel_m=2.0))
    assert np.mean(fine.cover[2::5, 2::5] == coarse.cover) > 0.99
    np.testing.assert_allclose(fine.elevation_m[2::5, 2::5], coarse.elevation_m, atol=0.05)


# ------------------------------------------------------------------------------------------------------ ground, climate


@pytest.mark.parametrize("seed", range(6))
def test_rivers_run_downhill_and_lakes_are_level(seed):
    world = build_world(seed)
    frame = Frame.centred((1200, 400), pixel_m=20.0)
    place = world.at(frame)
    course, half_water = place.course_m
    column = np.floor((course - frame.west_m) / frame.pixel_m).astype(int)
    rows = np.flatnonzero((column >= 0) & (column < frame.width))
    rows = rows[place.shore_m[rows, column[rows]] < 0]  # where the pixel's middle is in the water
    level = place.elevation_m[rows, column[rows]]
    assert rows.size > 800
    assert np.all(np.diff(level) <= 1e-3)  # rows run southwards, as the water does
    assert level[0] - level[-1] > 5
    lake = half_water[rows] > 150
    assert np.sum(lake) > 30
    assert np.median(np.abs(np.diff(level)[lake[1:] & lake[:-1]])) < 1e-3


def test_ground_rises_from_the_river_and_no_land_lies_below_the_water(place):
    east_west = place.elevation_m - place.elevation_m[place.shore_m < 0].min()
    assert place.shore_m.min() < 0
    assert np.all(east_west[place.shore_m > 30] > 0)
    assert np.median(place.elevation_m[place.shore_m > 2000]) > np.median(place.elevation_m[place.shore_m < 300]) + 100


def test_temperature_falls_by_the_lapse_rate(place):
    slope, intercept = np.polyfit(place.elevation_m.ravel(), place.temperature_c.ravel(), 1)
    assert slope * 1000 == pytest.approx(-6.5, abs=0.01)
    assert intercept == pytest.approx(build_world(0).sea_level_c, abs=0.05)


def test_snow_lies_high_and_fields_lie_low_and_level(place):
    height, cover = place.elevation_m, place.cover
    assert np.sum(cover == SNOW) > 100
    assert height[cover == SNOW].min() > np.percentile(height[cover == BARE], 10)
    assert height[cover == CROPLAND].max() < height[cover == SNOW].min()
    assert place.slope[cover == CROPLAND].max() <= 0.12
    assert place.precipitation_mm[cover == SNOW].mean() > place.precipitation_mm[cover == CROPLAND].mean()


def test_the_first_world_holds_every_cover(place):
    share = np.bincount(place.cover.ravel(), minlength=len(COVERS)) / place.cover.size
    assert share.min() > 0.001
    assert share.max() < 0.6


def test_shares_of_materials_add_up_to_1(place):
    assert place.materials.min() >= 0
    np.testing.assert_allclose(place.materials.sum(axis=0), 1, atol=1e-5)
    close = build_world(0).at(Frame.centred(128, pixel_m=0.5, centre_m=(300.0, 0.0)))
    np.testing.assert_allclose(close.materials.sum(axis=0), 1, atol=1e-5)
    assert close.height_m.max() > 5


# -------------------------------------------------------------------------------------------------------------- spectra


def test_tables_are_reflectances_and_powers():
    assert REFLECTANCE.shape == (len(MATERIALS), len(BANDS)) == (19, 12)
    assert BACKSCATTER.shape == (19, 2)
    assert VARIATION.shape == (19,)
    assert 0 < REFLECTANCE.min() < REFLECTANCE.max() < 1
    assert np.all(BACKSCATTER[:, 1] < BACKSCATTER[:, 0])  # cross-polarised is weaker


@pytest.mark.parametrize(
    ("cover", "low", "high"),
    [
        (WATER, -1.0, 0.0),
        (BROADLEAVED, 0.7, 0.95),
        (CONIFEROUS, 0.65, 0.95),
        (GRASSLAND, 0.4, 0.8),
        (BARE, 0.0, 0.5),
        (URBAN, 0.2, 0.7),
        (SNOW, -0.1, 0.1),
    ],
)
def test_ndvi_of_each_cover(optical, cover, low, high):
    near, red = (optical.pixels[optical.names.index(name)].astype(float) for name in ("B08", "B04"))
    ndvi = (near - red) / (near + red)
    median = np.median(ndvi[optical.cover == cover])
    assert low < median < high


def test_water_is_dark_in_the_near_infrared_and_vegetation_has_a_red_edge(optical):
    band = dict(zip(optical.names, optical.pixels.astype(float), strict=True))
    lake = inland(optical.cover == WATER)
    forest = inland(optical.cover == CONIFEROUS)
    assert lake.sum() > 500
    assert np.percentile(band["B08"][lake], 95) < 300
    assert np.median(band["B11"][lake]) < np.median(band["B03"][lake])
    assert np.median(band["B06"][forest] / band["B05"][forest]) > 2
    assert np.median(band["B07"][forest] / band["B04"][forest]) > 5


def test_snow_is_bright_in_the_visible_and_dark_in_the_short_wave_infrared():
    table = dict(zip(MATERIALS, REFLECTANCE, strict=True))
    assert table["snow"][BANDS.index("B03")] > 5 * table["snow"][BANDS.index("B11")]


def test_fields_are_even_inside_and_differ_from_each_other(optical, place):
    red = optical.pixels[optical.names.index("B04")].astype(float)
    parcels = place.parcels
    assert np.all((parcels >= 0) == (place.cover == CROPLAND))
    numbers, sizes = np.unique(parcels[parcels >= 0], return_counts=True)
    large = numbers[sizes > 150]
    assert large.size > 50
    values = [red[parcels == number] for number in large]
    within = np.median([np.percentile(value, 75) - np.percentile(value, 25) for value in values])
    between = np.std([np.median(value) for value in values])
    assert between > 3 * within


# -------------------------------------------------------------------------------------------------------------- sensors


def test_the_three_sensors_and_the_truth_lie_on_the_same_ground(optical, radar):
    truth = samples.scene("cover", seed=0, size=512)
    assert optical.transform == radar.transform == truth.transform
    assert optical.crs == radar.crs == truth.crs
    np.testing.assert_array_equal(truth.pixels[0], optical.cover)
    np.testing.assert_array_equal(radar.cover, optical.cover)
    near = optical.pixels[optical.names.index("B08")]
    seen_by_optical = inland(near < 400)
    smoothed = radar.pixels[0] < -15.5
    assert seen_by_optical.sum() > 500
    assert smoothed[seen_by_optical].mean() > 0.9
    assert smoothed[inland(optical.cover == CROPLAND)].mean() < 0.15


def test_an_aerial_image_shows_the_river_where_sentinel2_has_it():
    world = build_world(0)
    wide = world.at(Frame.centred(64, pixel_m=10.0))
    photograph = samples.scene("aerial", seed=0, size=640, pixel_m=1.0)
    dark = photograph.pixels[0].astype(float)  # water reflects least in red, trees' shadows aside
    coarse = dark.reshape(64, 10, 64, 10).mean(axis=(1, 3))
    water = wide.cover == WATER
    grass = np.isin(wide.cover, (GRASSLAND, CROPLAND, WETLAND))
    assert water.sum() > 40
    assert np.median(coarse[water]) < np.percentile(coarse[grass], 20)
    agree = photograph.cover.reshape(64, 10, 64, 10)[:, 5, :, 5] == wide.cover
    assert agree.mean() > 0.98


def test_water_is_darker_than_towns_for_the_radar(radar):
    vv, vh = radar.pixels
    lake, town = inland(radar.cover == WATER), radar.cover == URBAN
    assert vv[lake].mean() < -18
    assert vv[town].mean() > vv[lake].mean() + 8
    assert np.all(np.median(vh) < np.median(vv))


def test_speckle_has_the_looks_of_the_product(radar):
    power = 10 ** (radar.pixels[1][inland(radar.cover == WATER)] / 10)
    looks = power.mean() ** 2 / power.var()
    assert looks == pytest.approx(LOOKS, rel=0.2)


def test_windows_of_one_world_do_not_share_their_noise():
    grains = []
    for north in (0.0, 5000.0):
        decibel = samples.scene("sentinel1", seed=0, size=64, centre_m=(0.0, north)).pixels[0]
        grains.append((decibel[1:, 1:] - decibel[:-1, :-1]).ravel())
    assert abs(np.corrcoef(*grains)[0, 1]) < 0.1


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_numbers_stay_within_the_percentiles_that_smarties_declares(seed):
    optical = samples.scene("sentinel2", seed=seed, size=512)
    assert np.all(np.percentile(optical.pixels, 2, axis=(1, 2)) >= S2_LOW)
    assert np.all(np.percentile(optical.pixels, 98, axis=(1, 2)) <= S2_HIGH)
    radar = samples.scene("sentinel1", seed=seed, size=512)
    assert np.all(np.percentile(radar.pixels, 2, axis=(1, 2)) >= S1_LOW)
    assert np.all(np.percentile(radar.pixels, 98, axis=(1, 2)) <= S1_HIGH)
    photograph = samples.scene("aerial", seed=seed, size=256)
    assert np.all(np.median(photograph.pixels, axis=(1, 2)) > 60)
    assert np.all(np.percentile(photograph.pixels, 98, axis=(1, 2)) < 255)


def test_coarse_bands_are_repeated_on_the_grid_of_their_own_pixels(optical):
    west, north = optical.transform.c, optical.transform.f
    column, row = round(-west % 60 / 10), round(north % 60 / 10)  # the first whole cell of 60 m
    cells = optical.pixels[:, row : row + 480, column : column + 480].reshape(12, 80, 6, 80, 6)
    spread = np.ptp(cells.transpose(0, 1, 3, 2, 4).reshape(12, 80, 80, 36).astype(int), axis=-1)
    coarse = [optical.names.index(name) for name in ("B01", "B09")]
    assert spread[coarse].max() == 0
    assert np.median(spread[optical.names.index("B04")]) > 0


def test_noise_follows_the_signal_to_noise_ratio_of_the_handbook():
    # B04: 108 W/m2/sr/um at a ratio of 142, irradiance 1512, sun 38 degrees from the zenith
    assert noise_reflectance("B04") == pytest.approx(np.pi * 108 / 142 / (1512.06 * 0.788), rel=1e-3)


def test_top_of_atmosphere_has_13_bands_and_a_blue_haze(optical):
    above = samples.scene("sentinel2-l1c", seed=0, size=512)
    assert above.names.index("B10") == 10
    assert len(above.names) == 13
    lake = inland(above.cover == WATER)
    blue = {
        name: (
            np.median(above.pixels[above.names.index(name)][lake]),
            np.median(optical.pixels[optical.names.index(name)][lake]),
        )
        for name in ("B01", "B02", "B04", "B08")
    }
    added = {name: toa - boa for name, (toa, boa) in blue.items()}
    assert added["B01"] > added["B02"] > added["B04"] > added["B08"] > 0
    assert np.median(above.pixels[10]) < 60


def test_baselines_from_0400_add_1000_and_say_so():
    old = samples.scene("sentinel2", seed=0, size=48)
    new = samples.scene("sentinel2", seed=0, size=48, baseline="05.11", collar_px=2)
    assert new.tags["BOA_ADD_OFFSET"] == "-1000"
    assert "BOA_ADD_OFFSET" not in old.tags
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_array_equal(new.pixels[inner], old.pixels[inner] + 1000)
    assert new.pixels[:, 0].max() == 0


@pytest.mark.parametrize("sensor", list(samples.VIEWS))
def test_collar_and_gap_are_nodata(sensor):
    scene = samples.scene(sensor, seed=0, size=100, collar_px=5, gap=0.2)
    assert not scene.valid[:5].any()
    assert not scene.valid[:, -5:].any()
    assert scene.valid.mean() == pytest.approx(0.8 * 0.81, abs=0.1)
    whole = samples.scene(sensor, seed=0, size=100)
    assert whole.valid.all()
    assert np.all(scene.cover[~scene.valid] == samples.COVER_NODATA)


# ------------------------------------------------------------------------------------------------------- files and chips


@pytest.mark.parametrize("sensor", list(samples.VIEWS))
def test_a_written_scene_reads_back_with_its_geography(sensor, tmp_path):
    scene = samples.scene(sensor, seed=3, size=(50, 300), collar_px=1)
    path = samples.write(scene, tmp_path / "scene.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(), scene.pixels)
        assert source.descriptions == scene.names
        assert source.units == (scene.units or (None,) * len(scene.names))
        assert source.crs.to_string() == scene.crs
        assert 32600 < source.crs.to_epsg() <= 32660
        assert source.transform == scene.transform
        assert source.nodata == scene.nodata or (np.isnan(source.nodata) and np.isnan(scene.nodata))
        assert scene.tags.items() <= source.tags().items()
        assert not source.read_masks(1)[0].any()
        east, north = xy(source.transform, 25, 150)
    world = build_world(3)
    near = max(20, source.res[0])
    assert abs(east - world.origin_m[0]) < near
    assert abs(north - world.origin_m[1]) < near


def test_writing_twice_gives_the_same_bytes(tmp_path):
    scene = samples.scene("sentinel1", seed=3, size=64)
    first, second = (samples.write(scene, tmp_path / name).read_bytes() for name in ("a.tif", "b.tif"))
    assert first == second


def test_writing_where_it_cannot_be_says_what_to_do_and_leaves_nothing(tmp_path):
    scene = samples.scene("cover", seed=0, size=16)
    with pytest.raises(OutputError, match="choose a folder that exists"):
        samples.write(scene, tmp_path / "nowhere" / "scene.tif")
    with pytest.raises(OutputError, match=r"name it scene\.tif"):
        samples.write(scene, tmp_path / "scene.png")
    (tmp_path / "taken.tif").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        samples.write(scene, tmp_path / "taken.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["taken.tif"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sensor": "sentinel3"}, "choose one of sentinel2"),
        ({"sensor": "sentinel2", "size": 0}, "give sizes above 0"),
        ({"sensor": "sentinel2", "pixel_m": 20.0}, "pixels of 10 m"),
        ({"sensor": "sentinel2", "level": "L3"}, "choose L2A or L1C"),
        ({"sensor": "sentinel1", "gap": 2.0}, "a gap of 0..1"),
        ({"sensor": "sentinel1", "seed": -1}, "0 or a positive"),
    ],
)
def test_wrong_requests_say_what_was_expected(wrong, message):
    with pytest.raises(ConfigError, match=message):
        samples.scene(**{"size": 16, **wrong})


def test_chips_are_labelled_with_what_they_show_and_cover_the_classes():
    pixels, labels = samples.chips(0, "sentinel2", 60, 32)
    assert pixels.shape == (60, 12, 32, 32)
    assert pixels.dtype == np.uint16
    counts = np.bincount(labels, minlength=len(COVERS))
    assert counts.max() <= 20
    assert np.sum(counts >= 3) >= 7
    near, red = pixels[:, 7].astype(float), pixels[:, 3].astype(float)
    ndvi = np.median((near - red) / (near + red), axis=(1, 2))
    assert np.all(ndvi[labels == BROADLEAVED] > 0.6)
    assert np.all(ndvi[labels == WATER] < 0.3)


def test_chips_of_a_seed_repeat_and_those_of_another_differ():
    first = samples.chips(1, "sentinel1", 14, 16)
    again = samples.chips(1, "sentinel1", 14, 16)
    other = samples.chips(2, "sentinel1", 14, 16)
    assert digest(first[0]) == digest(again[0])
    assert list(first[1]) == list(again[1])
    assert digest(first[0]) != digest(other[0])
    assert len({digest(chip) for chip in first[0]}) == 14
