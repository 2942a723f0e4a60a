"""Tables of sites: where their rows lie, and what tells one from another."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from zoo.errors import InputError
from zoo.io.source import to_crs
from zoo.io.tables import open_table
from zoo.io.vectors import write_geoparquet

PLACES = np.array([[8.2, 46.9], [np.nan, np.nan]])[:, None]


def geoparquet(path, crs):
    write_geoparquet(pa.table({"id": [1, 2]}), PLACES, None if crs is None else to_crs(crs), path, {})
    return path


# ------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("names", [("lon", "lat"), ("decimalLongitude", "decimalLatitude")])
def test_longitude_and_latitude_are_no_metres_whatever_is_told(names):
    table = pa.table(dict(zip(names, ([8.2], [46.9]), strict=True)))
    with pytest.raises(
        InputError, match=rf"columns {names[0]} and {names[1]} are in OGC:CRS84.* says EPSG:32634.*INPUT="
    ):
        open_table(table, crs="EPSG:32634")
    assert open_table(table).crs == to_crs("OGC:CRS84")
    assert open_table(table, crs="EPSG:4258").crs == to_crs("EPSG:4258")


def test_what_a_geoparquet_file_states_is_not_contradicted(tmp_path):
    metric = geoparquet(tmp_path / "metric.parquet", "EPSG:2056")
    assert open_table(metric, crs="EPSG:2056").crs == open_table(metric).crs == to_crs("EPSG:2056")
    with pytest.raises(InputError, match=r"metric.parquet: its geometry is in EPSG:2056, and --crs says EPSG:32634"):
        open_table(metric, crs="EPSG:32634", held=False)
    degrees = geoparquet(tmp_path / "degrees.parquet", "OGC:CRS84")
    assert open_table(degrees, crs="EPSG:4326").places[0].tolist() == [[8.2, 46.9]]
    unknown = geoparquet(tmp_path / "unknown.parquet", None)
    assert open_table(unknown).crs is None
    assert open_table(unknown, crs="EPSG:32634").crs == to_crs("EPSG:32634")


def test_a_geometry_without_a_crs_is_in_degrees(tmp_path):
    table = pa.parquet.read_table(geoparquet(tmp_path / "sites.parquet", None))
    geo = json.loads(table.schema.metadata[b"geo"])
    del geo["columns"]["geometry"]["crs"]
    table = table.replace_schema_metadata({"geo": json.dumps(geo)})
    assert open_table(table).crs == to_crs("OGC:CRS84")
    with pytest.raises(InputError, match="--crs says EPSG:2056"):
        open_table(table, crs="EPSG:2056")


def test_the_column_crs_is_not_contradicted():
    table = pa.table({"x": [2.6e6], "y": [1.2e6], "crs": ["EPSG:2056"]})
    assert open_table(table, crs="EPSG:2056").crs == to_crs("EPSG:2056")
    with pytest.raises(InputError, match=r"columns x and y are in EPSG:2056, and --crs says EPSG:32634"):
        open_table(table, crs="EPSG:32634")
    assert open_table(table.drop_columns("crs"), crs="EPSG:32634").crs == to_crs("EPSG:32634")


@pytest.mark.parametrize(
    ("lon", "lat", "told"),
    [
        ([46.9, 47.1], [8.2, 108.3], "latitude in row 2 is 108.3, expected degrees from -90 to 90"),
        ([8.2, 821234.0], [46.9, 46.8], "longitude in row 2 is 821234, expected degrees from -360 to 360"),
        ([np.nan, np.inf], [np.nan, 46.8], "longitude in row 2 is inf"),
    ],
)
def test_places_beyond_the_earth_are_refused_by_row(lon, lat, told):
    sites = pd.DataFrame({"lon": lon, "lat": lat})
    with pytest.raises(InputError, match=f"{told}.*swapped"):
        open_table(sites)
    with pytest.raises(InputError, match=told):
        open_table(sites.rename(columns={"lon": "x", "lat": "y"}), crs="EPSG:4326")
    assert open_table(sites.rename(columns={"lon": "x", "lat": "y"}), crs="EPSG:3857").places is not None


def test_places_at_the_edge_and_unknown_ones_are_taken():
    sites = pd.DataFrame({"lon": [-180, 359.5, np.nan], "lat": [90, -90, 46]})
    assert len(open_table(sites).places) == 3


# -------------------------------------------------------------------------------------------------------- fingerprints


def test_slices_of_a_table_are_told_apart():
    kinds = pa.array(["a", "b", "a", "b"]).dictionary_encode()
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "name": ["i", "j", "k", "l"], "here": [True, False, False, True]})
    table = table.append_column("kind", kinds)
    for names in (["x"], ["name"], ["here"], ["x", "name", "here", "kind"]):
        some = table.select(names)
        first, last = (open_table(some.slice(start, 2)).fingerprint() for start in (0, 2))
        assert first != last
        assert open_table(some.slice(0, 2)).fingerprint() == first


def test_dictionaries_are_told_apart():
    def fingerprint(words):
        return open_table(pa.table({"x": pa.DictionaryArray.from_arrays([0, 1], words)})).fingerprint()

    assert fingerprint([1.0, 2.0]) == fingerprint([1.0, 2.0]) != fingerprint([1.0, 3.0])
