import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from zoo.errors import OutputError
from zoo.io import cog
from zoo.io.cog import RasterFile, blocks, class_colours, tile_side, write_raster
from zoo.io.grid import Grid
from zoo.io.rasters import open_raster
from zoo.tiling import Window

GRID = Grid(height=100, width=70, crs=CRS.from_epsg(32632), transform=Affine(160, 0, 5e5, 0, -160, 5e6))


def raster_file(bands=3, dtype="float32", grid=GRID, **facts):
    return RasterFile(grid=grid, names=tuple(f"band_{index}" for index in range(bands)), dtype=dtype, **facts)


def noise(file, seed=0):
    shape = (len(file.names), file.grid.height, file.grid.width)
    return np.random.default_rng(seed).normal(scale=30, size=shape).astype(file.dtype)


def write(path, file, pixels, windows=None):
    with write_raster(path, file) as writer:
        for window in windows or writer.blocks():
            writer.write(window, pixels[:, *window.slices])
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_written_is_read_back_with_all_its_facts(tmp_path):
    file = raster_file(nodata=float("nan"), unit="degC", tags={"ZOO_MODEL": "toy", "ZOO_OPTIONS": '{"window": "224"}'})
    pixels = noise(file)
    pixels[:, 3, 4] = np.nan
    source = open_raster(write(tmp_path / "map.tif", file, pixels))
    got, valid = source.read()
    np.testing.assert_array_equal(got, pixels)
    assert np.argwhere(~valid).tolist() == [[3, 4]]
    assert source.grid == GRID
    assert source.names == file.names
    assert source.units == ("degC",) * 3
    assert source.tags.items() >= file.tags.items()
    with rasterio.open(tmp_path / "map.tif") as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
    assert structure["LAYOUT"] == "COG"
    assert structure["COMPRESSION"] == "DEFLATE"


def test_the_file_is_alone_in_its_folder(tmp_path):
    file = raster_file()
    write(tmp_path / "map.tif", file, noise(file))
    assert os.listdir(tmp_path) == ["map.tif"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int16", "float64"])
def test_the_bytes_depend_on_neither_threads_nor_blocks_nor_time(tmp_path, monkeypatch, dtype):
    file = raster_file(20, dtype, nodata=0, tags={"b": "2", "a": "1"})
    pixels = noise(file)
    first = digest(write(tmp_path / "first.tif", file, pixels))
    monkeypatch.setattr(cog, "MAX_THREADS", 1)
    rows = [Window(row, 0, min(7, 100 - row), 70) for row in range(0, 100, 7)]
    assert digest(write(tmp_path / "second.tif", file, pixels, rows)) == first
    halves = [Window(0, 0, 100, 33), Window(0, 33, 100, 37)]
    assert digest(write(tmp_path / "first.tif", file, pixels, halves)) == first  # replaced, too
    assert digest(write(tmp_path / "other.tif", file, noise(file, seed=1))) != first


def test_half_precision_halves_the_file_and_is_read_as_float32(tmp_path):
    half, full = raster_file(bands=40, dtype="float16"), raster_file(bands=40)
    pixels = noise(full)
    write(tmp_path / "half.tif", half, pixels)
    write(tmp_path / "full.tif", full, pixels)
    got = open_raster(tmp_path / "half.tif").read()[0]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, pixels.astype(np.float16))
    assert (tmp_path / "half.tif").stat().st_size < 0.6 * (tmp_path / "full.tif").stat().st_size


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    file = raster_file(bands=1, dtype="float16")
    with pytest.raises(OutputError, match="float16 reaches 65504, and the numbers 70000; write float32"):
        write(tmp_path / "map.tif", file, np.full((1, 100, 70), 7e4, np.float32))


def test_classes_are_named_coloured_and_never_averaged(tmp_path):
    grid = Grid(height=1200, width=1200, crs=GRID.crs, transform=GRID.transform)
    file = RasterFile(grid=grid, names=("label",), dtype="uint8", nodata=255, classes=("sea", "sand", "coral"))
    pixels = np.random.default_rng(0).choice(np.array([0, 2], np.uint8), (1, 1200, 1200))
    write(tmp_path / "label.tif", file, pixels)
    with rasterio.open(tmp_path / "label.tif") as dataset:
        assert dataset.tags()["ZOO_CLASSES"] == '["sea", "sand", "coral"]'
        assert [dataset.colormap(1)[index] for index in range(3)] == class_colours(3)
        assert dataset.overviews(1) == [2, 4]
    with rasterio.open(tmp_path / "label.tif", overview_level=0) as overview:
        assert np.unique(overview.read()).tolist() == [0, 2]  # an average would be "sand"


def test_a_map_without_a_crs_is_written_without_a_warning(tmp_path):
    file = raster_file(bands=1, grid=Grid(height=5, width=6))
    source = open_raster(write(tmp_path / "map.tif", file, noise(file)))
    assert source.crs is None


def test_one_pixel_is_a_map(tmp_path, caplog):
    file = raster_file(bands=768, grid=Grid(height=1, width=1))
    pixels = noise(file)
    np.testing.assert_array_equal(open_raster(write(tmp_path / "map.tif", file, pixels)).read()[0], pixels)
    assert caplog.messages == []  # GDAL doubts small tiles


@pytest.mark.parametrize(
    ("bands", "dtype", "side"), [(1, "uint8", 512), (16, "float32", 352), (768, "float32", 48), (1024, "float64", 32)]
)
def test_a_tile_of_all_bands_stays_below_8_mb(bands, dtype, side):
    file = raster_file(bands, dtype, Grid(height=10_000, width=10_000))
    assert tile_side(file) == side
    assert side**2 * file.pixel_bytes <= 8 << 20
    assert side == 512 or (side + 16) ** 2 * file.pixel_bytes > 8 << 20


def test_tiles_are_no_larger_than_the_map():
    assert tile_side(raster_file(1, grid=Grid(height=10, width=33))) == 48


@pytest.mark.parametrize("bands", [1, 12, 768, 20_000])
@pytest.mark.parametrize("shape", [(1, 1), (100, 70), (6000, 4001), (17, 200_000)])
def test_blocks_cover_the_grid_once_and_stay_within_32_mb(bands, shape):
    file = raster_file(bands, grid=Grid(height=shape[0], width=shape[1]))
    got = list(blocks(file))
    assert sum(one.height * one.width for one in got) == shape[0] * shape[1]
    assert all(one.clipped(*shape) == one for one in got)
    assert len({(one.row, one.col) for one in got}) == len(got)
    assert max(one.height * one.width for one in got) * file.pixel_bytes <= max(32 << 20, 16 * 16 * file.pixel_bytes)


def test_more_than_16_bands_have_no_overviews(tmp_path):
    grid = Grid(height=600, width=600)
    for bands, expected in ((2, [2]), (17, [])):
        file = raster_file(bands, "uint8", grid)
        write(tmp_path / "map.tif", file, np.zeros((bands, 600, 600), np.uint8))
        with rasterio.open(tmp_path / "map.tif") as dataset:
            assert dataset.overviews(1) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_stays_bounded_for_many_bands(tmp_path):
    """768 bands of 375 x 375 (432 MB) peak below 150 MB; the COG driver's default tile alone is 805 MB."""
    program = f"""
import numpy as np
from zoo.io.cog import RasterFile, write_raster
from zoo.io.grid import Grid
from zoo.tiling import Window
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
file = RasterFile(grid=Grid(height=375, width=375), names=tuple(map(str, range(768))), dtype="float32")
strip = np.zeros((768, 14, 375), np.float32)
before = peak()
with write_raster({str(tmp_path / "map.tif")!r}, file) as writer:
    for row in range(0, 375, 14):
        writer.write(Window(row, 0, min(14, 375 - row), 375), strip[:, : 375 - row])
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150


# ------------------------------------------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_exception_leaves_nothing_and_keeps_what_was_there(tmp_path, error):
    file = raster_file()
    before = digest(write(tmp_path / "map.tif", file, noise(file)))

    def windows():
        yield Window(0, 0, 10, 70)
        raise error

    with pytest.raises(error):
        write(tmp_path / "map.tif", file, noise(file), windows())
    assert os.listdir(tmp_path) == ["map.tif"]
    assert digest(tmp_path / "map.tif") == before


def test_an_interrupt_while_the_cog_is_made_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(source, target, **options):
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(cog.rasterio.shutil, "copy", interrupted)
    file = raster_file()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "map.tif", file, noise(file))
    assert os.listdir(tmp_path) == []


def test_another_extension_is_refused_before_any_work(tmp_path):
    with (
        pytest.raises(OutputError, match=r"map\.jpg has the extension '\.jpg'; a raster is written as \.tif, \.tiff"),
        write_raster(tmp_path / "map.jpg", raster_file()),
    ):
        pytest.fail("the block must not be entered")


def test_a_type_that_geotiff_does_not_hold_is_refused(tmp_path):
    with (
        pytest.raises(OutputError, match=r"GeoTIFF holds no bool; write uint8"),
        write_raster(tmp_path / "map.tif", raster_file(dtype="bool")),
    ):
        pytest.fail("the block must not be entered")


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path):
    with (
        pytest.raises(OutputError, match=r"there is no folder .*mkdir -p .*missing"),
        write_raster(tmp_path / "missing" / "map.tif", raster_file()),
    ):
        pytest.fail("the block must not be entered")


def test_a_write_protected_file_stays(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text("precious")
    path.chmod(0o444)
    with (
        pytest.raises(OutputError, match=r"map\.tif is write-protected; .*chmod u\+w"),
        write_raster(path, raster_file()),
    ):
        pytest.fail("the block must not be entered")
    assert path.read_text() == "precious"


def test_a_write_protected_folder_is_refused(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    with pytest.raises(OutputError, match="locked is write-protected"), write_raster(folder / "map.tif", raster_file()):
        pytest.fail("the block must not be entered")
    folder.chmod(0o755)
    assert os.listdir(folder) == []


def test_too_little_space_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(cog.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with (
        pytest.raises(OutputError, match=r"needs 0\.00 GB while it is written, and .* left; free some space"),
        write_raster(tmp_path / "map.tif", raster_file()),
    ):
        pytest.fail("the block must not be entered")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path):
    """A limit on the size of files stands for the full disk: the system refuses the write in the same way."""
    program = f"""
import resource, signal
import numpy as np
from zoo.errors import OutputError
from zoo.io.cog import RasterFile, write_raster
from zoo.io.grid import Grid
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
file = RasterFile(grid=Grid(height=512, width=512), names=tuple("abcdef"), dtype="float32")
try:
    with write_raster({str(tmp_path / "map.tif")!r}, file) as writer:
        for window in writer.blocks():
            writer.write(window, np.ones((6, window.height, window.width), np.float32))
except OutputError as err:
    print(err)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "disk" in done.stdout
    assert os.listdir(tmp_path) == []
