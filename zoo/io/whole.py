"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.errors import OutputError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, renamed to `path` when the block ends without an exception.

    It lies in a hidden folder beside `path` that is removed in any case, Ctrl-C included, with all that was left in it.

    Raises:
        OutputError: `path` cannot be written; said before any work is done.
    """
    check_writable(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as err:
        raise _unwritable(path, err) from err
    try:
        temporary = folder / path.name
        try:
            yield temporary
            temporary.replace(path)
        except OSError as err:
            raise _unwritable(path, err) from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_extension(path: Path, known: Sequence[str], what: str) -> str:
    """The extension of `path`, in lower case.

    Raises:
        OutputError: it is none of `known`.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        found = f"the extension {suffix!r}" if suffix else "no extension"
        raise OutputError(f"{path} has {found}; {what} is written as {', '.join(known)}: choose one of these")
    return suffix


def check_writable(path: Path) -> None:
    """Raise `OutputError` unless a file can be written at `path`, before any work is done for it."""
    if not path.parent.is_dir():
        raise OutputError(
            f"{path}: there is no folder {path.parent}; make it (mkdir -p {path.parent}) or choose another"
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder; expected a file name, e.g. {path / 'result'}{path.suffix}")
    # The mode is asked too: a file set read-only is meant to stay, even for root and though a rename would replace it.
    for one in (path, path.parent):
        if one.exists() and not (one.stat().st_mode & 0o222 and os.access(one, os.W_OK)):
            raise OutputError(f"{one} is write-protected; choose another output, or make it writable (chmod u+w {one})")


def _unwritable(path: Path, err: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {err.strerror or err}; nothing is left under that name that was not there before."
        " Choose another place, or free some space there"
    )
