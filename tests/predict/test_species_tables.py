"""Long tables of sites, and many species: memory that does not grow, small parts, and the same answer as a short way gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from toy_species import SPECIES, Logistic, species_model

from zoo.errors import ConfigError, InputError, OutputError, ZooWarning
from zoo.predict import species
from zoo.predict.species import most_probable

GROWTH = """
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from toy_species import species_model
from zoo.io import table_blocks, tables
from zoo.predict import opening, species
from zoo.spec import Band, InputSpec, Kind
from zoo.tasks.sdm import SdmOutput

# What is held at a time is as small as the smaller table.
tables.BLOCK_BYTES, table_blocks.BLOCK_NUMBERS = 1 << 16, 60 * 4096
opening.CHECKED_ROWS, species.CHUNK_ROWS = 4096, 4096
folder, suffixes, sizes = Path(sys.argv[1]), (".parquet", ".csv"), (20_000, 220_000)
names = [f"v{index}" for index in range(60)]
spec = InputSpec(name="climate", kind=Kind.TABLE, any_subset=True, bands=tuple(Band(id=name, unit="") for name in names))
model = species_model(spec)
model.module.forward = lambda climate, climate_valid=None: SdmOutput(logits=climate[:, :3] / 50)
for rows in sizes:
    numbers = np.arange(rows) % 50
    whole = pa.table({"id": np.arange(rows), "lon": numbers, "lat": numbers} | {name: numbers for name in names})
    pa_csv.write_csv(whole, folder / f"{rows}.csv")
    pq.write_table(whole, folder / f"{rows}.parquet", row_group_size=4096)


def peak_mb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def predict(rows, suffix):
    model.predict(folder / f"{rows}{suffix}", folder / f"out{suffix}", species=model.variant.classes[:2])


for suffix in suffixes:
    predict(sizes[0], suffix)
    before = peak_mb()
    predict(sizes[1], suffix)
    print(peak_mb() - before)
"""


def frame(count, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"bio_1": rng.uniform(0, 20, count), "bio_12": rng.uniform(400, 1600, count)}
    return pd.DataFrame({"site": np.arange(count), "lon": rng.uniform(6, 9, count), "lat": 46.0, **columns})


@pytest.fixture(autouse=True)
def _counters():
    yield
    Logistic.stop_after = None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """200,000 rows more are 48 MB of numbers in float32; what is held of them, ids and places, took 20 to 40 MB."""
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout
    grown = [float(line) for line in told.split()]
    assert len(grown) == 2
    assert max(grown) < 65


def test_the_most_probable_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    values = rng.random((40, 300), dtype=np.float32)
    values[1:20] = values[1:20].round(1)
    values[20], values[21], values[22, ::2], values[23], values[24] = np.nan, 0, np.nan, 1, 0.5
    for top in (1, 7, 299, 300):
        order = np.argsort(-values, axis=1, kind="stable")[:, :top]
        found = most_probable(values, top)
        np.testing.assert_array_equal(found["species"], order)
        np.testing.assert_array_equal(found["probabilities"], np.take_along_axis(values, order, axis=1))


def test_parts_hold_the_most_probable_alone_and_go_on_to_the_same_bytes(tmp_path):
    sites = frame(300)
    species_model().predict(sites, tmp_path / "whole.parquet", batch_size=1, top=1)
    model = species_model()
    Logistic.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        model.predict(sites, tmp_path / "out.parquet", batch_size=1, top=1)
    part = load_file(tmp_path / "out.parquet.parts" / "000001.safetensors")
    assert {name: one.shape for name, one in part.items()} == {"species": (128, 1), "probabilities": (128, 1)}
    Logistic.stop_after = None
    Logistic.seen.clear()
    model.predict(sites, tmp_path / "out.parquet", batch_size=1, top=1, resume=True)
    assert Logistic.seen == [44]
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    wide = species_model().predict(sites).table
    values = np.stack([wide[name].to_numpy() for name in SPECIES], axis=1)
    best = pq.read_table(tmp_path / "out.parquet")
    np.testing.assert_array_equal(best["probability"].to_numpy(), values.max(axis=1))
    assert best["species"].to_pylist() == [SPECIES[index] for index in values.argmax(axis=1)]
    assert best["id"].to_pylist() == list(range(300))


@pytest.mark.parametrize("top", [None, 2])
def test_chunks_of_a_table_follow_each_other(tmp_path, monkeypatch, top):
    """Pieces of 128 rows, some of them incomplete at the end: rows, places and gaps are where they belong."""
    sites = frame(700)
    sites.loc[[3, 650], ["bio_1", "bio_12"]] = np.nan
    with pytest.warns(UserWarning, match="2 of 700 sites lack"):
        whole = species_model().predict(sites, batch_size=1, top=top)
    monkeypatch.setattr(species, "CHUNK_ROWS", 256)
    with pytest.warns(UserWarning, match="2 of 700 sites lack"):
        species_model().predict(sites, tmp_path / "out.parquet", batch_size=1, top=top)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.drop_columns("geometry").replace_schema_metadata().equals(whole.table.combine_chunks())
    lon = [np.frombuffer(one[5:13], "<f8")[0] for one in found["geometry"].to_pylist()]
    np.testing.assert_array_equal(lon, np.repeat(sites["lon"], top or 1))
    np.testing.assert_array_equal(whole.places[:, 0, 0], lon)


def test_a_disk_without_room_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    model = species_model()
    with pytest.raises(OutputError, match=r"out\.csv needs 0\.00 GB while it is made.*free some space"):
        model.predict(frame(300), tmp_path / "out.csv")
    assert Logistic.seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_species_called_as_the_column_of_sites_is_told_before_the_work():
    model = species_model(classes=("id", "Olea europaea", "Salix alba"))
    with pytest.raises(InputError, match="ask for the long table with --top"):
        model.predict(frame(3))
    assert Logistic.seen == []
    assert model.predict(frame(3), top=3).table["species"].to_pylist().count("id") == 3


def test_another_slice_of_a_table_does_not_go_on_with_the_first(tmp_path):
    table, out = pa.Table.from_pandas(frame(512)), tmp_path / "species.parquet"
    Logistic.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        species_model().predict(table.slice(0, 256), out, batch_size=1)
    Logistic.stop_after = None
    with pytest.raises(ConfigError, match="parts of other work"):
        species_model().predict(table.slice(256, 256), out, batch_size=1, resume=True)


def test_a_table_of_a_german_spreadsheet_gives_the_same(tmp_path):
    sites = frame(50).assign(site=[f"Föhre {row}" for row in range(50)])
    whole = species_model().predict(sites).table
    sites.to_csv(tmp_path / "sites.csv", sep=";", decimal=",", encoding="cp1252", index=False)
    with pytest.warns(ZooWarning, match=r"sites\.csv is not in UTF-8 and was read as Windows-1252"):
        found = species_model().predict(tmp_path / "sites.csv").table
    assert found.to_pydict() == whole.to_pydict()


def test_points_of_geojson_are_sites_and_a_geopackage_is_told_what_to_save(tmp_path):
    sites = frame(20).rename(columns={"site": "id"})
    whole = species_model().predict(sites)
    features = [
        {
            "type": "Feature",
            "properties": {name: row[name] for name in ("id", "bio_1", "bio_12")},
            "geometry": {"type": "Point", "coordinates": [row["lon"], row["lat"]]},
        }
        for row in sites.to_dict("records")
    ]
    (tmp_path / "sites.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = species_model().predict(tmp_path / "sites.geojson")
    assert found.table.to_pydict() == whole.table.to_pydict()
    np.testing.assert_array_equal(found.places, whole.places)
    for name, said in (
        ("a.gpkg", r"a vector file.*GEOMETRY=AS_XY"),
        ("a.shp", "a vector file"),
        ("a.xlsx", "CSV UTF-8"),
    ):
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(InputError, match=said):
            species_model().predict(tmp_path / name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
