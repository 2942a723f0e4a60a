"""What is doubted of predictors that are there: numbers that mark missing values, other units, places off the rasters."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rasterio.warp import transform
from test_species import CLIMATE, TRANSFORM, Logistic, write
from toy_species import PATCH, species_model

import zoo
from zoo import samples
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.inputs.markers import MarkerCount, without
from zoo.inputs.variables import match_variables
from zoo.spec import Band, Normalise
from zoo.tasks.sdm import species_of


@pytest.fixture(autouse=True)
def _counters():
    Logistic.stop_after = None


@contextlib.contextmanager
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def climate(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "lon": rng.uniform(6, 13, count),
            "lat": rng.uniform(42.5, 47, count),
            "bio_1": rng.uniform(0, 20, count),
            "bio_12": rng.uniform(400, 1600, count),
        }
    )


# -------------------------------------------------------------------------------------- numbers that mark missing values


def test_a_single_cell_of_a_table_that_seems_to_mark_a_missing_value_is_told(tmp_path, monkeypatch):
    """Wherever it stands: among 40 rows of which 4 are compared with the statistics."""
    monkeypatch.setattr("zoo.predict.opening.CHECKED_ROWS", 4)
    sites = climate()
    sites.loc[33, "bio_1"] = -9999
    sites.to_csv(tmp_path / "sites.csv", index=False)
    told = r"^sites.csv: bio_1 holds -9999 in 1 of the 40 rows; if it marks missing values say --nodata -9999$"
    with pytest.warns(ZooWarning, match=told) as caught:
        species_model().predict(tmp_path / "sites.csv")
    assert len(caught) == 1
    with silent():
        species_model().predict(tmp_path / "sites.csv", nodata=-9999)


@pytest.mark.parametrize("beside", [False, True])
def test_cells_of_rasters_that_seem_to_mark_missing_values_are_told_until_they_are_named(tmp_path, beside):
    """A band without a nodata tag, half of it -9999; and nothing else is said of it, such as of its percentiles."""
    warm = np.random.default_rng(1).uniform(0, 20, (9, 14))
    warm[:, :7] = -9999
    rain = np.random.default_rng(2).uniform(400, 1600, (9, 14))
    layers = write(tmp_path / "layers.tif", [warm, rain], names=("bio_1", "bio_12"), nodata=None)
    told = r"^layers.tif: bio_1 holds -9999 in 32 of the 64 places looked at; .* say --nodata -9999$"
    source, options = layers, {}
    if beside:
        x, y = np.meshgrid(np.arange(8) * 0.875 + 6.4, np.arange(8) * 0.5 + 42.8)
        source, options = pd.DataFrame({"lon": x.ravel(), "lat": y.ravel()}), {"covariates": layers}
    with pytest.warns(ZooWarning, match=told) as caught:
        species_model().predict(source, **options)
    assert len(caught) == 1
    with silent():
        species_model().predict(source, nodata=-9999, **options)


def test_patches_are_looked_at_too(tmp_path):
    height = np.random.default_rng(1).uniform(0, 2, (1, 9, 14))
    height[0, 4:] = -32768
    file = write(tmp_path / "p" / "height.tif", height, names=("height",), nodata=None)
    for source in (file, file.parent):
        with pytest.warns(ZooWarning, match=r"height holds -32768 in \d+ of the 40 places looked at"):
            species_model(CLIMATE, PATCH).predict({"climate": climate(), "patch": source})


def test_markers_are_doubted_only_where_they_can_hardly_be_data():
    """Usual are -5 to 25 degrees and -400 to 2000 mm; heights have no statistics."""
    count = MarkerCount(spec=CLIMATE)
    count.add(np.array([[-999, -999], [3, np.nan]], np.float32))
    count.add(np.array([[4, 65535], [-9999, 1200], [np.nan, 90_000]], np.float32))
    np.testing.assert_array_equal(count.doubtful(), [[True, False], *[[False] * 2], [True, True], *[[False] * 2] * 3])
    with pytest.warns(
        ZooWarning, match="bio_1 holds -9999 in 1, bio_1 holds -999 in 1, bio_12 holds -999 in 1 of the 5"
    ):
        count.doubt("rows", "t.csv")
    taken = without(np.array([[-999, 65535], [-9999, 7]], np.float32), count.doubtful())
    np.testing.assert_array_equal(taken, [[np.nan, 65535], [np.nan, 7]])
    for numbers, doubted in (
        ([-999, 1, 500], True),
        ([-999, 1, 5000], False),
        ([-999, -2000, 5], False),
        ([-999], False),
    ):
        alone = MarkerCount(spec=PATCH)
        alone.add(np.array(numbers, np.float32)[:, None])
        assert alone.doubtful().any() == doubted


# ------------------------------------------------------------------------------------------------------- another unit


def test_centimetres_for_millimetres_are_doubted():
    """Medians 3.8 standard deviations from the mean; of the rows that spread into the usual range none is doubted."""
    mean, std = (5.8, 1080.0), (3.5, 263.0)  # those of masksdm@demo
    spec = replace(CLIMATE, steps=(Normalise(mean=mean, std=std, source="ours"),))
    sites = climate().assign(bio_1=np.linspace(0, 10, 40), bio_12=np.linspace(50, 90, 40))
    told = r"bio_12 has percentiles 1, 50, 99 of 50.4, 70, 89.6, expected about 291 to 1869 mm: another unit"
    with pytest.warns(ZooWarning, match=told):
        species_model(spec).predict(sites)
    with silent():
        species_model(spec).predict(sites.assign(bio_12=[*np.linspace(50, 90, 38), 400, 500]))


@pytest.mark.parametrize("seed", range(1, 5))
def test_one_region_alone_is_not_doubted(seed, tmp_path):
    """Regions of the synthetic world, of 8 km: cold and warm, wet and dry ones."""
    rasters = tmp_path / "layers.tif"
    samples.write(samples.scene("predictors", seed=seed, size=96), rasters)
    with silent():
        zoo.load("masksdm@demo").predict(rasters, species=["Virtualis clivosa"])


# ---------------------------------------------------------------------------------------------------- off the rasters


@pytest.fixture
def rasters(tmp_path):
    """From 6 to 13 degrees east, 42.5 to 47 north."""
    return write(tmp_path / "layers.tif", np.ones((2, 9, 14)), names=("bio_1", "bio_12"), transform=TRANSFORM)


def test_sites_off_the_rasters_are_told_where_both_lie(rasters):
    model = species_model()
    sites = pd.DataFrame({"lon": [60.0, 61.5], "lat": [45.0, 44.0]})
    boxes = r"the sites' box is 60.00, 44.00, 61.50, 45.00, that of the rasters 6.00, 42.50, 13.00, 47.00 \(west, south, east,"
    with pytest.raises(InputError, match=boxes) as caught:
        model.predict(sites, covariates=rasters)
    assert "swapped" not in str(caught.value)
    swapped = pd.DataFrame({"lon": [45.0, 44.0], "lat": [7.0, 8.5]})
    with pytest.raises(
        InputError, match=r"44.00, 7.00, 45.00, 8.50, .* in OGC:CRS84\): are longitude and latitude swapped\?"
    ):
        model.predict(swapped, covariates=rasters)
    with pytest.warns(ZooWarning, match=r"2 of 2 sites lie where no raster .*: are longitude and latitude swapped\?"):
        model.predict(swapped.assign(bio_1=5.0), covariates=rasters)


def test_a_grid_off_the_rasters_is_told_where_both_lie(rasters):
    """In the grid's CRS: degrees, and metres of a projection."""
    with pytest.raises(
        InputError, match=r"the grid's box is 43.00, 7.00, 44.00, 8.00, that .* EPSG:4326\): are longitude"
    ):
        species_model().predict(rasters, grid=(43, 7, 44, 8, 0.1))
    with pytest.raises(
        InputError, match=r"the grid's box is 900000, 6000000, 950000, 6050000, that .*EPSG:32632\)$"
    ) as caught:
        species_model().predict(rasters, grid=(900_000, 6_000_000, 950_000, 6_050_000, 5000, "EPSG:32632"))
    x, y = transform("EPSG:4326", "EPSG:32632", [6, 6, 13, 13], [42.5, 47, 42.5, 47])
    assert f"that of the rasters {min(x):.0f}, {min(y):.0f}, {max(x):.0f}, {max(y):.0f} (west" in str(caught.value)


# ---------------------------------------------------------------------------------------------------- names nearly right


@pytest.mark.parametrize(
    ("name", "missing", "meant"),
    [
        ("Tree cover", "Cover_tree_layer", True),
        ("coverTree", "Cover_tree_layer", True),
        ("elev", "Elevation", True),
        ("pH_0-5cm", "phh2o_0-5cm", True),
        ("bio_2", "bio_12", False),
        ("sand_5-15cm", "sand_0-5cm", False),
        ("soil", "Slope", False),
    ],
)
def test_columns_that_are_nearly_a_missing_variable_are_asked_after(name, missing, meant):
    spec = replace(CLIMATE, bands=(Band(id="bio_1", unit="degC"), Band(id=missing, unit="m")))
    with pytest.warns(ZooWarning) as caught:
        match_variables(spec, ["bio_1", name], where="t.csv", extra=[name])
    hint = f" (did you mean {name} for {missing}?)" if meant else ""
    assert str(caught[0].message) == (
        f"t.csv: 1 of 2 variables is not there and counts as missing: {missing}{hint}; not used, for the model has no such"
        f" variable: {name}"
    )


def test_a_part_of_a_species_name_is_enough_for_the_hint():
    with pytest.raises(ConfigError, match=r"no species 'europaea'.*; did you mean Olea europaea\?"):
        species_of(species_model().variant, ["europaea"])
    with pytest.raises(ConfigError, match=r"no species 'ALB'.*; did you mean Salix alba\?"):
        species_of(species_model().variant, ["ALB"])


def test_more_of_the_best_species_than_there_are_is_told():
    with pytest.warns(ZooWarning, match="--top 99 asks for more than the 3 species; each site gets all 3"):
        assert species_model().predict(climate(2), top=99).table.num_rows == 6
    with silent():
        species_model().predict(climate(2), top=3)


def test_a_table_without_patches_is_told_of_covariates():
    with pytest.raises(InputError, match=r"add --covariates RASTERS, or --input patch=RASTER.tif"):
        species_model(CLIMATE, replace(PATCH, optional=False)).predict(climate())
