"""Weights decided by key, shape and seed alone, the same on every machine: for parity cases and for files in tests.

The rule is that of the recorded cases (`fill.py` beside them): each tensor is drawn from PCG64 seeded with the seed and
the CRC-32 of the key; matrices are scaled by their fan-in, so that deep stacks stay near unit variance.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_AROUND_ONE = ("weight", "gamma", "scale", "running_std")  # last part of the keys of vectors that multiply


def filled_tensor(key: str, shape: Sequence[int], seed: int) -> Tensor:
    """One float32 tensor."""
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(key.encode())]))
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return torch.from_numpy(np.asarray(generator.uniform(0.5, 1.5, tuple(shape)), dtype=np.float32))
    noise = np.asarray(generator.standard_normal(tuple(shape), dtype=np.float32))
    if len(shape) > 1:
        return torch.from_numpy((noise / math.sqrt(math.prod(shape[1:]))).astype(np.float32))
    centre = 1.0 if leaf in _AROUND_ONE else 0.0
    return torch.from_numpy(np.asarray(centre + 0.1 * noise, dtype=np.float32))


def filled_state_dict(
    rows: Iterable[tuple[str, Sequence[int], str]], seed: int, kept: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """A state dict of (key, shape, dtype) rows; integers are 0, and `kept` tensors stand as they are."""
    kept = kept or {}
    state = {}
    for key, shape, dtype in rows:
        if key in kept:
            state[key] = kept[key]
        elif dtype in _FLOATS:
            state[key] = filled_tensor(key, shape, seed).to(getattr(torch, dtype))
        else:
            state[key] = torch.zeros(tuple(shape), dtype=getattr(torch, dtype))
    return state


def filled_like(module: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """A filled state dict of the keys and shapes of `module`, which may be on the meta device."""
    rows = [(key, tuple(one.shape), str(one.dtype).removeprefix("torch.")) for key, one in module.state_dict().items()]
    return filled_state_dict(rows, seed)
