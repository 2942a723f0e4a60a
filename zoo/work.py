"""The folder beside an output in which long work keeps what it has finished, one file per batch.

`features.tif` is made in `features.tif.parts/`: `plan.json` says what is being computed, `000012.safetensors` holds
batch 12. Every file is written under a temporary name and renamed when whole, so a part that is there is a part that
is right; work that was interrupted goes on from there with `--resume`, and several processes fill the folder together.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from zoo.errors import ConfigError, OutputError

Arrays = dict[str, "np.ndarray[Any, Any]"]


class Work:
    """Parts of one output, by batch number.

    Args:
        folder: where the parts are kept.
        plan: plain data that decides the parts: model, weights, source, options. Parts of another plan are not reused.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        self._plan = json.dumps(plan, sort_keys=True, indent=1)

    def begin(self, *, resume: bool) -> None:
        """Make the folder; with `resume`, keep the parts of the same plan.

        Raises:
            ConfigError: `resume`, and the parts that are there belong to something else.
            OutputError: the folder cannot be written.
        """
        plan = self.folder / "plan.json"
        try:
            if self.folder.exists() and not resume:
                shutil.rmtree(self.folder)
            if plan.exists() and plan.read_text() != self._plan:
                raise ConfigError(
                    f"{self.folder} holds parts of other work (another model, source or option);"
                    " run without --resume to start afresh"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            plan.write_text(self._plan)
        except OSError as err:
            raise OutputError(
                f"cannot write beside the output, in {self.folder.parent}: {err.strerror or err};"
                " choose an output in a folder that you may write to"
            ) from err

    def has(self, batch: int) -> bool:
        return self._part(batch).exists()

    def save(self, batch: int, arrays: Arrays, notes: Mapping[str, str] | None = None) -> None:
        """Keep the arrays of one batch."""
        temporary = self.folder / f".{batch:06d}.{os.getpid()}"
        try:
            save_file(
                {name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, dict(notes or {})
            )
            temporary.replace(self._part(batch))
        except OSError as err:
            temporary.unlink(missing_ok=True)
            raise OutputError(
                f"cannot write {self._part(batch)}: {err.strerror or err};"
                " free some space and run the same command with --resume"
            ) from err

    def open(self, batch: int) -> Any:
        """The part of one batch, as `safetensors.safe_open` gives it: mapped, read in slices when asked for."""
        return safe_open(self._part(batch), framework="numpy")

    def load(self, batch: int) -> tuple[Arrays, dict[str, str]]:
        """Arrays and notes of one batch."""
        part = self.open(batch)
        return {name: part.get_tensor(name) for name in part.keys()}, dict(part.metadata() or {})  # noqa: SIM118

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.safetensors"


def work_for(out: Path | None, plan: Mapping[str, Any]) -> Work:
    """The work folder of an output, or a temporary one for a result that stays in memory."""
    if out is None:
        return Work(Path(tempfile.mkdtemp(prefix="zoo-")), plan)
    return Work(out.with_name(out.name + ".parts"), plan)
