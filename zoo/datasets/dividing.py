"""Which files a folder of the user's holds, and which of them belong to a split."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from zoo.errors import ConfigError, InputError
from zoo.io.tables import open_table

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg", ".img")  # of images
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}  # ours: the usual ones
SHOWN = 8  # folders per message; ours
NAMES = ("file", "filename", "image", "path")  # columns of a list of files


class NoSuchSplit(InputError):
    """The folder is the right one, and has no such split: it is of no use to look for another."""


class Dividing(TypedDict, total=False):
    """Options of layouts whose files do not lie in a folder per split.

    splits: a table of `file` (below the folder) and `split`.
    shares: of the splits by name, where there is no such table: each file is drawn by its name alone, so that it keeps
        its split when others come or go; `None` = 0.8 train, 0.1 val, 0.1 test.
    seed: of those draws.
    """

    splits: str | None
    shares: Mapping[str, float] | None
    seed: int


def need_folder(folder: str | Path, layout: str, expected: str) -> Path:
    """The folder.

    Raises:
        InputError: it is none.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"{root} is no folder; the layout {layout!r} expected one that holds {expected}")
    return root


def images_in(folder: Path) -> list[Path]:
    """Images right in a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith("."))


def files_of_split(root: Path, images: str, split: str, **dividing: Unpack[Dividing]) -> list[str]:
    """Images of a split below `<images>/<split>/`, else those below `<images>/` that belong to it; paths below `root`.

    Raises:
        InputError: there is no such folder, or no images in it.
        ConfigError: the options are none of a folder per split, or wrong.
    """
    folder = root / images
    below = [one for one in sorted(folder.rglob("*")) if one.suffix.lower() in SUFFIXES and one.is_file()]
    if not below:
        there = ", ".join(one.name for one in folders_in(root)[:SHOWN]) or "no folders"
        raise InputError(f"{folder} is not there or holds no images ({', '.join(SUFFIXES)}); {root} holds {there}")
    names = [one.relative_to(root).as_posix() for one in below]
    if not (folder / split).is_dir():
        have = [one.name for one in folders_in(folder)]
        if not dividing and {*have} & {*SHARES}:
            raise NoSuchSplit(
                f"{folder} has no folder {split!r}; found {', '.join(have)}: give one of these as the split"
            )
        return of_split(names, split, root, **dividing)
    if dividing:
        raise ConfigError(
            f"{folder} has a folder per split, which the option {next(iter(dividing))} would divide again; leave it out"
        )
    return [one for one in names if one.startswith(f"{images}/{split}/")]


def folders_in(folder: Path) -> list[Path]:
    """Folders right in a folder, by name."""
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def of_split(
    names: Sequence[str],
    split: str,
    root: Path,
    *,
    splits: str | None = None,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[str]:
    """Those of `names` (below `root`) that belong to `split`, in their order; options as in `Dividing`.

    Raises:
        InputError: the table names files that are not there, or has other columns.
        ConfigError: shares that are none, or none of that split.
    """
    if splits is not None:
        listed = _listed(root / splits, split)
        if absent := [one for one in listed if one not in set(names)]:
            raise InputError(
                f"{splits} lists {len(listed)} files of the split {split!r}, and {len(absent)} of them are not in {root},"
                f" such as {absent[0]}; expected paths like {names[0] if names else 'Class/file.tif'}"
            )
        return [one for one in names if one in set(listed)]
    low, high = range_of(split, SHARES if shares is None else shares)
    return [one for one in names if low <= drawn(one, seed) < high]


def drawn(name: str, seed: int) -> float:
    """A number in [0, 1) that depends on a name and a seed alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def range_of(split: str, shares: Mapping[str, float]) -> tuple[float, float]:
    """From where to where in [0, 1) a split reaches, in the order of `shares`; the last of shares that add up to 1, to infinity.

    Raises:
        ConfigError: the shares are none, or none of that split.
    """
    wrong: Any = {
        name: one for name, one in shares.items() if isinstance(one, bool) or not isinstance(one, int | float)
    }
    if wrong or not all(one > 0 for one in shares.values()) or math.fsum(shares.values()) > 1 + 1e-9:
        raise ConfigError(
            f"the option shares is {dict(shares)}; expected numbers above 0 that add up to 1 at most, such as {SHARES}"
        )
    if split not in shares:
        raise ConfigError(
            f"no split {split!r}: files are divided into {', '.join(shares)} (option shares); take one of these,"
            " or say the shares you want"
        )
    names = list(shares)
    edges = np.cumsum([0.0, *shares.values()]).tolist()
    place = names.index(split)
    last = place == len(names) - 1 and math.isclose(edges[-1], 1.0)
    return edges[place], math.inf if last else edges[place + 1]


def _listed(table: Path, split: str) -> list[str]:
    """Files of a split, as a table lists them."""
    opened = open_table(table)
    by_form = {one.casefold(): one for one in opened.columns}
    file = next((by_form[one] for one in NAMES if one in by_form), None)
    if file is None or "split" not in by_form:
        raise InputError(
            f"{table} has the columns {', '.join(opened.columns)}; expected `file` (below the folder) and `split`"
        )
    of_all = opened.data[by_form["split"]].to_pylist()
    if split not in of_all:
        raise NoSuchSplit(
            f"{table} lists no file of the split {split!r}; it has {', '.join(sorted({str(one) for one in of_all}))}:"
            " give one of these as the split"
        )
    files = opened.data[file].to_pylist()
    return [str(name).removeprefix("./") for name, one in zip(files, of_all, strict=True) if one == split]
