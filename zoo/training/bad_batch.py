"""The batch with which a loss broke: kept, and its samples named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zoo.datasets.sample import Batch
from zoo.errors import InputError, some
from zoo.io.whole import whole
from zoo.training.steps import NotFinite


def bad_batch(err: NotFinite, folder: Path, when: str, process: int) -> InputError:
    """Save the batch, and say which of its samples hold numbers that are not finite.

    Args:
        err: what the step raised.
        folder: of the run.
        when: step and phase, in words.
        process: number of this process; each has its own part of the step.
    """
    batch = err.batch
    file = folder / f"bad-batch-{when.replace(' ', '-')}-{process}.safetensors"
    with whole(file) as part:
        save_file(_flat(batch), part, {"ids": "\n".join(batch.ids)})
    broken = [name for row, name in enumerate(batch.ids) if not _finite(batch, row)]
    whose = f"inputs or targets of {some(broken)} are not finite" if broken else f"{some(batch.ids)}, all finite"
    return InputError(
        f"the loss is not finite ({err}) at {when}; its batch ({whose}) is saved as {file};"
        " mend the data (`zoo data check`), or try a lower optimizer.lr, clip=1 or precision=fp32"
    )


def _flat(batch: Batch) -> dict[str, Tensor]:
    """All tensors of a batch by name: `in.image`, `target.points_px.0`, ..."""
    found: dict[str, Tensor] = {}
    parts = {"in": batch.inputs, "target": batch.target, "valid": batch.valid, "times": batch.times}
    for part, named in parts.items():
        for name, value in named.items():
            rows = {"": value} if isinstance(value, Tensor) else {f".{row}": one for row, one in enumerate(value)}
            for suffix, one in rows.items():
                if isinstance(one, Tensor):
                    found[f"{part}.{name}{suffix}"] = one.detach().cpu().contiguous().clone()
    return found


def _finite(batch: Batch, row: int) -> bool:
    """Whether all numbers of a sample are finite."""

    def finite(value: Any) -> bool:
        one = value[row] if len(value) == len(batch) else None
        return not isinstance(one, Tensor) or not one.is_floating_point() or bool(torch.isfinite(one).all())

    return all(finite(value) for value in (*batch.inputs.values(), *batch.target.values()))
