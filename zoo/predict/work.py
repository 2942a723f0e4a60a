"""The folder beside an output in which long work keeps what it has finished, one file per batch.

`features.tif` is made in `features.tif.parts/`: `plan.json` says what is being computed, `000012.safetensors` holds
batch 12. Every file is written under a temporary name and renamed when whole, so a part that is there is a part that
is right; work that was interrupted goes on from there with `--resume`, and several processes fill the folder together.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zoo.errors import ConfigError, InputError, OutputError
from zoo.processes import Alone, processes, wait_for_all

Arrays = dict[str, "np.ndarray[Any, Any]"]
PLAN, ABANDONED = "plan.json", "abandoned"


class Work:
    """Parts of one output, by batch number.

    Args:
        folder: where the parts are kept.
        plan: plain data that decides the parts: model, weights, source, options. Parts of another plan are not reused.
        crew: the processes that fill it.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], crew: Any = None) -> None:
        self.folder = folder
        self.crew = crew or Alone()
        self._plan = json.dumps(plan, sort_keys=True, indent=1)

    def begin(self, *, resume: bool) -> None:
        """Make the folder; with `resume`, keep the parts of the same plan.

        Raises:
            ConfigError: `resume`, and the parts that are there belong to something else; or not, and there are parts
                of this very work.
            OutputError: the folder cannot be written, or is somebody else's.
        """
        plan = self.folder / PLAN
        try:
            if self.folder.exists():
                self._check_owner(plan)
                same = plan.exists() and plan.read_text() == self._plan
                if resume and plan.exists() and not same:
                    raise ConfigError(
                        f"{self.folder} holds parts of other work (another model, source or option);"
                        " run without --resume to start afresh"
                    )
                if same and not resume and not self.is_empty() and not (self.folder / ABANDONED).exists():
                    raise ConfigError(
                        f"{self.folder} holds parts of this very work, from a run that was stopped; go on from them with"
                        " --resume, or remove that folder to start afresh"
                    )
                if not resume:
                    shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ABANDONED).unlink(missing_ok=True)
            temporary = plan.with_suffix(".new")
            temporary.write_text(self._plan)
            temporary.replace(plan)
        except OSError as err:
            raise OutputError(
                f"cannot write beside the output, in {self.folder.parent}: {err.strerror or err};"
                " choose an output in a folder that you may write to"
            ) from err

    def has(self, batch: int) -> bool:
        return self._part(batch).exists()

    def is_empty(self) -> bool:
        """Whether no part is finished."""
        return not any(self.folder.glob("[0-9]*.safetensors"))

    def save(self, batch: int, arrays: Arrays, notes: Mapping[str, str] | None = None) -> None:
        """Keep the arrays of one batch."""
        temporary = self.folder / f".{batch:06d}.{os.getpid()}"
        try:
            whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(whole, temporary, dict(notes) if notes else None)  # for {} and {} it writes no valid JSON
            temporary.replace(self._part(batch))
        except (OSError, SafetensorError) as err:
            temporary.unlink(missing_ok=True)
            raise OutputError(
                f"cannot write {self._part(batch)}: {getattr(err, 'strerror', None) or err};"
                " free some space and run the same command with --resume"
            ) from err

    def open(self, batch: int) -> Any:
        """The part of one batch, as `safetensors.safe_open` gives it: mapped, read in slices when asked for."""
        try:
            return safe_open(self._part(batch), framework="numpy")
        except (OSError, SafetensorError) as err:
            raise OutputError(
                f"{self._part(batch)} cannot be read: {err}; remove it and run the same command with --resume"
            ) from err

    def load(self, batch: int) -> tuple[Arrays, dict[str, str]]:
        """Arrays and notes of one batch."""
        part = self.open(batch)
        return {name: part.get_tensor(name) for name in part.keys()}, dict(part.metadata() or {})  # noqa: SIM118

    def size(self, batch: int) -> int:
        """Bytes of the part of one batch."""
        return self._part(batch).stat().st_size

    def check_room(self, *, part_bytes: int, num_parts: int, result_bytes: int) -> None:
        """Raise `OutputError`, before the long work, if the disk cannot hold the parts that are missing and the result."""
        missing = max(num_parts - sum(1 for _ in self.folder.glob("[0-9]*.safetensors")), 0)
        needed, free = missing * part_bytes + result_bytes, shutil.disk_usage(self.folder).free
        if free < needed:
            raise OutputError(
                f"{self.folder.name.removesuffix('.parts')} needs {needed / 1e9:.2f} GB while it is made, of which"
                f" {missing * part_bytes / 1e9:.2f} GB for its unfinished parts, and {self.folder.parent} has"
                f" {free / 1e9:.2f} GB left; free some space or choose another place"
            )

    def abandon(self) -> None:
        """Say that the parts are of no use: for a process that must not remove what others still write to."""
        (self.folder / ABANDONED).touch()

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.safetensors"

    def _check_owner(self, plan: Path) -> None:
        if not plan.exists() and any(self.folder.iterdir()):
            raise OutputError(
                f"{self.folder} is where zoo keeps unfinished work, and holds something else;"
                " move it away, or choose another output"
            )


@contextlib.contextmanager
def session(out: Path | None, plan: Mapping[str, Any], *, resume: bool = False, share: bool = True) -> Iterator[Work]:
    """The work folder of an output, from beginning to end.

    When the block ends the output is there for every process, and the folder is gone. It is also gone after an
    `InputError`, which would meet the next run as well, and where no part was finished; else it stays for `--resume`.

    Args:
        out: what is made; `None` = something in memory, with a temporary folder.
        plan: see `Work`.
        resume: keep parts that are there.
        share: whether all processes work on it; otherwise this one does, alone.

    Raises:
        ConfigError: something in memory is asked of several processes.
    """
    crew = processes() if share else Alone()
    if out is None and crew.num_processes > 1:
        raise ConfigError("results in memory are for one process; name an output file, or run one process")
    folder = Path(tempfile.mkdtemp(prefix="zoo-")) if out is None else _beside(out)
    work = Work(folder, plan, crew)
    if crew.is_main_process:
        work.begin(resume=resume)
    wait_for_all(crew)
    try:
        yield work
    except BaseException as err:
        if isinstance(err, InputError) and not crew.is_main_process:
            work.abandon()
        if crew.is_main_process and (out is None or isinstance(err, InputError) or work.is_empty()):
            work.discard()
        raise
    wait_for_all(crew)
    if crew.is_main_process:
        work.discard()


def _beside(out: Path) -> Path:
    """Where the parts of an output are kept."""
    named = out.resolve() if out.name in ("", "..") else out  # `.` is a folder too
    return named.with_name(f"{named.name}.parts")
