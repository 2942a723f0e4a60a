"""The loop behind every prediction: batches are read ahead in threads, computed in turn, and kept as parts.

Batches are cut from the global list before they are dealt to the processes, so a batch holds the same units whatever
the number of processes, and its part has the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from zoo.predict.work import Arrays, Work
from zoo.processes import Alone, wait_for_all
from zoo.progress import progress

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
    workers: int = 2,
    ahead: int = 3,
) -> bool:
    """Compute the batches of `units` that are not there yet, this process its share, and wait for the others.

    Args:
        units: windows, files or rows, in the order of the output.
        batch_size: units per forward pass.
        load: reads one batch; called in threads, several batches ahead.
        compute: turns what was read into arrays to keep, and notes.
        work: where parts are kept, and who works on them; see `zoo.predict.work.session`.
        what: shown beside the progress bar.
        workers: threads that read.
        ahead: batches that are read ahead of the one being computed.

    Returns:
        Whether this is the main process, which goes on to put the parts together.
    """
    crew = work.crew
    batches = [units[start : start + batch_size] for start in range(0, len(units), batch_size)]
    mine = [index for index in range(crew.process_index, len(batches), crew.num_processes) if not work.has(index)]
    waiting: collections.deque[tuple[int, Future[Loaded]]] = collections.deque()
    # One file among many that are dealt shows no bar of its own.
    bar = contextlib.nullcontext(lambda _: None) if isinstance(crew, Alone) else progress(len(mine), what)
    with ThreadPoolExecutor(workers, thread_name_prefix="zoo-read") as pool, bar as advance:
        try:
            for index in mine[:ahead]:
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
    wait_for_all(crew)
    return bool(crew.is_main_process)


def num_batches(units: Sequence[Unit], batch_size: int) -> int:
    return -(-len(units) // batch_size)
