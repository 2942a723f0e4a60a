"""What a run ran on, without the names of persons, machines and folders: it is published with the model."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import zoo
from zoo import registry
from zoo.checkpoints.folders import read_folder
from zoo.plugins import plugins
from zoo.training.config import TrainConfig

if TYPE_CHECKING:
    from zoo.model import Model

PACKAGES = ("accelerate", "torchmetrics", "numpy", "peft", "schedulefree")
GIT_S = 10  # seconds that git may take; a large tree on a slow disk is no reason to wait longer


def environment(config: TrainConfig, start: Model, *, processes: int) -> dict[str, Any]:
    """Versions, devices, processes, state of git in the current folder, and the weights that training starts from."""
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
    origin = start.origin
    return {
        "name": origin.name if origin else config.model,
        "revision": origin.revision if origin else None,
        "sha256": origin.sha256 if origin else None,
        **_licensed(config),
    }


def _licensed(config: TrainConfig) -> dict[str, Any]:
    """`license` of the weights, and whether they are the `own` of runs that began with random ones."""
    earlier = Path(config.start).parent / "environment.json"  # of the run whose `model/` this is
    if os.sep in config.start and earlier.is_file():
        before = json.loads(earlier.read_text(encoding="utf-8"))["start"]
        return {"license": before["license"], "own": before["own"]} if before else {"license": None, "own": True}
    return {"license": licence_of(config.model if config.start == "weights" else config.start), "own": False}


def licence_of(reference: str) -> str | None:
    """Licence of the weights that `zoo.load(reference)` gives, SPDX; `None` = not stated."""
    if reference.startswith("hf://"):
        from zoo.hub.fetch import fetch_repo

        return read_folder(fetch_repo(reference)).weights.license
    if "/" in reference or os.sep in reference or reference.startswith("."):
        return read_folder(Path(reference)).weights.license
    entry, variant = registry.find(reference)
    return (variant.weights.license if variant.weights else None) or entry.spec.licences.weights
