"""Tables: one row per chip, from a folder or from the windows of a scene; a bad file is noted and the rest goes on."""

from __future__ import annotations

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from toy import BANDS, PatchMean, toy_model

import zoo
from zoo.errors import InputError, OutputError, PluginError, ZooWarning
from zoo.io.rasters import open_raster, open_source
from zoo.io.sources import expand, is_collection, state_of

MEAN = np.array([30.0, 32.0, 28.0])
STD = np.array([16.0, 18.0, 20.0])


@pytest.fixture(autouse=True)
def _counters():
    PatchMean.stop_after = None
    PatchMean.calls.clear()
    yield
    PatchMean.stop_after = None


def write(path, pixels, west=500_000, crs="EPSG:32632"):
    path.parent.mkdir(exist_ok=True, parents=True)
    profile = {"driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": 3, "dtype": "uint16"}
    with rasterio.open(path, "w", crs=crs, transform=from_origin(west, 5_200_000, 10, 10), nodata=0, **profile) as file:
        file.write(pixels)
        file.descriptions = BANDS
    return path


def chip(seed, side=32):
    return np.random.default_rng(seed).integers(1, 60, (3, side, side)).astype("uint16")


def vector(pixels):
    return (pixels.mean(axis=(1, 2)) - MEAN) / STD


@pytest.fixture
def folder(tmp_path):
    for seed in range(5):
        write(tmp_path / "chips" / f"class{seed % 2}" / f"{seed}.tif", chip(seed), west=500_000 + 320 * seed)
    return tmp_path / "chips"


def test_each_file_is_a_row_with_its_vector_and_footprint(folder, tmp_path):
    result = toy_model().embed(folder, tmp_path / "out.parquet", batch_size=2)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == ["class0/0.tif", "class0/2.tif", "class0/4.tif", "class1/1.tif", "class1/3.tif"]
    for row, seed in enumerate([0, 2, 4, 1, 3]):
        np.testing.assert_allclose(table["embedding"][row].as_py(), vector(chip(seed)), atol=1e-5)
    np.testing.assert_allclose(result.bounds[1], [500_640, 5_199_680, 500_960, 5_200_000])
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["primary_column"] == "geometry"
    assert result.failures == {}


def test_a_corrupt_file_is_noted_and_the_rest_goes_on(folder, tmp_path, zoo_command):
    (folder / "class0" / "broken.tif").write_bytes(b"II*\0 and nothing else")
    (folder / "class1" / "empty.tif").write_bytes(b"")
    result = toy_model().embed(folder, tmp_path / "out.parquet")
    assert len(result) == 5
    assert sorted(result.failures) == ["class0/broken.tif", "class1/empty.tif"]
    assert "empty" in result.failures["class1/empty.tif"]
    assert (tmp_path / "out.parquet").exists()


def test_nothing_usable_raises_and_writes_nothing(tmp_path):
    (tmp_path / "chips").mkdir()
    with pytest.raises(InputError, match="no data found"):
        toy_model().embed(tmp_path / "chips", tmp_path / "out.parquet")
    for name in "ab":
        (tmp_path / "chips" / f"{name}.tif").write_bytes(b"")
    with pytest.raises(InputError, match="none of 2 files could be used"):
        toy_model().embed(tmp_path / "chips", tmp_path / "out.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chips"]


def test_a_scene_becomes_a_row_per_window(tmp_path):
    pixels = chip(0, 64)
    result = toy_model().embed(write(tmp_path / "scene.tif", pixels), tmp_path / "out.csv")
    assert result.ids == ("scene.tif:0:0", "scene.tif:0:32", "scene.tif:32:0", "scene.tif:32:32")
    np.testing.assert_allclose(result.values[2], vector(pixels[:, 32:, :32]), atol=1e-5)


def test_the_same_rows_whatever_the_batch(folder, tmp_path):
    one = toy_model().embed(folder, batch_size=1)
    four = toy_model().embed(folder, batch_size=4)
    np.testing.assert_allclose(one.values, four.values, atol=1e-6)


def test_interrupted_tables_go_on(folder, tmp_path):
    model = toy_model()
    PatchMean.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        model.embed(folder, tmp_path / "out.parquet", batch_size=1)
    assert not (tmp_path / "out.parquet").exists()
    PatchMean.stop_after = None
    PatchMean.calls.clear()
    model.embed(folder, tmp_path / "out.parquet", batch_size=1, resume=True)
    assert len(PatchMean.calls) == 3
    whole = toy_model().embed(folder, tmp_path / "whole.parquet", batch_size=1)
    assert len(whole) == 5
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_class_scores_sum_to_one(folder, tmp_path):
    result = toy_model().classify(folder, tmp_path / "classes.csv")
    np.testing.assert_allclose(result.values.sum(axis=1), 1, atol=1e-6)
    header, first = (tmp_path / "classes.csv").read_text().splitlines()[:2]
    assert {"id", "a", "b", "c"} <= set(header.replace('"', "").split(","))
    assert "class0/0.tif" in first
    with pytest.raises(OutputError, match=r"class scores are a table.*\.parquet"):
        toy_model().classify(folder, tmp_path / "classes.tif")


def test_a_doubt_is_told_of_the_first_chip_alone(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.tif", chip(ord(name)) * 1000)
    with pytest.warns(ZooWarning, match=r"outside|expected about") as told:
        toy_model().embed(tmp_path, tmp_path / "table.csv", workers=1)
    messages = [str(one.message) for one in told if issubclass(one.category, ZooWarning)]
    assert len(messages) == 1
    assert messages[0].endswith("said once, other files may be alike")


def test_a_list_holds_paths(tmp_path):
    with pytest.raises(InputError, match="a list holds a ndarray; expected paths of files: give arrays one at a time"):
        toy_model().embed([chip(0), chip(1)], tmp_path / "table.csv")


def test_ids_of_equal_names_hold_nothing_of_this_machine(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.tif", chip(0))
    assert toy_model().embed(str(tmp_path / "*" / "a.tif")).ids == ("x/a.tif", "y/a.tif")


@pytest.mark.parametrize("suffix", [".SAFE", ".zarr"])
def test_a_product_that_is_a_folder_is_one_source(tmp_path, suffix):
    product = tmp_path / "chips" / f"S2A{suffix}"
    product.mkdir(parents=True)
    write(product / "B02.tif", chip(0))
    write(tmp_path / "chips" / "a.tif", chip(1))
    assert not is_collection(product)
    assert is_collection(tmp_path / "chips")
    assert [path.name for path in expand(tmp_path / "chips")] == [product.name, "a.tif"]


def test_a_folder_that_a_plugin_opens_is_one_source(tmp_path, make_plugin):
    make_plugin(
        "cube",
        """
    @hookimpl
    def zoo_open_source(uri):
        import numpy, zoo
        if uri.endswith("cube"):
            return zoo.open_array((numpy.arange(3072) % 59 + 1).reshape(3, 32, 32).astype("uint16"), names=("B02", "B03", "B04"))
""",
    )
    (tmp_path / "cube").mkdir()
    write(tmp_path / "cube" / "part.tif", chip(0))
    table = toy_model().embed(tmp_path / "cube", tmp_path / "table.csv")
    assert len(table) == 1
    cube = (np.arange(3072) % 59 + 1).reshape(3, 32, 32)
    np.testing.assert_allclose(table.values[0], vector(cube), atol=1e-6)


def test_a_plugin_that_opens_something_else_is_named(tmp_path, make_plugin):
    make_plugin("cube", "    @hookimpl\n    def zoo_open_source(uri):\n        return uri.upper()")
    with pytest.raises(
        PluginError, match=r"plugin 'cube' \(zoo-cube\) opened x.cube as a str; expected a .*RasterSource"
    ):
        open_source("x.cube")


def test_plans_tell_files_of_one_name_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tif").write_bytes(b"same")
        os.utime(tmp_path / folder / "a.tif", ns=(0, 0))
    one, other = (state_of(tmp_path / folder / "a.tif") for folder in ("x", "y"))
    assert one[1:] == other[1:] == (4, 0)
    assert one != other


def test_messages_say_what_to_give_instead(tmp_path):
    model = toy_model()
    with pytest.raises(InputError, match=r"no CRS.*zoo.open_array\(pixels, names=.*crs=.*transform="):
        model.embed(chip(0), bands=BANDS)
    placed = zoo.open_array(chip(0), names=BANDS, crs="EPSG:32632", transform=from_origin(0, 0, 10, 10))
    assert model.embed(placed).grid.crs.to_epsg() == 32632
    photo = tmp_path / "photo.png"
    Image.fromarray(chip(0).transpose(1, 2, 0).astype("uint8")).save(photo)
    with pytest.raises(InputError, match=r"photograph has no place for a map: name a table .*--crs"):
        model.embed(photo, tmp_path / "map.tif", bands=BANDS)
    with pytest.raises(InputError, match=f"input image is {tmp_path.name}, which holds many files; expected one file"):
        model.embed({"image": tmp_path}, tmp_path / "map.tif")
    with pytest.raises(OutputError, match=r"f.tif is one file, and .* holds many; name a folder"):
        model.embed(tmp_path, tmp_path / "f.tif")


def test_opening_pictures_leaves_the_warning_filters_of_other_threads_alone(tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((8, 8, 3), 90, "uint8")).save(photo)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("error")
        with ThreadPoolExecutor(4) as pool:
            assert [one.height for one in pool.map(open_raster, [photo] * 40)] == [8] * 40
        kinds = [kind for _, _, kind, *_ in warnings.filters]
        assert (len(kinds), kinds[-1]) == (2, Warning)
