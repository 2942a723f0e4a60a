"""Forecasts: the right number for every place, time and lead time; series read by name and by windows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import xarray
from rasterio.transform import from_origin
from toy_forecast import FROST, WARMTH, WEATHER, Persistence, forecaster

from zoo.errors import ConfigError, InputError, OutputError, PluginError, ZooWarning
from zoo.results.series import SeriesResult
from zoo.spec import Band
from zoo.spec_json import decode, encode

TIMES = np.datetime64("2020-02-28T00:00:00", "ns") + np.arange(6) * np.timedelta64(12, "h")
HEIGHT, WIDTH = 19, 27


@pytest.fixture(autouse=True)
def _counters():
    Persistence.stop_after = None
    yield
    Persistence.stop_after = None


def dataset(seed=0, **renamed):
    rng = np.random.default_rng(seed)
    warmth = rng.uniform(255, 300, (6, HEIGHT, WIDTH)).astype("float32")
    terrain = rng.uniform(0, 1000, (HEIGHT, WIDTH)).astype("float32")
    y, x = 5_200_000 - 10 * (np.arange(HEIGHT) + 0.5), 500_000 + 10 * (np.arange(WIDTH) + 0.5)
    made = xarray.Dataset(
        {
            "Height": (("y", "x"), terrain, {"grid_mapping": "spatial_ref"}),
            "T2m": (("time", "y", "x"), warmth, {"units": "K", "grid_mapping": "spatial_ref"}),
        },
        coords={"time": TIMES, "y": y, "x": x},
    )
    made["spatial_ref"] = xarray.Variable((), 0, {"crs_wkt": rasterio.CRS.from_epsg(32632).to_wkt()})
    return made.rename(renamed)


def truth(made):
    """(T, 1, 2, H, W) from the third step on."""
    warmth = made["T2m"].values[2:]
    return np.stack([warmth, 1 / (1 + np.exp((warmth - 280) / 10))], axis=1)[:, None]


def digest(path):
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def test_each_time_with_steps_enough_has_its_maps():
    made = dataset()
    result = forecaster().predict(made)
    assert result.values.shape == (4, 1, 2, HEIGHT, WIDTH)
    np.testing.assert_allclose(result.values, truth(made), rtol=1e-5)
    np.testing.assert_array_equal(result.times, TIMES[2:].astype("datetime64[s]"))
    assert {shape[1:] for shape in Persistence.calls} == {(3, 2, 8, 8)}
    assert sorted(set(Persistence.days)) == [18321.0, 18321.5, 18322.0, 18322.5]  # 2020-02-29 is day 18,321 since 1970


@pytest.mark.parametrize("options", [{"window": 16}, {"batch_size": 1}, {"halo": 2}, {"blend": "cosine"}])
def test_a_local_network_gives_the_same_however_the_series_is_cut(options):
    made = dataset()
    np.testing.assert_allclose(forecaster().predict(made, **options).values, truth(made), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_files_follow_cf_and_come_out_the_same_twice(tmp_path, suffix):
    made, out = dataset(), tmp_path / f"out{suffix}"
    result = forecaster(leads=(0.0, 12.0, 24.0)).predict(made, out)
    opened = xarray.open_zarr(out) if suffix == ".zarr" else xarray.open_dataset(out)
    assert opened["t2m"].dims == ("time", "lead_time", "y", "x")
    expected = np.maximum(truth(made)[:, :, 0] + np.arange(3)[None, :, None, None], 250)
    np.testing.assert_allclose(opened["t2m"].values, expected, rtol=1e-5)
    np.testing.assert_array_equal(opened["time"].values, TIMES[2:])
    assert opened["lead_time"].dtype.kind == "m" or opened["lead_time"].values.tolist() == [0, 12, 24]
    assert opened["t2m"].attrs["units"] == "K"
    assert opened["frost"].attrs["units"] == "1"
    assert opened.attrs["Conventions"] == "CF-1.11"
    assert opened.attrs["ZOO_MODEL"] == "toycast"
    assert rasterio.CRS.from_wkt(opened["spatial_ref"].attrs["crs_wkt"]).to_epsg() == 32632
    np.testing.assert_allclose(opened["y"].values, made["y"].values)
    np.testing.assert_allclose(result.values[:, :, 0], opened["t2m"].values)
    assert result.lead_times_h == (0.0, 12.0, 24.0)
    assert result.grid.crs.to_epsg() == 32632
    assert result.provenance.model == "toycast"
    again = tmp_path / f"again{suffix}"
    forecaster(leads=(0.0, 12.0, 24.0)).predict(made, again)
    assert [sha for _, sha in digest(again)] == [sha for _, sha in digest(out)]
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted([out.name, again.name])


def test_files_are_read_like_what_they_were_written_from(tmp_path):
    made = dataset()
    made.to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
    made.to_zarr(tmp_path / "all.zarr", zarr_format=2)
    (tmp_path / "each").mkdir()
    for name in ("T2m", "Height"):
        made[[name]].to_netcdf(tmp_path / "each" / f"{name}.nc", engine="h5netcdf")
    for name in ("all.nc", "all.zarr", "each"):
        np.testing.assert_allclose(forecaster().predict(tmp_path / name).values, truth(made), rtol=1e-5)


def test_arrays_and_dataarrays_say_names_and_times():
    made = dataset()
    stack = np.stack([np.broadcast_to(made["Height"].values, made["T2m"].shape), made["T2m"].values], axis=1)
    stated = {"bands": ("height", "T2M"), "times": tuple(str(time) for time in TIMES), "crs": "EPSG:32632"}
    np.testing.assert_allclose(forecaster().predict(stack, **stated).values, truth(made), rtol=1e-5)
    labelled = xarray.DataArray(
        stack, dims=("time", "band", "y", "x"), coords={"time": TIMES, "band": ["height", "t2m"]}
    )
    np.testing.assert_allclose(forecaster().predict(labelled).values, truth(made), rtol=1e-5)
    with pytest.raises(InputError, match=r"array of 6 times and 2 variables; expected as many names and dates: bands="):
        forecaster().predict(stack, bands=("height", "t2m"))


def test_missing_numbers_are_filled_and_mostly_missing_cells_have_no_answer(tmp_path):
    made = dataset()
    made["T2m"][:, 3, 4] = np.nan
    made["Height"][3, 4] = np.nan
    made["T2m"][5, 6, 7] = np.nan
    values = forecaster().predict(made).values
    assert np.isnan(values[:, :, :, 3, 4]).all()
    assert values[3, 0, 0, 6, 7] == 280.0  # the mean, as the Fill step says
    assert np.isnan(values).sum() == 4 * 2
    with pytest.raises(InputError, match="holds no data"):
        forecaster().predict(made.where(made["T2m"] > 1e6), tmp_path / "out.nc")
    assert list(tmp_path.iterdir()) == []


def test_one_time_is_a_raster_and_times_are_chosen(tmp_path):
    made = dataset()
    out = tmp_path / "out.tif"
    with pytest.raises(ConfigError, match=r"holds one time, there are 4.*--at 2020-03-01T12:00:00"):
        forecaster().predict(made, out)
    forecaster().predict(made, out, at="2020-02-29T12:00")
    with rasterio.open(out) as file:
        np.testing.assert_allclose(file.read(), truth(made)[1, 0], rtol=1e-5)
        assert file.descriptions == ("t2m", "frost")
        assert file.transform == from_origin(500_000, 5_200_000, 10, 10)
        assert file.crs.to_epsg() == 32632
    assert len(forecaster().predict(made, at="2020-02-29").times) == 2
    assert len(forecaster().predict(made, at="2020-02-29T12:00/2020-03-01T00:00").times) == 2
    with pytest.raises(ConfigError, match=r"no forecast for --at 2021: they are for 2020-02-29T00:00:00"):
        forecaster().predict(made, at="2021")
    with pytest.raises(ConfigError, match="is no time"):
        forecaster().predict(made, at="soon")


def test_a_coarser_answer_lies_on_a_coarser_grid():
    made = dataset()
    result = forecaster(stride=4).predict(made, at="2020-03-01T12:00")
    assert result.grid.transform == from_origin(500_000, 5_200_000, 40, 40)
    cells = made["T2m"].values[-1, :16, :24].reshape(4, 4, 6, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(result.values[0, 0, 0, :4, :6], cells, rtol=1e-5)


def test_an_interrupted_forecast_goes_on_to_the_same_bytes(tmp_path):
    made = dataset()
    made.to_netcdf(tmp_path / "in.nc", engine="h5netcdf")
    forecaster().predict(tmp_path / "in.nc", tmp_path / "whole.nc")
    calls = len(Persistence.calls)
    model = forecaster()
    Persistence.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        model.predict(tmp_path / "in.nc", tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()
    Persistence.stop_after = None
    Persistence.calls.clear()
    model.predict(tmp_path / "in.nc", tmp_path / "out.nc", resume=True)
    assert len(Persistence.calls) == calls - 3
    assert digest(tmp_path / "out.nc")[0][1] == digest(tmp_path / "whole.nc")[0][1]


def test_a_result_in_memory_is_saved_and_handed_on(tmp_path):
    made = dataset()
    result = forecaster().predict(made)
    opened = SeriesResult.open(result.save(tmp_path / "saved.zarr"))
    np.testing.assert_array_equal(opened.values, result.values)
    assert opened.grid == result.grid
    labelled = result.to_xarray()
    assert labelled["frost"].attrs["units"] == "1"
    np.testing.assert_array_equal(labelled["t2m"].values, result.values[:, :, 0])
    with pytest.raises(OutputError, match="is there already"):
        result.save(tmp_path / "saved.zarr")
    with pytest.raises(OutputError, match=r"\.txt"):
        result.save(tmp_path / "saved.txt")


def test_series_that_do_not_fit_say_why(tmp_path):
    made = dataset()
    (tmp_path / "fake.nc").write_text("hello")
    cases = [
        (made.drop_vars("T2m").assign(other=made["T2m"]), r"1 of 2 variables is not there of toy: t2m"),
        (made.isel(time=slice(0, 2)), r"has 2 times, toycast@same needs 3"),
        (made.isel(time=[2, 1, 0, 3]), r"do not ascend.*sortby"),
        (made.assign_coords(time=np.arange(6)), r"times of the type int64, expected dates"),
        (made.rename(x="across"), r"no variable over time, y and x"),
        (tmp_path / "fake.nc", r"is no series that xarray reads"),
        (tmp_path / "absent.nc", r"does not exist"),
        (np.zeros((2, 2)), r"array of shape \(2, 2\)"),
    ]
    for source, message in cases:
        with pytest.raises(InputError, match=message):
            forecaster().predict(source, tmp_path / "out.nc")
    assert [item.name for item in tmp_path.iterdir()] == ["fake.nc"]
    made["T2m"].attrs["units"] = "degC"
    with pytest.warns(ZooWarning, match="t2m is in 'degC' by its file, expected 'K'"):
        forecaster().predict(made)


def test_a_network_that_answers_otherwise_than_it_says():
    with pytest.raises(PluginError, match=r"says 1 lead times and 1 quantities, its network answered \(\d, 2, 8, 8\)"):
        forecaster(quantities=(WARMTH,)).predict(dataset())


def test_bands_of_sensors_go_by_their_vocabulary():
    spec = replace(WEATHER, bands=(Band(id="S2:B04", unit="K"), Band(id="S2:B08", unit="m")))
    made = dataset(T2m="red", Height="nir")
    np.testing.assert_allclose(forecaster(spec).predict(made).values, truth(made.rename(red="T2m")), rtol=1e-5)


def test_quantities_and_lead_times_survive_json():
    variant = forecaster(leads=(0.0, 6.0), quantities=(WARMTH, FROST)).variant
    assert decode(type(variant), json.loads(json.dumps(encode(variant)))) == variant
