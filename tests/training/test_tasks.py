"""One loop and one evaluation serve all six tasks on data of the user's own, in one process and in two."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
import yaml
from safetensors.torch import load_file

import zoo


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a task is tried: its layout, and by how much a score must gain over the random start on samples never seen."""

    layout: str
    metric: str
    gain: float
    direction: str = "max"
    settings: dict = field(default_factory=dict)


CASES = {
    "labels": Case(layout="class-folders", metric="accuracy", gain=0.5),
    "maps": Case(layout="masks", metric="miou", gain=0.4),
    "points": Case(layout="points", metric="map100-10", gain=0.3, settings={"objective": "assigned", "epochs": 24}),
    "series": Case(layout="series", metric="rmse/t2m", gain=1.2, direction="min", settings={"epochs": 6}),
    "sites": Case(layout="sites", metric="auc_mean", gain=0.5),
    "captions": Case(layout="captions", metric="mean_recall", gain=0.5, settings={"optimizer": {"lr": 0.06}}),
}


def recipe_of(task: str, home: Path, where: Path, **changes: object) -> Path:
    """A recipe of the user's own, written."""
    case = CASES[task]
    told = {
        "model": f"six@{task}",
        "start": "random",
        "data": {"dataset": case.layout, "folder": str(home / task)},
        "validation": {"split": "val", "every": 3},
        "best": {"metric": case.metric, "direction": case.direction},
        "epochs": 12,
        "batch": 6,
        "optimizer": {"lr": 0.03},
        "schedule": {"name": "cosine"},
        "workers": 0,
        "trackers": [],
        **case.settings,
        **changes,
    }
    file = where / f"{task}.yaml"
    file.write_text(yaml.safe_dump(told, sort_keys=False))
    return file


@pytest.fixture(scope="session")
def runs() -> dict[str, Path]:
    """Runs that were trained in this session, by task."""
    return {}


@pytest.fixture(params=CASES)
def task(request) -> str:
    return request.param


@pytest.fixture
def run(task, six, six_data, runs, tmp_path_factory, zoo_command) -> Path:
    """The folder of a run of the task, trained by its default objective."""
    if task not in runs:
        home = tmp_path_factory.mktemp(task)
        code, _, err = zoo_command("train", "six", recipe_of(task, six_data, home), "--out", home / "run")
        assert code == 0, err
        runs[task] = home / "run"
    return runs[task]


def test_a_users_own_data_are_learnt(task, run, six_data):
    case = CASES[task]
    before, after = (
        zoo.evaluate(model, case.layout, six_data / task, split="test", bootstrap=0).values[case.metric]
        for model in (zoo.build(f"six@{task}", seed=42, device="cpu"), zoo.load(str(run / "model"), device="cpu"))
    )
    assert (after - before) * (1 if case.direction == "max" else -1) > case.gain


def test_evaluation_of_a_run_gives_what_the_loop_measured(task, run, six_data, zoo_command):
    """The weights that are kept are the best ones; other batches than the loop's change no more than a rounding."""
    arguments = ("--split", "val", "--bootstrap", "0", "--json", "--batch-size", "4", "--device", "cpu")
    code, said, err = zoo_command("evaluate", run, CASES[task].layout, six_data / task, *arguments)
    assert code == 0, err
    found = {name: one["value"] for name, one in json.loads(said)["metrics"].items()}
    expected = json.loads((run / "metrics.json").read_text())["best"]["values"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)), name


def test_the_model_of_a_run_answers_for_files(task, run, six_data, tmp_path):
    model = zoo.load(str(run / "model"), device="cpu")
    assert globals()[f"right_{task}"](model, six_data / task, tmp_path / "out.csv") > 0.75  # by chance 0.5 at most


def right_labels(model, data, out):
    """Share of right classes."""
    model.classify(data / "test", out)
    rows = pd.read_csv(out)
    best = rows[["blue", "green", "red"]].idxmax(axis=1)
    return np.mean([kind in name for kind, name in zip(best, rows.iloc[:, 0], strict=True)])


def right_maps(model, data, out):
    """Share of right pixels of a scene."""
    found = model.predict(data / "images" / "test" / "test0.tif").values[0]
    with rasterio.open(data / "labels" / "test" / "test0.tif") as source:
        label = source.read(1)
    return np.mean(found[label != 255] == label[label != 255])


def right_points(model, data, out):
    """1 less the share by which a class is counted wrongly."""
    model.predict(data / "images" / "test", out)
    said, truth = pd.read_csv(out)["class"].value_counts(), pd.read_csv(data / "points.csv")
    there = truth[truth["image"].str.startswith("test")]["class"].value_counts()
    return 1 - ((said - there).abs() / there).max()


def right_series(model, data, out):
    """Skill against what the day before was; 0.75 is all that can be known."""
    import xarray

    found = model.predict(data / "weather.nc").values[:-1, 0, 0]
    truth = xarray.load_dataset(data / "weather.nc", engine="h5netcdf")["t2m"].values
    persistence = np.square(truth[3:] - truth[2:-1]).mean()
    return (1 - np.square(found - truth[3:]).mean() / persistence) / 0.75


def right_sites(model, data, out):
    """How probability follows warmth."""
    told = pd.read_csv(data / "sites.csv")
    model.predict(told.drop(columns="split"), out)
    found = pd.read_csv(out)
    both = [np.corrcoef(found[name].rank(), told["bio_1"].rank())[0, 1] for name in ("Olea europaea", "Abies alba")]
    return min(both[0], -both[1])


def right_captions(model, data, out):
    """Share of photographs whose colour is named."""
    colours = ("red", "green", "blue", "yellow", "pink")
    model.predict(
        str(data / "pictures" / "test-*.png"), out, classes=colours, templates=("a dark {} field", "a bright {} field")
    )
    rows = pd.read_csv(out)
    best = rows[[*colours]].idxmax(axis=1)
    return np.mean([kind in name for kind, name in zip(best, rows.iloc[:, 0], strict=True)])


@pytest.mark.parametrize("shared", ["points", "series", "captions"])
def test_two_processes_learn_and_measure_what_one_does(six, six_data, tmp_path, zoo_command, two_processes, shared):
    """Losses whose counts the network's answer decides, and those that compare samples of all processes."""
    file = recipe_of(shared, six_data, tmp_path, epochs=None, steps=4, batch=5, validation={"split": "val", "every": 2})
    code, _, err = zoo_command("train", "six", file, "--out", tmp_path / "one")
    assert code == 0, err
    two_processes("train", "six", file, "--out", tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], rtol=2e-4, atol=2e-5)
    events = [measured(tmp_path / name) for name in ("one", "two")]
    assert len(events[0]) == 3  # one line of the log at the end, two measurements
    for found, expected in zip(*events, strict=True):
        assert found == pytest.approx(expected, rel=2e-4, abs=1e-5, nan_ok=True)
    arguments = (CASES[shared].layout, six_data / shared, "--bootstrap", "20", "--batch-size", "4", "--device", "cpu")
    assert zoo_command("evaluate", tmp_path / "one", *arguments, "--out", tmp_path / "one.json")[0] == 0
    two_processes("evaluate", tmp_path / "one", *arguments, "--out", tmp_path / "two.json")
    one, two = (json.loads((tmp_path / f"{name}.json").read_text())["metrics"] for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, found in one.items():  # the two have one thread each, on which torch adds in another order
        assert [*found.values()] == [None if b is None else pytest.approx(b, rel=1e-6) for b in two[name].values()]


def measured(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    told = [line["values"] for line in lines if line["kind"] in ("logged", "evaluated")]
    return [{name: one for name, one in few.items() if name != "samples_per_s" and one is not None} for few in told]


@pytest.mark.parametrize("shared", ["points", "captions"])
def test_a_loss_is_measured_alike_in_two_processes(six, six_data, tmp_path, zoo_command, two_processes, shared):
    """Nine and ten samples in batches of two: one process has a batch more than the other."""
    changes = {"validation": {"split": "val", "every": 1, "protocol": "loss"}, "best": None, "steps": 1, "epochs": None}
    file = recipe_of(shared, six_data, tmp_path, batch=2, **changes)
    code, _, err = zoo_command("train", "six", file, "--out", tmp_path / "one")
    assert code == 0, err
    two_processes("train", "six", file, "--out", tmp_path / "two")
    one, two = (measured(tmp_path / name)[-1]["loss"] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.parametrize("read", ["labels", "series"])
def test_workers_change_no_bit(six, six_data, tmp_path, read):
    changes = {"epochs": None, "steps": 5, "best": None, "validation": None}
    if read == "labels":
        changes["data"] = {"dataset": "class-folders", "folder": str(six_data / read), "options": {"turn": True}}
    file = recipe_of(read, six_data, tmp_path, **changes)
    none, two = (
        zoo.train(zoo.recipe("six", file, f"workers={workers}"), out=tmp_path / f"run{workers}") for workers in (0, 2)
    )
    for key, value in none.model.module.state_dict().items():
        assert torch.equal(value, two.model.module.state_dict()[key]), key
