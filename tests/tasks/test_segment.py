"""Class maps of networks whose answer is known: every pixel, every format, whatever the way it was computed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image
from pyarrow import csv, parquet
from rasterio.transform import from_origin
from seeing_toys import THRESHOLD, VARIANTS, model_of, resized

from zoo.errors import InputError, OutputError, SpecError
from zoo.results.maps import RasterResult

HEIGHT, WIDTH = 90, 131
COLOURS = np.array([(10, 10, 10), (200, 20, 20), (20, 200, 20), (20, 20, 200)], np.uint8)  # dark, red, green, blue


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def bands():
    return np.random.default_rng(0).integers(100, 4000, (2, HEIGHT, WIDTH)).astype("uint16")


def scene(path, bands, crs="EPSG:32632", transform=None):
    profile = {"driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2], "count": 2, "dtype": "uint16"}
    transform = transform or from_origin(500_000, 5_200_000, 10, 10)
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=0, **profile) as file:
        file.write(bands)
        file.descriptions = ("S2:B04", "S2:B08")
    return path


def vegetation(bands):
    red, infrared = bands.astype(np.float32)
    return ((infrared - red) / (infrared + red) > THRESHOLD).astype(np.uint8)


def photo(path, ids, scale=1):
    """A picture with one colour per class id, `scale` pixels each."""
    pixels = COLOURS[np.kron(ids, np.ones((scale, scale), int))]
    Image.fromarray(pixels).save(path, quality=100, subsampling=0)
    return path


def random_ids(height=60, width=75, least=0):
    return np.random.default_rng(1).integers(least, 4, (height, width))


# ------------------------------------------------------------------------------------------------------------ scenes


@pytest.mark.parametrize("blend", ["none", "mean", "cosine"])
def test_every_pixel_has_its_class_and_nodata_stays(tmp_path, bands, blend):
    bands[:, 20:40, 50:70] = 0
    out = tmp_path / "map.tif"
    result = model_of("threshold").predict(scene(tmp_path / "scene.tif", bands), out, blend=blend, batch_size=3)
    expected = vegetation(np.where(bands == 0, 1, bands))
    expected[20:40, 50:70] = 255
    with rasterio.open(out) as file:
        np.testing.assert_array_equal(file.read(1), expected)
        assert (file.dtypes, file.nodata, file.crs.to_epsg()) == (("uint8",), 255, 32632)
        assert file.transform == from_origin(500_000, 5_200_000, 10, 10)
        assert file.descriptions == ("class",)
        assert json.loads(file.tags()["ZOO_CLASSES"]) == ["bare", "veg"]
        assert file.tags()["ZOO_MODEL"] == "seeing"
    assert result.classes == ("bare", "veg")
    np.testing.assert_array_equal(result.values[0], expected)


def test_windows_see_beyond_what_they_decide(tmp_path):
    ids = random_ids(70, 90, least=1)
    file = photo(tmp_path / "photo.png", ids)
    whole = model_of("smooth").predict(file, window=96).values
    np.testing.assert_array_equal(model_of("smooth").predict(file).values, whole)  # a halo of 4 is what it needs
    assert (model_of("smooth").predict(file, halo=0).values != whole).any()


def test_probabilities_are_blended_and_ids_never_are(monkeypatch):
    """Of two windows that share columns 16-31 the surer wins: the mean of ids 1 and 3 would be 2."""
    import torch

    model, calls = model_of("strongest"), []

    def says(image):
        best, sure = ((1, 1.0), (3, 5.0))[len(calls)]
        calls.append(best)
        logits = torch.zeros(len(image), 4, 32, 32)
        logits[:, best] = sure
        return Wide(logits)

    monkeypatch.setattr(model.module, "forward", says)
    got = model.predict(np.ones((3, 32, 48), np.uint8), bands="RGB", blend="mean", halo=8, batch_size=1).values
    assert calls == [1, 3]
    np.testing.assert_array_equal(got[0], np.repeat([[1] * 16 + [3] * 32], 32, axis=0))


def test_scores_are_probabilities_a_band_each(tmp_path, bands):
    bands[:, 0, 0] = 0
    out = tmp_path / "scores.tif"
    model_of("threshold").predict(scene(tmp_path / "scene.tif", bands), out, scores=True)
    red, infrared = bands.astype(np.float64)
    red[0, 0] = infrared[0, 0] = 1
    sure = 1 / (1 + np.exp(-20 * ((infrared - red) / (infrared + red) - THRESHOLD)))
    with rasterio.open(out) as file:
        assert file.descriptions == ("bare", "veg")
        assert file.dtypes == ("float32", "float32")
        scores = file.read()
    assert np.isnan(scores[:, 0, 0]).all()
    scores[:, 0, 0], sure[0, 0] = np.array([0.5, 0.5]), 0.5
    np.testing.assert_allclose(scores, [1 - sure, sure], atol=1e-5)


def test_classes_that_hold_together_have_a_band_each(tmp_path):
    pixels = np.array([[[255, 0]], [[255, 0]], [[0, 255]]], np.uint8).repeat(20, axis=1)
    result = model_of("together").predict(pixels, bands="RGB")
    assert (result.names, result.classes, result.nodata) == (VARIANTS["together"].classes, ("absent", "present"), 255)
    np.testing.assert_array_equal(result.values[:, 3], [[1, 1], [1, 1], [1, 1], [1, 1]])  # sigmoid(0) is 0.5: present
    scores = model_of("together").predict(pixels, bands="RGB", scores=True)
    np.testing.assert_allclose(scores.values[1:, 3], [[1, 0.5], [1, 0.5], [0.5, 1]], atol=1e-6)
    with pytest.raises(OutputError, match=r"classes may hold together, a band each; write \.tif"):
        model_of("together").predict(tmp_path / "x.png", tmp_path / "map.png")


def test_more_than_255_classes_take_two_bytes(monkeypatch):
    variant = replace(VARIANTS["threshold"], classes=tuple(f"class {index}" for index in range(300)))
    model = model_of(variant)
    monkeypatch.setattr(
        model.module, "forward", lambda image: Wide(logits=image[:, :1].expand(-1, 300, -1, -1) * ramp(299))
    )
    source = np.ones((2, 40, 40), np.uint16) * 50
    result = model.predict(source, bands=("B04", "B08"), crs="EPSG:32632")
    assert (result.dtype, result.nodata, np.unique(result.values).tolist()) == ("uint16", 65535, [299])


def ramp(best):
    import torch

    return torch.arange(300)[:, None, None] == best


def Wide(logits):
    from zoo.tasks.segment import SegmentOutput

    return SegmentOutput(logits=logits.float())


def test_a_table_of_classes_that_is_too_short_is_the_plugins_fault(bands):
    model = model_of(replace(VARIANTS["threshold"], classes=("bare",)))
    with pytest.raises(SpecError, match="names 1 classes, its network answers for 2"):
        model.predict(bands, bands=("B04", "B08"), crs="EPSG:32632")


# ------------------------------------------------------------------------------------------------------- photographs


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photograph_has_a_map_of_its_size(tmp_path, suffix):
    ids = random_ids(20, 25)
    file = photo(tmp_path / f"reef.{suffix}", ids, scale=8)  # a JPEG's blocks, so that its colours survive
    result = model_of("strongest").predict(file, tmp_path / "map.tif")
    np.testing.assert_array_equal(result.values[0], np.kron(ids, np.ones((8, 8), int)))
    assert result.grid.crs is None


def test_a_coloured_png_holds_ids_palette_and_legend(tmp_path):
    ids = random_ids()
    result = model_of("strongest").predict(photo(tmp_path / "reef.png", ids), tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (75, 60)
        np.testing.assert_array_equal(np.array(picture), ids)
        np.testing.assert_array_equal(
            np.array(picture.convert("RGB")), np.array(VARIANTS["strongest"].colours, np.uint8)[ids]
        )
        assert json.loads(picture.info["ZOO_CLASSES"]) == ["dark", "red", "green", "blue"]
        assert picture.info["ZOO_VARIANT"] == "strongest"
    np.testing.assert_array_equal(result.values[0], ids)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["map.png", "reef.png"]


def test_a_map_keeps_the_colours_of_its_classes(tmp_path):
    out = tmp_path / "map.tif"
    model_of("strongest").predict(photo(tmp_path / "reef.png", random_ids()), out)
    assert RasterResult.open(out).colours == VARIANTS["strongest"].colours
    with rasterio.open(out) as file:
        assert file.colormap(1)[2] == (30, 160, 30, 255)


@pytest.mark.parametrize(
    ("size", "shorter"), [((30, 50), None), ((16, 16), 30)], ids=["one size", "shorter side, nothing cut"]
)
def test_a_photograph_is_seen_resized_and_answered_at_its_size(tmp_path, size, shorter):
    ids = np.kron(random_ids(3, 5), np.ones((40, 40), int))  # 120 x 200
    model = model_of(resized(VARIANTS["strongest"], size, shorter))
    seen = []
    model.module.register_forward_pre_hook(
        lambda _, __, given: seen.append(tuple(given["image"].shape[-2:])), with_kwargs=True
    )
    result = model.predict(photo(tmp_path / "reef.png", ids), window=None)
    assert result.values.shape == (1, 120, 200)
    wrong = result.values[0] != ids
    assert wrong.mean() < 0.05  # along edges: four pixels became one
    inner = np.kron(np.ones((3, 5), bool), np.pad(np.ones((32, 32), bool), 4))
    assert not wrong[inner].any()
    assert set(seen) == ({(30, 50)} if shorter is None else {(32, 32)})


def test_scores_of_a_resized_photograph_are_interpolated(tmp_path):
    import torch
    from torch.nn import functional

    pixels = np.random.default_rng(3).integers(0, 255, (90, 140, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    variant = resized(VARIANTS["strongest"], (45, 64))
    got = model_of(variant).predict(tmp_path / "photo.png", scores=True).values
    small = functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255, (45, 64), mode="bilinear"
    )
    probs = model_of(variant).module(small).logits.softmax(dim=1)
    want = functional.interpolate(probs, (90, 140), mode="bilinear")[0].detach().numpy()
    np.testing.assert_allclose(got, want, atol=2e-4)


# ----------------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def reefs(tmp_path):
    """Two pictures of the same name, one below, and a file that is none."""
    folder = tmp_path / "reefs"
    (folder / "deep").mkdir(parents=True)
    photo(folder / "a.png", np.array([[1, 1, 2, 3]] * 4))
    photo(folder / "a.jpg", np.full((4, 4), 2), scale=8)
    photo(folder / "deep" / "b.png", np.array([[0, 0, 0, 3]] * 4))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no")
    return folder


def test_a_folder_in_is_a_folder_out_with_cover(reefs, tmp_path):
    out = tmp_path / "maps"
    result = model_of("strongest").predict(reefs, out)
    made = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    assert made == ["a.jpg.tif", "a.png.tif", "cover.csv", "cover.csv-metadata.json", "deep/b.tif"]
    assert list(result.failures) == ["broken.jpg"]
    table = csv.read_csv(out / "cover.csv").to_pydict()
    assert table == {
        "image": ["a.jpg", "a.png", "deep/b.png"],
        "labelled_pixels": [1024, 16, 4],  # dark is no label
        "red": [0.0, 50.0, 0.0],
        "green": [100.0, 25.0, 0.0],
        "blue": [0.0, 25.0, 100.0],
    }
    assert not (tmp_path / "maps.parts").exists()


def test_the_folders_maps_may_be_pictures(reefs, tmp_path):
    model_of("strongest").predict(reefs, tmp_path / "maps", format="png")
    with Image.open(tmp_path / "maps" / "deep" / "b.png") as picture:
        np.testing.assert_array_equal(np.array(picture), [[0, 0, 0, 3]] * 4)


def test_cover_alone_keeps_no_maps(reefs, tmp_path):
    table = model_of("strongest").predict(reefs, tmp_path / "cover.parquet")
    assert parquet.read_table(tmp_path / "cover.parquet")["blue"].to_pylist() == [0.0, 25.0, 100.0]
    np.testing.assert_array_equal(table.pixels, [[0, 1024, 0], [8, 4, 4], [0, 0, 4]])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cover.parquet", "reefs"]


def test_cover_on_the_ground_is_in_square_metres(tmp_path, bands):
    file = scene(tmp_path / "scene.tif", bands)
    table = model_of("threshold").predict(file, tmp_path / "cover.csv")
    share = vegetation(bands).mean()
    np.testing.assert_allclose(table.percent, [[100 * (1 - share), 100 * share]])
    np.testing.assert_allclose(table.areas_m2, table.pixels * 100.0)  # pixels of 10 m
    assert csv.read_csv(tmp_path / "cover.csv").column_names[-2:] == ["bare m2", "veg m2"]


def test_the_area_of_a_pixel_in_degrees_follows_its_latitude(tmp_path):
    bands = np.stack([np.full((80, 4), 1000), np.full((80, 4), 1000)]).astype("uint16")
    bands[1, :40] = 4000  # vegetation from 80 to 40 degrees north
    file = scene(tmp_path / "globe.tif", bands, crs="EPSG:4326", transform=from_origin(10, 80, 1, 1))
    ((bare, veg),) = model_of("threshold").predict(file, tmp_path / "cover.csv").areas_m2
    rings = {  # area of 4 degrees of longitude between two parallels of a sphere of WGS 84's mean radius
        "bare": np.sin(np.radians(40)) - np.sin(0),
        "veg": np.sin(np.radians(80)) - np.sin(np.radians(40)),
    }
    sphere = 6_371_008.8**2 * np.radians(4)
    np.testing.assert_allclose([bare, veg], [sphere * rings["bare"], sphere * rings["veg"]], rtol=0.005)


def test_a_folder_of_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"none of 2 files could be used; a\.jpg"):
        model_of("strongest").predict(tmp_path / "in", tmp_path / "maps")


def test_a_folder_does_not_fit_into_one_map(reefs, tmp_path):
    with pytest.raises(OutputError, match=r"name a folder for the maps \(maps/\), or a table"):
        model_of("strongest").predict(reefs, tmp_path / "map.tif")


def test_a_folder_in_memory(reefs):
    result = model_of("strongest").predict(reefs)
    np.testing.assert_array_equal(result.results["deep/b.png"].values[0], [[0, 0, 0, 3]] * 4)
    assert result.table.images == ("a.jpg", "a.png", "deep/b.png")


# ------------------------------------------------------------------------------------------------------ command line


def test_the_command_notes_what_fails_and_goes_on(seeing, reefs, tmp_path, zoo_command):
    code, said, errors = zoo_command("predict", "seeing@strongest", reefs, tmp_path / "maps")
    assert code == 1
    assert said == f"wrote {tmp_path / 'maps'}\n"
    assert "broken.jpg" in errors
    assert "1 of the files could not be used" in errors
    assert (tmp_path / "maps" / "deep" / "b.tif").exists()


def test_resume_makes_only_what_is_missing(reefs, tmp_path, monkeypatch):
    out, model = tmp_path / "maps", model_of("strongest")
    calls, forward = [], model.module.forward

    def stops(image):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(len(image))
        return forward(image)

    monkeypatch.setattr(model.module, "forward", stops)
    with pytest.raises(KeyboardInterrupt):
        model.predict(reefs, out)
    assert (out / "a.jpg.tif").exists()
    assert not (out / "a.png.tif").exists()
    monkeypatch.setattr(model.module, "forward", lambda image: calls.append(0) or forward(image))
    model.predict(reefs, out, resume=True)
    assert calls == [1, 0, 0]  # a.jpg before; then the other two
    assert csv.read_csv(out / "cover.csv")["image"].to_pylist() == ["a.jpg", "a.png", "deep/b.png"]


def test_two_processes_make_the_same_files(seeing, reefs, tmp_path, zoo_command, two_processes):
    (reefs / "broken.jpg").unlink()
    arguments = ["predict", "seeing@strongest", str(reefs), "--format", "png"]
    assert zoo_command(*arguments, tmp_path / "one")[0] == 0
    two_processes(*arguments, tmp_path / "two")
    files = sorted(file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*.*"))
    assert [str(file) for file in files if file.suffix == ".png"] == ["a.jpg.png", "a.png.png", "deep/b.png"]
    assert [digest(tmp_path / "one" / file) for file in files] == [digest(tmp_path / "two" / file) for file in files]


# ---------------------------------------------------------------------------------------------------------- pictures


def test_the_picture_shows_the_classes_own_colours(tmp_path):
    result = model_of("strongest").predict(photo(tmp_path / "reef.png", random_ids()))
    axes = result.plot().axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["dark", "red", "green", "blue"]
    np.testing.assert_allclose(axes.get_legend().get_patches()[3].get_facecolor()[:3], np.array([40, 60, 200]) / 255)
