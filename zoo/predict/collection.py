"""Folders: each file is one unit of work that a process does alone, and one file that fails does not stop the rest.

Files are dealt to the processes; what was made of each is kept as a part, so that `--resume` goes on with the next file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from zoo.errors import InputError, OutputError
from zoo.io.sources import expand, state_of
from zoo.predict import stream
from zoo.predict.work import Arrays, session

Opened = TypeVar("Opened")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One file of a collection: what tables call it, and where it is."""

    id: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What was made of the files: arrays and notes by id, in order; and why the others failed."""

    made: Mapping[str, tuple[Arrays, dict[str, str]]]
    failures: Mapping[str, str]
    is_main: bool


@dataclass(frozen=True, kw_only=True)
class Steps(Generic[Opened]):
    """How one file is done: `open` runs in threads, ahead of `make`."""

    open: Callable[[Item], Opened]
    make: Callable[[Item, Opened], tuple[Arrays, dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Results of a folder, by the id of the file.

    Attributes:
        results: one per file that could be used.
        table: what is said of all of them together, such as cover; `None` where a task says nothing.
        failures: files that could not be used, and why.
    """

    results: Mapping[str, Any]
    table: Any = None
    failures: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.results)


def items_of(source: Any) -> list[Item]:
    """The files of a folder, glob or list; ids are paths below the folder, or names.

    Raises:
        InputError: there are none.
    """
    files = expand(source)
    folder = Path(source) if isinstance(source, str | Path) and Path(source).is_dir() else None
    names = [file.relative_to(folder).as_posix() if folder else file.name for file in files]
    if len(set(names)) < len(names):  # a glob over several folders
        whole = [file.absolute() for file in files]
        shared = os.path.commonpath([file.parent for file in whole])
        names = [file.relative_to(shared).as_posix() for file in whole]
    return [Item(id=name, path=file) for name, file in zip(names, files, strict=True)]


def targets_of(items: Sequence[Item], folder: Path, suffix: str) -> dict[str, Path]:
    """The output of each item: its id with `suffix`; `reef.jpg` and `reef.png` keep their own suffix before it."""
    bare = Counter(str(Path(item.id).with_suffix("")).lower() for item in items)
    targets = {}
    for item in items:
        name = Path(item.id)
        unique = bare[str(name.with_suffix("")).lower()] == 1
        targets[item.id] = folder / (name.with_suffix(suffix) if unique else name.with_name(name.name + suffix))
    return targets


def check_targets(items: Sequence[Item], targets: Mapping[str, Path]) -> None:
    """Make the folders of the outputs.

    Raises:
        OutputError: an output would replace one of the files that are read, or a folder cannot be made.
    """
    read = {item.path.resolve() for item in items}
    for name, target in targets.items():
        if target.resolve() in read:
            raise OutputError(f"the output of {name} would replace {target}, which is read; name another folder")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(
                f"cannot make the folder {target.parent}: {err.strerror or err}; choose another output"
            ) from err


def run(
    items: Sequence[Item],
    steps: Steps[Opened],
    *,
    out: Path | None,
    plan: Mapping[str, Any],
    what: str,
    resume: bool,
    workers: int,
) -> Parts:
    """Do every item once, by one of the processes each.

    Args:
        items: in the order of the results.
        steps: see there; an `InputError` of theirs is noted and the rest goes on.
        out: beside which the parts are kept; `None` = they are temporary.
        plan: see `zoo.predict.work.Work`.
        what: shown beside the progress bar.
        resume: go on with what an interrupted run left.
        workers: threads that open files.

    Raises:
        InputError: not one file could be used; nothing is left.
    """
    told = [[item.id, *state_of(item.path)] for item in items]

    def load(batch: Sequence[Item]) -> tuple[Item, Opened | None, str]:
        try:
            return batch[0], steps.open(batch[0]), ""
        except InputError as err:
            return batch[0], None, str(err)

    def compute(loaded: tuple[Item, Opened | None, str]) -> tuple[Arrays, dict[str, str]]:
        item, opened, why = loaded
        if opened is None:
            return {}, {"failed": why}
        try:
            return steps.make(item, opened)
        except InputError as err:
            return {}, {"failed": str(err)}

    with session(out, {"items": told, **plan}, resume=resume) as work:
        is_main = stream.run(items, batch_size=1, load=load, compute=compute, work=work, what=what, workers=workers)
        parts = {item.id: work.load(index) for index, item in enumerate(items)}
        failures = {name: notes["failed"] for name, (_, notes) in parts.items() if "failed" in notes}
        if len(failures) == len(items):
            raise InputError(_none_of(failures))
    made = {name: part for name, part in parts.items() if name not in failures}
    return Parts(made=made, failures=failures, is_main=is_main)


def _none_of(failures: Mapping[str, str]) -> str:
    (name, why), *rest = failures.items()
    return f"none of {len(failures)} files could be used; {name}: {why}" if rest else why
