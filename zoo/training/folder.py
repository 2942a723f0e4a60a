"""The folder of a run: what was asked, where it ran, what happened, and the model that came out.

::

    runs/smarties-vit-b-finetune-001/
        config.yaml        the resolved configuration
        environment.json   versions, devices, processes, state of git; the weights it began with, and all data behind them;
                           what was read of the data
        log.jsonl          one line per event
        metrics.json       best and last measurements
        curves.png         loss, learning rate, measurements
        checkpoints/       to resume from
        model/             as `Model.save` writes it: `zoo.load("runs/smarties-vit-b-finetune-001/model")`

Names of the user, of the machine and of its folders are in none of these but `config.yaml`, where the user typed them.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ConfigError, OutputError
from zoo.io.whole import whole
from zoo.training.config import TrainConfig
from zoo.training.events import Happened, TrainEvent

if TYPE_CHECKING:
    from zoo.evaluation.result import Evaluation
    from zoo.model import Model

RUNS = Path("runs")  # where runs lie if nobody says otherwise
FAILED = "failed"  # kind of the log line of a run that ended with an error; not an event
_STATES = {Happened.ENDED: "ended", Happened.STOPPED: "stopped", FAILED: "failed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in a line.

    Attributes:
        state: `running`, `stopped` (can be resumed), `ended` or `failed`; a killed run says `running`, and is silent.
        phase: the last one that began; `step` of its `steps` optimiser steps are done.
        metric: by which the best is chosen; `best` is its value.
        loss: the last of training that was logged.
        silent_s: seconds since something was logged.
    """

    name: str
    folder: Path
    model: str
    recipe: str
    state: str
    phase: str
    step: int
    steps: int
    metric: str | None
    best: float | None
    loss: float | None
    silent_s: float


class RunFolder:
    """Paths of a run, and what is written to and read from them. Nothing is written before it is asked for."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.log = self.path / "log.jsonl"
        self.metrics = self.path / "metrics.json"
        self.curves = self.path / "curves.png"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, root: str | Path, model: str, recipe: str) -> RunFolder:
        """A new folder `<model>-<recipe>-001`, or the next number that is free; two processes never get the same."""
        root, name = Path(root), _name(model, recipe)
        number = max(_numbers(root, name), default=0)
        try:
            root.mkdir(parents=True, exist_ok=True)
            while True:
                number += 1
                run = cls(root / f"{name}-{number:03d}")
                try:
                    run.path.mkdir()
                except FileExistsError:  # somebody else was faster
                    continue
                run.checkpoints.mkdir()
                return run
        except OSError as err:
            raise OutputError(
                f"cannot make the folder of a run in {root}: {err.strerror or err}; choose another place for runs"
            ) from err

    @classmethod
    def latest(cls, root: str | Path, model: str, recipe: str) -> RunFolder | None:
        """The run of that model and recipe with the highest number."""
        root, name = Path(root), _name(model, recipe)
        number = max(_numbers(root, name), default=0)
        return cls(root / f"{name}-{number:03d}") if number else None

    # ------------------------------------------------------------------------------------------- what was asked, where

    def write_config(self, config: TrainConfig) -> None:
        from zoo.training.recipes import written_out

        with whole(self.config) as part:
            part.write_text(written_out(config), encoding="utf-8")

    def read_config(self) -> TrainConfig:
        """The configuration of the run.

        Raises:
            ConfigError: this is no run, or its configuration is none of this zoo's.
        """
        from omegaconf import OmegaConf

        from zoo.training.recipes import resolve

        if not self.config.is_file():
            raise ConfigError(f"{self.path} is no run: it has no {self.config.name}; `zoo runs` lists runs")
        return resolve(OmegaConf.to_container(OmegaConf.load(self.config)))

    def write_environment(self, config: TrainConfig, start: Model, *, processes: int, told: Sequence[str] = ()) -> None:
        """What the run runs on, and where its weights came from.

        Args:
            config: of the run.
            start: the model that is about to be trained.
            processes: of the run, on all machines.
            told: what the readers of the data say that they read.
        """
        from zoo.training.environment import environment

        content = environment(config, start, processes=processes) | ({"read": [*told]} if told else {})
        self._write_json(self.environment, content)

    def read_environment(self) -> dict[str, Any]:
        """Empty where it was not written."""
        return _read_json(self.environment)

    # ------------------------------------------------------------------------------------------------- what happened

    def append(self, event: TrainEvent) -> None:
        """Add an event to the log. Numbers that are not finite are `null` there, as JSON has no others."""
        self._append(
            {
                "kind": event.kind.value,
                "phase": event.phase,
                "step": event.step,
                "steps": event.steps,
                "epoch": event.epoch,
                "values": {name: one if math.isfinite(one) else None for name, one in event.values.items()},
            }
        )

    def append_failure(self, reason: str) -> None:
        """Say in the log that the run ended with an error."""
        self._append({"kind": FAILED, "reason": reason})

    def events(self) -> list[TrainEvent]:
        """All events of the log, in order; lines that a crash tore are left out."""
        return [_event(self.path, line) for line in self._lines() if line["kind"] != FAILED]

    def truncate_after(self, phase: str, step: int) -> None:
        """Drop what the log says beyond a step of a phase, from which the run goes on: it will happen again."""
        lines = list(self._lines())
        order = list(dict.fromkeys(str(line.get("phase", "")) for line in lines if line["kind"] != FAILED))
        here = order.index(phase) if phase in order else len(order)
        kept = [
            line
            for line in lines
            if line["kind"] not in (FAILED, Happened.ENDED)
            and (order.index(line["phase"]), line["step"] if line["phase"] == phase else 0) <= (here, step)
        ]
        with whole(self.log) as part:
            part.write_text("".join(_line(line) for line in kept), encoding="utf-8")

    # ------------------------------------------------------------------------------------------------ what came out

    def write_metrics(self, *, checkpoint: str | None = None, evaluation: Evaluation | None = None) -> None:
        """Best and last measurements, from the log.

        Args:
            checkpoint: that holds the weights of `model/`.
            evaluation: of `model/` at the end, with intervals.
        """
        config, events = self.read_config(), self.events()
        measured = [one for one in events if one.kind is Happened.EVALUATED]
        best = best_of(events, config)
        self._write_json(
            self.metrics,
            {
                "metric": config.best.metric if config.best else None,
                "direction": config.best.direction if config.best else None,
                "model": "best" if best else "last",
                "checkpoint": checkpoint,
                "best": _row(best) if best else None,
                "last": _row(measured[-1]) if measured else None,
                "loss": _loss(events),
                "evaluation": json.loads(evaluation.to_json()) if evaluation else None,
            },
        )

    def read_metrics(self) -> dict[str, Any]:
        """Empty where it was not written."""
        return _read_json(self.metrics)

    def summary(self) -> Summary:
        """The run in a line, from its configuration and its log, whatever state it is in."""
        config, lines = self.read_config(), list(self._lines())
        events = [_event(self.path, line) for line in lines if line["kind"] != FAILED]
        last = next((one for one in reversed(events) if one.phase), None)
        best = best_of(events, config)
        written = self.log if self.log.is_file() else self.config
        return Summary(
            name=self.path.resolve().name,
            folder=self.path,
            model=config.model,
            recipe=config.recipe,
            state=_STATES.get(lines[-1]["kind"], "running") if lines else "running",
            phase=last.phase if last else next(iter(config.phases), ""),
            step=last.step if last else 0,
            steps=last.steps if last else 0,
            metric=config.best.metric if config.best else None,
            best=best.values[config.best.metric] if best and config.best else None,
            loss=_loss(events),
            silent_s=max(time.time() - written.stat().st_mtime, 0.0),
        )

    # ------------------------------------------------------------------------------------------------------- inside

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            with self.log.open("ab+") as file:
                if file.tell():
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":  # a line that a crash tore must not spoil the next
                        file.write(b"\n")
                file.write(_line(line).encode())
        except OSError as err:
            raise OutputError(f"cannot write {self.log}: {err.strerror or err}; free some space and resume") from err

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.log.is_file():
            return
        for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and line.get("kind") in (FAILED, *Happened):
                yield line

    def _write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        with whole(path) as part:
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def find_runs(root: str | Path) -> list[RunFolder]:
    """The runs in a folder, by name."""
    return [RunFolder(one.parent) for one in sorted(Path(root).glob("*/config.yaml"))]


def best_of(events: Sequence[TrainEvent], config: TrainConfig) -> TrainEvent | None:
    """The measurement with the best value of the metric that the configuration names; the first of equal ones.

    Of the last phase that was measured: what an earlier one reached is where that began.
    """
    if config.best is None:
        return None
    metric, sign = config.best.metric, -1 if config.best.direction == "max" else 1
    measured = [
        one for one in events if one.kind is Happened.EVALUATED and math.isfinite(one.values.get(metric, math.nan))
    ]
    measured = [one for one in measured if one.phase == measured[-1].phase]
    return min(measured, key=lambda one: sign * one.values[metric], default=None)


def _name(model: str, recipe: str) -> str:
    """What stands before the number; `smarties@vit-b` and `finetune` give `smarties-vit-b-finetune`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{model.removeprefix('hf://')}-{recipe or 'own'}").strip("-.")


def _numbers(root: Path, name: str) -> list[int]:
    found = (re.fullmatch(rf"{re.escape(name)}-(\d{{3,}})", one.name) for one in root.glob(f"{name}-*"))
    return [int(one[1]) for one in found if one]


def _event(run: Path, line: Mapping[str, Any]) -> TrainEvent:
    return TrainEvent(
        kind=Happened(line["kind"]),
        run=run,
        phase=line["phase"],
        step=line["step"],
        steps=line["steps"],
        epoch=line["epoch"],
        values={name: math.nan if one is None else one for name, one in line["values"].items()},
    )


def _row(event: TrainEvent) -> dict[str, Any]:
    values = {name: one if math.isfinite(one) else None for name, one in event.values.items()}
    return {"phase": event.phase, "step": event.step, "epoch": event.epoch, "values": values}


def _loss(events: Sequence[TrainEvent]) -> float | None:
    """The last of training that is a number."""
    losses = (one.values.get("loss", math.nan) for one in reversed(events) if one.kind is Happened.LOGGED)
    return next((one for one in losses if math.isfinite(one)), None)


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as err:
        raise ConfigError(f"{path} is not JSON ({err}); it was changed by hand or cut short: delete it") from err
    return found if isinstance(found, dict) else {}
