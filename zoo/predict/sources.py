"""What a user may hand over as data, and the list of single sources that it stands for."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import InputError, OutputError

# Rasters and photographs that GDAL and Pillow read everywhere; other files in a folder are not data.
SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg", ".img", ".nc")


def is_collection(source: Any) -> bool:
    """Whether `source` is a folder, a glob pattern or a list: many files rather than one."""
    if isinstance(source, list | tuple):
        return True
    return isinstance(source, str | Path) and (Path(source).is_dir() or _is_pattern(str(source)))


def expand(source: Any) -> list[Path]:
    """Files of a folder (recursive), a glob pattern or a list, sorted by path.

    Raises:
        InputError: there are none.
    """
    if isinstance(source, list | tuple):
        return [Path(item) for item in source]
    if Path(source).is_dir():
        found = [file for file in sorted(Path(source).rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
        expected = f"files ending in {', '.join(SUFFIXES)}"
    else:
        found = sorted(Path(name) for name in glob.glob(str(source), recursive=True))
        expected = "files that fit the pattern"
    if not found:
        raise InputError(f"{source}: no data found; expected {expected}")
    return found


def label(source: Any) -> str:
    """How messages, tables and provenance call a source: the file's name, never its whole path."""
    if isinstance(source, str | Path):
        return Path(source).name
    if isinstance(source, Mapping):
        return "+".join(label(item) for item in source.values())
    return str(getattr(source, "name", None) or type(source).__name__)


def state_of(source: Any) -> tuple[int, int]:
    """Size in bytes and time of a file; 0 for what is none (its failure is told when it is opened)."""
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return 0, 0
    stat = Path(source).stat()
    return stat.st_size, stat.st_mtime_ns


def check_kept(source: Any, out: Path | None) -> None:
    """Raise `OutputError` if writing `out` would replace what is read."""
    items = source.values() if isinstance(source, Mapping) else [source]
    for item in items:
        if out is not None and isinstance(item, str | Path) and Path(item).resolve() == out.resolve():
            raise OutputError(f"the output {out} would replace the source; name another file")


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[") and not Path(name).exists()
