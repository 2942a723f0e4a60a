"""What a user may hand over as data, and the list of single sources that it stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import InputError, OutputError

# Rasters and photographs that GDAL and Pillow read everywhere; other files in a folder are not data.
SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg", ".img", ".nc")

PRODUCTS = (".safe", ".zarr")  # folders that are one source


def is_collection(source: Any) -> bool:
    """Whether `source` is a folder, a glob pattern or a list: many files rather than one.

    A product that is a folder (`.SAFE`, `.zarr`), or a folder that a plugin opens, is one source.
    """
    if isinstance(source, list | tuple):
        return True
    if not isinstance(source, str | Path):
        return False
    return not _is_product(Path(source)) if Path(source).is_dir() else _is_pattern(str(source))


def expand(source: Any) -> list[Path]:
    """Files of a folder (recursive), a glob pattern or a list, sorted by path; products that are folders count as files.

    Raises:
        InputError: there are none, or a list holds something else than paths.
    """
    if isinstance(source, list | tuple):
        if strange := [item for item in source if not isinstance(item, str | Path)]:
            raise InputError(
                f"a list holds a {type(strange[0]).__name__}; expected paths of files: give arrays one at a time, each"
                " (bands, H, W)"
            )
        found, expected = [Path(item) for item in source], "paths"
    elif Path(source).is_dir():
        found = [path for path in sorted(Path(source).rglob("*")) if _is_data(path, Path(source))]
        expected = f"files ending in {', '.join(SUFFIXES)}"
    else:
        found = sorted(Path(name) for name in glob.glob(str(source), recursive=True))
        expected = "files that fit the pattern"
    if not found:
        raise InputError(f"{source}: no data found; expected {expected}")
    return found


def _is_data(path: Path, folder: Path) -> bool:
    """Whether `path` somewhere below `folder` is one of its sources, and not a part of one."""
    if any(part.suffix.lower() in PRODUCTS for part in path.relative_to(folder).parents):
        return False
    return path.suffix.lower() in PRODUCTS if path.is_dir() else path.suffix.lower() in SUFFIXES


def _is_product(folder: Path) -> bool:
    from zoo.plugins import plugins

    return (
        folder.suffix.lower() in PRODUCTS or plugins().first("zoo_open_source", uri=str(folder), inputs=()) is not None
    )


def label(source: Any) -> str:
    """How messages, tables and provenance call a source: the file's name, never its whole path."""
    if isinstance(source, str | Path):
        return Path(source).name
    if isinstance(source, Mapping):
        return "+".join(label(item) for item in source.values())
    return str(getattr(source, "name", None) or type(source).__name__)


def state_of(source: Any) -> tuple[str, int, int]:
    """Whole path, size in bytes and time of a file, for plans; nothing of what is none (its failure is told later)."""
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return "", 0, 0
    stat = Path(source).stat()
    return str(Path(source).resolve()), stat.st_size, stat.st_mtime_ns


def check_kept(source: Any, out: Path | None) -> None:
    """Raise `OutputError` if writing `out` would replace what is read.

    Args:
        source: as users give them: a path, a folder or glob in which `out` is a file, an opened source; lists and mappings
            of these. What is none of them is let through.
        out: a file, or a folder.
    """
    if isinstance(source, Mapping | list | tuple):
        for item in source.values() if isinstance(source, Mapping) else source:
            check_kept(item, out)
        return
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "path", None)
    if out is not None and isinstance(path, str | os.PathLike) and _is_part(out, os.fspath(path)):
        raise OutputError(f"the output {out} would replace the source; name another file")


def _is_part(out: Path, name: str) -> bool:
    """Whether `out` is what a source is called, or a file among those that it stands for."""
    path, target = Path(name).resolve(), out.resolve()
    if path == target or not target.is_file():
        return path == target
    if path.is_dir():
        return target.is_relative_to(path) and _is_data(target, path)
    return _is_pattern(name) and any(Path(one).resolve() == target for one in glob.glob(name, recursive=True))


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[") and not Path(name).exists()
