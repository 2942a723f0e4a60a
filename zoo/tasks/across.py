"""Values of all processes: with gradients for losses that compare samples with each other, without for metrics.

Where there is one process, all of these give what they are given.

A loss that every process computes alike from `gathered` features has the gradient of one process that holds all
samples: each process's own features receive the gradients of all processes' losses, that is P times the gradient, and
`torch.nn.parallel.DistributedDataParallel` averages over the P processes.
"""

# N rows, P processes

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, distributed
from torch.nn import functional

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)
_IDLE: ContextVar[bool] = ContextVar("idle", default=False)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within, this process has to do with itself only: for work in which processes take batches in turn, some one more."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


@contextlib.contextmanager
def idle() -> Iterator[None]:
    """Within, this process has no samples of its own: what it computes keeps step with the others, and does not count."""
    token = _IDLE.set(True)
    try:
        yield
    finally:
        _IDLE.reset(token)


def num_processes() -> int:
    """How many processes share the work."""
    return distributed.get_world_size() if _together() else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if _together() else 0


def gathered(rows: Tensor) -> Tensor:
    """Rows of all processes (sum of their N, ...), in the order of the processes, with gradients.

    Processes may have other numbers of rows, also none, and must agree in the other sizes and in the type.
    """
    if _IDLE.get():
        rows = rows[:0]
    if num_processes() == 1:
        return rows
    from torch.distributed.nn.functional import all_gather

    lengths = _lengths(rows)
    padding = (0, 0) * (rows.ndim - 1) + (0, max(lengths) - len(rows))
    parts = all_gather(functional.pad(rows, padding))  # type: ignore[no-untyped-call]
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def summed(value: Tensor) -> Tensor:
    """The sum over all processes of tensors of one shape, with gradients."""
    if _IDLE.get():
        value = value * 0
    if num_processes() == 1:
        return value
    from torch.distributed.nn.functional import all_reduce

    return torch.as_tensor(all_reduce(value))  # type: ignore[no-untyped-call]


def _lengths(rows: Tensor) -> list[int]:
    """N of each process."""
    mine = torch.tensor([len(rows)], device=rows.device)
    parts = [torch.empty_like(mine) for _ in range(num_processes())]
    distributed.all_gather(parts, mine)
    return [int(part) for part in parts]


def _together() -> bool:
    return not _ALONE.get() and distributed.is_available() and distributed.is_initialized()
