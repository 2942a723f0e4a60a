"""CSV files as spreadsheets and R write them, points from a GIS, and what is no table."""

from __future__ import annotations

import gzip
import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zoo.errors import InputError, ZooWarning
from zoo.io import tables
from zoo.io.delimited import EMPTY, HEAD_BYTES, dialect_of
from zoo.io.table_blocks import Rows, blocks_of, columns_of
from zoo.io.tables import is_like_table, open_table
from zoo.io.vectors import write_geojson

TEXT = "id,höhe °C,species\n1,2.5,Gentiana lútea\n2,,Abies alba\n"


def values(path, column):
    """The numbers of a column of a held table, which blocks of the file must give too."""
    held = open_table(path).numbers(column)
    opened = open_table(path, held=False)
    np.testing.assert_array_equal(Rows(opened, [column])[slice(0, len(held))][:, 0], held)
    np.testing.assert_array_equal(opened.numbers(column), held)
    return held.tolist()


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


# ---------------------------------------------------------------------------------------------------------- encoding


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_bytes_tell_the_encoding(tmp_path, encoding):
    path = written(tmp_path / "sites.csv", TEXT, encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_table(path)
    assert opened.columns == ("id", "höhe °C", "species")
    assert opened.data["species"].to_pylist() == ["Gentiana lútea", "Abies alba"]
    np.testing.assert_array_equal(values(path, "höhe °C"), [2.5, np.nan])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_windows_1252_is_read_with_one_warning(tmp_path, suffix, monkeypatch):
    """The first letter beyond ASCII is in a later block than the first."""
    monkeypatch.setattr(tables, "BLOCK_BYTES", 4096)
    text = "id,deg,species\n" + "1,2.5,Abies alba\n" * 70_000 + "2,3,Gentiana lútea\n"
    path = tmp_path / f"finds{suffix}"
    path.write_bytes(gzip.compress(text.encode("cp1252")) if suffix.endswith("gz") else text.encode("cp1252"))
    with pytest.warns(ZooWarning, match=r"finds.*was read as Windows-1252; save it as UTF-8 to be sure") as told:
        opened, long = (open_table(path, held=held) for held in (True, False))
    assert (len(told), long.ids[-1].as_py()) == (1, 2)
    assert opened.data["species"].type == pa.string()
    assert opened.data["species"][-1].as_py() == "Gentiana lútea"


def test_a_header_in_windows_1252_names_its_columns(tmp_path):
    path = written(tmp_path / "sites.csv", TEXT, "cp1252")
    with pytest.warns(ZooWarning, match="Windows-1252"):
        opened = open_table(path, held=False)
    assert opened.columns == ("id", "höhe °C", "species")
    np.testing.assert_array_equal(values(path, "höhe °C"), [2.5, np.nan])


@pytest.mark.parametrize("raw", [b"id,a\n\x81,1\n\xe9,2\n", "id,a\n1,2".encode("utf-16") + b"\n"])
def test_text_of_no_encoding_is_an_error(tmp_path, raw):
    (tmp_path / "sites.csv").write_bytes(raw)
    for held in (True, False):
        with pytest.raises(InputError, match=r"neither UTF-8 nor Windows-1252|begins as UTF-16.*expected UTF-8"):
            open_table(tmp_path / "sites.csv", held=held)


def test_bytes_become_text_or_nothing(tmp_path):
    raw = pa.array(["Gentiana lútea".encode()], pa.binary())
    pq.write_table(pa.table({"id": [1], "species": raw, "thumb": pa.array([b"\xff\xd8"])}), tmp_path / "a.parquet")
    opened = open_table(tmp_path / "a.parquet")
    assert (opened.columns, opened.data["species"].to_pylist()) == (("id", "species"), ["Gentiana lútea"])
    with pytest.raises(InputError, match="column 'plot' holds bytes, expected text or numbers"):
        open_table(pa.table({"plot": pa.array([b"\xff\xd8"])}))


# -------------------------------------------------------------------------------------------------- cells of numbers


def test_empty_cells_are_the_same_beside_numbers_and_beside_text(tmp_path):
    cells = ["1.5", *EMPTY, "2"]
    clean = written(tmp_path / "clean.csv", "id,a\n" + "".join(f"{row},{one}\n" for row, one in enumerate(cells)))
    np.testing.assert_array_equal(values(clean, "a"), [1.5, *[np.nan] * len(EMPTY), 2])
    unclean = written(tmp_path / "unclean.csv", clean.read_text() + "x,ca. 7\ny,8?\n")
    said = rf"column 'a' holds the text 'ca. 7' in row {len(cells) + 1}, expected numbers; correct the cell"
    with pytest.raises(InputError, match=said):
        open_table(unclean).numbers("a")
    with pytest.raises(InputError, match=said):
        Rows(open_table(unclean, held=False), ["a"]).sample(3)


def test_text_in_memory_is_named_by_the_row_of_the_table(monkeypatch):
    monkeypatch.setattr("zoo.io.table_blocks.BLOCK_NUMBERS", 10)
    opened = open_table(pa.table({"a": [*["1"] * 25, "NA", "ca. 7", "2"]}))
    with pytest.raises(InputError, match=r"the text 'ca. 7' in row 27"):
        Rows(opened, ["a"])[slice(0, 5)]
    with pytest.raises(InputError, match=r"holds numbers as text.*write them as numbers"):
        open_table(pa.table({"a": ["1", "2"]})).numbers("a")


# ----------------------------------------------------------------------------------------------------- decimal commas


@pytest.mark.parametrize(("delimiter", "quote"), [(";", ""), ("\t", ""), (";", '"')])
def test_decimal_commas_are_read(tmp_path, delimiter, quote):
    rows = [
        ["id", "lon", "lat", "a"],
        ["x", "8,5", "46,25", "21,72606"],
        ["y", "-0,5", "47", "NA"],
        ["z", "8", "46", "1e3"],
    ]
    path = tmp_path / "sites.csv"
    path.write_text("\n".join(delimiter.join(f"{quote}{one}{quote}" for one in row) for row in rows))
    np.testing.assert_array_equal(values(path, "a"), np.float32([21.72606, np.nan, 1000]))
    for held in (True, False):
        assert open_table(path, held=held).places[:, 0].tolist() == [[8.5, 46.25], [-0.5, 47], [8, 46]]
    assert columns_of(path).numbers == ("lon", "lat", "a")
    (block,) = blocks_of(path, ["lat"])
    assert block["lat"].tolist() == [46.25, 47, 46]


@pytest.mark.parametrize(
    ("rows", "point"),
    [
        ("1.5;2\n3;4", "."),
        ("1.5;2,5\n3;4", "."),  # of one language or the other
        ("1,234;12,345\n9,876;1", "."),  # of thousands, perhaps
        ("1,234;0,345\n9,876;1", ","),
        ("a,5b;12.05.2020\n3;,5", ","),
        ("1;2\n3;4", "."),
    ],
)
def test_a_comma_is_decimal_where_nothing_speaks_against_it(tmp_path, rows, point):
    assert dialect_of(written(tmp_path / "a.csv", f"a;b\n{rows}\n")).decimal_point == point


def test_where_commas_and_points_mix_the_error_says_what_to_save(tmp_path):
    mixed = written(tmp_path / "mixed.csv", "a;b\n1.5;2,5\n3;4\n")
    with pytest.raises(
        InputError, match=r"'b' holds the text '2,5' in row 1.*a decimal comma\?.*R: write\.csv\).*CSV UTF-8"
    ):
        open_table(mixed).numbers("b")
    rows = "1,5;2,5\n" * (HEAD_BYTES // 8 + 1)
    late = written(tmp_path / "late.csv", f"a;b\n{rows}1,5;2.5\n")
    said = rf"'b' holds the text '2.5' in row {rows.count(chr(10)) + 1}.*a decimal point, and commas elsewhere\?"
    with pytest.raises(InputError, match=said):
        Rows(open_table(late, held=False), ["a", "b"]).sample(3)
    assert values(late, "a")[0] == 1.5


# -------------------------------------------------------------------------------------------------- points and others


def test_points_of_geojson_are_a_table(tmp_path):
    table, places = pa.table({"id": [7, 8], "a": [1.5, None]}), np.array([[8.5, 46.25], [np.nan, np.nan]])[:, None]
    write_geojson(table, places, tables.to_crs("OGC:CRS84"), tmp_path / "sites.geojson", {})
    opened = open_table(tmp_path / "sites.geojson", held=False)
    assert (opened.ids.to_pylist(), opened.crs) == ([7, 8], tables.to_crs("OGC:CRS84"))
    np.testing.assert_array_equal(opened.places, places)
    np.testing.assert_array_equal(Rows(opened, ["a"])[slice(0, 2)][:, 0], [1.5, np.nan])


def test_geojson_may_state_a_crs_and_write_single_points_as_several(tmp_path):
    told = {
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2056"}},
        "features": [
            {"properties": {"id": 1}, "geometry": {"type": "MultiPoint", "coordinates": [[2.6e6, 1.2e6, 430]]}}
        ],
    }
    path = tmp_path / "sites.json"
    path.write_text(json.dumps(told))
    opened = open_table(path)
    assert (opened.places.tolist(), opened.crs) == ([[[2.6e6, 1.2e6]]], tables.to_crs("EPSG:2056"))
    with pytest.raises(InputError, match="geometry is in EPSG:2056, and --crs says EPSG:32634"):
        open_table(path, crs="EPSG:32634")
    told["features"][0]["geometry"]["coordinates"].append([0, 0])
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="holds shapes that are no points"):
        open_table(path)
    path.write_text('{"a": 1}')
    with pytest.raises(InputError, match="no GeoJSON of points"):
        open_table(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sites.gpkg", r"is a vector file, expected a table .*GEOMETRY=AS_XY"),
        ("sites.shp", r"is a vector file, .*GeoJSON or Parquet"),
        ("sites.xlsx", r"is a spreadsheet, expected a table .*save the sheet as CSV UTF-8"),
        ("sites.ods", r"is a spreadsheet"),
    ],
)
def test_vectors_and_spreadsheets_are_told_what_to_save(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"SQLite format 3\0")
    assert is_like_table(tmp_path / name)
    for held in (True, False):
        with pytest.raises(InputError, match=said):
            open_table(tmp_path / name, held=held)


def test_a_geopackage_of_rasters_is_no_table(tmp_path):
    import rasterio

    profile = {"driver": "GPKG", "width": 4, "height": 4, "count": 3, "dtype": "uint8", "crs": "EPSG:3857"}
    transform = rasterio.transform.from_origin(0, 0, 10, 10)
    with rasterio.open(tmp_path / "a.gpkg", "w", transform=transform, **profile) as file:
        file.write(np.full((3, 4, 4), 9, np.uint8))
    assert not is_like_table(tmp_path / "a.gpkg")
