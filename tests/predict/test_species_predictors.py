"""Where predictors of species come from: columns, rasters, the place; which are shown; on which grid a map lies."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform
from test_species import CLIMATE, SPECIES, TRANSFORM, Logistic, expected, frame, predicted, sigmoid, write
from toy_species import PATCH, species_model

import zoo
from zoo.errors import ConfigError, InputError, OutputError, ZooWarning
from zoo.io.grid import Grid
from zoo.io.rasters import open_raster
from zoo.options import Options
from zoo.predict.grids import grid_of
from zoo.predict.scene import state_of
from zoo.predict.species_maps import file_names
from zoo.spec import Band, Normalise

PLACED = replace(
    CLIMATE,
    bands=(Band(id="Longitude", unit="degree"), Band(id="bio_12", unit="mm")),
    steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 400.0), source="ours"),),
)


@pytest.fixture(autouse=True)
def _counters():
    Logistic.stop_after = None
    yield
    Logistic.stop_after = None


@pytest.fixture
def rasters(tmp_path):
    """Temperature at half a degree, with a hole; rain at a quarter of a degree. As arrays, and as a folder of two files."""
    rng = np.random.default_rng(1)
    warm, rain = rng.uniform(0, 20, (9, 14)), rng.uniform(400, 1600, (18, 28))
    warm[2, 3] = -9999
    write(tmp_path / "covariates" / "wc2.1_10m_bio_1.tif", [warm])
    write(tmp_path / "covariates" / "deep" / "BIO12.tif", [rain], transform=from_origin(6.0, 47.0, 0.25, 0.25))
    return warm.astype("float32"), rain.astype("float32"), tmp_path / "covariates"


def cell(pixels, lon, lat, step):
    return pixels[np.floor((47 - lat) / step).astype(int), np.floor((lon - 6) / step).astype(int)]


def sites_in(count=40, seed=3):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"lon": rng.uniform(6, 13, count), "lat": rng.uniform(42.5, 47, count)})


# ------------------------------------------------------------------------------------------------------- covariates


def test_rasters_give_what_the_columns_lack(rasters):
    """One variable has no column, of the other two cells are empty."""
    warm, rain, folder = rasters
    sites = sites_in()
    lon, lat = sites["lon"].to_numpy(), sites["lat"].to_numpy()
    told = np.linspace(0, 20, 40)
    told[[4, 7]] = np.nan
    table = species_model().predict(sites.assign(bio_1=told), covariates=folder).table
    known = np.where(np.isnan(told), cell(warm, lon, lat, 0.5), told)
    np.testing.assert_allclose(predicted(table), expected(known, cell(rain, lon, lat, 0.25)), atol=1e-6)


def test_rasters_may_be_given_for_each_input_and_sites_in_any_projection(rasters):
    warm, rain, folder = rasters
    sites = sites_in()
    x, y = transform("EPSG:4326", "EPSG:3035", sites["lon"], sites["lat"])
    metric = pd.DataFrame({"x": x, "y": y})
    table = species_model().predict(metric, crs="EPSG:3035", covariates={"climate": str(folder / "**" / "*.tif")}).table
    lon, lat = sites["lon"].to_numpy(), sites["lat"].to_numpy()
    at_hole = cell(warm, lon, lat, 0.5) == -9999
    known = np.where(at_hole, np.nan, cell(warm, lon, lat, 0.5))
    np.testing.assert_allclose(predicted(table), expected(known, cell(rain, lon, lat, 0.25)), atol=1e-6)
    with pytest.raises(ConfigError, match="covariates is given for soil; the inputs are climate"):
        species_model().predict(metric, crs="EPSG:3035", covariates={"soil": folder})


def test_sampling_decides_what_a_hole_gives(rasters):
    """The hole is at row 2, column 3: the first cell with data around it is that at row 1, column 2."""
    warm, _, folder = rasters
    site = pd.DataFrame({"lon": [7.75], "lat": [45.75], "bio_12": [800.0]})
    model = species_model()
    near = model.predict(site, covariates=folder, sampling="nearest").table["Olea europaea"][0].as_py()
    assert near == pytest.approx(sigmoid((warm[1, 2] - 10) / 5), abs=1e-6)
    with pytest.warns(ZooWarning, match="1 of 1 sites lie where no raster of climate has data"):
        assert model.predict(site, covariates=folder).table["Olea europaea"][0].as_py() == 0.5
    # Row 2.2, column 3.2 of the raster's corner, hence 0.7 of the way from the centre of row 1 and of column 2: weights 0.09,
    # 0.21, 0.21, and 0.49 of the hole.
    beside = site.assign(lon=7.6, lat=45.9)
    between = (0.09 * warm[1, 2] + 0.21 * warm[1, 3] + 0.21 * warm[2, 2]) / 0.51
    found = model.predict(beside, covariates=folder, sampling="bilinear").table["Olea europaea"][0].as_py()
    assert found == pytest.approx(sigmoid((between - 10) / 5), abs=1e-6)
    with pytest.raises(ConfigError, match="sampling is 'cubic'; expected one of cell, nearest, bilinear"):
        model.predict(site, covariates=folder, sampling="cubic")


def test_no_raster_is_read_of_what_all_columns_have(rasters, monkeypatch):
    from zoo.io.rasters import FileSource

    folder, read, whole = rasters[2], [], FileSource.read
    monkeypatch.setattr(
        FileSource, "read", lambda self, window, channels: read.append(self.name) or whole(self, window, channels)
    )
    species_model().predict(sites_in().assign(bio_12=800.0), covariates=folder)
    assert set(read) == {"wc2.1_10m_bio_1.tif"}


def test_covariates_want_a_table_and_coordinates(rasters, tmp_path):
    folder = rasters[2]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="no coordinates that are known"):
        species_model().predict(pd.DataFrame({"bio_1": [3.0]}), tmp_path / "out.csv", covariates=folder)
    with pytest.raises(InputError, match="covariates are read at the sites of a table"):
        species_model().predict(folder, tmp_path / "out.tif", covariates=folder)
    with pytest.raises(InputError, match=r"missing.*no data found|does not exist"):
        species_model().predict(sites_in(), tmp_path / "out.csv", covariates=tmp_path / "missing.tif")
    assert sorted(tmp_path.rglob("*")) == before


def test_patches_are_read_from_covariates_too(rasters):
    folder = rasters[2]
    height = np.arange(126, dtype="float32").reshape(1, 9, 14) / 100
    write(folder / "height.tif", height)
    sites = pd.DataFrame({"lon": [7.75], "lat": [45.25], "bio_1": [10.0], "bio_12": [800.0]})
    table = species_model(CLIMATE, PATCH).predict(sites, covariates=folder).table
    assert table["Salix alba"][0].as_py() == pytest.approx(sigmoid(height[0, 2:5, 2:5].mean()), abs=1e-6)
    (folder / "height.tif").unlink()
    table = species_model(CLIMATE, PATCH).predict(sites, covariates=folder).table
    assert table["Salix alba"][0].as_py() == 0.5


# -------------------------------------------------------------------------------------------------- missing, extra


def test_what_is_missing_and_what_is_not_used_is_told_in_one_line(rasters):
    folder = rasters[2]
    write(folder / "soil.tif", np.ones((1, 3, 3)))
    (folder / "deep" / "BIO12.tif").unlink()
    sites = sites_in(4).assign(plotID=range(4), elev=1.0, bio_1=3.0, **{"Poa alpina": 1})
    with pytest.warns(ZooWarning) as caught:
        species_model().predict(sites, covariates=folder)
    (line,) = caught
    assert str(line.message) == (
        "DataFrame and covariates: 1 of 2 variables is not there and counts as missing: bio_12; not used, for the model"
        " has no such variable: soil, elev"
    )


@pytest.mark.parametrize(
    ("unit", "told"),
    [("°C", None), ("degree_Celsius", None), ("", None), ("K", InputError), ("furlong", ZooWarning)],
)
def test_units_that_rasters_state_must_be_the_models(rasters, unit, told):
    folder = rasters[2]
    with rasterio.open(folder / "wc2.1_10m_bio_1.tif", "r+") as file:
        file.units = (unit,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if told is None:
            species_model().predict(sites_in(), covariates=folder)
            species_model().predict(folder)
            return
    match = "bio_1 is in 'K' by what the file says, expected 'degC'" if told is InputError else "bio_1 in 'furlong'"
    with pytest.raises(told, match=match) if told is InputError else pytest.warns(told, match=match):
        species_model().predict(sites_in(), covariates=folder)


def test_declared_scales_are_applied(rasters):
    """As CHELSA's files hold tenths of a kelvin."""
    warm, _, folder = rasters
    with rasterio.open(folder / "wc2.1_10m_bio_1.tif", "r+") as file:
        file.scales, file.offsets = (0.1,), (5.0,)
    site = pd.DataFrame({"lon": [6.25], "lat": [46.75], "bio_12": [800.0]})
    found = species_model().predict(site, covariates=folder).table["Olea europaea"][0].as_py()
    assert found == pytest.approx(sigmoid((warm[0, 0] * 0.1 + 5 - 10) / 5), abs=1e-6)


def test_rasters_of_other_magnitude_are_doubted_at_the_sites_and_in_the_map(rasters):
    """As WorldClim 1.4 held tenths of a degree."""
    warm, _, folder = rasters
    write(folder / "wc2.1_10m_bio_1.tif", [np.where(warm == -9999, warm, 100 * warm)])
    for source, options in ((sites_in(), {"covariates": folder}), (folder, {})):
        with pytest.warns(ZooWarning, match=r"covariates.*bio_1 has percentiles"):
            species_model().predict(source, **options)


# -------------------------------------------------------------------------------------------------------- the place


def test_the_place_gives_its_longitude_where_nothing_else_does(rasters):
    sites = sites_in()
    x, y = transform("EPSG:4326", "EPSG:3035", sites["lon"], sites["lat"])
    metric = pd.DataFrame({"x": x, "y": y, "bio_12": 900.0})
    table = species_model(PLACED).predict(metric, crs="EPSG:3035").table
    np.testing.assert_allclose(predicted(table), expected(sites["lon"], np.full(40, 900.0)), atol=1e-6)
    told = species_model(PLACED).predict(metric.assign(lon_=1.0).rename(columns={"lon_": "Longitude"}), crs="EPSG:3035")
    np.testing.assert_allclose(predicted(told.table), expected(np.full(40, 1.0), np.full(40, 900.0)), atol=1e-6)


def test_the_180th_meridian_and_the_pole_are_crossed(tmp_path):
    """Longitudes go on at -180; the row beyond the pole has none. The rain of a raster in metres is read beside it."""
    rain = write(tmp_path / "bio_12.tif", [[[700.0, 900.0]]], transform=from_origin(-180, 90, 180, 180))
    found = species_model(PLACED).predict(rain, grid=(175, -1, 185, 1, 1)).values
    lon = np.array([175.5, 176.5, 177.5, 178.5, 179.5, -179.5, -178.5, -177.5, -176.5, -175.5])
    wet = np.where(lon > 0, 900.0, 700.0)
    np.testing.assert_allclose(found[:, 0], expected(lon, wet).T, atol=1e-6)
    grid = {"crs": "EPSG:3031", "transform": from_origin(-1e6, 1e6, 1e6, 1e6)}
    polar = write(tmp_path / "polar" / "bio_12.tif", np.full((1, 2, 2), 900.0), **grid)
    found = species_model(PLACED).predict(polar, grid=(10, -90, 20, -85, 4)).values
    assert np.isnan(found[0]).tolist() == [[False] * 3, [True] * 3]


def test_a_map_knows_where_its_cells_lie_and_has_none_where_rasters_have_none(tmp_path):
    rain = np.full((1, 6, 8), 900.0)
    rain[0, 1, 2] = -9999
    write(tmp_path / "bio_12.tif", rain, crs="EPSG:2056", transform=from_origin(2_600_000, 1_200_000, 5000, 5000))
    found = species_model(PLACED).predict(tmp_path / "bio_12.tif").values
    rows, cols = np.mgrid[:6, :8]
    lon, _ = transform("EPSG:2056", "EPSG:4326", 2_602_500 + 5000 * cols.ravel(), 1_197_500 - 5000 * rows.ravel())
    truth = expected(lon, np.full(48, 900.0)).T.reshape(3, 6, 8)
    truth[:, 1, 2] = np.nan
    np.testing.assert_allclose(found, truth, atol=1e-6)


# ------------------------------------------------------------------------------------------------------- predictors


def grouped(*inputs):
    model = species_model(*inputs)
    return replace(model, variant=replace(model.variant, groups={"Warmth": ("bio_1",)}))


@pytest.mark.parametrize("shown", ["bio_1", "BIO 01", "warmth"])
def test_only_predictors_that_are_shown_count(rasters, shown):
    sites = frame()
    table = grouped().predict(sites, predictors=[shown]).table
    np.testing.assert_allclose(predicted(table), expected(sites["Bio_01"], np.full(7, np.nan)), atol=1e-6)
    whole = grouped().predict(rasters[2]).values
    part = grouped().predict(rasters[2], predictors=[shown]).values
    assert np.nanmax(np.abs(part[:2] - whole[:2])) == 0
    assert set(np.unique(part[2][np.isfinite(part[2])])) == {0.5}


def test_predictors_that_are_none_are_told_the_nearest():
    with pytest.raises(ConfigError, match=r"--predictors names 'Warmht'.*did you mean Warmth"):
        grouped().predict(frame(), predictors=["Warmht"])
    with pytest.raises(ConfigError, match="takes all of its predictors or none"):
        species_model(replace(CLIMATE, any_subset=False)).predict(frame(), predictors=["bio_1"])
    with pytest.raises(InputError, match="none of the 1 variables is there"):
        species_model().predict(frame().drop(columns="BIO12"), predictors=["bio_12"])


def test_a_map_of_the_place_alone_covers_the_rasters(rasters, tmp_path):
    found = species_model(PLACED).predict(rasters[2] / "deep", predictors=["Longitude"]).values
    lon = np.broadcast_to(6.125 + 0.25 * np.arange(28), (18, 28))
    np.testing.assert_allclose(found, expected(lon.ravel(), np.full(504, np.nan)).T.reshape(3, 18, 28), atol=1e-6)


# -------------------------------------------------------------------------------------------------------------- grid


@pytest.mark.parametrize("sampling", ["cell", "bilinear"])
@pytest.mark.parametrize(
    "told",
    ["6.5,43.4,9.6,46.3,0.31", (4_050_000, 2_400_000, 4_250_000, 2_500_000, 20_000, "EPSG:3035")],
)
def test_a_grid_is_predicted_at_the_centres_of_its_cells(rasters, tmp_path, told, sampling):
    grid = grid_of(told)
    out = tmp_path / "map.tif"
    species_model().predict(rasters[2], out, grid=told, sampling=sampling, window=3)
    rows, cols = np.mgrid[: grid.height, : grid.width]
    x, y = grid.transform * (cols.ravel() + 0.5, rows.ravel() + 0.5)
    sites = pd.DataFrame({"x": x, "y": y})
    points = species_model().predict(sites, crs=grid.crs.to_string(), covariates=rasters[2], sampling=sampling).table
    with rasterio.open(out) as file:
        assert (file.crs, file.transform) == (grid.crs, grid.transform)
        np.testing.assert_allclose(file.read().reshape(3, -1).T, predicted(points), atol=2e-7)
    assert np.ptp(predicted(points)) > 0.3


def test_a_box_is_cells_from_the_north_west():
    grid = grid_of("5.9, 45.8, 6.2, 45.95, 0.1")
    assert (grid.height, grid.width) == (2, 3)
    assert grid.crs.to_epsg() == 4326
    assert grid.transform.to_gdal() == (5.9, 0.1, 0, 45.95, 0, -0.1)
    assert grid_of(grid) is grid
    metric = grid_of((0, 0, 1000, 500, 250, 2056))
    assert (metric.height, metric.width, metric.crs.to_epsg()) == (2, 4, 2056)


def test_a_raster_gives_its_grid_and_nothing_else(rasters, tmp_path):
    empty = write(tmp_path / "like.tif", np.full((1, 4, 5), -9999), transform=from_origin(7, 46, 0.2, 0.2))
    found = species_model().predict(rasters[2], grid=empty)
    assert found.grid == Grid(height=4, width=5, crs=found.grid.crs, transform=from_origin(7, 46, 0.2, 0.2))
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("10,45,6,47,0.1", "west is not west of east; .*180th"),
        ("6,47,10,45,0.1", "south is not south of north"),
        ("6,45,10,47,0", "the step 0; expected finite"),
        ("6,45,10,47,nan", "the step nan"),
        ("-180,-90,180,90,0.0000001", r"1,800,000,000 x 3,600,000,000 cells; expected at most 10,000,000,000"),
        ("6,45,10,47,a", "no five numbers in front"),
        ("6,45,10,47,1,EPSG:2056,3", "has 7 parts"),
        ("2600000,1200000,2700000,1300000,100", r"beyond the Earth in degrees; .*2600000,.*,100,EPSG:2056"),
        ("6,45,10,47,1e-320", r"has inf x inf cells; expected at most"),
        ("nowhere.tif", "neither a box nor a file"),
        (5, "no five numbers"),
        (Grid(height=2, width=2), r"has no CRS.*expected Grid\(\.\.\., crs="),
    ],
)
def test_grids_that_cannot_be_are_told_why(rasters, tmp_path, told, why):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=why):
        species_model().predict(rasters[2], tmp_path / "map.tif", grid=told)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_raster_with_commas_in_its_path_is_no_box(rasters, tmp_path):
    like = write(tmp_path / "6,45,10,47,0.1" / "like.tif", np.zeros((1, 4, 5)), transform=from_origin(7, 46, 0.2, 0.2))
    assert grid_of(like) == grid_of(str(like)) == grid_of(rasters[2] / ".." / "6,45,10,47,0.1" / "like.tif")
    assert (grid_of(like).height, grid_of(like).width) == (4, 5)


def test_a_grid_beside_the_rasters_leaves_nothing(rasters, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for out in ("map.tif", "maps"):
        with pytest.raises(InputError, match=r"not one cell .*whether the grid lies on them"):
            species_model().predict(rasters[2], tmp_path / out, grid="100,10,101,11,0.5")
    with pytest.raises(InputError, match=r"--grid is of a map .*DataFrame is a table"):
        species_model().predict(frame(), tmp_path / "out.csv", grid="100,10,101,11,0.5")
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------------------------------------------- a map of each


def test_a_folder_holds_the_bands_of_the_map_as_files(rasters, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.predict.species_maps.TOGETHER", 2)
    model = species_model()
    model.predict(rasters[2], tmp_path / "map.tif", window=4)
    assert model.predict(rasters[2], tmp_path / "maps", window=4) == tmp_path / "maps"
    names = [f"{one.replace(' ', '_')}.tif" for one in SPECIES]
    assert sorted(item.name for item in (tmp_path / "maps").iterdir()) == sorted(names)
    with rasterio.open(tmp_path / "map.tif") as whole:
        for index, name in enumerate(names, 1):
            with rasterio.open(tmp_path / "maps" / name) as one:
                assert one.descriptions == (SPECIES[index - 1],)
                assert one.transform == TRANSFORM
                assert one.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert one.tags()["ZOO_MODEL"] == "toysdm"
                np.testing.assert_array_equal(one.read(1), whole.read(index))
    assert not (tmp_path / "maps.parts").exists()


def test_species_that_were_written_are_not_written_again(rasters, tmp_path, monkeypatch):
    from zoo.predict import species_maps

    monkeypatch.setattr(species_maps, "TOGETHER", 1)
    opened, sink = [], species_maps.open_sink

    def two_alone(out, *given, **more):
        opened.append(out.name)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return sink(out, *given, **more)

    monkeypatch.setattr(species_maps, "open_sink", two_alone)
    with pytest.raises(KeyboardInterrupt):
        species_model().predict(rasters[2], tmp_path / "maps")
    assert sorted(item.name for item in (tmp_path / "maps").iterdir()) == ["Olea_europaea.tif", "Poa_alpina.tif"]
    species_model().predict(rasters[2], tmp_path / "maps", resume=True)
    assert opened == ["Poa_alpina.tif", "Olea_europaea.tif", "Salix_alba.tif", "Salix_alba.tif"]
    assert Logistic.seen == []
    assert len([*(tmp_path / "maps").iterdir()]) == 3


def test_maps_that_went_missing_are_written_again(rasters, tmp_path, monkeypatch):
    from zoo.predict import species_maps

    monkeypatch.setattr(species_maps, "TOGETHER", 1)
    write_some, stopped = species_maps._write_some, []

    def one_alone(*given):
        if stopped:
            raise KeyboardInterrupt
        stopped.append(write_some(*given))

    monkeypatch.setattr(species_maps, "_write_some", one_alone)
    with pytest.raises(KeyboardInterrupt):
        species_model().predict(rasters[2], tmp_path / "maps")
    shutil.rmtree(tmp_path / "maps")
    monkeypatch.setattr(species_maps, "_write_some", write_some)
    species_model().predict(rasters[2], tmp_path / "maps", resume=True)
    assert len([*(tmp_path / "maps").iterdir()]) == 3


def test_maps_go_to_the_folder_in_which_one_is(rasters, tmp_path, monkeypatch):
    (tmp_path / "maps" / "deep").mkdir(parents=True)
    for here, out in (("maps", "."), ("maps/deep", "..")):
        monkeypatch.chdir(tmp_path / here)
        assert species_model().predict(rasters[2], Path(out), species=[SPECIES[0]], grid="6,46,7,47,0.5") == Path(out)
        (tmp_path / "maps" / "Poa_alpina.tif").unlink()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["covariates", "maps"]
    assert [item.name for item in (tmp_path / "maps").rglob("*")] == ["deep"]
    with pytest.raises(OutputError, match="is the root of a disk"):
        species_model().predict(rasters[2], Path("/"))


def test_the_best_species_are_of_sites_not_of_maps(rasters, tmp_path):
    for out in (None, tmp_path / "map.tif", tmp_path / "maps"):
        with pytest.raises(InputError, match=r"--top ranks the species of each site .*covariates is rasters"):
            species_model().predict(rasters[2], out, top=1)
    assert [item.name for item in tmp_path.iterdir()] == ["covariates"]


def test_rasters_in_memory_and_opened_ones_are_recorded_by_name(rasters, tmp_path):
    opened = open_raster(rasters[2] / "deep" / "BIO12.tif")
    array = zoo.open_array(np.zeros((1, 64, 64)), names=["bio_12"], crs="EPSG:4326", transform=TRANSFORM, name="rain")
    grid = grid_of("6,46,7,47,0.5")
    told = Options.of(
        {"covariates": {"a": opened, "b": [array, "x/y.tif"], "c": np.zeros(5000)}, "grid": grid}
    ).recorded()
    assert told["covariates"] == "a=BIO12.tif; b=rain,y.tif; c=ndarray"
    assert told["grid"] == str(grid)
    assert Options.of({"grid": (6, 46, 7, 47, 0.5), "nodata": -9}).recorded()["grid"] == "6,46,7,47,0.5"
    table = species_model().predict(sites_in(), covariates=array, predictors=["bio_12"])
    assert table.provenance.options["covariates"] == "rain"


def test_many_species_go_to_a_folder(rasters, tmp_path):
    many = tuple(f"species {index}" for index in range(17))

    with pytest.raises(ConfigError, match="or name a folder for a map of each"):
        species_model(classes=many).predict(rasters[2], tmp_path / "out.tif")
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="is no folder that you may write to"):
        species_model().predict(rasters[2], tmp_path / "taken" / "maps")
    with pytest.raises(OutputError, match="no extension"):
        species_model().predict(frame(), tmp_path / "maps")


def test_file_names_are_apart_on_any_disk():
    names = file_names(["Poa alpina", "poa Alpina", "Rosa × alba", "a/b: c", "..", "Poa_alpina_2", "Ü" * 300])
    assert names[:6] == ["Poa_alpina", "poa_Alpina_2", "Rosa_alba", "a_b_c", "species", "Poa_alpina_2_2"]
    assert len(names[6].encode()) == 200


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.filterwarnings("ignore:.*count as missing:zoo.errors.ZooWarning")
def test_the_command_takes_the_same_options(rasters, tmp_path, zoo_command):
    sites_in().to_csv(tmp_path / "sites.csv", index=False)
    code, _, err = zoo_command(
        "predict", "masksdm@demo", tmp_path / "sites.csv", tmp_path / "out.csv", "--covariates", f"predictors={rasters[2]}",
        "--sampling", "nearest", "--predictors", "bio_1,Longitude", "--species", "Virtualis calida",
    )  # fmt: skip
    assert code == 0, err
    code, _, err = zoo_command(
        "predict", "masksdm@demo", rasters[2], tmp_path / "maps", "--grid", "6,44,8,46,0.5",
        "--species", "Virtualis calida,Virtualis rara",
    )  # fmt: skip
    assert code == 0, err
    assert sorted(item.name for item in (tmp_path / "maps").iterdir()) == ["Virtualis_calida.tif", "Virtualis_rara.tif"]
    table = pd.read_csv(tmp_path / "out.csv")
    assert len(table) == 40
    assert table["Virtualis calida"].between(0, 1).all()


def test_an_array_is_told_from_one_that_lies_elsewhere():
    def told(pixels=0, crs="EPSG:32632", west=4e5, **facts):
        filled = np.full((1, 2, 2), pixels, "float32")
        return state_of(zoo.open_array(filled, names=["a"], crs=crs, transform=from_origin(west, 5e6, 10, 10), **facts))

    assert told() == told()
    assert len({told(), told(pixels=1), told(crs="EPSG:32633"), told(west=5e5), told(nodata=-9)}) == 5
