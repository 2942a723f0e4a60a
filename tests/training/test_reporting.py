"""Where a run's events go, and what stops nothing."""

import io
import logging
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo import plugins
from zoo.errors import ConfigError, MissingDependency
from zoo.training import reporting
from zoo.training.config import Data, Phase, TrainConfig
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder
from zoo.training.reporting import Reporter, clock, trackers_of, words

OBSERVER = """
    SEEN = []

    @hookimpl
    def zoo_observe_training(event):
        SEEN.append((event.kind.value, event.step))
"""
FAILING = """
    CALLS = []

    @hookimpl
    def zoo_observe_training(event):
        CALLS.append(event)
        raise KeyError("no such dashboard")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "watcher,broken")
    made = RunFolder.create(tmp_path / "runs", "toy", "finetune")
    made.write_config(TrainConfig(model="toy", data=Data(dataset="world"), phases={"probe": Phase(steps=20)}))
    return made


def event(run, kind, phase="probe", step=0, steps=20, **values):
    return TrainEvent(kind=kind, run=run.path, phase=phase, step=step, steps=steps, epoch=0.0, values=values)


def tell_all(run, report, phases=("probe", "joint")):
    report(event(run, Happened.BEGAN, ""))
    for phase in phases:
        report(event(run, Happened.PHASE, phase))
        for step in (10, 20):
            report(event(run, Happened.LOGGED, phase, step, loss=1 / step, samples_per_s=50.0))
        report(event(run, Happened.EVALUATED, phase, 20, accuracy=0.5))
    report(event(run, Happened.ENDED, phases[-1], 20))


def broken_off(run, last, err):
    with Reporter(run, None, ()) as report:
        report(last)
        raise err


class Tracker:
    name = "fake"

    def __init__(self, fails=False):
        self.told, self.fails, self.finished = [], fails, False

    def log(self, values, step):
        self.told.append((step, dict(values)))
        if self.fails:
            raise ConnectionError("server is gone")

    def finish(self):
        self.finished = True


@pytest.fixture
def trackers(monkeypatch):
    made = [Tracker(), Tracker(fails=True)]
    monkeypatch.setattr(reporting, "trackers_of", lambda names, run, purge_step=None: [*made])
    return made


def test_everything_told_is_in_the_log_and_curves_are_drawn_at_the_end(run, trackers):
    with Reporter(run, None, ()) as report:
        tell_all(run, report)
        assert not run.curves.exists()
    assert [(one.kind, one.phase, one.step) for one in run.events()][-3:] == [
        (Happened.LOGGED, "joint", 20), (Happened.EVALUATED, "joint", 20), (Happened.ENDED, "joint", 20),
    ]  # fmt: skip
    assert run.summary().state == "ended"
    assert run.curves.is_file()


def test_trackers_count_steps_over_phases_and_one_that_fails_is_told_no_more(run, trackers, caplog):
    with Reporter(run, None, ("a", "b")) as report:
        tell_all(run, report)
    good, bad = trackers
    assert good.told == [
        (10, {"train/loss": 0.1, "train/samples_per_s": 50.0}),
        (20, {"train/loss": 0.05, "train/samples_per_s": 50.0}),
        (20, {"validation/accuracy": 0.5}),
        (30, {"train/loss": 0.1, "train/samples_per_s": 50.0}),
        (40, {"train/loss": 0.05, "train/samples_per_s": 50.0}),
        (40, {"validation/accuracy": 0.5}),
    ]
    assert good.finished
    assert len(bad.told) == 1
    assert [record.getMessage() for record in caplog.records].count(
        "the tracker fake failed and is told no more: server is gone"
    ) == 1


def test_resumed_run_goes_on_counting_where_it_was(run, trackers):
    with Reporter(run, None, ()) as report:
        report(event(run, Happened.PHASE, "probe"))
        report(event(run, Happened.LOGGED, "probe", 20, loss=1.0))
        report(event(run, Happened.LOGGED, "joint", 10, loss=1.0))
        report(event(run, Happened.STOPPED, "joint", 10))
    assert run.summary().state == "stopped"
    run.truncate_after("joint", 10)
    trackers[0].told.clear()
    with Reporter(run, None, ()) as report:
        report(event(run, Happened.LOGGED, "joint", 20, loss=1.0))
    assert trackers[0].told == [(40, {"train/loss": 1.0})]


def test_error_is_in_the_log_and_goes_on_its_way(run, trackers):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        broken_off(run, event(run, Happened.LOGGED, step=10, loss=1.0), ZeroDivisionError("division by zero"))
    assert run.summary().state == "failed"
    assert '"reason": "ZeroDivisionError: division by zero"' in run.log.read_text()
    assert trackers[0].finished
    assert run.curves.is_file()


def test_run_that_was_stopped_has_not_failed(run, trackers):
    with pytest.raises(SystemExit):
        broken_off(run, event(run, Happened.STOPPED, step=10), SystemExit(143))
    assert run.summary().state == "stopped"


def test_other_processes_write_nothing(run, monkeypatch):
    monkeypatch.setattr(reporting, "trackers_of", pytest.fail)
    with Reporter(run, SimpleNamespace(is_main_process=False), ("tensorboard",)) as report:
        tell_all(run, report)
    assert not run.log.exists()
    assert not run.curves.exists()


# ---------------------------------------------------------------------------------------------------------- observers


def test_observers_see_each_event_and_a_failing_one_is_told_once_and_stops_nothing(run, make_plugin, trackers, caplog):
    make_plugin("watcher", OBSERVER)
    make_plugin("broken", FAILING)
    with caplog.at_level(logging.WARNING), Reporter(run, None, ()) as report:
        tell_all(run, report, ("probe",))
    watcher, broken = (plugins.plugins().loaded[name].module for name in ("watcher", "broken"))
    assert watcher.SEEN == [
        ("began", 0), ("phase", 0), ("logged", 10), ("logged", 20), ("evaluated", 20), ("ended", 20),
    ]  # fmt: skip
    assert len(broken.CALLS) == 1
    assert len([one for one in caplog.records if "no such dashboard" in one.getMessage()]) == 1
    assert len(run.events()) == 6


# ----------------------------------------------------------------------------------------------------------- trackers


def test_tensorboard_holds_what_was_told_and_forgets_what_is_done_again(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Reporter(run, None, ("tensorboard",)) as report:
        for step, loss in ((10, 4.0), (20, 3.0)):
            report(event(run, Happened.LOGGED, step=step, loss=loss))
    run.truncate_after("probe", 10)
    with Reporter(run, None, ("tensorboard",)) as report:
        report(event(run, Happened.LOGGED, step=20, loss=2.0))
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("train/loss")] == [(10, 4.0), (20, 2.0)]


def test_tracker_that_nobody_knows_is_refused_with_those_that_are(run):
    with pytest.raises(ConfigError, match=r"no tracker 'tensorbord'; Accelerate knows .*tensorboard, .*wandb"):
        Reporter(run, None, ("tensorbord",))


def test_tracker_that_is_not_installed_says_what_to_install(run, monkeypatch, caplog):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(MissingDependency, match="pip install comet-ml"):
        trackers_of(("comet_ml",), run)
    assert trackers_of(("tensorboard",), run) == []
    assert [one.getMessage() for one in caplog.records if "pip install tensorboard" in one.getMessage()]


def test_tracker_that_does_not_start_says_so_before_hours_are_spent(run):
    (run.path / "tensorboard").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"tensorboard did not start: .*leave it out: trackers=\[\]"):
        trackers_of(("tensorboard",), run)


# ----------------------------------------------------------------------------------------------------------- terminal


def test_what_was_read_is_shown_once_and_is_no_event(run, trackers, capsys):
    lines = ["fir.csv: 3 finds of 1 species", "train, val: 2 + 1 sites"]
    with Reporter(run, None, ()) as report:
        report.say(lines)
    assert capsys.readouterr().err.splitlines() == lines
    assert run.events() == []
    with Reporter(run, SimpleNamespace(is_main_process=False), ()) as report:
        report.say(lines)
    assert capsys.readouterr().err == ""


def test_where_nobody_watches_there_is_a_line_per_measurement(run, trackers, capsys):
    with Reporter(run, None, ()) as report:
        tell_all(run, report)
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err
        == "probe epoch 0 step 20/20  train loss 0.05  accuracy 0.5\njoint epoch 0 step 20/20  train loss 0.05  accuracy 0.5\n"
    )


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_terminal_shows_a_bar_with_phase_loss_rate_and_time_left(run, trackers, monkeypatch):
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen)
    now = [100.0]
    monkeypatch.setattr(reporting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with Reporter(run, None, ()) as report:
        report(event(run, Happened.PHASE, "probe", 0, 1000))
        now[0] += 20
        report(event(run, Happened.LOGGED, "probe", 100, 1000, loss=0.12345, samples_per_s=431.7))
        report(event(run, Happened.EVALUATED, "probe", 100, 1000, accuracy=0.5))
        report._live._bar.refresh()
    text = screen.getvalue()
    for part in ("probe", "100/1000", "loss 0.1235", "432 samples/s", "3:00 left", "probe step 100  accuracy 0.5"):
        assert part in text, part


def test_words_and_clock_are_short():
    assert words({"a": 0.123456, "b": 2.0}) == "a 0.1235  b 2"
    assert words(dict.fromkeys("abcdef", 1.0)) == "a 1  b 1  c 1  d 1  and 2 more"
    assert [clock(one) for one in (0, 59.6, 3599, 3661)] == ["0:00", "1:00", "59:59", "1:01:01"]


def test_an_event_costs_less_than_five_milliseconds(run, trackers, make_plugin):
    """Events come every `log_every` steps, so that a step pays a fraction of this."""
    make_plugin("watcher", OBSERVER)
    with Reporter(run, None, ()) as report:
        report(event(run, Happened.PHASE))
        times = []
        for step in range(200):
            began = time.perf_counter()
            report(event(run, Happened.LOGGED, step=step, loss=1.0))
            times.append(time.perf_counter() - began)
    assert sorted(times)[100] < 5e-3
    assert Path(run.log).stat().st_size > 0
