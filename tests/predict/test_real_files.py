"""`zoo embed smarties@demo` on files as they come: a Landsat scene with its collar, a COG, drone photographs, wrecks.

The files are not ours to ship; `ZOO_DATA` names their folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image
from rasterio.windows import Window

import zoo
from zoo.errors import ZooWarning
from zoo.options import Options
from zoo.predict.scene import open_scene
from zoo.spec import Normalise, Percentile

REAL = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared/data")) / "real"
MODEL, STRIDE, SIDE = "smarties@demo", 8, 64

pytestmark = [
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no files in {REAL}; say where they are with ZOO_DATA"),
    # True of most of these files, and asserted once, of Landsat.
    pytest.mark.filterwarnings("ignore:.*has pixels of.*:zoo.errors.ZooWarning"),
]


@pytest.fixture(scope="module")
def demo():
    return zoo.load(MODEL, device="cpu")


@pytest.fixture
def embed(zoo_command, tmp_path):
    """`embed("cogeo.tif", "out.tif", "--bands", ...)`: (exit code, stderr, path of the output)."""

    def run(name, out="out.tif", *options):
        code, _, said = zoo_command("embed", MODEL, REAL / name, tmp_path / out, "--device", "cpu", *options)
        return code, said, tmp_path / out

    return run


def vectors(demo, pixels, *, nodata=None, pooled=False):
    """(D, 8, 8), or (D,) pooled, of an RGB window (3, 64, 64), preprocessed by hand from the numbers that the description states."""
    (spec,) = (item for item in demo.variant.inputs if item.label == "RGB")
    (cut,) = (step for step in spec.steps if isinstance(step, Percentile))
    (standard,) = (step for step in spec.steps if isinstance(step, Normalise))
    low, high, mean, std = (np.array(n)[:, None, None] for n in (cut.low, cut.high, standard.mean, standard.std))
    x = (np.clip((pixels - low) / (high - low), 0, 1) - mean) / std
    x[:, (pixels == nodata).all(axis=0)] = 0
    with torch.inference_mode():
        output = demo.module(torch.from_numpy(x[None]).float(), spec.band_ids)
    return (output.pooled if pooled else output.tokens)[0].numpy()


def window(name, row, col):
    """The pixels of a window; 0 beyond the edge."""
    with rasterio.open(REAL / name) as file:
        return file.read(window=Window(col, row, SIDE, SIDE), boundless=True, fill_value=0)


def test_a_landsat_scene_keeps_its_collar_and_its_place(embed, demo):
    code, said, out = embed("landsat_rgb.tif")
    assert (code, said) == (0, "")
    with rasterio.open(REAL / "landsat_rgb.tif") as file:
        place, data = file.transform, file.dataset_mask() > 0
    with rasterio.open(out) as file:
        values = file.read()
        assert file.crs == rasterio.CRS.from_epsg(32618)
        assert file.transform.almost_equals(Affine(place.a * 8, 0, place.c, 0, place.e * 8, place.f))
        assert (file.tags()["ZOO_MODEL"], file.tags()["ZOO_VARIANT"]) == ("smarties", "demo")
        assert np.isnan(file.nodata)
    assert values.shape == (96, 90, 99)  # 718 x 791 px, cells of 8
    padded = np.pad(data, ((0, 2), (0, 1)))
    share = padded.reshape(90, STRIDE, 99, STRIDE).mean(axis=(1, 3))
    np.testing.assert_array_equal(np.isnan(values).any(axis=0), share < 0.5)
    np.testing.assert_array_equal(np.isnan(values).all(axis=0), share < 0.5)
    assert 0.2 < np.isnan(values[0]).mean() < 0.6  # the collar
    inside = vectors(demo, window("landsat_rgb.tif", 320, 320))
    np.testing.assert_allclose(values[:, 40:48, 40:48], inside, rtol=0, atol=1e-4)
    edge = window("landsat_rgb.tif", 0, 320)
    assert 0.1 < (edge == 0).all(axis=0).mean() < 0.9  # a window that the collar crosses
    seen = share[:8, 40:48] >= 0.5
    by_hand = vectors(demo, edge, nodata=0)
    np.testing.assert_allclose(values[:, :8, 40:48][:, seen], by_hand[:, seen], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "epsg", "side", "cell", "nodata"),
    [("cogeo.tif", 3857, 128, (64, 64), None), ("neon_osbs_rgb.tif", 32617, 50, (16, 24), 255)],
)
def test_other_rasters_work_as_they_are(embed, demo, name, epsg, side, cell, nodata):
    code, said, out = embed(name)
    assert (code, said) == (0, "")
    row, col = cell
    with rasterio.open(REAL / name) as source, rasterio.open(out) as file:
        assert file.crs == rasterio.CRS.from_epsg(epsg)
        assert (file.height, file.width) == (side, side)
        np.testing.assert_allclose(file.bounds, source.bounds, rtol=1e-9)
        values = file.read()
    by_hand = vectors(demo, window(name, row * STRIDE, col * STRIDE), nodata=nodata)
    np.testing.assert_allclose(values[:, row : row + 8, col : col + 8], by_hand, rtol=0, atol=1e-4)


def test_pixels_far_from_those_of_the_model_are_doubted(demo):
    with pytest.warns(ZooWarning, match=r"landsat_rgb\.tif has pixels of 300 m, and RGB was made for 5 to 10 m"):
        open_scene(demo, REAL / "landsat_rgb.tif", Options())


@pytest.mark.filterwarnings("default::zoo.errors.ZooWarning")
def test_bands_without_names_are_asked_for_and_wrong_numbers_doubted(embed):
    code, said, out = embed("california_2bands.tif")
    assert code == 1
    for told in ("no names", "Found 2 channels", "expected S1: any of S1:VV, S1:VH", "--bands S1 = VV,VH"):
        assert told in said
    assert not list(out.parent.iterdir())
    code, said, out = embed("california_2bands.tif", "out.tif", "--bands", "S1")
    assert code == 0
    assert "warning" in said
    assert "expected about -29.52 to -3.457 dB" in said
    assert "10 * log10(power)" in said
    with rasterio.open(out) as file:
        assert (file.height, file.width, file.res) == (32, 32, (160.0, 160.0))
        assert np.isfinite(file.read()).all()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("corrupt.tif", (), ("cannot read rows", "damaged or cut short (298232 bytes)", "download or export it again")),
        ("all_nodata.tif", (), ("blue, green, red, nir fit 2 inputs", "--sensor S2-L2A or --sensor RGB")),
        ("all_nodata.tif", ("--sensor", "S2-L2A"), ("holds no data", "check the file", "--nodata")),
        ("pelicans_drone.jpg", (), ("has no CRS", "expected a georeferenced raster", "name a table (.parquet, .csv)")),
        ("ariolimax.gpkg", (), ("ariolimax.gpkg",)),
    ],
)
def test_what_cannot_be_used_says_what_to_do_and_leaves_nothing(embed, name, options, told):
    code, said, out = embed(name, "out.tif", *options)
    assert code == 1
    assert [one for one in told if one not in said] == []
    assert "Traceback" not in said
    assert not list(out.parent.iterdir())


def test_a_photograph_becomes_a_row(embed, demo):
    code, said, out = embed("neon_blandy.jpg", "out.csv")
    assert (code, said) == (0, "")
    table = pyarrow.csv.read_csv(out)
    ids = table["id"].to_pylist()
    assert ids[0] == "neon_blandy.jpg:0:0"
    assert len(ids) == len(set(ids))
    with Image.open(REAL / "neon_blandy.jpg") as picture:
        pixels = np.asarray(picture.crop((128, 64, 128 + SIDE, 64 + SIDE))).transpose(2, 0, 1)
    by_hand = vectors(demo, pixels, pooled=True)
    row = table.slice(ids.index("neon_blandy.jpg:64:128"), 1)
    found = [row[f"embedding_{number:04d}"][0].as_py() for number in range(len(by_hand))]
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-4)


def test_a_folder_gives_rows_for_what_is_good_and_names_the_rest(embed):
    code, said, out = embed(".", "out.parquet")
    assert code == 1
    for name in ("all_nodata.tif", "california_2bands.tif", "corrupt.tif"):
        assert said.count(f"zoo: {name}: ") == 1
    assert "3 of the files could not be used" in said
    ids = pyarrow.parquet.read_table(out)["id"].to_pylist()
    assert ids == ["cogeo.tif", "landsat_rgb.tif", "neon_blandy.jpg", "neon_osbs_rgb.tif", "pelicans_drone.jpg"]
