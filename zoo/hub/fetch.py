"""Published files: fetched once from the Hugging Face Hub, checked, and from then on found on disk without a connection.

`fetch` brings one weights file, `fetch_repo` a folder as `Model.save` and `zoo push` write it. Both look at zoo's own
records first (`zoo.hub.records`); only what is missing, damaged or to be updated makes them ask the Hub (`zoo.hub.client`),
under a lock, so that two processes fetch a file once. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `ZOO_CACHE` are
read at each call.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import HubError, WeightsError
from zoo.hub import records
from zoo.hub.client import COMMIT, Wanted, bring, declared, is_offline, locked, resolve
from zoo.hub.records import Record, cache_list, cache_remove, cache_verify
from zoo.hub.transfer import Declared, Progress
from zoo.spec import Weights

__all__ = ["Fetched", "cache_list", "cache_remove", "cache_verify", "fetch", "fetch_file", "fetch_repo"]

logger = logging.getLogger(__name__)

BRANCH = "main"  # what an unpinned reference means on the Hub
REPO_FILES = ("config.json", "model.safetensors")  # what `zoo push` always writes, small one first
REPO_EXTRAS = ("README.md", "golden.safetensors")  # and what it writes when there is one


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file on disk that is what the Hub declared; `revision` is its commit, `size` in bytes."""

    path: Path
    sha256: str
    revision: str
    size: int


def fetch(
    weights: Weights,
    *,
    update: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """The weights file, from the cache if it is there and unaltered, else from the Hub; companions beside it.

    Args:
        weights: repository, file, and as far as known commit, SHA-256 and size.
        update: ask which commit the branch has now; without it an unpinned file keeps the commit of its first load.
        offline: open no connection; `None` = as `HF_HUB_OFFLINE` says.
        progress: called as `progress(file, bytes so far, bytes in all)` while bytes arrive.

    Raises:
        HubError: the Hub cannot give the file, or it is absent and offline was asked for.
        WeightsError: the file differs from what the description pins, or the cache cannot be written.
    """
    if weights.repo is None:
        raise WeightsError(f"{weights.file} comes inside its plugin; there is nothing to fetch")
    wanted = Wanted(
        repo=weights.repo,
        revision=weights.revision or BRANCH,
        names=(*weights.companions, weights.file),
        pin=weights,
        offline=is_offline(offline),
        progress=progress,
    )
    record = _fetch_all(wanted, update=update)[weights.file]
    return Fetched(path=record.path, sha256=record.sha256, revision=record.commit, size=record.size)


def fetch_file(
    repo: str,
    file: str,
    revision: str | None = None,
    *,
    update: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """One file of a repository; arguments and errors as in `fetch`."""
    return fetch(Weights(repo=repo, file=file, revision=revision), update=update, offline=offline, progress=progress)


def fetch_repo(
    repo: str,
    revision: str | None = None,
    *,
    update: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """The folder of a repository that `zoo push` wrote: data only, and only the files that zoo knows.

    Args:
        repo: `org/name`, or a whole reference `hf://org/name[@revision]`.
        revision: branch, tag or commit; `None` = what the reference says, else the main branch.
        update: see `fetch`.
        offline: see `fetch`.
        progress: see `fetch`.

    Returns:
        A folder with `model.safetensors`, `config.json` and, where there are any, the card and golden tensors. Its name
        is the commit.

    Raises:
        HubError, WeightsError: as `fetch`.
    """
    repo, told = parse_reference(repo) if repo.startswith("hf://") else (repo, None)
    wanted = Wanted(
        repo=repo,
        revision=revision or told or BRANCH,
        names=REPO_FILES,
        extras=REPO_EXTRAS,
        offline=is_offline(offline),
        progress=progress,
    )
    return _fetch_all(wanted, update=update)[REPO_FILES[-1]].path.parent


def parse_reference(reference: str) -> tuple[str, str | None]:
    """`hf://org/name[@revision]` as (repository, revision)."""
    repo, _, revision = reference.removeprefix("hf://").partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise HubError(f"{reference!r} does not name a repository; expected hf://ORG/NAME or hf://ORG/NAME@REVISION")
    return repo, revision or None


def _fetch_all(wanted: Wanted, *, update: bool) -> dict[str, Record]:
    """Records of all `names`, and of those `extras` that exist, all from one commit."""
    for name in (*wanted.names, *wanted.extras):
        records.check_name(name)
    if update and wanted.offline and not wanted.pinned:
        raise HubError(f"cannot look for a newer {wanted} while offline; leave out one of --update and --offline")
    commit = _known_commit(wanted, update=update)
    if commit and (found := _all_present(wanted, commit)):
        return found
    if wanted.offline:
        return _adopt(wanted, commit)
    with locked(wanted) as refused:
        commit = _known_commit(wanted, update=update) or resolve(wanted)
        found = _all_present(wanted, commit) or _get(wanted, commit, refused)
        if not wanted.pinned:
            records.keep_commit(wanted.repo, wanted.revision, commit)
    return found


def _known_commit(wanted: Wanted, *, update: bool) -> str | None:
    if wanted.pinned:
        return wanted.revision
    return None if update else records.commit_of(wanted.repo, wanted.revision)


def _all_present(wanted: Wanted, commit: str) -> dict[str, Record] | None:
    """Records of the files on disk, `None` if one of `names` is missing or damaged and can be fetched again."""
    found: dict[str, Record] = {}
    for name in (*wanted.extras, *wanted.names):
        try:
            record = records.present(wanted.repo, name, commit)
        except WeightsError as err:
            if wanted.offline:
                raise HubError(
                    f"{err}; offline, so it cannot be fetched again: connect and type {wanted.line}"
                ) from err
            logger.warning("%s; fetching it again", err)
            return None
        if record is not None:
            found[name] = _check_pin(wanted, record)
        elif name in wanted.names:
            return None
    return found


def _get(wanted: Wanted, commit: str, refused: WeightsError | None) -> dict[str, Record]:
    """Fetch what is missing at `commit`, check every file against what the Hub declares, and record it.

    `refused` is why the cache cannot be written, if it cannot: what is whole on disk is used all the same.
    """
    told = declared(wanted, commit)
    for name, one in told.items():
        if len(one.name) == 64:
            claimed = Record(
                repo=wanted.repo, file=name, commit=commit, sha256=one.name, size=one.size or 0, mtime_ns=0
            )
            _check_pin(wanted, claimed)  # before bytes are fetched that would be refused
    found = {}
    for name, one in told.items():
        path = records.snapshot(wanted.repo, commit) / name
        if not (path.is_file() and one.fits(path)):
            if refused:
                raise refused
            bring(wanted, commit, name, one)
        found[name] = _check_pin(wanted, records.measure(wanted.repo, name, commit))
        records.write_record(found[name])
    return found


def _check_pin(wanted: Wanted, record: Record) -> Record:
    """Refuse a file that is not the one that the model's description names."""
    if wanted.pin is None or record.file != wanted.pin.file:
        return record
    for what, have, want in (
        ("SHA-256", record.sha256, wanted.pin.sha256),
        ("size", record.size, wanted.pin.size),
    ):
        if want is not None and have != want:
            raise WeightsError(
                f"{record.repo}/{record.file} at {record.commit} has {what} {have}, but the model's description pins"
                f" {want}: the published file was swapped or the pin is wrong. Update the plugin, or report it there"
            )
    return record


def _adopt(wanted: Wanted, commit: str | None) -> dict[str, Record]:
    """Offline, and zoo has no record: what another program left in the Hugging Face cache will do if it proves itself.

    The proof is the pin's SHA-256, or the hash that is the blob's name.
    """
    if commit is None:
        ref = records.hub_cache() / records.repo_folder(wanted.repo) / "refs" / wanted.revision
        commit = ref.read_text().strip() if ref.is_file() else ""
    if not COMMIT.fullmatch(commit):
        raise _missing(wanted)
    found = {}
    for name in (*wanted.names, *wanted.extras):
        path = records.snapshot(wanted.repo, commit) / name
        if name in wanted.extras and not path.is_file():
            continue
        pin = wanted.pin.sha256 if wanted.pin and name == wanted.pin.file else None
        proof = pin or path.resolve().name
        if not path.is_file() or not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", proof):
            raise _missing(wanted)
        if not Declared(name=proof, size=None).fits(path):
            raise HubError(
                f"{path} is damaged: its hash is not {proof}; offline, so it cannot be fetched again:"
                f" connect and type {wanted.line}"
            )
        found[name] = _check_pin(wanted, records.measure(wanted.repo, name, commit))
    for record in found.values():
        records.write_record(record)
    return found


def _missing(wanted: Wanted) -> HubError:
    return HubError(
        f"{wanted} is not in the cache ({records.hub_cache()}) and zoo is offline:"
        f" connect once, without HF_HUB_OFFLINE and --offline, and type {wanted.line}"
    )
