"""Statistics in one pass, against numpy on all numbers at once."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin

from zoo.datasets import countable, distributions, statistics
from zoo.datasets.declared import compare
from zoo.datasets.distributions import Tally
from zoo.datasets.statistics import statistics as count
from zoo.errors import ConfigError, InputError
from zoo.options import Options
from zoo.spec import Band, InputSpec, Kind, Normalise, Percentile, Scale


def write(path, pixels, *, nodata=None, names=("B02", "B03", "B04"), block=64, **tags):
    count_, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count_, "height": height, "width": width, "dtype": pixels.dtype.name}
    tiles = {"tiled": True, "blockxsize": block, "blockysize": block} if block else {}
    with rasterio.open(
        path, "w", nodata=nodata, crs="EPSG:32632", transform=from_origin(5e5, 5e6, 10, 10), **profile, **tiles
    ) as file:
        file.descriptions = names[:count_]
        file.update_tags(**tags)
        file.write(pixels)
    return path


def tallied(parts, dtype, nodata=None):
    tally = Tally(dtype)
    for part in parts:
        tally.add(tally.part(part, nodata), len(part))
    return tally.distribution()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_integers_are_counted_exactly_in_any_parts(dtype):
    rng = np.random.default_rng(1)
    limits = np.iinfo(dtype)
    numbers = rng.integers(limits.min, limits.max, 30_001, endpoint=True).astype(dtype)
    found = tallied(np.array_split(numbers, 7), dtype, nodata=5)
    expected = numbers[numbers != 5].astype(np.float64)
    assert (found.count, found.low, found.high) == (len(expected), expected.min(), expected.max())
    assert found.mean == pytest.approx(expected.mean(), abs=1e-9)
    assert found.std == pytest.approx(expected.std(), rel=1e-12)
    for percent in (0, 1, 2, 37.5, 50, 98, 99, 100):
        assert found.percentile(percent) == pytest.approx(np.percentile(expected, percent), abs=1e-9)
        assert found.error_at(percent) == 0


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("kelvin", lambda rng, n: rng.normal(285, 8, n)),
        ("precipitation", lambda rng, n: rng.gamma(0.3, 5, n)),
        ("decibels with outliers", lambda rng, n: np.where(rng.random(n) < 0.001, -9999, rng.normal(-14, 3, n))),
    ],
)
def test_percentiles_of_many_floats_keep_their_bound(name, draw, monkeypatch):
    monkeypatch.setattr(distributions, "KEPT", 5000)
    numbers = draw(np.random.default_rng(2), 120_000).astype(np.float32)
    found = tallied(np.array_split(numbers, 11), "float32")
    exact = numbers.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert found.std == pytest.approx(exact.std(), rel=1e-12)
    assert (found.low, found.high, found.count) == (exact.min(), exact.max(), 120_000)
    centre = np.median(numbers[:5000])
    for percent in (1, 2, 25, 50, 75, 98, 99):
        truth = np.percentile(exact, percent)
        assert abs(found.percentile(percent) - truth) <= abs(truth - centre) / 256 * 1.01 + 1e-6
        assert found.error_at(percent) <= max(abs(truth - centre), abs(found.percentile(percent) - centre)) / 250 + 1e-6


def test_few_floats_are_exact_and_what_is_no_data_does_not_count():
    numbers = np.array([1.5, np.nan, -9999, 3.25, np.inf, 7.0, -3.4e38, 2.0])
    found = tallied([numbers[:3], numbers[3:]], "float64", nodata=-9999)
    expected = np.array([1.5, 3.25, 7.0, 2.0])
    assert (found.count, found.low, found.high) == (4, 1.5, 7.0)
    assert (found.mean, found.std) == (pytest.approx(expected.mean()), pytest.approx(expected.std()))
    assert found.percentile(30) == pytest.approx(np.percentile(expected, 30))
    assert found.share_below(3.25) == 0.5


def test_threads_and_what_they_read_ahead_change_no_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(countable, "WINDOW_NUMBERS", 3 * 64 * 64)
    monkeypatch.setattr(distributions, "KEPT", 10_000)
    rng = np.random.default_rng(3)
    path = write(tmp_path / "a.tif", rng.normal(1e6, 1, (3, 320, 260)).astype(np.float32))
    one, four = (count([path], workers=workers) for workers in (1, 4))
    for first, second in zip(one.bands, four.bands, strict=True):
        assert (first.distribution.mean, first.distribution.std) == (second.distribution.mean, second.distribution.std)
        assert (first.distribution.counts == second.distribution.counts).all()
    assert one.windows == 5 * 5
    assert one.bands[0].distribution.std == pytest.approx(1, rel=0.02)  # a sum of squares would have lost it


@pytest.mark.parametrize("block", [64, None])
def test_a_folder_of_rasters_counts_as_one(tmp_path, block):
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 4000, (2, 3, 150, 130)).astype(np.uint16)
    paths = [write(tmp_path / f"{k}.tif", one, nodata=0, block=block) for k, one in enumerate(pixels)]
    found = count(paths, percents=(2, 50, 98))
    assert [band.name for band in found.bands] == ["B02", "B03", "B04"]
    for index, band in enumerate(found.bands):
        data = pixels[:, index][pixels[:, index] > 0].astype(np.float64)
        assert band.valid == data.size / pixels[:, index].size
        assert band.distribution.mean == pytest.approx(data.mean())
        assert band.distribution.percentile(98) == np.percentile(data, 98)


def test_a_sample_reads_so_many_windows_and_says_of_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(countable, "WINDOW_NUMBERS", 64 * 64)
    pixels = np.arange(16, dtype=np.uint16).repeat(64 * 64).reshape(16, 64, 64)
    mosaic = pixels.reshape(4, 4, 64, 64).transpose(0, 2, 1, 3).reshape(1, 256, 256)
    path = write(tmp_path / "a.tif", mosaic)
    found = count([path], sample=4)
    assert (found.windows, found.all_windows) == (4, 16)
    assert found.bands[0].distribution.lower.tolist() == [0, 5, 10, 15]


def test_black_is_a_colour_unless_all_bands_are_nodata(tmp_path):
    pixels = np.full((3, 64, 64), 10, np.uint8)
    pixels[0, :32] = 0
    pixels[:, :8] = 0
    found = count([write(tmp_path / "a.tif", pixels, nodata=0)])
    assert [band.valid for band in found.bands] == [56 / 64] * 3
    assert found.bands[0].distribution.low == 0


def test_files_of_other_bands_types_or_meanings_are_not_mixed(tmp_path):
    pixels = np.ones((3, 64, 64), np.uint16)
    first = write(tmp_path / "a.tif", pixels)
    with pytest.raises(InputError, match=r"c\.tif has 2 bands \(B02, B03\), a\.tif has 3"):
        count([first, write(tmp_path / "c.tif", pixels[:2])])
    with pytest.raises(InputError, match=r"d\.tif holds numbers of type float32, a\.tif of type uint16"):
        count([first, write(tmp_path / "d.tif", pixels.astype(np.float32))])
    later = write(tmp_path / "e.tif", pixels, PROCESSING_BASELINE="04.00")
    with pytest.raises(InputError, match="baseline"):
        count([first, later], inputs=[S2], options=Options())


def test_options_out_of_range_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((3, 64, 64), np.uint16))
    with pytest.raises(ConfigError, match="percentile 101"):
        count([path], percents=(101,))
    with pytest.raises(ConfigError, match="sample of 0"):
        count([path], sample=0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_counted_by_column(tmp_path, suffix):
    rows = [("a", 1, 2.5), ("b", None, -9999.0), ("c", 4, 7.5)]
    path = tmp_path / f"sites{suffix}"
    if suffix == ".csv":
        path.write_text("site;n;temp\n" + "".join(f"{a};{'' if b is None else b};{c}\n" for a, b, c in rows))
    else:
        pq.write_table(pa.table({k: [row[i] for row in rows] for i, k in enumerate(("site", "n", "temp"))}), path)
    found = count([path], options=Options(nodata=-9999))
    assert found.left_out == ("site",)
    assert [(b.name, b.valid, b.distribution.mean, b.distribution.std) for b in found.bands] == [
        ("n", pytest.approx(2 / 3), 2.5, 1.5),
        ("temp", pytest.approx(2 / 3), 5.0, 2.5),
    ]


def test_a_table_that_turns_into_text_names_the_row(tmp_path, monkeypatch):
    from zoo.io import table_blocks

    monkeypatch.setattr(table_blocks, "KINDS_BYTES", 64)
    path = tmp_path / "sites.csv"
    path.write_text("n\n" + "1\n" * 100 + "many\n")
    with pytest.raises(InputError, match="many"):
        count([path])


def test_series_are_counted_by_variable(tmp_path):
    xarray = pytest.importorskip("xarray")
    rng = np.random.default_rng(5)
    temp, height = rng.normal(280, 5, (6, 20, 30)), rng.normal(500, 90, (20, 30))
    temp[0, 0, 0] = np.nan
    axes = {"time": np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]").astype("datetime64[ns]")}
    axes |= {"y": np.arange(20.0)[::-1], "x": np.arange(30.0)}
    data = {"t2m": (("time", "y", "x"), temp), "dem": (("y", "x"), height)}
    path = tmp_path / "s.zarr"
    xarray.Dataset(data, axes).to_zarr(path, zarr_format=2)
    found = {band.name: band for band in count([path]).bands}
    assert found["t2m"].distribution.mean == pytest.approx(np.nanmean(temp), rel=1e-6)
    assert found["t2m"].valid == 1 - 1 / temp.size
    assert (found["dem"].numbers, found["dem"].distribution.count) == (600, 600)  # once, not once per day


# ------------------------------------------------------------------------------------------------------------ declared

S2 = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2-L2A",
    bands=(Band(id="S2:B02", unit="DN"), Band(id="S2:B03", unit="DN"), Band(id="S2:B04", unit="DN")),
    level="L2A",
    scale=1e-4,
    nodata=0.0,
    steps=(
        Percentile(low=(0, 0, 0), high=(2000, 2000, 2000), source="test"),
        Normalise(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), source="test"),
    ),
)


def test_the_comparison_is_what_preprocessing_makes_of_the_pixels(tmp_path):
    import torch

    from zoo.inputs.preprocess import Preprocess

    rng = np.random.default_rng(6)
    pixels = rng.integers(1, 2600, (3, 128, 128)).astype(np.uint16)
    found = count([write(tmp_path / "a.tif", pixels + np.uint16(1000), PROCESSING_BASELINE="05.09")], inputs=[S2])
    prepared = Preprocess(S2)(torch.from_numpy(pixels.astype(np.float32))[None])[0]
    for index, band in enumerate(compare(found).bands):
        assert band.mean == pytest.approx(float(prepared[index].double().mean()), abs=1e-6)
        assert band.std == pytest.approx(float(prepared[index].double().std(correction=0)), abs=1e-6)
        assert band.cut_above == pytest.approx((pixels[index] > 2000).mean(), abs=1e-12)
        assert band.percentiles[1] == np.median(pixels[index])
        assert (band.low, band.high) == (0, 2000)
        assert band.verdict == "23 % of numbers are cut off at the highest end"


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (lambda rng: rng.normal(1000, 400, (3, 64, 64)).clip(1), "fits"),
        (
            lambda rng: rng.normal(9000, 400, (3, 64, 64)).clip(1),
            "another unit or another band: half of it lies far above",
        ),
        (lambda rng: rng.normal(1000, 30, (3, 64, 64)).clip(1), "16.7 times less varied than the training data"),
        (lambda rng: np.full((3, 64, 64), 700), "one number only"),
        (lambda rng: np.zeros((3, 64, 64)), "no data"),
        (lambda rng: rng.normal(300, 90, (3, 64, 64)).clip(1), "lower than the training data by 1.4 of its deviations"),
    ],
)
def test_a_verdict_says_what_is_odd(tmp_path, make, verdict):
    pixels = make(np.random.default_rng(7)).round().astype(np.uint16)
    found = compare(count([write(tmp_path / "a.tif", pixels)], inputs=[S2]))
    assert found.bands[1].verdict.split(" times")[-1] == verdict.split(" times")[-1]


def test_doubts_are_those_of_prediction(tmp_path):
    rng = np.random.default_rng(8)
    found = compare(count([write(tmp_path / "a.tif", rng.random((3, 64, 64), np.float32))], inputs=[S2]))
    assert "scaled to 0..1 already? Say --scale 1" in found.doubts[0]


def test_linear_steps_before_a_percentile_are_followed():
    spec = InputSpec(
        name="x",
        kind=Kind.TABLE,
        bands=(Band(id="t", unit="K"),),
        steps=(Scale(factor=1, offset=-273.15, source="t"), Percentile(low=(-10,), high=(30,), source="t")),
    )
    table = pa.table({"t": np.linspace(263.15, 303.15, 401)})
    tally = Tally("float64")
    tally.add(tally.part(table["t"].to_numpy()), 401)
    band = statistics.BandStatistics(name="t", numbers=401, distribution=tally.distribution())
    found = statistics.Statistics(sources=("t",), bands=(band,), percents=(1,), windows=1, all_windows=1, spec=spec)
    one = compare(found).bands[0]
    assert one.percentiles == pytest.approx((-9.6, 10, 29.6))
    assert (one.mean, one.std) == (pytest.approx(0.5), pytest.approx(np.linspace(0, 1, 401).std()))


# ------------------------------------------------------------------------------------------------------- command line


def test_the_command_prints_a_table_and_writes_files(tmp_path, zoo_command):
    pixels = np.arange(1, 3 * 64 * 64 + 1, dtype=np.uint16).reshape(3, 64, 64)
    path = write(tmp_path / "a.tif", pixels)
    code, said, _ = zoo_command("data", "stats", path, "--percentile", "50", "--out", tmp_path / "s.yaml")
    assert code == 0
    assert said.splitlines()[1].split() == [
        "band",
        "data",
        "min",
        "1",
        "%",
        "2",
        "%",
        "mean",
        "std",
        "50",
        "%",
        "98",
        "%",
        "99",
        "%",
        "max",
    ]
    assert said.splitlines()[2].split()[:4] == ["B02", "100", "%", "1"]
    from omegaconf import OmegaConf

    kept = OmegaConf.to_container(OmegaConf.load(tmp_path / "s.yaml"))
    plain = json.loads(
        zoo_command("data", "stats", path, "--json", "--percentile", "50", "--out", tmp_path / "s.csv")[1]
    )
    assert kept == plain
    assert plain["input_spec"]["mean"] == [float(one.mean()) for one in pixels]
    assert plain["input_spec"]["low"] == [np.percentile(one, 1) for one in pixels]
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [float(row["p50"]) for row in rows] == [np.median(one) for one in pixels]


def test_the_command_says_what_is_wrong_and_leaves_no_file(tmp_path, zoo_command):
    code, _, errors = zoo_command("data", "stats", tmp_path / "a.tif", "--out", tmp_path / "s.doc")
    assert (code, ".json, .yaml" in errors) == (1, True)
    code, _, errors = zoo_command("data", "stats", tmp_path / "a.tif", "--out", tmp_path / "s.json")
    assert (code, "does not exist" in errors) == (1, True)
    assert list(tmp_path.iterdir()) == []
