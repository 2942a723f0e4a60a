import csv
import hashlib
import itertools
import json
import os
import struct
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from affine import Affine
from pyarrow import parquet
from rasterio.crs import CRS

from zoo.errors import InputError, MissingDependency, OutputError
from zoo.io.cog import class_colours
from zoo.io.grid import Grid
from zoo.io.rasters import open_source
from zoo.results.maps import RasterResult, open_sink
from zoo.results.pictures import fit_components
from zoo.results.provenance import Provenance
from zoo.results.rows import ChipTable, RowsResult
from zoo.tiling import Window

UTM = CRS.from_epsg(32632)
GRID = Grid(height=40, width=60, crs=UTM, transform=Affine(160, 0, 5e5, 0, -160, 5e6))
MADE = Provenance(
    model="toy",
    variant="small",
    weights="hf://org/toy/model.safetensors",
    revision="0" * 40,
    sha256=None,
    zoo_version="0.1.0",
    options={"window": "224", "blend": "none"},
)


def layout(names=("a", "b"), nodata=float("nan"), unit="1", classes=()):
    return SimpleNamespace(names=tuple(names), nodata=nodata, unit=unit, classes=tuple(classes), colours=())


def vectors(bands=8):
    """A smooth field of vectors with a hole at rows 10-19, columns 20-29."""
    rows, cols = np.mgrid[: GRID.height, : GRID.width] / 20
    field = np.stack([np.sin(rows + index) * np.cos(cols * (index + 1) / 3) for index in range(bands)])
    field[:, 10:20, 20:30] = np.nan
    return field.astype(np.float32)


def sunk(out, pixels, told, dtype="float32"):
    with open_sink(out, GRID, told, dtype=dtype, provenance=MADE) as sink:
        for window in sink.blocks():
            sink.write(window, pixels[:, *window.slices])
    return sink.result()


def label_map(out=None):
    ids = np.zeros((1, GRID.height, GRID.width), np.uint8)
    ids[:, :, 30:] = 2
    ids[:, :5] = 255
    return sunk(out, ids, layout(["label"], 255, "", ["sea", "sand", "coral"]), "uint8")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -------------------------------------------------------------------------------------------------------- provenance


def test_provenance_goes_through_tags_and_back():
    tags = MADE.tags()
    assert tags["ZOO_MODEL"] == "toy"
    assert tags["ZOO_SHA256"] == "not pinned"
    assert tags["ZOO_OPTIONS"] == '{"blend": "none", "window": "224"}'
    assert Provenance.from_tags({**tags, "AREA_OR_POINT": "Area"}) == MADE
    assert Provenance.from_tags({"AREA_OR_POINT": "Area"}) is None


# -------------------------------------------------------------------------------------------------------------- maps


def test_a_map_in_a_file_and_a_map_in_memory_are_the_same(tmp_path):
    pixels = vectors()
    told = layout([f"e{index}" for index in range(8)])
    filed, kept = sunk(tmp_path / "map.tif", pixels, told), sunk(None, pixels, told)
    np.testing.assert_array_equal(filed.values, pixels)
    np.testing.assert_array_equal(kept.values, pixels)
    for fact in ("grid", "names", "dtype", "unit", "classes", "provenance"):
        assert getattr(filed, fact) == getattr(kept, fact), fact
    assert np.isnan(filed.nodata)
    assert np.isnan(kept.nodata)
    kept.save(tmp_path / "saved.tif")
    assert digest(tmp_path / "saved.tif") == digest(tmp_path / "map.tif")


def test_a_file_remembers_how_it_was_made(tmp_path):
    label_map(tmp_path / "label.tif")
    result = RasterResult.open(tmp_path / "label.tif")
    assert result.provenance == MADE
    assert result.classes == ("sea", "sand", "coral")
    assert (result.nodata, result.dtype, result.names) == (255, "uint8", ("label",))
    assert result.valid(result.values).mean() == 35 / 40


def test_an_unfinished_map_has_no_result(tmp_path):
    with pytest.raises(InputError), open_sink(tmp_path / "a.tif", GRID, layout(), dtype="float32", provenance=MADE):
        raise InputError("stop")
    assert os.listdir(tmp_path) == []


def test_a_map_is_copied_converted_or_left_where_it_is(tmp_path):
    result = sunk(tmp_path / "map.tif", vectors(), layout([f"e{index}" for index in range(8)]))
    result.save(tmp_path / "copy.tif")
    assert digest(tmp_path / "copy.tif") == digest(tmp_path / "map.tif")
    result.save(tmp_path / "map.tif")
    assert digest(tmp_path / "copy.tif") == digest(tmp_path / "map.tif")
    result.save(tmp_path / "half.tif", dtype="float16")
    np.testing.assert_array_equal(RasterResult.open(tmp_path / "half.tif").values, vectors().astype(np.float16))


def test_float16_of_class_ids_is_refused(tmp_path):
    with pytest.raises(OutputError, match="float16 was asked for a map of uint8"):
        label_map().save(tmp_path / "label.tif", dtype="float16")


def test_an_unknown_extension_lists_the_known_ones(tmp_path):
    with pytest.raises(
        OutputError, match=r"map\.xyz has the extension '\.xyz'; a map is written as \.tif, \.tiff, \.png"
    ):
        label_map().save(tmp_path / "map.xyz")
    with pytest.raises(OutputError, match=r"has no extension; a table is written as \.parquet, \.geojson, \.csv"):
        chips().save(tmp_path / "chips")
    assert os.listdir(tmp_path) == []


def test_a_map_becomes_a_data_array_that_reads_back_the_same():
    pytest.importorskip("xarray")
    result = sunk(None, vectors(2), layout(unit="degC"))
    array = result.to_xarray()
    assert array.dims == ("band", "y", "x")
    assert array.sel(band="b").shape == (40, 60)
    assert float(array.x[0]) == 500_080
    assert float(array.y[0]) == 4_999_920
    assert array.attrs["units"] == "degC"
    assert array.attrs["ZOO_MODEL"] == "toy"
    back = open_source(array)
    assert (back.crs, back.names) == (UTM, ("a", "b"))
    assert back.transform.almost_equals(GRID.transform)
    np.testing.assert_array_equal(back.read()[1], result.valid(result.values))


# ---------------------------------------------------------------------------------------------------------- pictures


def drawn(figure):
    """The image of a figure as red, green, blue, alpha in 0 ... 1."""
    (image,) = figure.axes[0].images
    return image.to_rgba(image.get_array())


def test_the_picture_of_embeddings_is_transparent_where_there_is_nothing():
    rgba = drawn(sunk(None, vectors(), layout([f"e{index}" for index in range(8)])).plot())
    assert rgba.shape == (40, 60, 4)
    assert (rgba[10:20, 20:30, 3] == 0).all()
    assert (rgba[..., 3] == 1).sum() == 40 * 60 - 100
    assert rgba[..., :3].std(axis=(0, 1)).min() > 0.1  # all three components vary


def test_places_with_equal_vectors_have_equal_colours_and_others_do_not():
    pixels = np.zeros((8, GRID.height, GRID.width), np.float32)
    pixels[:, :, 20:] = np.arange(8)[:, None, None]
    pixels[3, 20:] += 5
    rgba = drawn(sunk(None, pixels, layout([f"e{index}" for index in range(8)])).plot())
    assert len(np.unique(rgba.reshape(-1, 4).round(5), axis=0)) == 4


def test_components_are_ordered_signed_and_do_not_depend_on_shifts():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 6)) * [1, 9, 1, 3, 1, 1]
    fitted = fit_components(rows)
    assert np.abs(fitted.axes).argmax(axis=0)[:2].tolist() == [1, 3]
    assert (fitted.axes[[1, 3], [0, 1]] > 0.98).all()
    np.testing.assert_allclose(fit_components(rows + 7).colours(rows + 7), fitted.colours(rows), atol=1e-9)
    assert fitted.colours(rows).min() == 0
    assert fitted.colours(rows).max() == 1


def test_a_map_with_two_bands_has_colours_too():
    assert drawn(sunk(None, vectors(2), layout()).plot())[..., 2].max() == 0


@pytest.mark.parametrize("bands", [1, 8])
def test_a_map_of_nothing_is_drawn_empty(bands):
    nothing = np.full((bands, GRID.height, GRID.width), np.nan, np.float32)
    figure = sunk(None, nothing, layout([f"e{index}" for index in range(bands)])).plot()
    assert np.asarray(drawn(figure))[..., 3].max() == 0


def test_the_picture_of_classes_has_their_colours_and_a_legend_of_those_that_occur():
    figure = label_map().plot()
    rgba = drawn(figure)
    palette = np.array(class_colours(3)) / 255
    np.testing.assert_allclose(rgba[20, 0], palette[0], atol=1e-2)
    np.testing.assert_allclose(rgba[20, 40], palette[2], atol=1e-2)
    assert rgba[0, 0, 3] == 0
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["sea", "coral"]


def test_one_band_has_a_colour_bar_with_its_unit():
    figure = sunk(None, vectors(2), layout(unit="degC")).plot(band="b")
    assert figure.axes[1].get_ylabel() == "b (degC)"
    image = figure.axes[0].images[0]
    np.testing.assert_array_equal(image.get_array()[0], vectors(2)[1][0])
    assert image.get_extent() == [500_000, 509_600, 4_993_600, 5_000_000]


@pytest.mark.parametrize("out", [None, "map.tif"])
def test_numbers_beyond_half_precision_are_refused_in_memory_as_in_a_file(tmp_path, out):
    pixels = np.full((2, GRID.height, GRID.width), 70_000, np.float32)
    with pytest.raises(OutputError, match="float16 reaches 65504, and the numbers 70000; write float32"):
        sunk(out and tmp_path / out, pixels, layout(), "float16")
    assert os.listdir(tmp_path) == []


def test_an_unknown_band_lists_those_that_there_are():
    with pytest.raises(InputError, match="no band 'c'; its 2 bands are a, b"):
        sunk(None, vectors(2), layout()).plot(band="c")


def test_a_large_map_is_drawn_from_some_of_its_pixels(tmp_path):
    grid = Grid(height=3000, width=2500)
    with open_sink(tmp_path / "map.tif", grid, layout(["n"]), dtype="float32", provenance=None) as sink:
        for window in sink.blocks():
            rows, cols = np.mgrid[window.slices]
            sink.write(window, (rows * 10_000 + cols)[None].astype(np.float32))
    (image, *_) = sink.result().plot().axes[0].images
    rows, cols = np.mgrid[0:3000:3, 0:2500:3]
    np.testing.assert_array_equal(image.get_array(), (rows * 10_000 + cols).astype(np.float32))


def test_pictures_are_files_with_provenance_and_the_same_bytes_each_time(tmp_path):
    from PIL import Image

    for name in ("one.png", "two.png"):
        sunk(None, vectors(), layout([f"v{index}" for index in range(8)])).save(tmp_path / name)
    assert digest(tmp_path / "one.png") == digest(tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.info["ZOO_MODEL"] == "toy"
        assert min(picture.size) > 200


def test_class_ids_are_pictured_pixel_by_pixel_with_their_legend(tmp_path):
    from PIL import Image

    result = label_map()
    result.save(tmp_path / "ids.png")
    with Image.open(tmp_path / "ids.png") as picture:
        np.testing.assert_array_equal(np.array(picture), result.values[0])  # ids, coloured by the palette
        assert json.loads(picture.info["ZOO_CLASSES"]) == ["sea", "sand", "coral"]
        colours = json.loads(picture.info["ZOO_COLOURS"])
        assert picture.convert("RGBA").getpixel((40, 10)) == (*colours[2], 255)
        assert picture.convert("RGBA").getpixel((0, 0))[3] == 0  # nodata
        assert picture.info["ZOO_MODEL"] == "toy"


def test_without_matplotlib_the_line_to_type_is_given(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match=r"pip install 'lasig-zoo\[plot\]'"):
        label_map().plot()


# -------------------------------------------------------------------------------------------------------------- rows


def chips(crs=("EPSG:32632", "EPSG:32632"), columns=None):
    return ChipTable(
        ids=("a.tif", "b.tif"),
        bounds=np.array([[500_000, 4_999_000, 501_000, 5_000_000], [502_000, 4_999_000, 503_000, 5_000_000]], float),
        crs=crs,
        values=np.arange(6, dtype=np.float32).reshape(2, 3),
        columns=columns,
        provenance=MADE,
        failures={"c.tif": "is empty"},
    )


def polygon(wkb):
    """Corners of a polygon with one ring, read by the book."""
    order, kind, rings, num = struct.unpack_from("<BIII", wkb)
    assert (order, kind, rings) == (1, 3, 1)
    assert len(wkb) == 13 + 16 * num
    return np.frombuffer(wkb, "<f8", offset=13).reshape(num, 2)


def test_chips_become_geoparquet_with_footprints(tmp_path):
    table = parquet.read_table(chips().save(tmp_path / "chips.parquet"))
    assert table.column_names == ["id", "embedding", "geometry"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert table["embedding"].to_pylist() == [[0, 1, 2], [3, 4, 5]]
    ring = polygon(table["geometry"][1].as_py())
    assert ring.tolist() == [[502e3, 4999e3], [503e3, 4999e3], [503e3, 5000e3], [502e3, 5000e3], [502e3, 4999e3]]
    geo = json.loads(table.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert column["orientation"] == "counterclockwise"
    assert column["bbox"] == [500_000, 4_999_000, 503_000, 5_000_000]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32632}
    assert Provenance.from_tags({key.decode(): value.decode() for key, value in table.schema.metadata.items()}) == MADE


def test_other_readers_agree_on_the_geometry(tmp_path):
    shapely = pytest.importorskip("shapely")
    table = parquet.read_table(chips().save(tmp_path / "chips.parquet"))
    shapes = shapely.from_wkb(table["geometry"].to_pylist())
    assert [shape.bounds for shape in shapes] == [tuple(row) for row in chips().bounds]
    assert all(shape.is_valid and shape.exterior.is_ccw for shape in shapes)


def test_chips_with_classes_have_a_column_each(tmp_path):
    table = parquet.read_table(chips(columns=("sea", "sand", "reef")).save(tmp_path / "chips.parquet"))
    assert table.column_names == ["id", "sea", "sand", "reef", "geometry"]
    assert table["sand"].to_pylist() == [1, 4]


def test_chips_of_several_zones_lie_in_longitude_and_latitude():
    rows = chips(crs=("EPSG:32632", "EPSG:32633")).rows()
    assert rows.crs.to_dict(projjson=True)["id"] == {"authority": "OGC", "code": "CRS84"}
    # x = 500 km is the central meridian: 9 and 15 degrees east
    assert rows.places[0, 0, 0] == pytest.approx(9, abs=1e-9)
    assert rows.places[1, 0, 0] == pytest.approx(15.0254, abs=1e-4)
    assert rows.places[0, 3, 1] == pytest.approx(45.1535, abs=1e-3)


def test_chips_without_a_place_have_no_geometry(tmp_path):
    table = parquet.read_table(chips(crs=("", "")).save(tmp_path / "chips.parquet"))
    assert table.column_names == ["id", "embedding"]
    assert b"geo" not in table.schema.metadata


def test_a_chip_without_a_place_among_others_has_a_null_geometry(tmp_path):
    table = parquet.read_table(chips(crs=("", "EPSG:32632")).save(tmp_path / "chips.parquet"))
    assert [value is None for value in table["geometry"].to_pylist()] == [True, False]
    assert json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]["bbox"][0] == 502_000
    chips(crs=("", "EPSG:32632")).save(tmp_path / "chips.geojson")
    features = json.loads((tmp_path / "chips.geojson").read_text())["features"]
    assert [feature["geometry"] is None for feature in features] == [True, False]


def test_csv_has_centres_vectors_and_provenance_beside_it(tmp_path):
    chips().save(tmp_path / "chips.csv")
    with (tmp_path / "chips.csv").open() as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["id", "x", "y", "crs", "embedding_0000", "embedding_0001", "embedding_0002"]
    assert (first["x"], first["y"], first["crs"]) == ("500500", "4999500", "EPSG:32632")
    assert second["embedding_0002"] == "5"
    told = json.loads((tmp_path / "chips.csv-metadata.json").read_text())
    assert told["url"] == "chips.csv"
    assert Provenance.from_tags(told["notes"][0]) == MADE


def points(crs=UTM):
    return RowsResult(
        table=pa.table({"class": ["gull", "tern"], "score": [0.9, float("nan")], "count": [1, 2]}),
        places=np.array([[[500_000, 5_000_000]], [[np.nan, np.nan]]], float),
        crs=crs,
        provenance=MADE,
    )


def test_points_become_geojson_in_longitude_and_latitude(tmp_path):
    collection = json.loads(points().save(tmp_path / "birds.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    assert Provenance.from_tags(collection["zoo"]) == MADE
    first, second = collection["features"]
    assert first["properties"] == {"class": "gull", "score": 0.9, "count": 1}
    assert first["geometry"]["type"] == "Point"
    np.testing.assert_allclose(first["geometry"]["coordinates"], [9, 45.1535], atol=1e-3)
    assert second["geometry"] is None
    assert second["properties"]["score"] is None  # JSON has no NaN


def test_polygons_become_closed_rings(tmp_path):
    collection = json.loads(chips().save(tmp_path / "chips.geojson").read_text())
    ((ring,),) = [feature["geometry"]["coordinates"] for feature in collection["features"][:1]]
    assert len(ring) == 5
    assert ring[0] == ring[-1]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2
    assert area > 0  # counterclockwise, RFC 7946, 3.1.6
    assert collection["features"][0]["properties"]["embedding"] == [0, 1, 2]


def test_points_of_a_picture_stay_columns_and_rows(tmp_path):
    collection = json.loads(points(crs=None).save(tmp_path / "birds.geojson").read_text())
    assert collection["features"][0]["geometry"] is None
    assert collection["features"][0]["properties"]["x"] == 500_000
    table = parquet.read_table(points(crs=None).save(tmp_path / "birds.parquet"))
    assert json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]["crs"] is None
    assert table["geometry"][0].as_py() == struct.pack("<BIdd", 1, 1, 500_000, 5_000_000)


def test_no_rows_are_a_table_too(tmp_path):
    empty = RowsResult(
        table=pa.table({"class": pa.array([], pa.string())}), places=np.zeros((0, 1, 2)), crs=UTM, provenance=MADE
    )
    assert len(empty) == 0
    assert parquet.read_table(empty.save(tmp_path / "none.parquet")).num_rows == 0
    assert json.loads(empty.save(tmp_path / "none.geojson").read_text())["features"] == []
    assert empty.save(tmp_path / "none.csv").read_text().strip() == '"class","x","y","crs"'


@pytest.mark.parametrize("extension", ["parquet", "geojson", "csv"])
def test_tables_have_the_same_bytes_each_time_and_stand_alone(tmp_path, extension):
    one, two = (chips().save(tmp_path / f"{name}.{extension}") for name in ("one", "two"))
    assert digest(one) == digest(two)
    assert {name for name in os.listdir(tmp_path) if not name.endswith("-metadata.json")} == {one.name, two.name}


def test_a_table_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = chips().save(tmp_path / "chips.parquet")
    before = digest(path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(OutputError, match=r"cannot write .*chips\.parquet: No space left on device"):
        chips().save(path)
    assert digest(path) == before
    assert os.listdir(tmp_path) == ["chips.parquet"]


def test_a_plugin_may_write_what_zoo_cannot(tmp_path, monkeypatch):
    import zoo.plugins

    def first(plugins, hook, *, result, path):
        assert (hook, path) == ("zoo_save_result", str(tmp_path / "chips.shp"))
        return True if len(result) == 2 else None

    monkeypatch.setattr(zoo.plugins.Plugins, "first", first)
    assert chips().rows().save(tmp_path / "chips.shp") == tmp_path / "chips.shp"


def test_without_geopandas_the_line_to_type_is_given(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "geopandas", None)
    with pytest.raises(MissingDependency, match="pip install geopandas"):
        chips().to_geopandas()


# -------------------------------------------------------------------------------------------------------------- grid


def test_a_coarser_grid_keeps_its_corner_and_covers_the_rest():
    coarse = Grid(height=100, width=64, crs=UTM, transform=Affine(10, 0, 5e5, 0, -10, 5e6)).coarser(16)
    assert (coarse.height, coarse.width) == (7, 4)
    assert coarse.transform == Affine(160, 0, 5e5, 0, -160, 5e6)
    assert coarse.gsd_m == 160


def test_a_crop_and_its_footprint_agree():
    window = Window(2, 3, 4, 5)
    corners = [[500_480, 4_999_680], [500_480, 4_999_040], [501_280, 4_999_040], [501_280, 4_999_680]]
    assert GRID.footprint(window).tolist() == corners
    assert GRID.crop(window).corners.tolist() == corners


def test_rows_are_a_data_frame_with_their_places_and_print_in_a_line():
    rows = RowsResult(
        table=pa.table({"id": ["a", "b"], "score": [0.5, None]}),
        places=np.array([[[1.0, 2.0]], [[3.0, 4.0]]]),
        crs=UTM,
        provenance=MADE,
    )
    assert repr(rows) == "RowsResult(2 rows of id, score, EPSG:32632)"
    frame = rows.to_pandas()
    assert list(frame.columns) == ["id", "score", "x", "y", "crs"]
    assert frame["y"].tolist() == [2.0, 4.0]
    assert frame["score"].isna().tolist() == [False, True]
