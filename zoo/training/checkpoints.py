"""Checkpoints of a run: complete or not there, the newest complete one is where a run goes on.

`checkpoints/00-000120/` is the state after 120 steps of the first phase. It is written under another name and renamed;
`complete.json` lists its files with their sizes, so that one cut short (a full disk, a lost machine) is known and the one
before it is used. Weights are safetensors; the optimiser's state is read with `weights_only`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from zoo.errors import ConfigError, OutputError

logger = logging.getLogger(__name__)
LEARNER, AVERAGE, OPTIMISER, SCALER = "learner.safetensors", "average.safetensors", "optimizer.pt", "scaler.pt"
STATE, COMPLETE = "state.json", "complete.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a run is, beside its weights.

    Attributes:
        phase: number of the phase.
        step: steps done in it.
        best: best value of the chosen metric in this phase; `None` = not measured yet.
        stale: validations since then.
        samples: digest of the training samples' ids.
        unlogged: steps since the last line of the log.
        totals: of the loss and its terms in these, over all processes.
        factor: of a plateau on the rate.
        plateau: best value that the plateau has seen.
        flat: how often it was not better since then, or since the rate fell.
    """

    phase: int = 0
    step: int = 0
    best: float | None = None
    stale: int = 0
    samples: str = ""
    unlogged: int = 0
    totals: Mapping[str, float] = field(default_factory=dict)
    factor: float = 1.0
    plateau: float | None = None
    flat: int = 0


@dataclass(kw_only=True, slots=True)
class Held:
    """What of a phase a checkpoint holds."""

    accelerator: Any
    learner: nn.Module  # without the wrapper for several processes
    optimizer: Any
    average: nn.Module | None


def save(folder: Path, state: State, held: Held, *, keep: int) -> Path:
    """Write a checkpoint and remove all but the `keep` newest; every process calls it.

    Raises:
        OutputError: it cannot be written; the ones before it are as they were.
    """
    final, accelerator = folder / f"{state.phase:02d}-{state.step:08d}", held.accelerator
    parts = folder / f".{final.name}.new"
    try:
        if accelerator.is_main_process:
            shutil.rmtree(parts, ignore_errors=True)
            parts.mkdir(parents=True)
            _write(parts, state, held)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(parts, final)
            for old in sorted(_found(folder))[: -max(keep, 1)]:
                shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError, RuntimeError) as err:  # torch's writer raises RuntimeError on a full disk
        shutil.rmtree(parts, ignore_errors=True)
        last = max(_found(folder), default=None)
        raise OutputError(
            f"cannot save a checkpoint in {folder}: {getattr(err, 'strerror', None) or err}; free some space and go on"
            + (f" from {last.name} with --resume auto" if last else " with the same command")
        ) from err
    accelerator.wait_for_everyone()
    return final


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint; one that is not is told of and passed over."""
    for path in sorted(_found(folder), reverse=True):
        if problem := _problem(path):
            logger.warning("checkpoint %s was cut short (%s); going on from the one before it", path.name, problem)
        else:
            return path
    return None


def state_of(path: Path) -> State:
    """Where the run was.

    Raises:
        ConfigError: the file says something else.
    """
    try:
        return State(**json.loads((path / STATE).read_text()))
    except (OSError, ValueError, TypeError) as err:
        raise ConfigError(f"{path / STATE} is not what zoo wrote ({err}); remove {path} to go on from another") from err


def shapes_of(path: Path) -> dict[str, torch.Size]:
    """Sizes of the weights by name."""
    with safe_open(path / LEARNER, framework="pt") as opened:
        return {name: torch.Size(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118


def restore(path: Path, held: Held) -> None:
    """Bring weights and optimiser to what they were.

    Raises:
        ConfigError: the checkpoint is of another network or optimiser.
    """
    try:
        load_model(held.learner, path / LEARNER)
        held.optimizer.load_state_dict(torch.load(path / OPTIMISER, map_location="cpu", weights_only=True))
        if held.average is not None:
            load_model(held.average, path / AVERAGE)
        if held.accelerator.scaler is not None:
            held.accelerator.scaler.load_state_dict(torch.load(path / SCALER, weights_only=True))
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as err:
        raise ConfigError(
            f"{path} does not fit the network or optimiser of this run: {err}; start a run of its own with another --out"
        ) from err


def _write(parts: Path, state: State, held: Held) -> None:
    save_model(held.learner, str(parts / LEARNER))
    torch.save(held.optimizer.state_dict(), parts / OPTIMISER)
    if held.average is not None:
        save_model(held.average, str(parts / AVERAGE))
    if held.accelerator.scaler is not None:
        torch.save(held.accelerator.scaler.state_dict(), parts / SCALER)
    (parts / STATE).write_text(json.dumps(dataclasses.asdict(state), indent=1) + "\n")
    (parts / COMPLETE).write_text(json.dumps(_sizes(parts), indent=1) + "\n")


def _sizes(path: Path) -> Mapping[str, int]:
    every = sorted(one for one in path.rglob("*") if one.is_file() and one.name != COMPLETE)
    return {str(one.relative_to(path)): one.stat().st_size for one in every}


def _problem(path: Path) -> str | None:
    """What is wrong with a checkpoint, or `None`."""
    try:
        expected: dict[str, int] = json.loads((path / COMPLETE).read_text())
        found = _sizes(path)
    except (OSError, ValueError) as err:
        return str(err)
    for name, size in expected.items():
        if found.get(name) != size:
            return f"{name} has {found.get(name, 'no')} bytes of {size}"
    return None


def _found(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[0-9]*-[0-9]*") if path.is_dir()]
