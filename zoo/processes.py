"""The processes that share a run: one on a laptop, many under torchrun or `accelerate launch`."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from typing import Any

from zoo.errors import ConfigError

logger = logging.getLogger(__name__)
PEER_GONE = (
    "connection closed by peer",
    "connection reset by peer",
    "remote process exited",
)  # gloo's and NCCL's words
OTHER_FAILED = 75  # exit code of a process that has nothing to say of its own; EX_TEMPFAIL of sysexits.h


@functools.cache
def processes() -> Any:
    """Accelerate's `PartialState`, made once: on the accelerator if there is one, else on the CPU.

    Raises:
        ConfigError: several processes were started, and each believes to be alone: they would do the work twice.
    """
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available() or _wants_cpu())
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and state.num_processes == 1:
        raise ConfigError(
            f"{started} processes were started and cannot see each other; use --processes {started},"
            " or torchrun with ACCELERATE_USE_CPU=true where there is no accelerator"
        )
    return state


def wait_for_all(crew: Any) -> None:
    """Wait until every process of `crew` has come here; where one has ended instead, end quietly: it says why itself."""
    try:
        crew.wait_for_everyone()
    except RuntimeError as err:  # the connection to it is closed
        raise SystemExit(OTHER_FAILED) from err


@contextlib.contextmanager
def quiet_where_another_failed(crew: Any) -> Iterator[None]:
    """Within the block, where a process that should have answered has ended, end with a line: it says why itself."""
    try:
        yield
    except RuntimeError as err:
        told = str(err).lower()
        if crew.num_processes > 1 and any(one in told for one in PEER_GONE):
            logger.warning("another process ended first, and says why (%s)", str(err).splitlines()[0][:120])
            raise SystemExit(OTHER_FAILED) from err
        raise


def _wants_cpu() -> bool:
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


class Alone:
    """What `PartialState` says where there is no other process: for one file among many that are dealt."""

    process_index = 0
    num_processes = 1
    is_main_process = True

    def wait_for_everyone(self) -> None:
        """Nobody to wait for."""
