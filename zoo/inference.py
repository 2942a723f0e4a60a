"""How networks compute where nothing is learned: without gradients, in the precision asked for, with the faster of two kernels.

PyTorch multiplies float32 matrices on CPUs with MKL, which leaves half of an AMD processor's AVX-512 units idle. oneDNN, which
PyTorch brings for convolutions, does not: linear layers take 0.45 of the time, and a row's answer is the same to the last bit
whatever the batch around it and the number of threads (MKL's is not). So it computes linear layers there.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

AMD = "AuthenticAMD"  # as processors call themselves (CPUID)


@contextmanager
def inference(device: torch.device, precision: str = "fp32") -> Iterator[None]:
    """Run networks on `device` without gradients.

    Args:
        device: of the network.
        precision: `fp32`, or `bf16` for autocast.
    """
    is_reduced = precision == "bf16"
    reduced = torch.autocast(device.type, torch.bfloat16) if is_reduced else nullcontext()
    linear = LinearsByOneDnn() if device.type == "cpu" and not is_reduced and _is_faster() else nullcontext()
    with torch.inference_mode(), reduced, linear:
        yield


class LinearsByOneDnn(TorchFunctionMode):
    """Computes float32 linear layers with oneDNN, as `torch.compile` has it; everything else as ever."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.linear and not kwargs and _fits(args[0]) and _fits(args[1]):
            x, weight, bias = (*args, None)[:3]
            is_row = x.numel() == x.shape[-1]  # alone it is added up in another order: two of it are not
            found = _linear()(torch.cat([x, x]) if is_row else x, weight, bias, "none", [], "")
            return found[: len(x)] if is_row else found
        return func(*args, **(kwargs or {}))


def _fits(one: torch.Tensor) -> bool:
    return one.dtype == torch.float32 and one.device.type == "cpu" and one.dim() > 1 and one.numel() > 0


@functools.cache
def _is_faster() -> bool:
    """Whether this is an AMD processor with AVX-512; on Intel's, MKL is as fast."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512") and _linear() is not None and AMD in _processor()
    )


@functools.cache
def _linear() -> Any:
    """PyTorch's operator, which has no public name but in compiled graphs; `None` where this PyTorch has none."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def _processor() -> str:
    told = Path("/proc/cpuinfo")  # Linux
    return told.read_text("utf-8", errors="replace")[:4096] if told.exists() else platform.processor()
