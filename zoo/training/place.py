"""Where a run lies, and whether it goes on from a checkpoint."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ConfigError, ZooError
from zoo.processes import OTHER_FAILED
from zoo.training import checkpoints
from zoo.training.config import TrainConfig
from zoo.training.folder import RUNS, RunFolder
from zoo.training.recipes import differences

# Settings that may change on the way. A smaller `micro_batch` is for a smaller machine: batch norms and losses of whole
# batches then see fewer samples at once. Other data in another folder are noticed by their ids.
FREE = (
    "workers", "log_every", "save_every", "keep", "trackers", "data.folder", "validation.folder", "phases.*.micro_batch",
)  # fmt: skip


def place(
    config: TrainConfig, accelerator: Any, out: str | Path | None, resume: str | Path | None
) -> tuple[RunFolder, Path | None]:
    """The run's folder, the same for all processes, and the checkpoint from which it goes on."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            found = [_chosen(config, out, resume)]
        except ZooError as err:
            found = [err]
    if accelerator.num_processes > 1:
        torch.distributed.broadcast_object_list(found, src=0)
    if isinstance(found[0], ZooError):
        if accelerator.is_main_process:
            raise found[0]
        raise SystemExit(OTHER_FAILED)
    return found[0]  # type: ignore[no-any-return]


def _chosen(config: TrainConfig, out: str | Path | None, resume: str | Path | None) -> tuple[RunFolder, Path | None]:
    named = out if resume in (None, "auto") else resume
    folder = RunFolder(named) if named is not None else None
    if folder is None and resume == "auto":
        folder = RunFolder.latest(RUNS, config.model, config.recipe)
        folder = folder if folder is not None and not folder.model.is_dir() else None
    if folder is None:
        return RunFolder.create(RUNS, config.model, config.recipe), None
    path = checkpoints.newest(folder.checkpoints)
    if resume is None and folder.path.is_dir() and any(folder.path.iterdir()):
        raise ConfigError(
            f"{folder.path} holds a run already; go on with it with --resume auto, or choose another --out"
        )
    if path is None and resume not in (None, "auto"):
        raise ConfigError(f"{folder.path} has no checkpoint to go on from; see `zoo runs`")
    check_same(folder, config)
    if path is None:  # what an attempt without a checkpoint told is not this run's
        for left in (folder.log, folder.metrics):
            left.unlink(missing_ok=True)
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
    return folder, path


def check_same(folder: RunFolder, config: TrainConfig) -> None:
    """Raise `ConfigError` where a run was begun with settings that teach it something else."""
    if not folder.config.is_file():
        return
    changed = [one for one in differences(folder.read_config(), config) if _matters(one)]
    if changed:
        raise ConfigError(
            f"{folder.path} was begun with other settings ({'; '.join(changed)}); set them back to go on, or begin"
            " another run with --out"
        )


def _matters(line: str) -> bool:
    return not any(fnmatch.fnmatchcase(line.partition(":")[0], pattern) for pattern in FREE)
