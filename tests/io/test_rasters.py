"""Reading: real files where there are some (`ZOO_DATA`), small written ones for what each fact means."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image, ImageOps
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from zoo.errors import InputError
from zoo.io.rasters import ArraySource, FileSource, gdal, open_array, open_raster, open_source
from zoo.tiling import Window

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


@pytest.fixture
def real():
    folder = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[2] / "../shared/data")).resolve() / "real"
    if not folder.is_dir():
        pytest.skip(f"no real files in {folder}: set ZOO_DATA")
    return folder


@pytest.fixture
def write(tmp_path):
    """A function that writes an array as a GeoTIFF and gives its path."""

    def write(pixels, name="scene.tif", *, descriptions=None, tags=None, mask=None, colours=None, **profile):
        path = tmp_path / name
        count, height, width = pixels.shape
        profile = {"driver": "GTiff", "crs": UTM, "transform": NORTH_UP, "dtype": pixels.dtype} | profile
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", count=count, height=height, width=width, **profile) as target,
        ):
            if colours:
                target.colorinterp = colours
            target.write(pixels)
            if descriptions:
                target.descriptions = descriptions
            if tags:
                target.update_tags(**tags)
            if mask is not None:
                target.write_mask(mask)
        return path

    return write


def ramp(count=3, height=20, width=30, dtype="uint16"):
    return np.arange(1, count * height * width + 1).reshape(count, height, width).astype(dtype)


# ------------------------------------------------------------------------------------------------------- real files


def test_a_landsat_scene_with_its_collar(real):
    source = open_raster(real / "landsat_rgb.tif")
    assert (source.count, source.height, source.width, source.dtype) == (3, 718, 791, "uint8")
    assert source.names == ("red", "green", "blue")  # no descriptions: the colours of the bands
    assert source.crs == CRS.from_epsg(32618)
    assert source.nodata == 0
    assert source.gsd_m == pytest.approx(300.04, abs=0.01)
    pixels, valid = source.read()
    with rasterio.open(real / "landsat_rgb.tif") as dataset:
        np.testing.assert_array_equal(pixels, dataset.read())
        np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)
    assert valid.mean() == pytest.approx(0.6746, abs=1e-4)


def test_a_scene_of_nothing_but_nodata_is_read_and_all_of_it_is_missing(real):
    source = open_raster(real / "all_nodata.tif")
    assert source.names == ("blue", "green", "red", "nir")
    pixels, valid = source.read()
    assert pixels.shape == (4, 2475, 71)
    assert not valid.any()


def test_web_mercator_pixels_are_measured_on_the_ground(real):
    source = open_raster(real / "cogeo.tif")
    assert source.transform.a == pytest.approx(0.5972, abs=1e-4)
    assert source.gsd_m == pytest.approx(0.4723, abs=1e-4)  # 0.5972 m x cos(37.65 degrees), the ellipsoid considered


def test_damaged_blocks_name_the_file_and_the_window(real):
    source = open_raster(real / "corrupt.tif")
    with pytest.raises(InputError, match=r"corrupt\.tif: cannot read rows 512-1023, columns 512-1023: .*download"):
        source.read(Window(512, 512, 512, 512))


def test_bands_without_names_have_none(real):
    assert open_raster(real / "california_2bands.tif").names == (None, None)


def test_a_drone_photograph(real):
    source = open_raster(real / "pelicans_drone.jpg")
    assert (source.names, source.crs, source.gsd_m) == (("red", "green", "blue"), None, None)
    assert source.tags["EXIF_Make"] == "DJI"
    pixels, valid = source.read(Window(100, 200, 64, 32))
    with Image.open(real / "pelicans_drone.jpg") as picture:
        np.testing.assert_array_equal(pixels, np.asarray(picture).transpose(2, 0, 1)[:, 100:164, 200:232])
    assert valid.all()


def test_a_photograph_cut_short_is_refused(real, tmp_path):
    whole = (real / "pelicans_drone.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg: cannot decode .*truncated.*damaged or cut short \(294283 bytes\)"):
        open_raster(tmp_path / "cut.jpg").read(Window(0, 0, 8, 8))


def test_a_tiff_cut_short_is_refused(real, tmp_path):
    whole = (real / "cogeo.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.tif.*damaged or cut short"):
        open_raster(tmp_path / "cut.tif").read()


# --------------------------------------------------------------------------------------------------- windows, facts


def test_windows_beyond_the_edge_are_padded_with_what_is_no_data(write):
    pixels = ramp()
    got, valid = open_raster(write(pixels)).read(Window(-2, 25, 6, 10))
    assert got.shape == (3, 6, 10)
    np.testing.assert_array_equal(got[:, 2:, :5], pixels[:, :4, 25:])
    assert valid[2:, :5].all()
    assert valid.sum() == 4 * 5
    assert not got[:, ~valid].any()


def test_a_window_outside_holds_nothing(write):
    got, valid = open_raster(write(ramp())).read(Window(100, 0, 4, 4), [1])
    assert got.shape == (1, 4, 4)
    assert not valid.any()


def test_channels_come_in_the_order_asked_for_and_may_repeat(write):
    pixels = ramp()
    got, _ = open_raster(write(pixels)).read(channels=[2, 0, 2])
    np.testing.assert_array_equal(got, pixels[[2, 0, 2]])


def test_one_pixel_is_a_raster(write):
    got, valid = open_raster(write(ramp(2, 1, 1))).read()
    assert got.tolist() == [[[1]], [[2]]]
    assert valid.tolist() == [[True]]


def test_descriptions_scales_offsets_and_tags_are_facts_not_applied(write):
    path = write(ramp(2), descriptions=("B02", ""), tags={"PROCESSING_BASELINE": "05.09"})
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (1e-4, 1e-4), (-0.1, 0.0), ("1", "")
    source = open_raster(path)
    assert source.names == ("B02", None)
    assert (source.scales, source.offsets) == ((1e-4, 1e-4), (-0.1, 0.0))
    assert source.units == ("1", None)
    assert source.tags["PROCESSING_BASELINE"] == "05.09"
    assert source.read()[0][0, 0, 0] == 1


def test_degrees_are_measured_in_metres_at_the_middle_of_the_scene(write):
    path = write(ramp(), crs="EPSG:4326", transform=Affine(1e-4, 0, 7, 0, -1e-4, 60.001))
    # 1e-4 degrees at 60 N: 11.14 m along the meridian, 5.58 m along the parallel
    assert open_raster(path).gsd_m == pytest.approx(np.sqrt(11.141 * 5.580), rel=1e-3)


def test_bands_of_different_types_are_read_as_the_type_that_holds_all(tmp_path, write):
    bytes_ = write(np.full((1, 4, 4), 7, np.uint8), "bytes.tif")
    floats = write(np.full((1, 4, 4), 0.5, np.float32), "floats.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource><SourceFilename>{file}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for band, (kind, file) in enumerate((("Byte", bytes_), ("Float32", floats)), start=1)
    )
    (tmp_path / "both.vrt").write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4">{bands}</VRTDataset>')
    source = open_raster(tmp_path / "both.vrt")
    assert source.dtype == "float32"
    assert source.read()[0][:, 0, 0].tolist() == [7, 0.5]


# --------------------------------------------------------------------------------------------------- what is no data


def test_nodata_of_one_band_suffices(write):
    pixels = ramp(dtype="int16")
    pixels[1, 3, 4] = -9999
    _, valid = open_raster(write(pixels, nodata=-9999)).read()
    assert np.argwhere(~valid).tolist() == [[3, 4]]


def test_nodata_of_a_band_that_is_not_read_does_not_matter(write):
    pixels = ramp(dtype="int16")
    pixels[1, 3, 4] = -9999
    assert open_raster(write(pixels, nodata=-9999)).read(channels=[0, 2])[1].all()


def test_black_in_one_channel_of_8_bit_imagery_is_a_colour(write):
    pixels = np.full((3, 4, 4), 9, np.uint8)
    pixels[0, 0, 0] = 0
    pixels[:, 1, 1] = 0
    _, valid = open_raster(write(pixels, nodata=0)).read()
    assert np.argwhere(~valid).tolist() == [[1, 1]]


@pytest.mark.parametrize("nodata", [float("nan"), -9999.0, None])
def test_nan_and_infinity_are_never_data(write, nodata):
    pixels = ramp(dtype="float32")
    pixels[0, 0, 0], pixels[2, 1, 1] = np.nan, np.inf
    _, valid = open_raster(write(pixels, nodata=nodata)).read()
    assert np.argwhere(~valid).tolist() == [[0, 0], [1, 1]]


def test_numbers_beyond_physics_are_never_data(write):
    """A fill value that the file does not declare, as GDAL and ESRI write it."""
    pixels = ramp(dtype="float32")
    pixels[0, 0, 0], pixels[2, 1, 1], pixels[1, 2, 2] = -3.4028235e38, 1e38, 1e20
    _, valid = open_raster(write(pixels)).read()
    assert np.argwhere(~valid).tolist() == [[0, 0], [1, 1]]


def test_the_lowest_float32_as_nodata_is_found_in_float32(write):
    pixels = ramp(dtype="float32")
    pixels[:, 0, 0] = np.finfo(np.float32).min
    _, valid = open_raster(write(pixels, nodata=-3.4028234663852886e38)).read()
    assert (~valid).sum() == 1


def test_a_mask_in_the_file_is_honoured_beside_nodata(write):
    mask = np.full((20, 30), 255, np.uint8)
    mask[5, 6] = 0
    pixels = ramp()
    pixels[:, 0, 0] = 0
    _, valid = open_raster(write(pixels, mask=mask)).declared(nodata=0).read()
    assert np.argwhere(~valid).tolist() == [[0, 0], [5, 6]]


def test_an_alpha_band_is_a_mask_and_not_a_band(write):
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[3, 2, 1] = 0
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    source = open_raster(write(pixels, photometric="RGB", colours=colours))
    assert source.names == ("red", "green", "blue")
    got, valid = source.read()
    assert got.shape == (3, 4, 4)
    assert np.argwhere(~valid).tolist() == [[2, 1]]


def test_a_user_may_know_better_than_the_file(write):
    path = write(ramp(), crs=None)
    source = open_source(path, crs="EPSG:32632", nodata=1)
    assert source.crs == UTM
    assert np.argwhere(~source.read()[1]).tolist() == [[0, 0]]
    with pytest.raises(InputError, match="'EPSG:0' is no CRS that PROJ knows"):
        open_source(path, crs="EPSG:0")


def test_what_a_file_says_counts_before_what_the_user_says(write):
    path = write(ramp(), nodata=2)
    known = np.ones(open_raster(path).read()[1].shape, bool)
    known.flat[:2] = False  # 1 is the user's, 2 the file's
    np.testing.assert_array_equal(open_source(path, crs="EPSG:32632", nodata=1).read()[1], known)
    with pytest.raises(InputError, match=r"lies in EPSG:32632 by what it says, and --crs says EPSG:23034; leave --crs"):
        open_source(path, crs="EPSG:23034")


# ------------------------------------------------------------------------------------------------------- photographs


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright_as_pillow_does(tmp_path, orientation):
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture)).transpose(2, 0, 1)
    source = open_raster(tmp_path / "photo.png")
    assert (source.height, source.width) == expected.shape[1:]
    np.testing.assert_array_equal(source.read()[0], expected)
    np.testing.assert_array_equal(source.read(Window(3, 5, 8, 9))[0], expected[:, 3:11, 5:14])


def test_a_transparent_picture_turned_upright_keeps_its_mask_in_place(tmp_path):
    stored = np.full((10, 20, 4), 255, np.uint8)
    stored[0, 0, 3] = 0
    exif = Image.Exif()
    exif[274] = 6  # the stored first corner is shown at the top right
    Image.fromarray(stored).save(tmp_path / "photo.png", exif=exif)
    _, valid = open_raster(tmp_path / "photo.png").read()
    assert np.argwhere(~valid).tolist() == [[0, 9]]


def test_a_picture_with_a_palette_has_the_colours_that_it_stands_for(tmp_path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "palette.png")
    source = open_raster(tmp_path / "palette.png")
    assert source.names == ("red", "green", "blue")
    assert source.read()[0][:, 0, 0].tolist() == [10, 20, 30]


def test_a_picture_of_16_bits_keeps_them(tmp_path):
    pixels = ramp(3, 8, 8) * 300
    with rasterio.open(tmp_path / "deep.png", "w", driver="PNG", count=3, height=8, width=8, dtype="uint16") as target:
        target.write(pixels)
    source = open_raster(tmp_path / "deep.png")
    assert (source.dtype, source.names) == ("uint16", ("red", "green", "blue"))
    np.testing.assert_array_equal(source.read()[0], pixels)


def test_a_png_cut_short_is_refused_though_gdal_reads_it(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    picture.save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.png.*damaged or cut short"):
        open_raster(tmp_path / "cut.png").read()


# -------------------------------------------------------------------------------------------------------- bad inputs


def test_a_missing_file_suggests_its_neighbours(write):
    path = write(ramp())
    with pytest.raises(InputError, match=r"scen\.tif does not exist; did you mean scene\.tif"):
        open_raster(path.with_name("scen.tif"))


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "empty.tif").touch()
    with pytest.raises(InputError, match=r"empty\.tif is empty \(0 bytes\); expected a raster\. Download"):
        open_raster(tmp_path / "empty.tif")


def test_a_folder_is_no_raster(tmp_path):
    with pytest.raises(InputError, match="is a folder; expected one raster file"):
        open_raster(tmp_path)


def test_a_png_named_tif_is_told_by_its_contents(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "fake.png")
    (tmp_path / "fake.png").rename(tmp_path / "fake.tif")
    with pytest.raises(InputError, match=r"fake\.tif is a PNG picture by its contents.*rename it to fake\.png"):
        open_raster(tmp_path / "fake.tif")


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "HTML or XML, perhaps the error page of a download"),
        (b"PK\x03\x04rest", "a ZIP archive; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer; type `git lfs pull`"),
        (b"id,x,y\n1,2,3\n", "unknown, beginning b'id,x,y"),
    ],
)
def test_what_is_no_raster_is_named(tmp_path, contents, what):
    (tmp_path / "scene.tif").write_bytes(contents)
    with pytest.raises(InputError) as caught:
        open_raster(tmp_path / "scene.tif")
    assert what in str(caught.value)


def test_a_crs_is_required_where_it_is_needed(write):
    path = write(ramp(), crs=None)
    assert open_raster(path).crs is None
    with pytest.raises(InputError, match=r"has no CRS; .*--crs EPSG:32632"):
        open_raster(path, require_crs=True)


def test_complex_numbers_are_refused_with_the_way_out(write):
    with pytest.raises(InputError, match=r"complex numbers .*export intensity"):
        open_raster(write(np.ones((1, 4, 4), np.complex64)))


# --------------------------------------------------------------------------------------------- threads and processes


def test_threads_read_the_same_as_one(write):
    pixels = np.random.default_rng(0).integers(1, 9999, (4, 300, 300), np.uint16)
    source = open_raster(write(pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate"))
    windows = [Window(row, col, 70, 70) for row in range(0, 300, 37) for col in range(0, 300, 37)] * 3
    with ThreadPoolExecutor(8) as pool:
        for window, (got, valid) in zip(windows, pool.map(source.read, windows), strict=True):
            inside = window.clipped(300, 300)
            assert valid.sum() == inside.height * inside.width
            np.testing.assert_array_equal(got[:, : inside.height, : inside.width], pixels[:, *inside.slices])


def test_a_source_goes_to_another_process_and_opens_its_own_handles(write):
    source = open_raster(write(ramp()))
    source.read()
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read()[0], source.read()[0])


def test_the_block_cache_does_not_grow_with_the_machine(monkeypatch):
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    with gdal():
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 256 << 20  # rasterio takes bytes
    monkeypatch.setenv("GDAL_CACHEMAX", "64")
    with gdal():
        assert "GDAL_CACHEMAX" not in rasterio.env.getenv()


# ------------------------------------------------------------------------------------------------------------ arrays


def test_an_array_reads_like_the_file_it_was_written_to(write):
    pixels = ramp(dtype="float32")
    pixels[0, 2, 2] = np.nan
    file = open_raster(write(pixels, nodata=5, descriptions=("a", "b", "c")))
    array = open_array(pixels, names=("a", "b", "c"), crs=32632, transform=NORTH_UP, nodata=5)
    assert isinstance(array, ArraySource)
    assert isinstance(file, FileSource)
    for fact in ("height", "width", "count", "dtype", "crs", "transform", "names", "nodata", "scales", "gsd_m"):
        assert getattr(array, fact) == getattr(file, fact), fact
    for one, other in zip(
        array.read(Window(-1, -1, 9, 9), [2, 0]), file.read(Window(-1, -1, 9, 9), [2, 0]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_is_read_from_an_array_may_be_changed_without_changing_it():
    pixels = ramp()
    got, _ = open_array(pixels).read(Window(0, 0, 20, 30))
    got[:] = 0
    assert pixels.min() == 1


def test_a_plane_is_one_band():
    assert open_array(np.ones((5, 6))).read()[0].shape == (1, 5, 6)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,), (0, 5, 5)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"expected real numbers in the order \(bands, height, width\)"):
        open_array(np.ones(shape))


def test_names_must_be_as_many_as_bands():
    with pytest.raises(InputError, match="array has 3 bands and 2 names"):
        open_array(ramp(), names=("a", "b"))


def data_array(**changes):
    xarray = pytest.importorskip("xarray")
    told = {
        "dims": ("y", "x", "band"),
        "coords": {
            "band": ["B02", "B03"],
            "y": 5_000_000 - 10 * (np.arange(4) + 0.5),
            "x": 500_000 + 10 * (np.arange(6) + 0.5),
            "spatial_ref": ((), 0, {"crs_wkt": UTM.to_wkt()}),
        },
        "attrs": {"_FillValue": 3, "units": "1", "scale_factor": 1e-4},
    } | changes
    return xarray.DataArray(np.arange(48).reshape(4, 6, 2).astype("int16"), **told)


def test_a_data_array_brings_names_crs_transform_and_nodata():
    source = open_source(data_array())
    assert (source.names, source.crs, source.nodata) == (("B02", "B03"), UTM, 3)
    assert source.transform.almost_equals(NORTH_UP)
    assert (source.scales, source.units) == ((1e-4, 1e-4), ("1", "1"))
    pixels, valid = source.read(Window(0, 1, 1, 2))
    assert pixels.tolist() == [[[2, 4]], [[3, 5]]]
    assert valid.tolist() == [[False, True]]


def test_a_data_array_with_another_dimension_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"dimensions \('time', 'y', 'band'\); expected \(band, y, x\).*isel"):
        open_source(data_array(dims=("time", "y", "band"), coords={}))


def test_a_data_array_on_an_irregular_grid_is_refused():
    coords = {"y": [0.0, 1.0, 2.0, 9.0], "x": np.arange(6.0)}
    with pytest.raises(InputError, match="not equally spaced"):
        open_source(data_array(coords=coords))


def test_an_opened_source_is_taken_as_it_is(write):
    source = open_raster(write(ramp()))
    assert open_source(source).path == source.path
