"""What rasters say of themselves, and what a user says beside it: scale, nodata, CRS, units, the names of bands."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image
from test_species import CLIMATE, TRANSFORM, Logistic, expected, frame, predicted, sigmoid, write
from toy_species import PATCH, species_model

from zoo.datasets.layouts.patches import open_patches
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.spec import Band, Normalise

SITES = pd.DataFrame({"lon": [7.75, 10.25], "lat": [45.25, 44.75], "bio_1": [10.0, 10.0], "bio_12": [800.0, 800.0]})
PLACED = replace(
    CLIMATE,
    bands=(Band(id="Longitude", unit="degree"), Band(id="bio_12", unit="mm")),
    steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 400.0), source="ours"),),
)
SEEN = replace(PATCH, steps=(Normalise(mean=(1.0,), std=(1.0,), source="ours"),))


@pytest.fixture(autouse=True)
def _counters():
    Logistic.stop_after = None


@pytest.fixture
def heights(tmp_path):
    """Tenths of a metre, as the file declares: alone, and as the only file of a folder."""
    pixels = np.arange(126, dtype="float32").reshape(1, 9, 14)
    file = write(tmp_path / "folder" / "height.tif", pixels, names=("height",))
    declare(file, scales=(0.1,), offsets=(-3.0,))
    return file, pixels[0] * 0.1 - 3


def declare(path, **facts):
    with rasterio.open(path, "r+") as file:
        for name, value in facts.items():
            setattr(file, name, value)


def willow(model, sites, **options):
    return model.predict(sites, **options).table["Salix alba"].to_numpy()


# ------------------------------------------------------------------------------------------------ what numbers mean


def test_declared_scales_of_patches_are_applied_in_a_file_a_folder_a_list_and_covariates(heights):
    file, metres = heights
    model = species_model(CLIMATE, SEEN)
    truth = sigmoid([metres[2:5, 2:5].mean() - 1, metres[3:6, 7:10].mean() - 1])
    for patch in (file, file.parent, [file], str(file.parent / "*.tif")):
        np.testing.assert_allclose(willow(model, {"climate": SITES, "patch": patch}), truth, atol=1e-6)
    np.testing.assert_allclose(willow(model, SITES, covariates=file.parent), truth, atol=1e-6)
    for told in (file, file.parent):
        found, _ = open_patches(SEEN, told).at((7.75, 45.25))
        np.testing.assert_allclose(found[0], metres[2:5, 2:5] - 1, atol=1e-5)


def test_a_scale_that_is_said_counts_for_folders_as_for_files(heights):
    file, _ = heights
    stored = np.arange(126, dtype="float32").reshape(9, 14)[2:5, 2:5].mean()
    for patch in (file, file.parent):
        found = willow(species_model(CLIMATE, SEEN), {"climate": SITES[:1], "patch": patch}, scale=0.01, offset=0.5)
        np.testing.assert_allclose(found, sigmoid(stored * 0.01 + 0.5 - 1), atol=1e-6)


def test_sentinel_2_bands_of_a_folder_are_those_of_one_file(tmp_path):
    """By their names, with the offset of processing baseline 04.00 that their tags tell."""
    bands = (Band(id="S2:B04", unit="DN"), Band(id="S2:B8A", unit="DN"))
    spec = replace(PATCH, bands=bands, steps=(Normalise(mean=(1000.0,) * 2, std=(2000.0,) * 2, source="ours"),))
    pixels = np.random.default_rng(0).uniform(1000, 5000, (2, 9, 14)).round()
    one = write(tmp_path / "one.tif", pixels, names=("B04", "B8A"))
    write(tmp_path / "s2" / "T32TMS_20230622T102031_B04_10m.tif", pixels[:1])
    write(tmp_path / "s2" / "B8A.tif", pixels[1:])
    for file in (one, *(tmp_path / "s2").iterdir()):
        with rasterio.open(file, "r+") as opened:
            opened.update_tags(BOA_ADD_OFFSET="-1000")
    model = species_model(CLIMATE, spec)
    found = [willow(model, {"climate": SITES, "patch": patch}) for patch in (one, tmp_path / "s2")]
    mean = (pixels[:, 2:5, 2:5].mean() - 2000) / 2000
    assert found[0][0] == pytest.approx(sigmoid(mean), abs=1e-6)
    np.testing.assert_array_equal(found[1], found[0])


def test_patches_of_a_folder_are_doubted_and_know_the_inputs_nodata(tmp_path):
    pixels = np.arange(126, dtype="float32").reshape(1, 9, 14) / 50
    pixels[0, 2:5, 2:5] = -1
    write(tmp_path / "p" / "height.tif", pixels, nodata=None)
    spec = replace(SEEN, nodata=-1)
    found = willow(species_model(CLIMATE, spec), {"climate": SITES[1:], "patch": tmp_path / "p"})
    assert found[0] == pytest.approx(sigmoid(pixels[0, 3:6, 7:10].mean() - 1), abs=1e-6)
    with pytest.raises(InputError, match="not one of 1 sites lies where the rasters of patch have data"):
        willow(species_model(CLIMATE, spec), {"climate": SITES[:1], "patch": tmp_path / "p"})
    write(tmp_path / "p" / "height.tif", pixels * 1000)
    with pytest.warns(ZooWarning, match=r"^p: height has percentiles .*--scale"):
        willow(species_model(CLIMATE, SEEN), {"climate": SITES, "patch": tmp_path / "p"})


def test_a_rasters_own_nodata_stays_beside_the_tables(tmp_path):
    warm = np.full((1, 9, 14), 10.0)
    warm[0, 3, 3], warm[0, 0, 0] = -32768, 12
    file = write(tmp_path / "bio_1.tif", warm, nodata=-32768)
    sites = SITES.drop(columns="bio_1").assign(bio_12=[600.0, -9999.0])
    with pytest.warns(ZooWarning, match="1 of 2 sites lie where no raster of climate has data"):
        table = species_model().predict(sites, covariates=file, nodata=-9999).table
    truth = expected(np.array([np.nan, 10.0]), np.array([600.0, np.nan]))
    np.testing.assert_allclose(predicted(table), truth, atol=1e-6)


@pytest.mark.parametrize("patch", ["height.tif", "."])
def test_units_of_patches_are_compared_in_a_file_and_in_a_folder(heights, patch):
    file, _ = heights
    declare(file, units=("ft",))
    with pytest.raises(InputError, match="height is in 'ft' by what the file says, expected 'm'"):
        willow(species_model(CLIMATE, SEEN), {"climate": SITES, "patch": file.parent / patch})


def test_what_stands_in_brackets_and_is_no_unit_is_a_warning():
    sites = frame().rename(columns={"Bio_01": "bio_1 (annual mean)"})
    with pytest.warns(ZooWarning, match=r"'annual mean' behind 'bio_1' is the model's unit 'degC'"):
        found = species_model().predict(sites).table
    np.testing.assert_allclose(predicted(found), expected(frame()["Bio_01"], frame()["BIO12"]), atol=1e-6)


# ------------------------------------------------------------------------------------------------- where they lie


def metric(crs):
    x, y = rasterio.warp.transform("EPSG:4326", crs, SITES["lon"], SITES["lat"])
    return SITES.drop(columns=["lon", "lat"]).assign(x=x, y=y)


@pytest.mark.parametrize("patch", ["height.tif", "."])
def test_the_crs_of_a_table_is_not_that_of_the_rasters_beside_it(heights, patch):
    file, _ = heights
    model, source = species_model(CLIMATE, SEEN), file.parent / patch
    truth = willow(model, {"climate": SITES, "patch": source})
    found = willow(model, {"climate": metric("EPSG:23034"), "patch": source}, crs="EPSG:23034")
    np.testing.assert_allclose(found, truth, atol=1e-6)
    with pytest.raises(InputError, match=r"lies in EPSG:4326 by what it says, and --crs says EPSG:23034"):
        willow(model, {"climate": SITES, "patch": source}, crs={"patch": "EPSG:23034"})


@pytest.mark.parametrize("patch", ["height.tif", "."])
def test_rasters_without_a_crs_are_told_what_to_type(heights, patch):
    file, _ = heights
    pixels = np.arange(126, dtype="float32").reshape(1, 9, 14) / 100
    write(file, pixels, names=("height",), crs=None)
    model, source = species_model(CLIMATE, SEEN), file.parent / patch
    told = r"height.tif holds height and has no CRS; .*rio edit-info --crs EPSG:4326 height.tif"
    for sites, options in ((SITES, {}), (SITES, {"grid": (6, 44, 8, 46, 1)})):
        with pytest.raises(InputError, match=told):
            model.predict({"climate": sites, "patch": source}, **options)
    with pytest.raises(InputError, match=told):
        model.predict(SITES, covariates=source)
    known = model.predict({"climate": SITES, "patch": source}, crs={"patch": "EPSG:4326"}).table
    assert known["Salix alba"][0].as_py() == pytest.approx(sigmoid(pixels[0, 2:5, 2:5].mean() - 1), abs=1e-6)


def test_a_legend_beside_the_rasters_is_passed_over(heights):
    file, _ = heights
    model = species_model(CLIMATE, SEEN)
    truth = willow(model, SITES, covariates=file.parent)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(file.parent / "legend.png")
    write(file.parent / "legend.tif", np.ones((3, 4, 5)), crs=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "columns of the table")
        np.testing.assert_array_equal(willow(model, SITES, covariates=file.parent), truth)


def test_sites_beyond_the_rasters_are_told_and_all_of_them_are_an_error(tmp_path):
    """Else the answer would be that of their longitude alone."""
    rain = write(tmp_path / "bio_12.tif", np.full((1, 9, 14), 900.0), transform=TRANSFORM)
    sites = pd.DataFrame({"lon": [7.0, 8.0, 60.0], "lat": [45.0, 45.0, 45.0]})
    model = species_model(PLACED)
    with pytest.warns(
        ZooWarning, match="1 of 3 sites lie where no raster of climate has data, and are answered without"
    ):
        found = model.predict(sites, covariates=rain).table
    np.testing.assert_allclose(predicted(found), expected(sites["lon"], np.array([900, 900, np.nan])), atol=1e-6)
    out = tmp_path / "out.csv"
    with pytest.raises(InputError, match="not one of 1 sites lies where the rasters of climate have data"):
        model.predict(sites[2:], out, covariates=rain)
    assert not out.exists()


def test_sites_without_coordinates_are_counted_where_places_are_read(tmp_path):
    rain = write(tmp_path / "bio_12.tif", np.full((1, 9, 14), 900.0), transform=TRANSFORM)
    sites = pd.DataFrame({"lon": [7.0, np.nan, 8.0], "lat": [45.0, 45.0, np.nan], "bio_1": [5.0, 6.0, 7.0]})
    with pytest.warns(
        ZooWarning, match="2 of 3 sites have no coordinates, and are answered without what is read at a place"
    ):
        found = species_model().predict(sites, covariates=rain).table
    truth = expected(sites["bio_1"], np.array([900, np.nan, np.nan]))
    np.testing.assert_allclose(predicted(found), truth, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        species_model().predict(sites.assign(bio_12=900.0))


# --------------------------------------------------------------------------------------------- what decides nothing


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"scale": 0.1}, r"--scale holds for patches of rasters, and climate has columns or cells; .*convert a column"),
        ({"offset": {"climate": 1.0}}, r"--offset holds for patches"),
        ({"sampling": "nearest"}, r"--sampling says .*nothing is read so here"),
        ({"float16": True}, r"--float16 is of maps, and DataFrame is a table"),
        ({"predictors": []}, r"--predictors names none"),
    ],
)
def test_options_that_would_decide_nothing_are_refused(options, why):
    with pytest.raises(ConfigError, match=why):
        species_model().predict(SITES, **options)


def test_sampling_is_refused_where_all_is_patches(heights):
    model = species_model(replace(SEEN, optional=False))
    with pytest.raises(ConfigError, match="--sampling says"):
        model.predict({"patch": heights[0], "sites": SITES}, sampling="bilinear")


def test_columns_of_another_magnitude_are_to_be_converted():
    with pytest.warns(ZooWarning, match=r"bio_1 has percentiles.*another variable\? Convert the numbers") as caught:
        species_model().predict(frame().assign(Bio_01=np.linspace(5000, 9000, 7)))
    assert "--scale" not in str(caught[0].message)


def test_an_optional_input_may_be_all_that_is_shown(heights):
    file, metres = heights
    model = species_model(CLIMATE, SEEN)
    found = willow(model, {"climate": SITES, "patch": file}, predictors=["patch"])
    np.testing.assert_allclose(found[0], sigmoid(metres[2:5, 2:5].mean() - 1), atol=1e-6)
    with pytest.raises(InputError, match=r"nothing of what --predictors shows is there; expected height"):
        model.predict(SITES, predictors=["patch"])
    wide = replace(CLIMATE, bands=(*CLIMATE.bands, *(Band(id=f"soil_{n}", unit="1") for n in range(3))), steps=())
    with pytest.raises(InputError, match=r"none of the 2 variables is there.* Expected soil_0, soil_1;"):
        species_model(wide).predict(SITES, predictors=["soil_0", "soil_1"])
