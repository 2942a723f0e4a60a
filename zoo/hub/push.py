"""Publishing: a folder as `Model.save` writes it goes to the Hub, its data and nothing else of it.

Only the files that `zoo.load` reads are sent: weights, description, card, golden tensors. Code, pickles, notebooks and
whatever else lies in the folder stay, and are named to the user.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import HubError, WeightsError
from zoo.hub.client import Wanted, ask, endpoint
from zoo.hub.records import sha256_of
from zoo.hub.transfer import patiently

REQUIRED = ("model.safetensors", "config.json", "README.md")
OPTIONAL = ("golden*.safetensors",)
LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedFile:
    """One file that goes to the Hub; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What was sent, or with `dry_run` would be.

    Attributes:
        left_out: files of the folder that are not sent.
        commit: `None` for a dry run.
        address: page of the repository.
    """

    repo: str
    files: tuple[PushedFile, ...]
    left_out: tuple[str, ...]
    commit: str | None
    address: str


def push(
    folder: str | Path,
    repo: str,
    *,
    dry_run: bool = False,
    private: bool = False,
    message: str = "Publish with zoo push",
) -> Pushed:
    """Publish a folder that `Model.save` wrote as one commit on the main branch of `repo`, which is created if absent.

    Args:
        folder: has `model.safetensors`, `config.json`, `README.md`, and perhaps `golden*.safetensors`.
        repo: `org/name` (or `hf://org/name`).
        dry_run: check everything, send nothing and open no connection.
        private: whether a repository that is created now is private.
        message: of the commit.

    Raises:
        WeightsError: a file is missing or not what its name says.
        HubError: the Hub refuses (no token, no right to write, too many requests) or cannot be reached.
    """
    repo = repo.removeprefix("hf://")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise HubError(f"{repo!r} does not name a repository; expected ORG/NAME, without a revision")
    paths, left_out = _chosen(Path(folder))
    files = tuple(PushedFile(name=path.name, size=path.stat().st_size, sha256=sha256_of(path)) for path in paths)
    commit = None if dry_run else _send(repo, paths, private=private, message=message)
    return Pushed(repo=repo, files=files, left_out=left_out, commit=commit, address=f"{endpoint()}/{repo}")


def _chosen(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Files to send, checked, and the names of those that stay."""
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; write one with `model.save(FOLDER)`")
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} lacks {', '.join(missing)}; `model.save({str(folder)!r})` writes all that is needed"
        )
    every = sorted(path for path in folder.rglob("*") if not path.is_dir())
    chosen = [path for path in every if path.parent == folder and _is_ours(path.name)]
    for path in chosen:
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise WeightsError(f"{path} links to {path.resolve()}, outside the folder; put the file itself there")
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    try:
        json.loads((folder / "config.json").read_text())
    except ValueError as err:
        raise WeightsError(f"{folder / 'config.json'} is not JSON ({err}); write it with `model.save`") from err
    if not (folder / "README.md").read_text().startswith("---\n"):
        raise WeightsError(
            f"{folder / 'README.md'} has no card header (--- licence, task ---); write it with `model.save`"
        )
    return chosen, tuple(str(path.relative_to(folder)) for path in every if path not in chosen)


def _is_ours(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in (*REQUIRED, *OPTIONAL))


def _check_safetensors(path: Path) -> None:
    """A whole safetensors file: its header is JSON, and its tensors end where the file ends."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise WeightsError(f"{path} is not a whole safetensors file ({size} bytes); write it with `model.save`")
        try:
            header: dict[str, Any] = json.loads(opened.read(length))
            ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as err:
            raise WeightsError(f"{path} is not a safetensors file: bad header; write it with `model.save`") from err
    expected = 8 + length + max(ends, default=0)
    if expected != size:
        raise WeightsError(f"{path} has {size} bytes, its header promises {expected}; write it again with `model.save`")


def _send(repo: str, paths: list[Path], *, private: bool, message: str) -> str:
    """One commit with all files; the commit itself is not tried again, as it may have arrived."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api, wanted = HfApi(endpoint=endpoint()), Wanted(repo=repo, revision="main", names=(), offline=False, progress=None)
    with contextlib.ExitStack() as opened:
        operations = [
            CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=_source(path, opened)) for path in paths
        ]
        ask(wanted, lambda: patiently(lambda: api.create_repo(repo, private=private, exist_ok=True)), writes=True)
        try:
            commit = ask(wanted, lambda: api.create_commit(repo, operations, commit_message=message), writes=True)
        except (ValueError, RuntimeError) as err:  # the card's header, or an upload that broke off
            raise HubError(f"the Hub did not take {repo}: {err}; correct it, or type `zoo push` again") from err
    return str(commit.oid)


def _source(path: Path, opened: contextlib.ExitStack) -> Any:
    """By name for the Hub itself, which takes large files by a protocol of its own (Xet); opened for other servers,
    with which `huggingface_hub` then speaks plain LFS.
    """
    return str(path) if endpoint() == "https://huggingface.co" else opened.enter_context(path.open("rb"))
