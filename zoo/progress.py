"""Bars with rate and time left on stderr; silent when stderr is not a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many more of `total` are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


@contextlib.contextmanager
def download_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function that is told of a file how many bytes of how many have arrived; the bar comes with the first."""
    with contextlib.ExitStack() as shown:
        bars: list[Any] = []
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if not sys.stderr.isatty():
                return
            if not bars:
                bars.append(shown.enter_context(_bytes_bar()))
            if name not in tasks:
                tasks[name] = bars[0].add_task(name, total=total)
            bars[0].update(tasks[name], completed=done)

        yield show


def _bytes_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
