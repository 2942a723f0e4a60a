"""Long tables: the same numbers in blocks as whole, in any order, and the cell named that holds none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from zoo.errors import InputError
from zoo.io import table_blocks, tables
from zoo.io.table_blocks import Rows
from zoo.io.tables import open_table

COUNT = 5000


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(table_blocks, "BLOCK_NUMBERS", 3 * 700)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 4096)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    warm, rain = rng.uniform(-5, 25, COUNT), rng.integers(0, 2000, COUNT)
    return pa.table(
        {
            "siteID": [f"plot {row}" for row in range(COUNT)],
            "lon": rng.uniform(6, 9, COUNT),
            "rain": pa.array(rain, mask=rain < 50),
            "lat": rng.uniform(46, 47, COUNT),
            "warm": pa.array(warm, mask=warm < 0),
            "forest": rain > 800,
        }
    )


def written(folder, data, suffix):
    path = folder / f"sites{suffix}"
    if suffix == ".parquet":
        pq.write_table(data, path, row_group_size=1300)
    else:
        with pa.CompressedOutputStream(path, "gzip") if suffix == ".csv.gz" else pa.OSFile(str(path), "wb") as file:
            pa_csv.write_csv(data, file)
    return path


def truth(data):
    columns = [data[name].cast(pa.float64()).to_pylist() for name in ("warm", "rain", "forest")]
    known = np.array(columns, float).T
    known[known == 777] = np.nan
    return np.insert(known, 1, np.nan, axis=1).astype(np.float32)


@pytest.fixture(params=[".csv", ".csv.gz", ".parquet", "memory"])
def table(request, tmp_path, data):
    return open_table(data if request.param == "memory" else written(tmp_path, data, request.param), held=False)


def test_rows_are_those_of_the_whole_table_in_any_order_and_from_any_thread(table, data):
    expected = truth(data)
    rows = Rows(table, ["warm", None, "rain", "forest"], nodata=777)
    starts = [*range(0, COUNT, 37), 0, 4990, 1200, 3]
    with ThreadPoolExecutor(3) as pool:
        for start, found in zip(
            starts, pool.map(lambda one: rows[slice(one, min(one + 37, COUNT))], starts), strict=True
        ):
            np.testing.assert_array_equal(found, expected[start : start + 37])
    np.testing.assert_array_equal(rows[slice(0, COUNT)], expected)
    np.testing.assert_array_equal(rows.sample(COUNT), expected)
    np.testing.assert_array_equal(rows.sample(600), expected[::9])


def test_few_rows_are_kept(tmp_path, data):
    rows = Rows(open_table(written(tmp_path, data, ".parquet"), held=False), ["warm", "rain", "forest"])
    most = 0
    for start in range(0, COUNT, 50):
        rows[slice(start, start + 50)]
        most = max(most, sum(len(block) for _, block in rows._kept))
    assert 0 < most <= 3 * 700


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_without_its_numbers_has_the_names_and_places_of_all(tmp_path, data, suffix):
    path = written(tmp_path, data, suffix)
    whole, opened = open_table(path), open_table(path, held=False)
    assert opened.data.column_names == ["siteID", "lon", "lat"]
    assert (len(opened), opened.columns, opened.crs) == (COUNT, whole.columns, whole.crs)
    assert opened.ids.equals(whole.ids)
    np.testing.assert_array_equal(opened.places, whole.places)
    np.testing.assert_array_equal(opened.numbers("rain"), whole.numbers("rain"))
    before = opened.fingerprint()
    assert open_table(path, held=False).fingerprint() == before
    rain = data["rain"].to_pylist()
    column = pa.array([*rain[:-1], 5])
    written(tmp_path, data.set_column(data.column_names.index("rain"), "rain", column), suffix)
    assert open_table(path, held=False).fingerprint() != before


def test_ids_that_turn_into_text_are_text_from_the_first(tmp_path):
    path = tmp_path / "sites.csv"
    path.write_text("id,a\n" + "".join(f"{row:03d},1\n" for row in range(2000)) + "last,2\n")
    opened = open_table(path, held=False)
    assert opened.ids.equals(open_table(path).ids)
    assert opened.ids[0].as_py() == "000"
    np.testing.assert_array_equal(Rows(opened, ["a"])[slice(1999, 2001)], [[1], [2]])


def test_a_table_that_neither_names_nor_places_its_rows_is_counted(tmp_path):
    (tmp_path / "a.csv").write_text("warm\n" + "1.5\n" * 3000)
    opened = open_table(tmp_path / "a.csv", held=False)
    assert (len(opened), opened.places, opened.ids[2999].as_py()) == (3000, None, 3000)


def test_text_far_down_is_named_with_its_row(tmp_path, data):
    path = tmp_path / "sites.csv"
    path.write_text("a,b\n" + "1,2\n" * 4000 + '3,"4,5"\n')
    opened = open_table(path, held=False)
    with pytest.raises(InputError, match=r"column 'b' holds the text '4,5' in row 4001, expected numbers \(a decimal"):
        Rows(opened, ["a", "b"]).sample(10)
    texts = data.append_column("soil", pa.array(["12"] * 4500 + ["clay"] * 500))
    opened = open_table(written(tmp_path, texts, ".parquet"), held=False)
    with pytest.raises(InputError, match="column 'soil' holds the text 'clay' in row 4501"):
        Rows(opened, ["warm", "soil"]).sample(10)


def test_a_file_that_becomes_shorter_while_it_is_read_is_told(tmp_path, data):
    path = written(tmp_path, data, ".csv")
    opened = open_table(path, held=False)
    written(tmp_path, data.slice(0, 100), ".csv")
    with pytest.raises(InputError, match="ends after 100 of 5000 rows: it was changed"):
        Rows(opened, ["warm"])[slice(2000, 2010)]
