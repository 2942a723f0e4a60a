"""A run that was stopped, killed, or whose checkpoint was cut short goes on as if nothing had happened."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from zoo.errors import ConfigError, OutputError
from zoo.training import checkpoints
from zoo.training.loop import train
from zoo.training.phase import Stopped

SETTINGS = {
    "plain": (),
    "everything": (
        "epochs=null", "steps=10", "batch=8", "micro_batch=3", "ema.decay=0.9", "clip=1", "validation.split=val",
        "validation.every=2", "best.metric=accuracy", "lora.target=[blocks.*]", "drop_last=false",
    ),
    "schedule-free": ("epochs=null", "steps=10", "optimizer.name=schedule-free-adamw", "validation.split=val"),
    "objective of its own": ("epochs=null", "steps=10", "objective=two"),
    "phases": (),
    "plateau between lines": (
        "epochs=null", "steps=10", "log_every=4", "schedule.name=plateau", "schedule.on=loss", "schedule.patience=0",
        "schedule.threshold=0.1", "schedule.warmup=0",
    ),
}  # fmt: skip
PHASES = {"first": {"steps": 4, "trained": ["head.*"]}, "second": {"steps": 6}}


@pytest.fixture
def config(configured):
    def make(name="plain", *overrides):
        changes = {"phases": PHASES, "epochs": None} if name == "phases" else {}
        settings = SETTINGS[name] or (() if name == "phases" else ("epochs=null", "steps=10"))
        return configured(*settings, "save_every=1", "keep=100", *overrides, **changes)

    return make


def weights(folder):
    return load_file(folder / "model/model.safetensors")


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def logged(folder):
    """Everything told but speed, in order."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.get("values", {}).pop("samples_per_s", None)
    return [line for line in lines if line["kind"] not in ("began", "stopped", "phase", "saved", "ended")]


def cut(source, target, step):
    """The run as it was after a step of all phases together."""
    shutil.copytree(source, target)
    shutil.rmtree(target / "model")
    every = sorted(path for path in (target / "checkpoints").iterdir() if path.is_dir())
    for path in every[step:]:
        shutil.rmtree(path)


@pytest.mark.parametrize("name", SETTINGS)
def test_ten_steps_are_five_and_five_bit_for_bit(config, learner, name):
    train(config(name), out="whole")
    cut(learner / "whole", learner / "parts", 5)
    train(config(name), out="parts", resume="auto")
    same(weights(learner / "whole"), weights(learner / "parts"))
    assert logged(learner / "whole") == logged(learner / "parts")


def test_a_signal_in_the_middle_of_a_step_loses_nothing(config, learner, recipe_file, environment):
    flag = learner / "now"
    settings = ["epochs=null", "steps=10", "objective=slow", f"objective_options.flag={flag}", "save_every=100"]
    whole = [*settings[:3], "save_every=100"]
    command = [sys.executable, "-m", "zoo", "train", "learner", str(recipe_file())]
    running = subprocess.Popen(
        [*command, *settings, "--out", "parts"], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not flag.exists() and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM, err
    assert "stopped at step 4 of 10" in err
    assert "--resume auto" in err
    done = subprocess.run(
        [*command, *settings, "--out", "parts", "--resume", "auto"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    from zoo.training.recipes import recipe

    train(recipe("learner", recipe_file(), *whole), out="whole")
    same(weights(learner / "whole"), weights(learner / "parts"))


def test_a_process_that_is_killed_goes_on_from_its_last_checkpoint(config, learner, recipe_file, environment):
    flag = learner / "now"
    settings = ["epochs=null", "steps=10", "objective=slow", f"objective_options.flag={flag}", "save_every=1"]
    command = [sys.executable, "-m", "zoo", "train", "learner", str(recipe_file()), *settings, "--out", "parts"]
    running = subprocess.Popen([*command, "objective_options.seconds=60"], env=environment)
    while not flag.exists() and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.wait(timeout=60)
    assert checkpoints.newest(learner / "parts/checkpoints").name == "00-00000003"
    resumed = subprocess.run(
        [*command, "objective_options.seconds=60", "--resume", "auto"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    from zoo.training.recipes import recipe

    train(recipe("learner", recipe_file(), *settings[:3]), out="whole")
    same(weights(learner / "whole"), weights(learner / "parts"))


def test_a_checkpoint_cut_short_is_told_of_and_the_one_before_it_used(config, learner, caplog):
    train(config(), out="whole")
    cut(learner / "whole", learner / "parts", 5)
    torn = learner / "parts/checkpoints/00-00000005/learner.safetensors"
    torn.write_bytes(torn.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING, "zoo"):
        train(config(), out="parts", resume="auto")
    assert "00-00000005 was cut short (learner.safetensors has" in caplog.text
    same(weights(learner / "whole"), weights(learner / "parts"))


def test_a_disk_that_fills_while_saving_leaves_what_was_there(config, learner, monkeypatch):
    saved = torch.save

    def full(state, path):
        if "00-00000003" in str(path):
            raise OSError(28, "No space left on device")
        saved(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device; free some space.*00-00000002 with --resume auto"):
        train(config(), out="run")
    assert sorted(path.name for path in (learner / "run/checkpoints").iterdir()) == ["00-00000001", "00-00000002"]
    monkeypatch.undo()
    monkeypatch.chdir(learner)


def test_old_checkpoints_are_removed(config, learner):
    train(config("plain", "keep=2"), out="run")
    assert [path.name for path in sorted((learner / "run/checkpoints").iterdir())] == ["00-00000009", "00-00000010"]


def test_other_settings_are_named_and_some_may_change(config, learner):
    train(config(), out="whole")
    cut(learner / "whole", learner / "parts", 5)
    with pytest.raises(ConfigError, match=r"phases.train.optimizer.lr: 0.5, was 0.02"):
        train(config("plain", "optimizer.lr=0.5"), out="parts", resume="auto")
    with pytest.raises(ConfigError, match=r"--resume auto, or choose another --out"):
        train(config(), out="parts")
    train(config("plain", "log_every=3", "keep=1"), out="parts", resume="auto")
    same(weights(learner / "whole"), weights(learner / "parts"))


def test_a_run_killed_early_in_its_second_phase_has_the_first_phases_best(configured, learner):
    """The second phase has measured, and saved no checkpoint yet."""
    best = {"metric": "loss", "direction": "min"}
    config = configured(
        "epochs=null", "validation.split=val", "validation.protocol=loss", "validation.every=1", "save_every=100", "keep=100",
        phases={"first": {"steps": 5}, "second": {"steps": 5}}, best=best, optimizer={"lr": 0.3}, schedule={"name": "constant"},
    )  # fmt: skip
    train(config, out="whole")
    shutil.copytree(learner / "whole", learner / "parts")
    shutil.rmtree(learner / "parts/model")
    shutil.rmtree(learner / "parts/checkpoints/01-00000005")
    train(config, out="parts", resume="auto")
    same(weights(learner / "whole"), weights(learner / "parts"))
    assert logged(learner / "whole") == logged(learner / "parts")


def test_an_attempt_without_a_checkpoint_leaves_no_trace_in_the_next(configured, learner):
    from zoo.errors import InputError

    settings = ("validation.split=val", "validation.every=0.3", "save_every=100", "batch=6", "epochs=3")
    with pytest.raises(InputError):
        train(configured(*settings, "data.options.fail=nan"), out="run")
    assert (learner / "run/log.jsonl").stat().st_size > 0
    with pytest.raises(ConfigError, match=r"data.options.fail: absent, was nan"):
        train(configured(*settings), out="run", resume="auto")
    (learner / "run/config.yaml").unlink()
    train(configured(*settings), out="run", resume="auto")
    kinds = [json.loads(line)["kind"] for line in (learner / "run/log.jsonl").read_text().splitlines()]
    assert kinds.count("began") == 1
    assert "failed" not in kinds


def test_other_samples_in_the_place_of_those_before_are_noticed(config, learner):
    train(config(), out="whole")
    cut(learner / "whole", learner / "parts", 5)
    for file in (learner / "parts/checkpoints").glob("*/state.json"):
        file.write_text(file.read_text().replace('"samples": "', '"samples": "0'))
    for file in (learner / "parts/checkpoints").glob("*/complete.json"):
        sizes = json.loads(file.read_text())
        file.write_text(json.dumps(sizes | {"state.json": sizes["state.json"] + 1}))
    with pytest.raises(ConfigError, match="the training data are not those with which the run was begun"):
        train(config(), out="parts", resume="auto")


def test_resuming_what_is_not_there_begins(config, learner):
    done = train(config(), resume="auto")
    assert done.folder.name == "learner-chips-toy-001"
    assert train(config(), resume="auto").folder.name == "learner-chips-toy-002"  # the first has ended
    with pytest.raises(ConfigError, match="has no checkpoint to go on from"):
        train(config(), resume=learner / "nowhere")


def test_a_run_of_one_process_goes_on_in_two(config, learner, recipe_file, two_processes):
    settings = ("epochs=null", "steps=6", "network.dropout=0", "save_every=1", "keep=100")
    from zoo.training.recipes import recipe

    train(recipe("learner", recipe_file(), *settings), out="whole")
    cut(learner / "whole", learner / "parts", 3)
    two_processes("train", "learner", str(recipe_file()), *settings, "--out", learner / "parts", "--resume", "auto")
    one, two = weights(learner / "whole"), weights(learner / "parts")
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=2e-4, atol=2e-5)


def test_stopping_says_which_signal(config, learner, recipe_file):
    from zoo.training.recipes import recipe

    flagged = (
        "epochs=null",
        "steps=5",
        "objective=slow",
        f"objective_options.flag={learner}/x",
        "objective_options.itself=true",
    )
    with pytest.raises(Stopped) as caught:
        train(recipe("learner", recipe_file(), *flagged), out="run")
    assert caught.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
