"""What a run leaves in its folder, and what is read back from it."""

import getpass
import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import ConfigError, OutputError
from zoo.evaluation.result import Evaluation
from zoo.results.provenance import Provenance
from zoo.tasks.metrics.sums import Figure
from zoo.training.config import Best, Data, Phase, TrainConfig, Validation
from zoo.training.curves import curves_of, draw_curves, smoothed
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder, best_of, find_runs

CONFIG = TrainConfig(
    model="toy@small",
    recipe="finetune",
    data=Data(dataset="world", folder="chips"),
    validation=Validation(),
    phases={one: Phase(steps=steps, best=Best(metric="accuracy")) for one, steps in (("probe", 20), ("joint", 40))},
)


def event(run, kind, phase="probe", step=0, steps=20, **values):
    values = {name.replace("_", " "): value for name, value in values.items()}
    return TrainEvent(kind=kind, run=run.path, phase=phase, step=step, steps=steps, epoch=step / 10, values=values)


@pytest.fixture
def run(tmp_path):
    made = RunFolder.create(tmp_path / "runs", "toy@small", "finetune")
    made.write_config(CONFIG)
    return made


@pytest.fixture
def ended(run):
    """Two phases, a log line each ten steps, a measurement each twenty."""
    run.append(event(run, Happened.BEGAN))
    for phase, steps, offset in (("probe", 20, 0.0), ("joint", 40, 0.5)):
        run.append(event(run, Happened.PHASE, phase, 0, steps))
        for step in range(10, steps + 1, 10):
            run.append(event(run, Happened.LOGGED, phase, step, steps, loss=2 - offset - step / 100, lr=1e-3))
            if step % 20 == 0:
                run.append(event(run, Happened.EVALUATED, phase, step, steps, accuracy=0.9 - offset + step / 100))
    run.append(event(run, Happened.ENDED, "joint", 40, 40))
    return run


# -------------------------------------------------------------------------------------------------------------- names


def test_runs_are_numbered_and_the_latest_is_the_highest_number_of_its_own_model_and_recipe(tmp_path):
    names = [RunFolder.create(tmp_path, "toy@small", "finetune").path.name for _ in range(3)]
    assert names == ["toy-small-finetune-001", "toy-small-finetune-002", "toy-small-finetune-003"]
    RunFolder.create(tmp_path, "toy@small", "finetune-long")
    (tmp_path / "toy-small-finetune-1000").mkdir()
    (tmp_path / "toy-small-finetune-backup").mkdir()
    assert RunFolder.latest(tmp_path, "toy@small", "finetune").path.name == "toy-small-finetune-1000"
    assert RunFolder.create(tmp_path, "toy@small", "finetune").path.name == "toy-small-finetune-1001"
    assert RunFolder.latest(tmp_path, "toy@large", "finetune") is None
    assert RunFolder.create(tmp_path, "hf://lab/birds", "").path.name == "lab-birds-own-001"


def test_processes_that_begin_at_once_get_folders_of_their_own(tmp_path):
    code = (
        "import sys, time\nfrom zoo.training.folder import RunFolder\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for _ in range(20): print(RunFolder.create(sys.argv[1], 'a', 'b').path.name)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "runs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    names = [name for one in both for name in one.communicate(timeout=60)[0].split()]
    assert len(names) == 40
    assert sorted(names) == [f"a-b-{number:03d}" for number in range(1, 41)]


def test_place_that_cannot_hold_runs_is_told(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="choose another place for runs"):
        RunFolder.create(tmp_path / "runs", "a", "b")


# ---------------------------------------------------------------------------------------------------------------- log


def test_events_come_back_as_they_were_and_numbers_that_are_none_too(run):
    told = [
        event(run, Happened.BEGAN),
        event(run, Happened.LOGGED, step=10, loss=0.1 + 0.2, lr=3e-4),
        event(run, Happened.EVALUATED, step=20, accuracy=math.inf),
    ]
    for one in told:
        run.append(one)
    found = run.events()
    assert found[:2] == told[:2]
    assert math.isnan(found[2].values["accuracy"])
    assert [json.loads(line, parse_constant=pytest.fail)["step"] for line in run.log.read_text().splitlines()] == [0, 10, 20]  # fmt: skip


def test_line_that_a_crash_tore_is_left_out_and_does_not_spoil_the_next(ended):
    whole = ended.events()
    with ended.log.open("a") as file:
        file.write('{"kind": "logged", "phase": "joi')
    assert ended.events() == whole
    assert ended.summary().state == "ended"
    more = event(ended, Happened.SAVED, "joint", 40, 40)
    ended.append(more)
    assert ended.events() == [*whole, more]


def test_resumed_run_has_no_line_twice(ended):
    before = ended.events()
    ended.append_failure("OutOfMemoryError: none left")
    ended.truncate_after("joint", 20)
    kept = ended.events()
    assert kept == before[:9]
    assert (kept[-1].kind, kept[-1].phase, kept[-1].step) == (Happened.EVALUATED, "joint", 20)
    assert ended.summary().state == "running"
    for step in (30, 40):
        ended.append(event(ended, Happened.LOGGED, "joint", step, 40, loss=1.0))
    loss = curves_of(ended.events(), CONFIG).logged["loss"]
    assert [*loss] == [10, 20, 30, 40, 50, 60]  # of both phases together
    ended.truncate_after("probe", 10)
    assert [(one.kind, one.step) for one in ended.events()] == [
        (Happened.BEGAN, 0), (Happened.PHASE, 0), (Happened.LOGGED, 10),
    ]  # fmt: skip
    ended.truncate_after("joint", 0)  # a phase that has told nothing yet comes after all that have
    assert len(ended.events()) == 3


# ------------------------------------------------------------------------------------------------------------ summary


def test_summary_says_state_step_best_and_last_loss(ended):
    row = ended.summary()
    assert (row.name, row.model, row.recipe, row.state) == (
        "toy-small-finetune-001", "toy@small", "finetune", "ended",
    )  # fmt: skip
    assert (row.phase, row.step, row.steps) == ("joint", 40, 40)
    assert (row.metric, row.best) == ("accuracy", pytest.approx(0.8))  # 1.1 of the first phase is where this one began
    assert row.loss == pytest.approx(1.1)
    assert [one.path for one in find_runs(ended.path.parent)] == [ended.path]


def test_state_is_what_the_last_line_says(run):
    assert (run.summary().state, run.summary().steps) == ("running", 0)
    run.append(event(run, Happened.LOGGED, step=10, loss=math.nan))
    assert (run.summary().state, run.summary().loss) == ("running", None)
    run.append(event(run, Happened.STOPPED, step=10))
    assert run.summary().state == "stopped"
    run.append_failure("InputError: loss is not finite")
    assert run.summary().state == "failed"
    old = run.log.stat().st_mtime - 7200
    os.utime(run.log, (old, old))
    assert run.summary().silent_s == pytest.approx(7200, abs=60)


@pytest.mark.parametrize(("direction", "step"), [("max", 20), ("min", 30)])
def test_best_is_the_first_of_equal_ones_in_the_direction_asked_for(run, direction, step):
    config = TrainConfig(
        model="a", data=Data(dataset="d"), phases={"p": Phase(steps=1, best=Best(metric="x", direction=direction))}
    )
    rows = [(10, math.nan), (20, 3.0), (30, 1.0), (40, 3.0), (50, 1.0), (60, math.nan)]
    told = [event(run, Happened.EVALUATED, "p", at, 60, x=value) for at, value in rows]
    assert best_of(told, config).step == step
    assert best_of(told[:1], config) is None


def test_configuration_comes_back_and_a_folder_without_one_is_no_run(run, tmp_path):
    assert run.read_config() == CONFIG
    with pytest.raises(ConfigError, match="is no run"):
        RunFolder(tmp_path).read_config()


# ------------------------------------------------------------------------------------------------------------ metrics


def test_metrics_hold_best_last_and_the_evaluation_with_its_intervals(ended):
    ended.append(event(ended, Happened.EVALUATED, "joint", 30, 40, accuracy=0.65, F1=math.nan))
    ended.write_metrics(checkpoint="01-00000040")
    told = ended.read_metrics()
    assert (told["metric"], told["direction"], told["model"], told["checkpoint"]) == (
        "accuracy", "max", "best", "01-00000040",
    )  # fmt: skip
    assert (told["best"]["phase"], told["best"]["step"]) == ("joint", 40)
    assert told["last"]["values"] == {"accuracy": 0.65, "F1": None}
    assert (told["loss"], told["evaluation"]) == (pytest.approx(1.1), None)
    evaluation = Evaluation(
        model="toy", variant="small", dataset="world", split="test", protocol="head", num_samples=7,
        figures={"accuracy": Figure(0.5, 0.25, 0.75)},
        provenance=Provenance(model="toy", variant="small", weights="x", revision=None, sha256=None, zoo_version="0"),
    )  # fmt: skip
    ended.write_metrics(evaluation=evaluation)
    assert ended.read_metrics()["evaluation"]["metrics"] == {"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}}


# -------------------------------------------------------------------------------------------------------- environment


def test_environment_says_versions_devices_git_and_start_without_names_of_places(run, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=s@t"]
    model, config = zoo.load("smarties@demo", device="cpu"), replace(CONFIG, model="smarties@demo")
    run.write_environment(config, model, processes=3)
    assert run.read_environment()["git"] is None
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    run.write_environment(config, model, processes=3)
    told = run.read_environment()
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert told["git"] == {"commit": head, "dirty": False}
    assert (told["zoo"], told["packages"]["torch"], told["processes"]) == (zoo.__version__, torch.__version__, 3)
    assert "zoo-smarties" in told["plugins"]
    assert told["devices"]
    assert (told["start"]["name"], told["start"]["sha256"]) == (model.origin.name, model.origin.sha256)
    assert told["start"]["license"] == model.variant.weights.license == "Apache-2.0"
    Path("new").write_text("files that git does not know, such as runs, change nothing")
    run.write_environment(config, model, processes=3)
    assert not run.read_environment()["git"]["dirty"]
    subprocess.run([*git, "add", "new"], check=True)
    run.write_environment(config, model, processes=3)
    assert run.read_environment()["git"]["dirty"]
    text = run.environment.read_text()
    assert [name for name in (str(tmp_path), str(Path.home()), "somebody", socket.gethostname()) if name in text] == []
    assert f'"{getpass.getuser()}' not in text


# ------------------------------------------------------------------------------------------------------------- curves


def test_curves_put_phases_after_one_another_and_the_later_of_two_lines_counts(ended):
    ended.append(event(ended, Happened.LOGGED, "joint", 40, 40, loss=7.0))
    curves = curves_of(ended.events(), CONFIG)
    assert curves.phases == [("probe", 0, 20), ("joint", 20, 60)]
    assert curves.logged["loss"] == pytest.approx({10: 1.9, 20: 1.8, 30: 1.4, 40: 1.3, 50: 1.2, 60: 7.0})
    assert curves.measured["accuracy"] == pytest.approx({20: 1.1, 40: 0.6, 60: 0.8})
    assert curves.best == 60


def test_smoothing_is_a_centred_triangle_that_skips_what_is_no_number():
    assert smoothed([1.0, 1.0, 1.0, 1.0], 3) == [1.0] * 4
    assert smoothed([0.0, 4.0, 0.0], 3) == pytest.approx([4 / 3, 2.0, 4 / 3])
    assert smoothed([0.0, math.nan, 3.0, 0.0], 3) == pytest.approx([0.0, 1.5, 2.0, 1.0])
    assert all(math.isnan(one) for one in smoothed([math.nan] * 3, 5))
    assert smoothed([2.0], 9) == [2.0]
    rise = np.arange(50.0)
    assert smoothed(rise, 9)[10:40] == pytest.approx([*rise[10:40]])  # no lag


def test_picture_is_drawn_with_loss_rate_and_metrics(ended):
    assert draw_curves(ended) == ended.curves
    with Image.open(ended.curves) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 1000
    near = {}
    for name, colour in {"loss": (0x2F, 0x6D, 0xB3), "rate": (0x7A, 0x51, 0x95), "metric": (0x2A, 0x8A, 0x6A)}.items():
        near[name] = int((np.abs(pixels.astype(int) - colour).sum(2) < 12).sum())
    assert min(near.values()) > 300, near
    assert [one.name for one in ended.path.glob(".*")] == []


def test_nothing_is_drawn_of_a_run_that_logged_nothing(run):
    assert draw_curves(run) is None
    assert not run.curves.exists()


@pytest.mark.parametrize("values", [{"loss": math.nan}, {"loss": 0.0}, {"other": 1.0}])
def test_curves_of_odd_numbers_are_drawn_all_the_same(run, values):
    run.append(event(run, Happened.LOGGED, step=10, **values))
    run.append(event(run, Happened.EVALUATED, step=10, accuracy=math.nan))
    assert draw_curves(run).is_file()


# ------------------------------------------------------------------------------------------------------------ command


def test_command_lists_runs_and_shows_one(ended, zoo_command, monkeypatch):
    ended.write_metrics()
    code, out, err = zoo_command("runs", ended.path.parent)
    head, row = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["run", "model", "recipe", "state", "step", "best", "loss"]
    assert row.split() == [
        "toy-small-finetune-001", "toy@small", "finetune", "ended", "joint", "40/40", "accuracy", "0.8", "1.1",
    ]  # fmt: skip
    rows = json.loads(zoo_command("runs", ended.path.parent, "--json")[1])
    assert [(one["name"], one["state"], one["best"]) for one in rows] == [
        ("toy-small-finetune-001", "ended", pytest.approx(0.8))
    ]
    monkeypatch.chdir(ended.path.parents[1])
    code, out, _ = zoo_command("runs", "toy-small-finetune-001")
    assert code == 0
    assert "accuracy 0.8" in out
    assert "log.jsonl" in out
    told = json.loads(zoo_command("runs", "toy-small-finetune-001", "--json")[1])
    assert told["files"]["config.yaml"] == ended.config.stat().st_size
    assert told["changed"] is None  # the toy's recipe is not at hand
    code, _, err = zoo_command("runs", "toy-small-finetun-001")
    assert code == 1
    assert "did you mean toy-small-finetune-001?" in err


def test_command_without_runs_says_how_to_make_one(tmp_path, zoo_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = zoo_command("runs")
    assert (code, out) == (0, "")
    assert "zoo train" in err


def test_run_whose_configuration_is_broken_costs_one_line(ended, zoo_command):
    other = RunFolder.create(ended.path.parent, "toy@small", "finetune")
    other.config.write_text("model: toy\nnonsense: 1\n")
    code, out, err = zoo_command("runs", ended.path.parent)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "left out" in err
    assert "nonsense" in err
