"""`--processes N`: the same command in N processes on this machine.

On several machines, or with settings of your own, start it yourself: `accelerate launch -m zoo embed ...`, or
`torchrun --nproc_per_node N -m zoo embed ...`. On a CPU without MPI `accelerate launch --num_processes 2` quietly runs
one process; torchrun with ACCELERATE_USE_CPU=true runs two.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO

from zoo.processes import OTHER_FAILED

POLL_S = 0.05
GRACE_S = 2.0  # ours: the others notice within milliseconds when one ends


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `zoo` with `arguments` in `processes` processes; if one fails the others are stopped.

    The first process writes to the terminal. What another one says is shown if it was the one that failed.

    Returns:
        The exit code: 0, or that of the process that failed first.
    """
    with contextlib.ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(processes)]
        port = _free_port()
        running = [_start(arguments, rank, processes, port, said[rank]) for rank in range(processes)]
        stack.enter_context(_passed_on(running))
        try:
            failed = _wait(running)
            with contextlib.suppress(subprocess.TimeoutExpired):  # what the first met as well, it has told
                running[0].wait(GRACE_S)
        except KeyboardInterrupt:  # the terminal has told all of them
            failed = 0
            for process in running:
                process.wait()
        finally:
            _stop(running)
        if failed not in (None, 0) and (running[0].returncode <= 0 or running[0].returncode == OTHER_FAILED):
            said[failed].seek(0)
            sys.stderr.write(said[failed].read())
        return next((code for code in _codes(running, failed) if code), 0)


@contextlib.contextmanager
def _passed_on(running: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Within the block, SIGTERM is passed on: a process that trains saves before it stops."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in running:
            if process.poll() is None:
                process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(arguments: Sequence[str], rank: int, processes: int, port: int, said: IO[str]) -> subprocess.Popen[bytes]:
    import torch

    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        # DDP warns where it looked for unused parameters and found none; looking is what was asked for.
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
    }
    if not torch.accelerator.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
        environment.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    command = [sys.executable, "-m", "zoo", *arguments]
    if rank == 0:
        return subprocess.Popen(command, env=environment)
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """The number of the process that fails first; `None` when all have ended well."""
    while True:
        codes = [process.poll() for process in running]
        failed = [rank for rank, code in enumerate(codes) if code]
        culprits = [rank for rank in failed if codes[rank] != OTHER_FAILED]
        if culprits or None not in codes:
            return next(iter(culprits or failed), None)
        time.sleep(POLL_S)


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def _codes(running: Sequence[subprocess.Popen[bytes]], first: int | None) -> list[int]:
    order = [*([] if first is None else [running[first]]), *running]
    return [process.returncode for process in order]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
