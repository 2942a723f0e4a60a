"""Species distributions: the right probability at every site and in every cell, by name, missing values as missing."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin
from toy_species import CLIMATE, PATCH, SPECIES, Logistic, species_model

from zoo.errors import ConfigError, InputError, OutputError, ZooWarning
from zoo.io.rasters import open_raster
from zoo.io.sources import check_kept
from zoo.spec import Band, Normalise

TRANSFORM = from_origin(6.0, 47.0, 0.5, 0.5)


@pytest.fixture(autouse=True)
def _counters():
    Logistic.stop_after = None
    yield
    Logistic.stop_after = None


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, float)))


def expected(temperature, rain):
    warm, wet = (np.nan_to_num((np.asarray(x, float) - m) / s) for x, m, s in ((temperature, 10, 5), (rain, 800, 400)))
    return np.stack([sigmoid(-warm), sigmoid(warm), sigmoid(wet)], axis=1)


def frame(count=7, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "site_ID": [f"plot {index}" for index in range(count)],
            "decimalLatitude": rng.uniform(46, 47, count),
            "decimalLongitude": rng.uniform(6, 9, count),
            "BIO12": rng.uniform(400, 1600, count),
            "Bio_01": rng.uniform(0, 20, count),
        }
    )


def predicted(table):
    return np.stack([table[name].to_numpy(zero_copy_only=False) for name in SPECIES], axis=1)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ sites


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_each_site_has_its_probabilities_and_its_place(tmp_path, suffix):
    sites, path, out = frame(), tmp_path / f"sites{suffix}", tmp_path / "species.parquet"
    if suffix == ".parquet":
        sites.to_parquet(path)
    else:
        sites.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    species_model().predict(path, out)
    table = pq.read_table(out)
    assert table["id"].to_pylist() == sites["site_ID"].to_list()
    np.testing.assert_allclose(predicted(table), expected(sites["Bio_01"], sites["BIO12"]), atol=1e-6)
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point"]
    assert table.schema.metadata[b"ZOO_MODEL"] == b"toysdm"
    lon, lat = np.frombuffer(table["geometry"][3].as_py()[5:], "<f8")
    assert (lon, lat) == (sites["decimalLongitude"][3], sites["decimalLatitude"][3])
    assert [item.name for item in tmp_path.iterdir() if "parts" in item.name] == []


def test_what_zoo_wrote_it_reads_again(tmp_path):
    sites = frame()
    first = species_model().predict(sites)
    columns = first.table.append_column("bio_1", pa.array(sites["Bio_01"])).append_column(
        "bio_12", pa.array(sites["BIO12"])
    )
    replace(first, table=columns).save(tmp_path / "sites.parquet")
    again = species_model().predict(tmp_path / "sites.parquet")
    np.testing.assert_array_equal(again.places, first.places)
    np.testing.assert_array_equal(predicted(again.table), predicted(first.table))


def test_frames_tables_and_files_give_the_same(tmp_path):
    sites = frame()
    from_frame = species_model().predict(sites).table
    assert from_frame.equals(species_model().predict(pa.Table.from_pandas(sites)).table)
    sites.to_parquet(tmp_path / "sites.parquet")
    assert from_frame.equals(species_model().predict(tmp_path / "sites.parquet").table)


def test_missing_values_reach_the_network_as_missing():
    sites = frame()
    sites.loc[2, "BIO12"] = np.nan
    sites.loc[4, "Bio_01"] = -9999
    table = species_model().predict(sites, nodata=-9999).table
    rain, warm = sites["BIO12"], sites["Bio_01"].replace(-9999, np.nan)
    np.testing.assert_allclose(predicted(table), expected(warm, rain), atol=1e-6)
    assert table["Salix alba"][2].as_py() == table["Poa alpina"][4].as_py() == 0.5


def test_a_missing_column_is_taken_as_missing_with_one_notice():
    sites = frame().rename(columns={"BIO12": "bio_twelve"})
    with pytest.warns(ZooWarning, match=r"1 of 2 variables is not there and counts as missing: bio_12") as caught:
        table = species_model().predict(sites).table
    assert len(caught) == 1
    np.testing.assert_allclose(predicted(table), expected(sites["Bio_01"], np.full(7, np.nan)), atol=1e-6)


def test_a_missing_column_stops_a_model_that_needs_all():
    strict = replace(CLIMATE, any_subset=False)
    sites = frame().rename(columns={"BIO12": "bio_1_2_mm"})
    with pytest.raises(InputError, match=r"1 of 2 variables is not there.*bio_12; found besides: .*bio_1_2_mm"):
        species_model(strict).predict(sites)
    with pytest.raises(InputError, match="none of the 2 variables is there"):
        species_model().predict(pd.DataFrame({"a": [1.0]}))


def test_sites_that_lack_what_is_needed_have_no_probability():
    sites = frame()
    sites.loc[2, "BIO12"] = np.nan
    with pytest.warns(ZooWarning, match="1 of 7 sites lack a number"):
        table = species_model(replace(CLIMATE, any_subset=False)).predict(sites).table
    assert table["Poa alpina"].null_count == 1
    assert table["Poa alpina"][2].as_py() is None
    sites["Bio_01"], sites["BIO12"] = np.nan, np.nan
    with pytest.raises(InputError, match="not one of 7 sites"):
        species_model().predict(sites)


def test_units_in_names_must_be_the_models():
    sites = frame().rename(columns={"Bio_01": "bio_1 [°C]"})
    assert species_model().predict(sites).table.num_rows == 7
    with pytest.raises(InputError, match=r"bio_1 is in 'K' by its name, expected 'degC'; convert"):
        species_model().predict(sites.rename(columns={"bio_1 [°C]": "bio_1 [K]"}))


def test_longitude_is_longitude_however_darwin_core_calls_it():
    spec = replace(
        CLIMATE,
        bands=(Band(id="Longitude", unit="degrees"), Band(id="bio_12", unit="mm")),
        steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 400.0), source="ours"),),
    )
    sites = frame().drop(columns="Bio_01")
    table = species_model(spec).predict(sites).table
    np.testing.assert_allclose(predicted(table), expected(sites["decimalLongitude"], sites["BIO12"]), atol=1e-6)
    with pytest.raises(InputError, match="'decimalLongitude' and 'lon' are both Longitude; rename"):
        species_model(spec).predict(sites.assign(lon=1.0))


def test_asked_species_and_the_most_probable_ones(tmp_path):
    sites = frame()
    some = species_model().predict(sites, species=("salix_alba", "Poa alpina")).table
    assert some.column_names == ["id", "Salix alba", "Poa alpina"]
    best = species_model().predict(sites, tmp_path / "top.csv", top=2)
    table, truth = pa_csv.read_csv(best), expected(sites["Bio_01"], sites["BIO12"])
    assert table["rank"].to_pylist() == [1, 2] * 7
    assert table["species"].to_pylist()[::2] == [SPECIES[index] for index in truth.argmax(axis=1)]
    np.testing.assert_allclose(table["probability"].to_numpy()[1::2], np.sort(truth, axis=1)[:, 1], atol=1e-6)
    assert table["x"].to_numpy()[2] == sites["decimalLongitude"][1]
    with pytest.raises(ConfigError, match=r"no species 'Poa alpin'.*did you mean Poa alpina"):
        species_model().predict(sites, species=("Poa alpin",))


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path):
    sites = frame(700)
    species_model().predict(sites, tmp_path / "whole.parquet", batch_size=1)
    model = species_model()
    Logistic.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        model.predict(sites, tmp_path / "out.parquet", batch_size=1)
    assert not (tmp_path / "out.parquet").exists()
    Logistic.stop_after = None
    Logistic.seen.clear()
    model.predict(sites, tmp_path / "out.parquet", batch_size=1, resume=True)
    assert Logistic.seen == [128, 128, 128, 60]
    assert digest(tmp_path / "out.parquet") == digest(tmp_path / "whole.parquet")
    Logistic.stop_after = len(Logistic.seen) + 1
    with pytest.raises(KeyboardInterrupt):
        model.predict(sites, tmp_path / "other.parquet", batch_size=1)
    with pytest.raises(ConfigError, match="parts of other work"):
        model.predict(frame(700, seed=1), tmp_path / "other.parquet", batch_size=1, resume=True)


def test_tables_that_are_none_say_what_they_are(tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "head.csv").write_text("bio_1,bio_12\n")
    (tmp_path / "text.csv").write_text('id,bio_1,bio_12\na,1.5,700\nb,"2,5",800\n')
    (tmp_path / "fake.parquet").write_text("bio_1,bio_12\n1,2\n")
    with gzip.open(tmp_path / "cut.csv.gz", "wt") as file:
        file.write("bio_1,bio_12\n" + "1,2\n" * 10_000)
    cut = (tmp_path / "cut.csv.gz").read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(cut[: len(cut) // 2])
    cases = {
        "empty.csv": r"is empty \(0 bytes\).*Export it again",
        "head.csv": "holds no rows",
        "text.csv": r"column 'bio_1' holds the text '2,5' in row 2, expected numbers \(a decimal comma\?\)",
        "fake.parquet": "is no table that can be read",
        "cut.csv.gz": "is no table that can be read",
        "missing.csv": "does not exist",
    }
    before = sorted(tmp_path.iterdir())
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            species_model().predict(tmp_path / name, tmp_path / "out.parquet")
        assert sorted(tmp_path.iterdir()) == before


def test_real_presences_and_climate_of_bradypus():
    folder = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[2] / "../shared/data")).resolve() / "real"
    if not folder.is_dir():
        pytest.skip(f"no real files in {folder}: set ZOO_DATA")
    spec = replace(
        CLIMATE,
        bands=(Band(id="tmp6190_ann", unit="0.1 degC"), Band(id="pre6190_ann", unit="mm")),
        steps=(Normalise(mean=(200.0, 60.0), std=(50.0, 20.0), source="ours"),),
    )
    with pytest.warns(ZooWarning, match=r"not used, for the model has no such variable: .*tmx6190_ann"):
        result = species_model(spec).predict(folder / "bradypus.csv.gz")
    raw = pd.read_csv(folder / "bradypus.csv.gz")
    truth = np.stack(
        [
            sigmoid(-(raw.tmp6190_ann - 200) / 50),
            sigmoid((raw.tmp6190_ann - 200) / 50),
            sigmoid((raw.pre6190_ann - 60) / 20),
        ],
        axis=1,
    )
    assert len(result) == len(raw) == 1116
    assert result.places is None
    np.testing.assert_allclose(predicted(result.table), truth, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- maps


def write(path, pixels, names=(), transform=TRANSFORM, crs="EPSG:4326", nodata=-9999):
    pixels = np.asarray(pixels, "float32")
    path.parent.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": len(pixels)}
    with rasterio.open(path, "w", dtype="float32", crs=crs, transform=transform, nodata=nodata, **profile) as file:
        file.write(pixels)
        if names:
            file.descriptions = names
    return path


@pytest.fixture
def climate(tmp_path):
    """Temperature and rain at 0.5 degrees, each with a hole of its own."""
    rng = np.random.default_rng(1)
    warm, rain = rng.uniform(0, 20, (9, 14)), rng.uniform(400, 1600, (9, 14))
    warm[2, 3], rain[4, 5], warm[6, 7], rain[6, 7] = -9999, -9999, -9999, -9999
    return warm.astype("float32"), rain.astype("float32")


def truth_of(warm, rain):
    known = [np.where(band == -9999, np.nan, band).ravel() for band in (warm, rain)]
    return expected(*known).T.reshape(3, *warm.shape)


def test_a_map_has_a_band_per_species_and_knows_missing_from_missing(tmp_path, climate):
    warm, rain = climate
    scene = write(tmp_path / "climate.tif", [rain, warm], names=("bio_12", "bio_1"))
    species_model().predict(scene, tmp_path / "out.tif", window=4)
    with rasterio.open(tmp_path / "out.tif") as file:
        values = file.read()
        assert file.descriptions == SPECIES
        assert file.crs == rasterio.CRS.from_epsg(4326)
        assert file.transform == TRANSFORM
    assert np.isnan(values[:, 6, 7]).all()
    assert np.isnan(values).sum() == 3
    assert values[0, 2, 3] == 0.5
    known = ~np.isnan(values)
    np.testing.assert_allclose(values[known], truth_of(warm, rain)[known], atol=1e-6)


def test_a_folder_of_predictors_is_read_by_file_names_on_grids_of_their_own(tmp_path, climate):
    warm, rain = climate
    write(tmp_path / "p" / "wc2.1_10m_bio_1.tif", [warm])
    fine = rain.repeat(2, axis=0).repeat(2, axis=1)
    write(tmp_path / "p" / "BIO12.tif", [fine], transform=from_origin(6.0, 47.0, 0.25, 0.25))
    result = species_model().predict(tmp_path / "p", species=("Salix alba", "Poa alpina"))
    assert result.names == ("Salix alba", "Poa alpina")
    assert result.grid.transform == TRANSFORM
    known = ~np.isnan(result.values)
    np.testing.assert_allclose(result.values[known], truth_of(warm, rain)[[2, 0]][known], atol=1e-6)


def test_sites_take_the_cell_they_lie_in(tmp_path, climate):
    warm, rain = climate
    scene = write(tmp_path / "climate.tif", [rain, warm], names=("bio_12", "bio_1"))
    sites = pd.DataFrame({"lon": [6.01, 6.49, 12.9, 50.0], "lat": [46.99, 46.01, 42.6, 46.0]})
    with pytest.warns(ZooWarning, match="1 of 4 sites lack"):
        table = species_model().predict({"sites": sites, "climate": scene}).table
    at = ([0, 1, 8], [0, 0, 13])
    np.testing.assert_allclose(predicted(table)[:3], expected(warm[at], rain[at]), atol=1e-6)
    assert table["Poa alpina"][3].as_py() is None
    with pytest.raises(InputError, match="no coordinates that are known"):
        species_model().predict({"sites": sites.rename(columns={"lon": "a"}), "climate": scene})


def test_patches_are_centred_on_the_site_and_reprojected(tmp_path):
    heights = np.arange(400, dtype="float32").reshape(1, 20, 20) / 100
    raster = write(
        tmp_path / "height.tif", heights, names=("height",), crs="EPSG:32632", transform=from_origin(4e5, 5.2e6, 10, 10)
    )
    sites = pd.DataFrame(
        {"x": [400_105.0, 400_005.0], "y": [5_199_945.0, 5_199_995.0], "bio_1": [10.0, 10.0], "bio_12": [800.0, 800.0]}
    )
    table = species_model(CLIMATE, PATCH).predict({"climate": sites, "patch": raster}, crs="EPSG:32632").table
    middle, corner = heights[0, 4:7, 9:12].mean(), heights[0, :2, :2].sum() / 9
    np.testing.assert_allclose(table["Salix alba"].to_numpy(), sigmoid([middle, corner]), atol=1e-6)
    lon, lat = rasterio.warp.transform("EPSG:32632", "EPSG:4326", sites["x"], sites["y"])
    sites = sites.drop(columns=["x", "y"]).assign(longitude=lon, latitude=lat)
    again = species_model(CLIMATE, PATCH).predict({"climate": sites, "patch": raster}).table
    assert predicted(again).tolist() == predicted(table).tolist()
    without = species_model(CLIMATE, PATCH).predict(sites).table
    np.testing.assert_allclose(predicted(without), 0.5)


def test_patches_of_a_folder_of_rasters_are_read_on_the_grid_of_each(tmp_path):
    """Two variables of other cell sizes, a file each; a map has the grid of the first variable."""
    fine = np.arange(400, dtype="float32").reshape(1, 20, 20) / 100
    fine[0, 5, 10] = -9999
    coarse = np.arange(100, dtype="float32").reshape(1, 10, 10) / 100
    origin = {"crs": "EPSG:32632", "nodata": -9999}
    write(tmp_path / "p" / "height.tif", fine, transform=from_origin(4e5, 5.2e6, 10, 10), **origin)
    write(tmp_path / "p" / "deep" / "SLOPE.tif", coarse, transform=from_origin(4e5, 5.2e6, 20, 20), **origin)
    both = replace(PATCH, bands=(Band(id="height", unit="m"), Band(id="slope", unit="1")))
    sites = pd.DataFrame(
        {"x": [400_105.0, 400_005.0], "y": [5_199_945.0, 5_199_995.0], "bio_1": [10.0, 10.0], "bio_12": [800.0, 800.0]}
    )
    given = {"climate": sites, "patch": tmp_path / "p"}
    table = species_model(CLIMATE, both).predict(given, crs="EPSG:32632").table
    one = np.nan_to_num(np.where(fine[0] == -9999, np.nan, fine[0]))
    middle = (one[4:7, 9:12].sum() + coarse[0, 1:4, 4:7].sum()) / 18
    corner = (one[:2, :2].sum() + coarse[0, :2, :2].sum()) / 18
    np.testing.assert_allclose(table["Salix alba"].to_numpy(), sigmoid([middle, corner]), atol=1e-6)
    (tmp_path / "p" / "deep" / "SLOPE.tif").unlink()
    with pytest.raises(InputError, match=r"1 of 2 variables is not there.* slope"):
        species_model(CLIMATE, both).predict(given, crs="EPSG:32632")


def test_maps_of_many_species_and_wrong_outputs_are_refused(tmp_path, climate):
    warm, rain = climate
    scene = write(tmp_path / "climate.tif", [rain, warm], names=("bio_12", "bio_1"))
    many = tuple(f"species {index}" for index in range(17))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r'knows 17 species.*--species "species 0,species 1"'):
        species_model(classes=many).predict(scene, tmp_path / "out.tif")
    with pytest.raises(InputError, match=r"expected a table of sites for out\.parquet"):
        species_model().predict(scene, tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"expected predictor rasters for the map out\.tif"):
        species_model().predict(frame(), tmp_path / "out.tif")
    with pytest.raises(OutputError, match=r"\.xyz"):
        species_model().predict(frame(), tmp_path / "out.xyz")
    assert sorted(tmp_path.iterdir()) == before


def test_no_source_is_overwritten(tmp_path, climate):
    warm, rain = climate
    rasters = tmp_path / "rasters"
    scene = write(rasters / "climate.tif", [rain, warm], names=("bio_12", "bio_1"))
    frame().to_csv(tmp_path / "sites.csv", index=False)
    grid = write(tmp_path / "grid.tif", [warm], names=("any",))
    model, before = species_model(), {path: digest(path) for path in tmp_path.rglob("*.*")}
    opened = open_raster(scene)
    for source, out, told in (
        (scene, scene, {}),
        (str(rasters), scene, {}),
        (f"{rasters}/*.tif", scene, {}),
        ([scene], scene, {}),
        (rasters, rasters, {}),
        (rasters, grid, {"grid": grid}),
        (rasters, tmp_path / "rasters" / ".." / "grid.tif", {"grid": str(grid)}),
        (tmp_path / "sites.csv", tmp_path / "sites.csv", {}),
        ({"climate": tmp_path / "sites.csv"}, tmp_path / "sites.csv", {}),
        (tmp_path / "sites.csv", scene, {"covariates": {"climate": rasters}}),
        (tmp_path / "sites.csv", scene, {"covariates": opened}),
    ):
        with pytest.raises(OutputError, match="would replace the source; name another file"):
            model.predict(source, out, **told)
    assert {path: digest(path) for path in tmp_path.rglob("*.*")} == before
    check_kept(rasters, rasters / "new.tif")


def test_the_command_names_species_by_list_or_file_and_rasters_by_input(
    make_plugin, tmp_path, climate, zoo_command, two_processes
):
    from safetensors.torch import save_file

    site = make_plugin(
        "toysdm",
        """
    def toy():
        from dataclasses import replace
        from zoo.spec import Weights

        spec = model("toysdm")
        table = InputSpec(name="climate", kind=Kind.TABLE, any_subset=True,
                          bands=(Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm")))
        variant = Variant(tag="curve", builder="toysdm_network:Logistic", inputs=(table,),
                          classes=("Poa alpina", "Olea europaea", "Salix alba"),
                          weights=Weights(file="toysdm_files:weights.safetensors"))
        return replace(spec, task=Task.SDM, variants=(variant,), capabilities=())

    @hookimpl
    def zoo_register_models():
        return [toy()]
    """,
    )
    (site / "toysdm_network.py").write_text((Path(__file__).parent / "toy_species.py").read_text())
    (site / "toysdm_files").mkdir()
    (site / "toysdm_files" / "__init__.py").write_text("")
    import torch

    save_file({"gain": torch.full((1,), 1.0)}, site / "toysdm_files" / "weights.safetensors")
    sites = frame()
    sites.to_csv(tmp_path / "sites.csv", index=False)
    (tmp_path / "asked.txt").write_text("# wet\nSalix alba\n")
    out = tmp_path / "out.csv"
    assert zoo_command("predict", "toysdm", tmp_path / "sites.csv", out, "--species", tmp_path / "asked.txt")[0] == 0
    table = pa_csv.read_csv(out)
    assert table.column_names == ["id", "Salix alba", "x", "y", "crs"]
    np.testing.assert_allclose(table["Salix alba"], sigmoid(sites["BIO12"]), atol=1e-6)
    warm, rain = climate
    scene = write(tmp_path / "climate.tif", [rain / 1000, warm / 1000], names=("bio_12", "bio_1"))
    plain = sites[["decimalLatitude", "decimalLongitude"]]
    plain.to_csv(tmp_path / "plain.csv", index=False)
    code, said, _ = zoo_command(
        "predict", "toysdm", tmp_path / "plain.csv", out, "--input", f"climate={scene}", "--top", "1", "--force"
    )
    assert (code, said) == (0, f"wrote {out}\n")
    col = np.floor((plain["decimalLongitude"] - 6) / 0.5).astype(int)
    row = np.floor((47 - plain["decimalLatitude"]) / 0.5).astype(int)
    table = pa_csv.read_csv(out)
    best = np.maximum(np.maximum(sigmoid(warm[row, col] / 1000), sigmoid(rain[row, col] / 1000)), 0.5)
    np.testing.assert_allclose(table["probability"], best, atol=1e-6)
    shared, alone = tmp_path / "shared.parquet", tmp_path / "alone.parquet"
    frame(300).to_csv(tmp_path / "sites.csv", index=False)
    arguments = ["predict", "toysdm", tmp_path / "sites.csv", "--batch-size", "1"]
    assert zoo_command(*arguments, alone)[0] == 0
    two_processes(*arguments, shared)
    assert digest(shared) == digest(alone)
    best = [*arguments, "--top", "2", "--force"]
    assert zoo_command(*best, alone)[0] == 0
    two_processes(*best, shared)
    assert digest(shared) == digest(alone)
    assert pq.read_table(alone).num_rows == 600
