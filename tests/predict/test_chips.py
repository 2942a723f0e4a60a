"""Tables: one row per chip, from a folder or from the windows of a scene; a bad file is noted and the rest goes on."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin
from toy import BANDS, PatchMean, toy_model

from zoo.errors import InputError, OutputError

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
