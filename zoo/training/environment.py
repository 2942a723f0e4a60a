"""What a run ran on, without the names of persons, machines and folders: it is published with the model."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import zoo
from zoo import registry
from zoo.checkpoints.folders import read_folder
from zoo.checkpoints.saved import is_path
from zoo.datasets.opening import find_dataset
from zoo.plugins import plugins
from zoo.training.config import TrainConfig
from zoo.training.licences import TrainedOn

if TYPE_CHECKING:
    from zoo.model import Model

PACKAGES = ("accelerate", "torchmetrics", "numpy", "peft", "schedulefree")
GIT_S = 10  # seconds that git may take; a large tree on a slow disk is no reason to wait longer


def environment(config: TrainConfig, start: Model, *, processes: int) -> dict[str, Any]:
    """Versions, devices, processes, state of git in the current folder, the weights that training starts from, and the
    data of this run and of all before it.
    """
    earlier = start.origin.made_from if start.origin else {}
    _, dataset = find_dataset(config.data.dataset)
    own = TrainedOn(name=dataset.name, license=dataset.license, source=dataset.source)
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "zoo": zoo.__version__,
        "plugins": {one.distribution: one.version for one in plugins().loaded.values()},
        "packages": {"torch": str(torch.__version__)}  # with its build, such as +cu130
        | {name: version for name in PACKAGES if (version := _version(name))},
        "devices": _devices(),
        "processes": processes,
        "git": _git_state(),
        "start": None if config.start == "random" else _start(config, start),
        "data": [asdict(one) for one in dict.fromkeys((*TrainedOn.read(earlier.get("data")), own))],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    """Of this machine."""
    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.accelerator.is_available():
        return [str(torch.accelerator.current_accelerator())]
    return ["cpu"]


def _git_state() -> dict[str, Any] | None:
    """Commit, and whether files that git knows were changed; `None` where the current folder is no repository."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": changed != ""} if commit and changed is not None else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _start(config: TrainConfig, start: Model) -> dict[str, Any]:
    origin, licence = start.origin, licence_of(config.model if config.start == "weights" else config.start)
    return {
        "name": origin.name if origin else config.model,
        "revision": origin.revision if origin else None,
        "sha256": origin.sha256 if origin else None,
        "license": licence,
        # Of runs that began with random ones; where a licence is stated, somebody gave them on under it.
        "own": licence is None and bool(origin and origin.made_from.get("own")),
    }


def made_from(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What is said in a run's model of how it came about, see `zoo.checkpoints.folders.Saved`."""
    start = environment.get("start")
    told = {name: (start or {}).get(name) for name in ("name", "revision", "license")}
    own = "start" in environment and (start is None or bool(start.get("own")))
    return {**told, "own": own, "data": environment.get("data", [])}


def licence_of(reference: str) -> str | None:
    """Licence of the weights that `zoo.load(reference)` gives, SPDX; `None` = not stated."""
    if reference.startswith("hf://"):
        from zoo.hub.fetch import fetch_repo

        return read_folder(fetch_repo(reference)).weights.license
    if is_path(reference):
        return read_folder(Path(reference)).weights.license
    entry, variant = registry.find(reference)
    return (variant.weights.license if variant.weights else None) or entry.spec.licences.weights
