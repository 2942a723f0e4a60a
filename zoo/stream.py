"""The loop behind every prediction: batches are read ahead in threads, computed in turn, and kept as parts.

Batches are cut from the global list before they are dealt to the processes, so a batch holds the same units whatever
the number of processes, and its part has the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from zoo.progress import progress
from zoo.work import Arrays, Work

Unit = TypeVar("Unit")
Loaded = TypeVar("Loaded")


def run(
    units: Sequence[Unit],
    *,
    batch_size: int,
    load: Callable[[Sequence[Unit]], Loaded],
    compute: Callable[[Loaded], tuple[Arrays, dict[str, str]]],
    work: Work,
    what: str,
    resume: bool = False,
    workers: int = 2,
    ahead: int = 3,
    share: bool = True,
) -> bool:
    """Compute all batches of `units`, this process its share, and wait for the others.

    Args:
        units: windows, files or rows, in the order of the output.
        batch_size: units per forward pass.
        load: reads one batch; called in threads, several batches ahead.
        compute: turns what was read into arrays to keep, and notes.
        work: where parts are kept.
        what: shown beside the progress bar.
        resume: keep parts that are already there.
        workers: threads that read.
        ahead: batches that are read ahead of the one being computed.
        share: whether the batches are dealt to all processes; otherwise this one computes them all, silently, as one
            unit of a stream that is dealt.

    Returns:
        Whether this is the main process, which goes on to put the parts together.
    """
    state = _state() if share else Alone()
    batches = [units[start : start + batch_size] for start in range(0, len(units), batch_size)]
    if state.is_main_process:
        work.begin(resume=resume)
    state.wait_for_everyone()
    mine = [index for index in range(state.process_index, len(batches), state.num_processes) if not work.has(index)]
    waiting: collections.deque[tuple[int, Future[Loaded]]] = collections.deque()
    bar = progress(len(mine), what) if share else contextlib.nullcontext(lambda _: None)
    with ThreadPoolExecutor(workers, thread_name_prefix="zoo-read") as pool, bar as advance:
        try:
            for index in [*mine[:ahead]]:
                waiting.append((index, pool.submit(load, batches[index])))
            for upcoming in [*mine[ahead:], *[None] * len(waiting)]:
                index, future = waiting.popleft()
                loaded = future.result()
                if upcoming is not None:
                    waiting.append((upcoming, pool.submit(load, batches[upcoming])))
                work.save(index, *compute(loaded))
                advance(1)
        finally:
            for _, future in waiting:
                future.cancel()
    state.wait_for_everyone()
    return bool(state.is_main_process)


def num_batches(units: Sequence[Unit], batch_size: int) -> int:
    return -(-len(units) // batch_size)


def wait_for_everyone() -> None:
    """Return when all processes are here."""
    _state().wait_for_everyone()


def is_main() -> bool:
    """Whether this is the process that writes."""
    return bool(_state().is_main_process)


def _state() -> Any:
    from accelerate import PartialState

    return PartialState()


class Alone:
    """What `PartialState` says where there is no other process."""

    process_index = 0
    num_processes = 1
    is_main_process = True

    def wait_for_everyone(self) -> None:
        """Nobody to wait for."""
