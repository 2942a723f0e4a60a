"""Lists of names on the command line: `a,b,c`, or a file with a name per line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """A click callback: the names that an option's text stands for."""
    del context, parameter
    return None if value is None else names_of(value)


def names_of(text: str) -> tuple[str, ...]:
    """Names separated by commas, or the lines of the file of that name; `#` begins a remark."""
    file = Path(text)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else text.split(",")
    stripped = (line.strip() for line in lines)
    return tuple(line for line in stripped if line and not line.startswith("#"))


def names_option(flag: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes such a list."""
    return click.option(flag, callback=names, metavar="A,B|FILE", help=text)
