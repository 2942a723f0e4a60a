"""Where a run's events go: its log, the terminal, Accelerate's trackers, and plugins that observe."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from zoo.errors import ConfigError, MissingDependency
from zoo.plugins import plugins
from zoo.training.curves import draw_curves
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder

logger = logging.getLogger(__name__)
DEFAULT = "tensorboard"  # the tracker that may be missing without harm
HOOK = "zoo_observe_training"
PREFIX = {Happened.LOGGED: "train/", Happened.EVALUATED: "validation/"}  # of names at the trackers
MOST_TOLD = 4  # ours: measurements on a line of the terminal
REFRESH_HZ = 4


class Reporter:
    """Passes on what a run does, in the main process; in others it is silent.

    Used as a context, once what a resumed run will do again is dropped from its log::

        with Reporter(run, accelerator, config.trackers) as report:
            report(event)

    When the context ends the curves are drawn; where it ends with an error, the log says which.

    Args:
        run: the run's folder.
        accelerator: of the run; `None` = one process.
        trackers: names that Accelerate knows; see `trackers_of`.

    Raises:
        ConfigError: Accelerate knows no tracker of that name, or it would not start.
        MissingDependency: its package is not installed.
    """

    def __init__(self, run: RunFolder, accelerator: Any | None, trackers: Sequence[str]) -> None:
        self.run = run
        self.silent = accelerator is not None and not accelerator.is_main_process
        self._deaf: set[str] = set()  # plugins whose observer failed
        self._starts: dict[str, int] = {}  # steps of all phases before one, which trackers count on
        self._steps = 0
        self._over = False
        self._live: _Terminal | _Lines = _Terminal() if sys.stderr.isatty() else _Lines()
        self._trackers: list[Any] = []
        if not self.silent:
            for event in run.events():  # of a run that is resumed
                self._place(event)
            self._trackers = trackers_of(trackers, run, purge_step=self._steps + 1 if self._steps else None)

    def __call__(self, event: TrainEvent) -> None:
        """Write, show and pass on an event. Only a log that cannot be written raises."""
        if self.silent:
            return
        self.run.append(event)
        step = self._place(event)
        self._over = event.kind in (Happened.ENDED, Happened.STOPPED)
        self._live.tell(event)
        if event.kind in PREFIX:
            self._track({f"{PREFIX[event.kind]}{name}": value for name, value in event.values.items()}, step)
        self._observe(event)

    def say(self, lines: Sequence[str]) -> None:
        """Show lines that are no event: what the readers read."""
        for line in () if self.silent else lines:
            self._live.say(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, _: TracebackType | None) -> None:
        if self.silent:
            return
        self._live.close()
        if not self._over and err is not None:
            with contextlib.suppress(Exception):  # a full disk is told by the error itself
                self.run.append_failure(f"{type(err).__name__}: {err}".strip(": "))
        for tracker in self._trackers:
            with contextlib.suppress(Exception):
                tracker.finish()
        try:
            draw_curves(self.run)
        except MissingDependency as missing:
            logger.warning("%s", missing)
        except Exception as failed:  # a picture is no reason to lose what was trained
            logger.warning("the curves of %s could not be drawn: %s", self.run.path, failed)

    def _place(self, event: TrainEvent) -> int:
        """The step counted over all phases."""
        if event.phase and event.phase not in self._starts:
            self._starts[event.phase] = self._steps
        step = self._starts.get(event.phase, 0) + event.step
        self._steps = max(self._steps, step)
        return step

    def _track(self, values: Mapping[str, float], step: int) -> None:
        for tracker in [*self._trackers]:
            try:
                tracker.log(values, step=step)
            except Exception as err:  # a tracker's server may go away; the run and its log stay
                self._trackers.remove(tracker)
                logger.warning("the tracker %s failed and is told no more: %s", tracker.name, err)

    def _observe(self, event: TrainEvent) -> None:
        found = plugins()
        before = len(found.failures)
        for _ in found.call(HOOK, without=self._deaf, event=event):
            pass
        self._deaf |= {failure.name for failure in found.failures[before:]}


def trackers_of(names: Sequence[str], run: RunFolder, *, purge_step: int | None = None) -> list[Any]:
    """Accelerate's trackers, started.

    Args:
        names: as Accelerate knows them: `tensorboard`, `wandb`, `mlflow`, ...
        run: whose folder takes the files of those that write files.
        purge_step: TensorBoard forgets what an earlier process told from this step on.

    Raises:
        ConfigError: no such tracker, or it would not start.
        MissingDependency: a package is missing; TensorBoard's is only warned of, as it is the default.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    available, started = {str(one) for one in get_available_trackers()}, []
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ConfigError(f"no tracker {name!r}; Accelerate knows {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
        if name not in available and name == DEFAULT:
            logger.warning("TensorBoard is not installed, curves are drawn at the end: pip install tensorboard")
            continue
        if name not in available:
            raise MissingDependency(f"the tracker {name} is not installed: pip install {name.replace('_', '-')}")
        tracker = LOGGER_TYPE_TO_CLASS[name]
        settings: dict[str, Any] = {"logging_dir": str(run.path)} if tracker.requires_logging_directory else {}
        if name == DEFAULT:
            settings["purge_step"] = purge_step
        try:
            one = tracker(DEFAULT if name == DEFAULT else run.path.resolve().name, **settings)
            one.start()
        except Exception as err:
            raise ConfigError(
                f"the tracker {name} did not start: {err}; set it up, or leave it out: trackers=[]"
            ) from err
        started.append(one)
    return started


# ------------------------------------------------------------------------------------------------------------ terminal


def words(values: Mapping[str, float]) -> str:
    """The first numbers of an event, for people."""
    overall = {name: value for name, value in values.items() if "/" not in name}  # those of classes are in the log
    told = [f"{name} {value:.4g}" for name, value in [*overall.items()][:MOST_TOLD]]
    more = len(overall) - MOST_TOLD
    return "  ".join([*told, *([f"and {more} more"] if more > 0 else [])])


class _Lines:
    """Where nobody watches (a file, a cluster's log): a line per measurement, with the last loss of training."""

    def __init__(self) -> None:
        self._loss = ""

    def say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def tell(self, event: TrainEvent) -> None:
        if event.kind is Happened.LOGGED:
            self._loss = f"train loss {event.values.get('loss', math.nan):.4g}  "
        if event.kind is Happened.EVALUATED:
            where = f"{event.phase} epoch {event.epoch:.4g} step {event.step:,}/{event.steps:,}"
            self.say(f"{where}  {self._loss}{words(event.values)}")

    def close(self) -> None:
        """Nothing is open."""


class _Terminal:
    """A bar that lives: phase, steps, loss, samples per second, time left; measurements stay above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
            refresh_per_second=REFRESH_HZ,
            transient=True,
        )
        self._phase: str | None = None
        self._task: Any = None
        self._begun = (0.0, 0)  # seconds and step at which this process began the phase

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def tell(self, event: TrainEvent) -> None:
        if event.phase and event.phase != self._phase:
            self._begin(event)
        match event.kind:
            case Happened.LOGGED:
                self._bar.update(self._task, completed=event.step, total=event.steps, told=self._told(event))
            case Happened.EVALUATED:
                self.say(f"{event.phase} step {event.step:,}  {words(event.values)}")
            case _:
                pass

    def close(self) -> None:
        self._bar.stop()

    def _begin(self, event: TrainEvent) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._bar.start()
        self._phase, self._begun = event.phase, (time.monotonic(), event.step)
        self._task = self._bar.add_task(event.phase, total=event.steps, completed=event.step, told="")

    def _told(self, event: TrainEvent) -> str:
        loss, rate = event.values.get("loss", math.nan), event.values.get("samples_per_s")
        seconds, step = self._begun
        left = (time.monotonic() - seconds) / max(event.step - step, 1) * max(event.steps - event.step, 0)
        told = [f"loss {loss:.4g}"]
        told += [f"{rate:,.0f} samples/s" if rate >= 10 else f"{rate:.2g} samples/s"] if rate else []
        told += [f"{clock(left)} left"] if event.step > step else []
        return "  ".join(told)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as `1:02:03` or `2:03`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
