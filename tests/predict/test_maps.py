"""Dense maps: the right number in every cell, on the right ground, whatever the way it was computed."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from toy import BANDS, INPUT, STRIDE, PatchMean, toy_model

from zoo.errors import ConfigError, InputError, OutputError, ZooWarning
from zoo.predict.assemble import Assembly
from zoo.spec import Band, Fill, InputSpec, Kind
from zoo.tasks.pretrain import EmbedOutput

HEIGHT, WIDTH = 90, 131
TRANSFORM = from_origin(500_000, 5_200_000, 10, 10)
MEAN = np.array([30.0, 32.0, 28.0])[:, None, None]
STD = np.array([16.0, 18.0, 20.0])[:, None, None]


@pytest.fixture(autouse=True)
def _counters():
    PatchMean.stop_after = None
    PatchMean.calls.clear()
    yield
    PatchMean.stop_after = None


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 60, (3, HEIGHT, WIDTH)).astype("uint16")


def write(path, pixels, names=BANDS, nodata=0, crs="EPSG:32632"):
    profile = {"driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": len(pixels)}
    with rasterio.open(path, "w", dtype=pixels.dtype, crs=crs, transform=TRANSFORM, nodata=nodata, **profile) as file:
        file.write(pixels)
        file.descriptions = names
    return path


def expected(pixels):
    """Mean of each 4 x 4 cell of the normalised pixels; beyond the edge and without data, 0."""
    z = np.where(pixels == 0, 0, (pixels - MEAN) / STD)
    padded = np.pad(z, ((0, 0), (0, -HEIGHT % STRIDE), (0, -WIDTH % STRIDE)))
    rows, cols = padded.shape[1] // STRIDE, padded.shape[2] // STRIDE
    return padded.reshape(3, rows, STRIDE, cols, STRIDE).mean(axis=(2, 4))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_cell_has_its_number_and_its_place(tmp_path, pixels):
    scene, out = write(tmp_path / "scene.tif", pixels), tmp_path / "out.tif"
    result = toy_model().embed(scene, out)
    with rasterio.open(out) as file:
        values = file.read()
        assert file.crs == rasterio.CRS.from_epsg(32632)
        assert file.transform == from_origin(500_000, 5_200_000, 40, 40)
        assert file.descriptions == ("embedding_0000", "embedding_0001", "embedding_0002")
        assert np.isnan(file.nodata)
        assert file.tags()["ZOO_MODEL"] == "toy"
        assert '"window": "32"' in file.tags()["ZOO_OPTIONS"]
    inside = np.isfinite(values)
    assert values.shape == (3, 23, 33)
    assert inside[:, :22, :32].all()
    np.testing.assert_allclose(values[inside], expected(pixels)[inside], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(result.values, values)
    assert [file.name for file in tmp_path.iterdir() if "parts" in file.name] == []


@pytest.mark.parametrize(
    "options", [{"halo": 8}, {"window": 64}, {"batch_size": 1}, {"blend": "mean"}, {"blend": "cosine"}]
)
def test_a_local_network_gives_the_same_however_the_scene_is_cut(tmp_path, pixels, options):
    scene = write(tmp_path / "scene.tif", pixels)
    values = toy_model().embed(scene, **options).values
    inside = np.isfinite(values)
    np.testing.assert_allclose(values[inside], expected(pixels)[inside], rtol=0, atol=1e-5)


def test_bands_are_found_by_name(tmp_path, pixels):
    straight = toy_model().embed(write(tmp_path / "a.tif", pixels)).values
    shuffled = toy_model().embed(write(tmp_path / "b.tif", pixels[[2, 0, 1]], names=("red", "B2", "S2:B03"))).values
    np.testing.assert_array_equal(straight, shuffled)
    swapped = toy_model().embed(write(tmp_path / "c.tif", pixels[[2, 0, 1]])).values
    assert np.nanmax(np.abs(straight - swapped)) > 0.5


def test_nodata_in_is_nodata_out(tmp_path, pixels):
    pixels[:, 20:60, 40:80] = 0
    pixels[:, 0, 0] = 0  # one pixel of a cell: the rest of it still speaks
    values = toy_model().embed(write(tmp_path / "scene.tif", pixels)).values
    assert np.isnan(values[:, 5:15, 10:20]).all()
    assert np.isfinite(values[:, :5]).all()
    np.testing.assert_allclose(values[:, 0, 0], expected(pixels)[:, 0, 0], atol=1e-5)


def test_nan_in_a_float_raster_is_missing(tmp_path, pixels):
    floats = pixels.astype("float32")
    floats[0, 8:16, 8:16] = np.nan
    values = toy_model().embed(write(tmp_path / "scene.tif", floats, nodata=None)).values
    assert np.isnan(values[:, 2:4, 2:4]).all()
    assert np.isfinite(values[:, :2, :2]).all()


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, pixels):
    scene, whole, out = write(tmp_path / "scene.tif", pixels), tmp_path / "whole.tif", tmp_path / "out.tif"
    toy_model().embed(scene, whole, batch_size=2)
    total = len(PatchMean.calls)
    model = toy_model()
    PatchMean.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        model.embed(scene, out, batch_size=2)
    assert not out.exists()
    assert (tmp_path / "out.tif.parts").is_dir()
    PatchMean.stop_after = None
    PatchMean.calls.clear()
    model.embed(scene, out, batch_size=2, resume=True)
    assert len(PatchMean.calls) == total - 3
    assert digest(out) == digest(whole)
    assert not (tmp_path / "out.tif.parts").exists()


def test_resume_refuses_parts_of_another_scene(tmp_path, pixels):
    model = toy_model()
    PatchMean.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        model.embed(write(tmp_path / "a.tif", pixels), tmp_path / "out.tif")
    PatchMean.stop_after = None
    with pytest.raises(ConfigError, match="parts of other work"):
        model.embed(write(tmp_path / "b.tif", pixels), tmp_path / "out.tif", resume=True)


def test_an_array_is_as_good_as_a_file(tmp_path, pixels):
    from_file = toy_model().embed(write(tmp_path / "scene.tif", pixels)).values
    from_array = toy_model().embed(pixels, bands=BANDS, nodata=0, crs="EPSG:32632").values
    np.testing.assert_array_equal(from_file, from_array)


def test_two_inputs_must_share_a_grid(tmp_path, pixels):
    model = toy_model(replace(INPUT, name="image"), replace(INPUT, name="other", label="other"))
    scene = write(tmp_path / "a.tif", pixels)
    cut = write(tmp_path / "b.tif", pixels[:, :-4])
    with pytest.raises(InputError, match=r"different grids: 90 x 131 px.*86 x 131 px.*gdalwarp"):
        model.embed({"image": scene, "other": cut})
    with pytest.raises(InputError, match="has no input"):
        model.embed({"image": scene, "third": cut})
    with pytest.raises(InputError, match="also needs other"):
        model.embed({"image": scene})


def test_bad_scenes_leave_nothing_behind(tmp_path, pixels):
    out = tmp_path / "out.tif"
    model = toy_model()
    cases = {
        "has no CRS": write(tmp_path / "nocrs.tif", pixels, crs=None),
        "holds no data": write(tmp_path / "empty.tif", np.zeros_like(pixels)),
        "1 x 1 px; expected at least 4 x 4": write(tmp_path / "tiny.tif", pixels[:, :1, :1]),
        "missing": write(tmp_path / "two.tif", pixels[:2], names=BANDS[:2]),
        "have no names": write(tmp_path / "unnamed.tif", pixels, names=(None, None, None)),
    }
    (tmp_path / "zero.tif").write_bytes(b"")
    cases["zero"] = tmp_path / "zero.tif"
    before = sorted(tmp_path.iterdir())
    for message, scene in cases.items():
        with pytest.raises(InputError, match=message):
            model.embed(scene, out)
        assert sorted(tmp_path.iterdir()) == before


def test_output_that_cannot_be_written_is_said_before_the_work(tmp_path, pixels):
    scene = write(tmp_path / "scene.tif", pixels)
    with pytest.raises(OutputError, match=r"out\.jpg"):
        toy_model().embed(scene, tmp_path / "out.jpg")
    locked = tmp_path / "locked.tif"
    locked.write_bytes(b"keep me")
    locked.chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        toy_model().embed(scene, locked)
    assert locked.read_bytes() == b"keep me"
    assert PatchMean.calls == []


def test_a_window_that_does_not_fit_names_one_that_does(tmp_path, pixels):
    with pytest.raises(ConfigError, match="try --window 28"):
        toy_model().embed(write(tmp_path / "scene.tif", pixels), window=30)


def test_float16_halves_the_file_and_keeps_three_digits(tmp_path, pixels):
    scene = write(tmp_path / "scene.tif", pixels)
    full = toy_model().embed(scene, tmp_path / "full.tif").values
    half = toy_model().embed(scene, tmp_path / "half.tif", float16=True).values
    np.testing.assert_allclose(half, full, rtol=1e-3, atol=1e-6, equal_nan=True)


class _Joint(torch.nn.Module):
    """The patch means of both inputs, radar first."""

    def forward(self, s1, s2):
        tokens = torch.nn.functional.avg_pool2d(torch.cat([s1, s2], dim=1), STRIDE)
        return EmbedOutput(pooled=tokens.mean(dim=(2, 3)), tokens=tokens, logits=None)


def joint_model():
    def of(name, bands, unit):
        steps = (Fill(value=0.0, source="ours"),)
        return InputSpec(
            name=name, kind=Kind.RASTER, window=32, multiple=STRIDE, steps=steps,
            bands=tuple(Band(id=band, unit=unit) for band in bands),
        )  # fmt: skip

    model = toy_model(of("s1", ("S1:VV", "S1:VH"), "dB"), of("s2", BANDS[:2], "DN"))
    return replace(model, module=_Joint())


def test_two_files_that_go_together_have_options_of_their_own(tmp_path, pixels):
    radar = write(tmp_path / "s1.tif", pixels[:2].astype("float32") - 80, names=(None, None), nodata=None)
    optical = write(tmp_path / "s2.tif", pixels[1:], names=(None, None), nodata=None)
    options = {"bands": {"s1": "VH,VV", "s2": ("B03", "B02")}, "nodata": {"s2": 0}}
    model = joint_model()
    result = model.embed({"s1": radar, "s2": optical}, **options)
    cells = result.values[:, 1, 2]
    patch = (slice(None), slice(STRIDE, 2 * STRIDE), slice(2 * STRIDE, 3 * STRIDE))
    truth = [*(pixels[:2][patch].mean(axis=(1, 2)) - 80)[::-1], *pixels[1:][patch].mean(axis=(1, 2))[::-1]]
    np.testing.assert_allclose(cells, truth, rtol=1e-6)
    with pytest.raises(ConfigError, match="bands is given for radar; the inputs are s1, s2"):
        model.embed({"s1": radar, "s2": optical}, bands={"radar": "VH,VV"})


def test_the_command_line_tells_of_each_input(monkeypatch, tmp_path, pixels, zoo_command):
    radar = write(tmp_path / "s1.tif", pixels[:2].astype("float32") - 80, names=(None, None), nodata=None)
    optical = write(tmp_path / "s2.tif", pixels[1:], names=(None, None), nodata=None)
    monkeypatch.setattr("zoo.load", lambda *_, **__: joint_model())
    line = ["embed", "./toy", str(radar), str(tmp_path / "out.tif"), "--input", f"s2={optical}"]
    code, _, errors = zoo_command(*line, "--bands", "s1=VH,VV", "--bands", "s2=B03,B02", "--nodata", "s2=0")
    assert (code, errors) == (0, "")
    expected = joint_model().embed(
        {"s1": radar, "s2": optical}, bands={"s1": "VH,VV", "s2": "B03,B02"}, nodata={"s2": 0}
    )
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(file.read(), expected.values)
    code, _, errors = zoo_command(*line, "--bands", "S1", "--bands", "S2")
    assert code == 2
    assert "say INPUT=VALUE to give one for each input" in errors
    code, _, errors = zoo_command(*line, "--scale", "many")
    assert (code, "many is no number" in errors) == (2, True)


@pytest.mark.parametrize("blend", ["none", "mean"])
def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path, pixels, monkeypatch, blend):
    scene = write(tmp_path / "scene.tif", pixels)
    monkeypatch.setattr("zoo.predict.work.shutil.disk_usage", lambda _: SimpleNamespace(free=8000))
    with pytest.raises(
        OutputError, match=r"out.tif needs 0.00 GB while it is made.* has 0.00 GB left; free some space"
    ):
        toy_model().embed(scene, tmp_path / "out.tif", blend=blend, batch_size=2)
    assert len(PatchMean.calls) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]


def test_the_room_that_is_asked_for_is_that_of_parts_and_result(tmp_path, pixels, monkeypatch):
    scene = write(tmp_path / "scene.tif", pixels)
    asked = []
    monkeypatch.setattr("zoo.predict.work.Work.check_room", lambda _, **needs: asked.append(needs))
    toy_model().embed(scene, tmp_path / "out.tif", batch_size=2)
    (needs,) = asked
    assert needs["part_bytes"] == 2 * 8 * 8 * (3 * 4 + 1)
    assert needs["num_parts"] == 8  # 3 x 5 windows of 32 px
    assert needs["result_bytes"] == 23 * 33 * 3 * 4


def test_blending_maps_few_parts_at_a_time(tmp_path, pixels, monkeypatch):
    scene = write(tmp_path / "scene.tif", pixels)
    toy_model().embed(scene, tmp_path / "many.tif", blend="cosine", batch_size=2)
    mapped = []
    real = Assembly._part

    def part(self, batch):
        found = real(self, batch)
        mapped.append(sum(self.work.size(one) for one in self._mapped))
        return found

    monkeypatch.setattr(Assembly, "_part", part)
    monkeypatch.setattr("zoo.predict.assemble.MAPPED_BYTES", 4000)
    toy_model().embed(scene, tmp_path / "few.tif", blend="cosine", batch_size=2)
    assert 2000 < max(mapped) <= 4000
    assert digest(tmp_path / "few.tif") == digest(tmp_path / "many.tif")


def test_pixels_of_another_size_are_doubted(tmp_path, pixels):
    scene = write(tmp_path / "scene.tif", pixels)
    with pytest.warns(ZooWarning, match=r"scene\.tif has pixels of 10 m, and toy was made for 30 m"):
        toy_model(replace(INPUT, gsd_m=(30.0, 30.0))).embed(scene)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        toy_model(replace(INPUT, gsd_m=(15.0, 60.0))).embed(scene)


def test_a_dataarray_brings_names_place_and_nodata(tmp_path, pixels):
    xarray = pytest.importorskip("xarray")
    rows, cols = np.arange(HEIGHT) + 0.5, np.arange(WIDTH) + 0.5
    array = xarray.DataArray(
        pixels[[2, 0, 1]],
        dims=("band", "y", "x"),
        coords={"band": ["red", "blue", "green"], "y": 5_200_000 - 10 * rows, "x": 500_000 + 10 * cols},
        attrs={"crs": "EPSG:32632", "_FillValue": 0},
    )
    from_file = toy_model().embed(write(tmp_path / "scene.tif", pixels))
    from_array = toy_model().embed(array)
    np.testing.assert_array_equal(from_array.values, from_file.values)
    assert from_array.grid.transform.almost_equals(from_file.grid.transform)
    assert from_array.grid.crs == from_file.grid.crs
    again = from_array.to_xarray()
    assert again.sizes == {"band": 3, "y": 23, "x": 33}
    assert float(again.x[0]) == 500_020
