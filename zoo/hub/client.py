"""The questions that zoo asks the Hub, through `huggingface_hub`, and its refusals in words that say what to do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from zoo.errors import HubError, WeightsError
from zoo.hub import records
from zoo.hub.transfer import TIMEOUT_S, Declared, Interrupted, Progress, download, patiently
from zoo.spec import Weights

T = TypeVar("T")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Files of one repository that somebody asks for.

    Attributes:
        revision: commit, branch or tag.
        names: files that must be there.
        extras: files that come along where the repository has them.
        pin: what a model's description says of one of the files.
        offline: open no connection.
    """

    repo: str
    revision: str
    names: tuple[str, ...]
    extras: tuple[str, ...] = ()
    pin: Weights | None = None
    offline: bool
    progress: Progress | None

    @property
    def pinned(self) -> bool:
        return COMMIT.fullmatch(self.revision) is not None

    @property
    def line(self) -> str:
        """What a user types to get the files; the model's name is looked up only for messages."""
        from zoo.registry import entries

        for entry in entries():
            for variant in entry.spec.variants:
                if self.pin is not None and variant.weights == self.pin:
                    return f"`zoo pull {entry.spec.name}@{variant.tag}`"
        return f"`zoo pull hf://{self}`"

    def __str__(self) -> str:
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"


def is_offline(asked: bool | None = None) -> bool:
    """What was asked for, else what `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` say."""
    if asked is not None:
        return asked
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


def endpoint() -> str:
    """Address of the Hub, `HF_ENDPOINT` as it is now (`huggingface_hub` reads it only when it is imported)."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def resolve(wanted: Wanted) -> str:
    """The commit that a branch or tag stands for now."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint())
    commit: str | None = ask(
        wanted,
        lambda: patiently(lambda: api.model_info(wanted.repo, revision=wanted.revision, timeout=TIMEOUT_S).sha),
    )
    if commit is None or not COMMIT.fullmatch(commit):
        raise HubError(f"{endpoint()} names {commit!r} as the commit of {wanted}; expected 40 hexadecimal digits")
    return commit


def declared(wanted: Wanted, commit: str) -> dict[str, Declared]:
    """What the Hub says of all `names`, and of those `extras` that exist, extras first.

    Raises:
        HubError: one of `names` is not in the repository.
    """
    from huggingface_hub import HfApi

    api, names = HfApi(endpoint=endpoint()), [*wanted.extras, *wanted.names]
    paths = ask(wanted, lambda: patiently(lambda: api.get_paths_info(wanted.repo, names, revision=commit)))
    files = {path.path: path for path in paths if hasattr(path, "blob_id")}
    for name in wanted.names:
        if name not in files:
            raise HubError(
                f"{wanted} has no file {name!r} at commit {commit[:12]}; see what it has at"
                f" {endpoint()}/{wanted.repo}/tree/{commit}"
            )
    return {
        name: Declared(name=files[name].lfs.sha256 if files[name].lfs else files[name].blob_id, size=files[name].size)
        for name in names
        if name in files
    }


def bring(wanted: Wanted, commit: str, name: str, told: Declared) -> None:
    """Download the blob unless the cache has it whole, then link it from the commit's folder."""
    from huggingface_hub import hf_hub_url

    path = records.snapshot(wanted.repo, commit) / name
    blob = records.hub_cache() / records.repo_folder(wanted.repo) / "blobs" / told.name
    if not (blob.is_file() and told.fits(blob)):
        url = hf_hub_url(wanted.repo, name, revision=commit, endpoint=endpoint())
        ask(wanted, lambda: download(url, blob, told, name, wanted.progress))
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        try:
            new.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:  # a file system without links: the file lies in the commit's folder itself
            os.replace(blob, new)
        os.replace(new, path)
    except OSError as err:
        raise records.unwritable(path, err) from err


@contextlib.contextmanager
def locked(wanted: Wanted) -> Iterator[WeightsError | None]:
    """One process at a time per repository; where locks do nothing, renaming whole files keeps the cache sound.

    Yields:
        Why there is no lock, where the cache cannot be written.
    """
    from huggingface_hub.utils import WeakFileLock

    file = records.zoo_cache() / "locks" / f"{records.repo_folder(wanted.repo)}.lock"
    with contextlib.ExitStack() as stack:
        refused = None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(WeakFileLock(file))
        except OSError as err:
            refused = records.unwritable(file, err)
            refused.__cause__ = err
        yield refused


def ask(wanted: Wanted, question: Callable[[], T], *, writes: bool = False) -> T:
    """The Hub's answer, or a `HubError` that says what to do about its refusal."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    refusals: tuple[type[Exception], ...] = (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, Interrupted)
    if not writes:
        refusals = (*refusals, ValueError, KeyError)  # the answer of a log-in page instead of the Hub's
    try:
        return question()
    except refusals as err:
        raise HubError(_explain(wanted, err, "write" if writes else "read")) from err


def _explain(wanted: Wanted, err: Exception, right: str) -> str:
    from huggingface_hub import errors

    repo, status = wanted.repo, getattr(getattr(err, "response", None), "status_code", None)
    again = wanted.line if right == "read" else f"`zoo push FOLDER {repo}`"
    login = "log in with `hf auth login` (or set HF_TOKEN)"
    match err:
        case _ if right == "write" and status in (401, 403, 404):
            return f"the Hub ({endpoint()}) does not let you write {repo} ({status}): {login}, with a token that may"
        case errors.GatedRepoError():
            return f"{repo} is gated: accept its terms at {endpoint()}/{repo}, {login}, then type {again}"
        case errors.RepositoryNotFoundError():
            return f"the Hub ({endpoint()}) shows no repository {repo!r}: check the name, or if it is private, {login}"
        case errors.RevisionNotFoundError():
            return f"{repo} has no revision {wanted.revision!r}: see {endpoint()}/{repo}/commits/main"
        case errors.RemoteEntryNotFoundError():
            return f"{wanted} no longer has a file that it declared: {endpoint()}/{repo}/tree/{wanted.revision}"
        case errors.OfflineModeIsEnabled():
            return f"huggingface_hub was imported with HF_HUB_OFFLINE=1; unset it, start again, type {again}"
        case errors.HFValidationError():
            return f"{repo!r} cannot be the name of a repository: expected ORG/NAME"
        case _ if status == 429:
            return f"too many requests: the Hub still refuses {repo} after waiting; try later, or {login}"
        case _ if status in (401, 403):
            return f"the Hub refuses access to {repo} ({status}): {login}, with a token that may read it"
        case _ if status is not None:
            return f"the Hub ({endpoint()}) answered {status} for {wanted}; type {again} again later"
        case ValueError() | KeyError():
            return f"{endpoint()} does not answer as the Hub does ({err}): is a proxy or a log-in page in between?"
        case _:
            return (
                f"cannot {right} {wanted} at {endpoint()}: {type(err).__name__}: {err}; check the connection and type"
                f" {again} again; downloads go on where they stopped, and what is in the cache loads without a connection"
            )
