"""What people hand over by mistake: each error says what was found, what was expected and what to type, and leaves nothing.

All through the command line, for a model of twelve bands that stands as a plugin with weights of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")

PLUGIN = """
    def twelve():
        from dataclasses import replace
        from zoo.spec import Capability, Fill, Normalise, Weights

        names = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12".split()
        image = InputSpec(
            name="image", kind=Kind.RASTER, label="S2-L2A", window=32, multiple=4, nodata=0,
            bands=tuple(Band(id=f"S2:{name}", unit="DN") for name in names),
            steps=(Normalise(mean=(1000.0,) * 12, std=(500.0,) * 12, source="ours"), Fill(source="ours")),
        )
        variant = Variant(
            tag="mean", builder="twelve_network.network:PatchMean", inputs=(image,), stride=4,
            weights=Weights(file="twelve_network:weights.safetensors"),
        )
        return replace(model("twelve"), task=Task.PRETRAIN, variants=(variant,), capabilities=(Capability.EMBED,))

    @hookimpl
    def zoo_register_models():
        return [twelve()]
"""


@pytest.fixture
def site(make_plugin):
    """Where the model `twelve` is installed; gives the folder."""
    import torch
    from safetensors.torch import save_file

    folder = make_plugin("twelve", PLUGIN)
    package = folder / "twelve_network"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text((Path(__file__).parent / "toy.py").read_text())
    save_file({"gain": torch.full((1,), 2.0)}, package / "weights.safetensors")
    return folder


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(zoo_command, data):
    """`refused(source)`: what is said of it; the folder of the data must stay as it was."""

    def run(source, *options, model="twelve", out="out.tif"):
        before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
        code, said, errors = zoo_command("embed", model, source, data / out, "--device", "cpu", *options)
        assert code == 1
        assert said == ""
        assert "Traceback" not in errors
        assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before
        assert not list(data.glob("*.parts"))
        return errors

    return run


def write(path, *, names=S2, count=None, side=64, crs="EPSG:32632", dtype="uint16", nodata=0, value=None):
    count = count or len(names)
    pixels = np.random.default_rng(0).integers(1, 2000, (count, side, side)).astype(dtype)
    if value is not None:
        pixels[:] = value
    profile = {"driver": "GTiff", "height": side, "width": side, "count": count, "dtype": dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=crs, transform=from_origin(500_000, 5_200_000, 10, 10), **profile) as file:
        file.write(pixels)
        file.descriptions = names or (None,) * count
    return path


def test_the_right_scene_is_taken(site, data, zoo_command):
    """What follows fails for its own reason."""
    assert zoo_command("embed", "twelve", write(data / "scene.tif"), data / "out.tif", "--device", "cpu")[0] == 0
    assert sorted(file.name for file in data.iterdir()) == ["out.tif", "scene.tif"]


def test_wrong_band_names(site, data, refused):
    said = refused(write(data / "scene.tif", names=(*S2[:11], "temperature")))
    assert "missing S2:B12; not a band of it: channel 12 'temperature'" in said
    assert "expected S2-L2A: S2:B01, S2:B02" in said
    assert "--bands B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B11,?" in said


def test_thirteen_bands_for_twelve(site, data, refused):
    scene = write(data / "scene.tif", names=(), count=13)
    said = refused(scene)
    assert "Found 13 channels" in said
    assert "expected S2-L2A: S2:B01" in said
    assert "Presets of that many: --bands S2-L1C" in said
    said = refused(scene, "--bands", "S2")
    assert "--bands names 12 channels" in said
    assert "the file has 13" in said
    assert "with - for one that is not used" in said


def test_missing_crs(site, data, refused, zoo_command):
    said = refused(write(data / "scene.tif", crs=None))
    assert "scene.tif has no CRS; expected a georeferenced raster" in said
    assert "--crs EPSG:32632" in said
    done = zoo_command("embed", "twelve", data / "scene.tif", data / "out.tif", "--crs", "EPSG:32633")
    assert done[0] == 0
    with rasterio.open(data / "out.tif") as file:
        assert file.crs.to_epsg() == 32633


def test_a_float_raster_of_nothing_but_nan_and_one_with_some(site, data, refused, zoo_command):
    said = refused(write(data / "scene.tif", dtype="float32", nodata=None, value=np.nan))
    assert "holds no data: all its pixels are nodata (or NaN, or masked)" in said
    assert "--nodata" in said
    write(data / "some.tif", dtype="float32", nodata=None)
    with rasterio.open(data / "some.tif", "r+") as file:
        band = file.read(7)
        band[8:16, 8:16] = np.nan
        file.write(band, 7)
    assert zoo_command("embed", "twelve", data / "some.tif", data / "out.tif", "--device", "cpu")[0] == 0
    with rasterio.open(data / "out.tif") as file:
        missing = np.isnan(file.read())
    assert missing[:, 2:4, 2:4].all()  # in every band of the map, whichever band of the scene lacks the place
    assert missing.sum() == 12 * 4


def test_all_nodata(site, data, refused):
    said = refused(write(data / "scene.tif", value=0))
    assert "scene.tif holds no data" in said
    assert "check the file, or say which value marks missing pixels with --nodata" in said


def test_zero_size_file(site, data, refused):
    (data / "scene.tif").touch()
    assert "is empty (0 bytes); expected a raster. Download or export it again" in refused(data / "scene.tif")


def test_png_named_tif(site, data, refused):
    Image.new("RGB", (64, 64)).save(data / "scene.tif", format="PNG")
    said = refused(data / "scene.tif")
    assert "is a PNG picture by its contents, not a TIFF; expected a GeoTIFF" in said
    assert "rename it to scene.png" in said


def test_a_raster_of_one_pixel(site, data, refused):
    said = refused(write(data / "scene.tif", side=1))
    assert "1 x 1 px; expected at least 4 x 4 px" in said
    assert "give a larger scene" in said


def test_a_folder_with_one_corrupt_file(site, data, zoo_command):
    (data / "scenes").mkdir()
    write(data / "scenes/good.tif")
    broken = write(data / "scenes/broken.tif")
    broken.write_bytes(broken.read_bytes()[:20_000])
    for out, good in (("table.csv", data / "table.csv"), ("maps", data / "maps/good.tif")):
        code, said, errors = zoo_command("embed", "twelve", data / "scenes", data / out, "--device", "cpu")
        assert (code, said) == (1, f"wrote {data / out}\n"), errors
        assert errors.count("zoo: broken.tif: ") == 1
        assert "damaged or cut short" in errors
        assert "download or export it again" in errors
        assert "1 of the files could not be used" in errors
        assert good.exists()
    assert [file.name for file in (data / "maps").iterdir()] == ["good.tif"]
    assert "broken" not in (data / "table.csv").read_text()


def test_write_protected_output(site, data, refused):
    scene = write(data / "scene.tif")
    (data / "out.tif").write_bytes(b"keep me")
    (data / "out.tif").chmod(0o444)
    said = refused(scene, "--force")
    assert f"{data / 'out.tif'} is write-protected; choose another output, or make it writable (chmod u+w " in said
    (data / "locked").mkdir(mode=0o555)
    said = refused(scene, out="locked/out.tif")
    assert f"{data / 'locked'} is write-protected; choose another output" in said


def test_a_name_that_nobody_has(site, data, refused, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "twelve")
    said = refused(write(data / "scene.tif"), model="twelv")
    assert "no installed plugin has a model 'twelv'; did you mean twelve?; `zoo list`" in said
    said = refused(data / "scene.tif", model="canadafiresat")
    assert "canadafiresat comes with `zoo install zoo-canadafiresat`" in said
    said = refused(data / "scene.tif", model="canada-firesat@x")
    assert "did you mean canadafiresat?" in said
    assert "`zoo install zoo-canadafiresat`" in said


def test_a_plugin_that_raises_at_import(site, data, make_plugin, zoo_command):
    (site / "zoo_sick.py").write_text("raise RuntimeError('no such driver')\n")
    info = site / "zoo_sick-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-sick\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[zoo]\nsick = zoo_sick\n")
    scene = write(data / "scene.tif")
    code, _, errors = zoo_command("embed", "twelve", scene, data / "out.tif", "--device", "cpu")
    assert code == 0  # the others work
    assert "sick" in errors
    assert "no such driver" in errors
    assert "zoo plugins --why" in errors
    assert (data / "out.tif").exists()


def test_a_weights_file_one_byte_short(site, data, refused):
    file = site / "twelve_network/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    said = refused(write(data / "scene.tif"))
    assert f"{file} is not a whole safetensors file" in said
    assert "cut short: fetch it again" in said
