"""What zoo knows of the files that it fetched: one small JSON record per file, kept under `ZOO_CACHE`.

A record says which repository, file and commit a cached file is, with the SHA-256 that was computed when the file was
checked against what the Hub declared, and the size and modification time that it had then. A file whose size and time
still agree is used at once, without a connection and without importing `huggingface_hub`, whose own check opens one;
a file that looks touched is hashed again; a file whose hash differs is damaged, and never loaded.

The files themselves lie in the Hugging Face cache, in its documented layout, so that other programs share them::

    $HF_HUB_CACHE/models--org--name/blobs/<sha256, or git SHA-1 of small files>
                                    snapshots/<commit>/<file>  -> ../../blobs/...
    $ZOO_CACHE/records/models--org--name/<commit>/<file>.json       what this module writes
                                         refs/<branch or tag>.json  the commit that an unpinned load resolved to
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from zoo.errors import WeightsError

logger = logging.getLogger(__name__)


PARTIAL = "*.zoo-*.incomplete"  # files of `zoo.hub.transfer` on their way


class State(StrEnum):
    """How a cached file compares with its record."""

    OK = "ok"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One cached file, as it was when it was last checked."""

    repo: str
    file: str
    commit: str
    sha256: str
    size: int  # bytes
    mtime_ns: int

    @property
    def path(self) -> Path:
        return snapshot(self.repo, self.commit) / self.file

    def looks_untouched(self) -> bool:
        """Whether size and modification time are those of the record: one `stat`, at each load."""
        try:
            stat = self.path.stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheEntry:
    """A record and what `cache_list` or `cache_verify` found of its file."""

    record: Record
    state: State


# ------------------------------------------------------------------------------------------------------------- places


def zoo_cache() -> Path:
    """`ZOO_CACHE`, by default `~/.cache/zoo`."""
    return Path(os.environ.get("ZOO_CACHE") or Path.home() / ".cache" / "zoo").expanduser()


def hub_cache() -> Path:
    """The Hugging Face cache, from the variables that `huggingface_hub` reads, but read now rather than at import."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return Path(os.path.expandvars(folder)).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def repo_folder(repo: str) -> str:
    """`org/name` as the Hugging Face cache names its folder."""
    return "--".join(("models", *repo.split("/")))


def snapshot(repo: str, commit: str) -> Path:
    """The folder that holds the files of one commit."""
    return hub_cache() / repo_folder(repo) / "snapshots" / commit


def check_name(file: str) -> str:
    """Refuse a name that would leave the folder of its repository."""
    parts = PurePosixPath(file).parts
    if not parts or file.startswith("/") or ".." in parts or "\\" in file or "\0" in file:
        raise WeightsError(f"{file!r} is not the name of a file inside a repository; expected e.g. model.safetensors")
    return file


def unwritable(path: Path, err: OSError) -> WeightsError:
    """The error for a cache that cannot be written."""
    return WeightsError(
        f"cannot write {path}: {err.strerror or err}; files that are already cached still load; to fetch others, set"
        f" HF_HOME (files, now {hub_cache()}) and ZOO_CACHE (records, now {zoo_cache()}) to folders that you can write"
    )


# ------------------------------------------------------------------------------------------------------------ records


def find_record(repo: str, file: str, commit: str) -> Record | None:
    """The record of that file, `None` if there is none or it is unreadable; its file may be gone or changed."""
    record = _read(_record_file(repo, file, commit))
    return record if record and (record.repo, record.file, record.commit) == (repo, file, commit) else None


def write_record(record: Record) -> None:
    """Keep a record, whole or not at all; where the cache is read-only the file is checked again next time."""
    _write_json(_record_file(record.repo, record.file, record.commit), asdict(record))


def present(repo: str, file: str, commit: str) -> Record | None:
    """The record of a file that is there and unaltered; looks at the disk only.

    Returns:
        `None` where no such file was ever fetched, or it is gone.

    Raises:
        WeightsError: the file is not what was fetched.
    """
    record = find_record(repo, file, commit)
    if record is None or not record.path.is_file():
        return None
    if record.looks_untouched():
        return record
    logger.info("%s was touched since it was checked; hashing it again", record.path)
    again = measure(repo, file, commit)
    if again.sha256 != record.sha256:
        raise WeightsError(
            f"{record.path} is damaged: {again.size} bytes with SHA-256 {again.sha256},"
            f" expected {record.size} bytes with {record.sha256}"
        )
    write_record(again)
    return again


def measure(repo: str, file: str, commit: str) -> Record:
    """The record that the file deserves as it lies there now: hashed, with size and time taken before the hashing."""
    path = snapshot(repo, commit) / file
    stat = path.stat()
    return Record(
        repo=repo, file=file, commit=commit, sha256=sha256_of(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def git_sha1_of(path: Path) -> str:
    """The name that git gives the file's content: SHA-1 of a header with its size, then the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def commit_of(repo: str, revision: str) -> str | None:
    """The commit that a branch or tag was resolved to when it was last asked for."""
    try:
        commit = json.loads(_ref_file(repo, revision).read_text())["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return commit if isinstance(commit, str) else None


def keep_commit(repo: str, revision: str, commit: str) -> None:
    _write_json(_ref_file(repo, revision), {"repo": repo, "revision": revision, "commit": commit})


# -------------------------------------------------------------------------------------------------------------- cache


def cache_list() -> tuple[CacheEntry, ...]:
    """Every recorded file; `damaged` here means only that size or time differ, `cache_verify` looks closer."""
    return tuple(CacheEntry(record=record, state=_glance(record)) for record in _records())


def cache_verify() -> tuple[CacheEntry, ...]:
    """Every recorded file, hashed again from the first byte to the last."""
    return tuple(CacheEntry(record=record, state=_verify(record)) for record in _records())


def cache_remove(repo: str, commit: str | None = None) -> int:
    """Remove the recorded files of a repository and parts of interrupted downloads, or the files of one commit.

    What other programs put into the same repository's folder stays, and so does a file that another commit shares.

    Returns:
        Bytes freed.

    Raises:
        WeightsError: nothing of that name is recorded, or the cache cannot be written.
    """
    records = [one for one in _records() if one.repo == repo and commit in (None, one.commit)]
    parts = list((hub_cache() / repo_folder(repo) / "blobs").glob(PARTIAL)) if commit is None else []
    if not records and not parts:
        have = ", ".join(sorted({one.repo for one in _records()})) or "nothing"
        raise WeightsError(f"nothing recorded of {repo!r}; the cache holds {have}; see `zoo cache list`")
    try:
        freed = sum(_remove(record) for record in records) + sum(part.stat().st_size for part in parts)
        for part in parts:
            part.unlink()
        for ref in (zoo_cache() / "records" / repo_folder(repo) / "refs").glob("*.json"):
            if commit in (None, commit_of(repo, unquote(ref.stem))):
                ref.unlink()
    except OSError as err:
        raise unwritable(Path(err.filename or zoo_cache()), err) from err
    return freed


def _records() -> Iterator[Record]:
    for file in sorted((zoo_cache() / "records").glob("*/*/*.json")):
        if file.parent.name != "refs" and (record := _read(file)):
            yield record


def _glance(record: Record) -> State:
    if not record.path.is_file():
        return State.MISSING
    return State.OK if record.looks_untouched() else State.DAMAGED


def _verify(record: Record) -> State:
    if not record.path.is_file():
        return State.MISSING
    return State.OK if sha256_of(record.path) == record.sha256 else State.DAMAGED


def _remove(record: Record) -> int:
    """Remove the file, its record, and the blob that it links to if no other commit links to it too."""
    path, blob = record.path, record.path.resolve()
    size = blob.stat().st_size if blob.is_file() else 0
    path.unlink(missing_ok=True)
    _record_file(record.repo, record.file, record.commit).unlink(missing_ok=True)
    if not blob.is_file():
        return size
    folder = (hub_cache() / repo_folder(record.repo)).resolve()
    shared = any(link.resolve() == blob for link in (folder / "snapshots").rglob("*") if link.is_symlink())
    if shared or blob.parent != folder / "blobs":
        return 0
    blob.unlink()
    return size


def _read(file: Path) -> Record | None:
    try:
        record = Record(**json.loads(file.read_text()))
        check_name(record.file)
    except (OSError, ValueError, TypeError, WeightsError):
        return None
    return record


def _record_file(repo: str, file: str, commit: str) -> Path:
    return zoo_cache() / "records" / repo_folder(repo) / commit / f"{quote(file, safe='')}.json"


def _ref_file(repo: str, revision: str) -> Path:
    return zoo_cache() / "records" / repo_folder(repo) / "refs" / f"{quote(revision, safe='')}.json"


def _write_json(file: Path, content: dict[str, object]) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(content, indent=1))
        os.replace(new, file)
    except OSError as err:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        logger.info("cannot write %s (%s); its file will be checked again next time", file, err)
