"""`--processes N`: the same command in N processes on this machine, started by torchrun.

On several machines, or with settings of your own, start it yourself: `accelerate launch -m zoo embed ...` or
`torchrun --nproc_per_node N -m zoo embed ...`. On a CPU without MPI `accelerate launch --num_processes 2` quietly runs
one process; torchrun with ACCELERATE_USE_CPU=true runs two.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `zoo` with `arguments` in `processes` processes; returns the exit code."""
    import torch

    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
        environment.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.run([*command, "-m", "zoo", *arguments], env=environment, check=False).returncode
