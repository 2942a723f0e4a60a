"""Bytes from the Hub: patient with a Hub that is busy, resumed where they broke off, checked before anybody sees them.

`huggingface_hub` finds the address, the token and the declared hashes. The bytes are streamed here, because its own
downloads (since 1.0) throw the partial file away when an attempt ends, wait as long as any `Retry-After` says, and do
not look at hashes.

A partial file belongs to one process, whose host and number stand in its name. Whoever comes later takes it over by
renaming it, which only one can do, and only when its owner is gone. So even where file locks do nothing (some network
file systems) two processes never write the same file, and the final name appears by renaming a whole, checked file.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zoo.errors import HubError, WeightsError
from zoo.hub.records import git_sha1_of, sha256_of, unwritable

logger = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # file name, bytes so far, bytes in all

TRIES = 5  # ours: attempts in a row without a new byte before giving up
TRIES_UNREACHED = 3  # ours: a Hub that cannot be reached at all is told to the user within seconds
LONGEST_WAIT_S = 300.0  # ours: the Hub counts requests in windows of five minutes
BUSY = frozenset({408, 429, 500, 502, 503, 504})  # the statuses that huggingface_hub retries too
TIMEOUT_S = 30.0  # ours: without a byte for so long, the connection is dead
ABANDONED_S = 600.0  # ours: a partial file of another host that nobody wrote to for so long has lost its owner


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """What the Hub says of a file: LFS files by SHA-256, small files by the SHA-1 that git gives them.

    Attributes:
        name: the hash, which is the blob's name in the Hugging Face cache.
        size: bytes; `None` where only the hash is known (a cached blob, while offline).
    """

    name: str
    size: int | None

    def fits(self, path: Path) -> bool:
        """Whether the file has the size and hash that were declared."""
        if self.size is not None and path.stat().st_size != self.size:
            return False
        return (sha256_of(path) if len(self.name) == 64 else git_sha1_of(path)) == self.name


class Interrupted(Exception):
    """The connection closed before the file was whole."""


def patiently(action: Callable[[], T], *, moved: Callable[[], int] = lambda: 0) -> T:
    """Do `action`, again after a while if the Hub is busy or the connection breaks.

    Args:
        action: one or more requests.
        moved: how many bytes have arrived so far; as long as they grow, the attempts are not counted.

    Raises:
        HubError: the Hub asks to wait longer than five minutes.
        Exception: what the last attempt raised.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    tries, before = 0, moved()
    while True:
        try:
            return action()
        except HfHubHTTPError as err:
            tries = 1 if moved() > before else tries + 1
            if err.response.status_code not in BUSY or tries >= TRIES:
                raise
            wait_s, why = _asked_to_wait(err.response.headers), f"the Hub answered {err.response.status_code}"
            if wait_s is not None and wait_s > LONGEST_WAIT_S:
                raise HubError(
                    f"the Hub asks to wait {wait_s:.0f} s before the next request (status {err.response.status_code});"
                    " try again then, or log in with `hf auth login` for a higher limit"
                ) from err
        except (HTTPError, Interrupted) as err:
            tries = 1 if moved() > before else tries + 1
            if tries >= (TRIES if moved() or isinstance(err, Interrupted) else TRIES_UNREACHED):
                raise
            wait_s, why = None, f"{type(err).__name__}: {err}"
        before = moved()
        wait_s = min(2.0 ** (tries - 1), 8.0) if wait_s is None else wait_s
        logger.warning("%s; trying again in %.0f s", why, wait_s)
        time.sleep(wait_s)


def _asked_to_wait(headers: Any) -> float | None:
    """Seconds that the answer asks to wait, from `Retry-After` or the Hub's `RateLimit: "api";r=0;t=55`."""
    text = headers.get("retry-after") or ""
    for part in (headers.get("ratelimit") or "").split(";"):
        key, _, value = part.strip().partition("=")
        text = text or (value if key == "t" else "")
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None


def download(url: str, blob: Path, declared: Declared, label: str, progress: Progress | None) -> None:
    """Bring the file at `url` to `blob`, whole and checked, or raise and leave `blob` as it was.

    Args:
        url: address of the file at one commit.
        blob: final path; replaced in one step.
        declared: size and hash that the bytes must have.
        label: file name for messages and for `progress`.
        progress: told after every piece.

    Raises:
        HubError: the bytes are not those that were declared, twice.
        WeightsError: no room on the disk, or the cache cannot be written.
    """
    size = declared.size or 0
    try:
        blob.parent.mkdir(parents=True, exist_ok=True)
        partial = _take_over(blob)
        _check_room(blob.parent, size - partial.stat().st_size, label)
        for attempt in (1, 2):
            patiently(lambda: _stream(url, partial, size, label, progress), moved=lambda: _size(partial))
            if declared.fits(partial):
                break
            partial.unlink()
            if attempt == 2:
                raise HubError(
                    f"{label}: the bytes that {url} sent do not have the hash {declared.name} that the Hub declares;"
                    " nothing was kept. Try again later, or without the proxy or mirror in between (HF_ENDPOINT)"
                )
            logger.warning("%s arrived altered; fetching it once more from the start", label)
            partial.touch()
        os.replace(partial, blob)
    except OSError as err:
        if _is_full(err):
            partial.unlink(missing_ok=True)
            raise _no_room(blob.parent, size, label) from err
        if _is_network(err):
            raise
        raise unwritable(blob, err) from err


def _stream(url: str, partial: Path, size: int, label: str, progress: Progress | None) -> None:
    """Append what is missing to `partial`; start over where the server ignores `Range`."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    with partial.open("r+b") as out:
        start = out.seek(0, os.SEEK_END)
        if start > size:
            start = out.truncate(0)
        if start == size:
            return
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response:
            if response.status_code >= 400:
                response.read()
            hf_raise_for_status(response)
            resumed = response.status_code == 206 and _first_byte(response.headers) == start
            done = out.seek(start if resumed else 0)
            out.truncate()
            for chunk in response.iter_bytes():
                done += len(chunk)
                if done > size:
                    break
                out.write(chunk)
                out.flush()
                if progress:
                    progress(label, done, size)
        os.fsync(out.fileno())
    if done < size:
        raise Interrupted(f"{label}: the connection closed after {done} of {size} bytes")


def _first_byte(headers: Any) -> int | None:
    """Where a partial answer starts: `Content-Range: bytes 100-199/200`."""
    start = (headers.get("content-range") or "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


# ------------------------------------------------------------------------------------------------------ partial files


def _take_over(blob: Path) -> Path:
    """The partial file of this process: an abandoned one if there is any, else a new, empty one."""
    own = blob.with_name(f"{blob.name}.zoo-{socket.gethostname()}-{os.getpid()}.incomplete")
    for other in sorted(blob.parent.glob(f"{blob.name}.zoo-*.incomplete"), key=_size, reverse=True):
        if other == own:
            return own
        if _is_abandoned(other):
            try:
                os.rename(other, own)
            except FileNotFoundError:  # somebody else was faster
                continue
            return own
    own.touch()
    return own


def _is_abandoned(partial: Path) -> bool:
    host, _, number = partial.name.partition(".zoo-")[2].removesuffix(".incomplete").rpartition("-")
    if host == socket.gethostname() and number.isdigit() and os.name == "posix":  # elsewhere signal 0 is not harmless
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    try:
        return time.time() - partial.stat().st_mtime > ABANDONED_S
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# --------------------------------------------------------------------------------------------------------------- disk


def _check_room(folder: Path, needed: int, label: str) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise _no_room(folder, needed, label)


def _no_room(folder: Path, needed: int, label: str) -> WeightsError:
    free = shutil.disk_usage(folder).free
    return WeightsError(
        f"no room for {label} in {folder}: {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free."
        " Remove what is not needed (`zoo cache list`, `zoo cache remove`), or set HF_HOME to a larger disk"
    )


def _is_full(err: OSError) -> bool:
    return err.errno in (errno.ENOSPC, errno.EDQUOT)


def _is_network(err: OSError) -> bool:
    """`huggingface_hub`'s own errors are OSErrors too."""
    return type(err).__module__.startswith("huggingface_hub") or isinstance(err, ConnectionError)
