"""Series as samples: inputs up to a time, targets later, and no target of one split in another."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray
from own_data import variant_of

from zoo.datasets.loading import loader
from zoo.datasets.opening import check_splits, open_dataset
from zoo.datasets.seeds import generator_of
from zoo.errors import InputError, ZooWarning
from zoo.spec import Band, Fill, InputSpec, Kind, Normalise, Quantity

WEATHER = InputSpec(
    name="weather",
    kind=Kind.SERIES,
    bands=(Band(id="t2m", unit="K"), Band(id="height", unit="m")),
    times=3,
    steps=(Normalise(mean=(280.0, 0.0), std=(10.0, 1.0), source="ours"), Fill(value=0.0, source="ours")),
)
WARMTH = Quantity(name="t2m", unit="K")
LEADS = (0.0, 24.0)
STEPS = 20


def stack(path, steps=STEPS, side=8, unit="K"):
    """t2m is 100 x step + row x side + column, twelve hours apart; one cell is never known."""
    step = np.arange(steps)[:, None, None] * 100.0
    cells = np.arange(side * side, dtype=float).reshape(side, side)
    warmth = step + cells
    warmth[:, 0, 0] = np.nan
    dims = ("time", "y", "x")
    time = np.datetime64("2020-02-28T00:00", "ns") + np.arange(steps) * np.timedelta64(12, "h")
    made = xarray.Dataset(
        {"t2m": (dims, warmth, {"units": unit}), "height": (dims[1:], cells * 2.0, {"units": "m"})},
        coords={"time": time, "y": np.arange(side)[::-1] * 10.0, "x": np.arange(side) * 10.0},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.to_netcdf(path, engine="h5netcdf")
    return path


def opened(path, split="train", inputs=(WEATHER,), leads=LEADS, stride=1, **options):
    options = {"shares": {"train": 0.6, "val": 0.4}, **options}
    variant = variant_of(*inputs, quantities=(WARMTH,), lead_times_h=leads, stride=stride)
    return open_dataset("series", path, split=split, options=options, variant=variant)


def test_inputs_end_where_targets_begin(tmp_path):
    reader = opened(stack(tmp_path / "all.nc"))
    # 12 steps of 20 are train; the first two lack inputs, the last two a target a day later
    assert len(reader.ids) == 8
    assert reader.ids[0] == "all.nc:2020-02-29T00:00:00:0:0"
    sample = reader.sample(0)
    weather = sample.inputs["weather"]
    assert weather.shape == (3, 2, 8, 8)
    np.testing.assert_allclose(weather[:, 0, 2, 1], (np.array([0, 100, 200]) + 17 - 280) / 10, rtol=1e-6)
    np.testing.assert_allclose(weather[:, 1, 2, 1], [34] * 3)
    assert sample.times["weather"].tolist() == [18320.0, 18320.5, 18321.0]  # 2020-02-28 is day 18,320 since 1970
    assert (weather[:, 0, 0, 0].tolist(), sample.valid["weather"][:, 0, 0, 0].tolist()) == ([0] * 3, [False] * 3)
    values, before = sample.target["values"], sample.target["persistence"]
    assert values.shape == before.shape == (2, 1, 8, 8)
    assert values[:, 0, 2, 1].tolist() == [217, 417]
    assert before[:, 0, 2, 1].tolist() == [217, 217]
    assert values[:, 0, 0, 0].isnan().all()


def test_targets_stay_in_their_split(tmp_path):
    path = stack(tmp_path / "all.nc")
    train, val = opened(path), opened(path, "val")
    check_splits(train, val)
    last, first = train.sample(len(train.ids) - 1), val.sample(0)
    assert last.target["values"][1, 0, 2, 1] == 1117, "step 11, the last of train"
    assert first.target["values"][0, 0, 2, 1] == 1217, "step 12, the first of val"


def test_without_a_lead_there_is_nothing_to_persist(tmp_path):
    target = opened(stack(tmp_path / "all.nc"), leads=(0.0,)).sample(0).target
    assert set(target) == {"values"}
    assert target["values"].shape == (1, 8, 8)


def test_targets_of_coarser_answers_are_means_of_what_is_known(tmp_path):
    values = opened(stack(tmp_path / "all.nc"), leads=(24.0,), stride=2).sample(0).target["values"]
    assert values.shape == (1, 4, 4)
    assert values[0, 0, 0] == 400 + (1 + 8 + 9) / 3
    assert values[0, 1, 1] == 400 + np.mean([18, 19, 26, 27])


def test_windows_lie_side_by_side_and_anywhere_in_training(tmp_path):
    reader = opened(stack(tmp_path / "all.nc"), leads=(24.0,), window=4)
    assert [one.rsplit(":", 2)[1:] for one in reader.ids[:4]] == [["0", "0"], ["0", "4"], ["4", "0"], ["4", "4"]]
    assert reader.sample(3).target["values"][0, 0, 0] == 400 + 4 * 8 + 4
    corners = {int(reader.sample(3, generator_of(seed)).inputs["weather"][0, 1, 0, 0]) // 2 for seed in range(60)}
    assert corners <= {row * 8 + col for row in range(5) for col in range(5)}
    assert len(corners) > 15


def test_workers_open_the_file_themselves(tmp_path):
    reader = opened(stack(tmp_path / "all.nc"))
    keys = [[(0, 0), (0, 1)], [(0, 2), (0, 3)]]
    alone, shared = (
        list(loader(reader, keys, seed=0, workers=workers, training=False, pin=False)) for workers in (0, 2)
    )
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.inputs["weather"], other.inputs["weather"])
        torch.testing.assert_close(one.target["values"], other.target["values"], equal_nan=True, rtol=0, atol=0)
    assert pickle.loads(pickle.dumps(reader)).sample(1).id == reader.sample(1).id


def test_a_file_per_split_is_read_by_its_name(tmp_path):
    stack(tmp_path / "train.nc")
    stack(tmp_path / "val.nc", steps=8)
    reader = open_dataset(
        "series",
        tmp_path,
        split="val",
        options={},
        variant=variant_of(WEATHER, quantities=(WARMTH,), lead_times_h=LEADS),
    )
    assert len(reader.ids) == 4
    with pytest.raises(InputError, match=r"holds train\.nc, val\.nc; expected test\.nc"):
        opened(tmp_path, "test")


def test_series_that_do_not_fit_are_told(tmp_path):
    path = stack(tmp_path / "all.nc", steps=5)
    with pytest.raises(InputError, match=r"all\.nc has 3 times in the split 'train', .* none with .* 0, 24 h later"):
        opened(path)
    with pytest.raises(
        InputError, match=r"no variable 'warmth' over time, .* found t2m: .*the option targets\.t2m=NAME"
    ):
        opened(path, targets={"t2m": "warmth"})
    with pytest.raises(InputError, match="bio_9"):
        opened(path, inputs=(replace(WEATHER, bands=(Band(id="bio_9", unit="K"), WEATHER.bands[1])),))
    with pytest.warns(ZooWarning, match="'degC' by its file, expected 'K'"):
        opened(stack(tmp_path / "other.nc", unit="degC"))
