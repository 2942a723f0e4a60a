"""What a plugin records of a network, so that a later change of it is seen: its keys, and one answer.

`zoo check NAME --record` writes both beside the package's modules: `checks/<tag>.keys`, a line per tensor of the state
dict, and for weights that are at hand `checks/<tag>.golden.safetensors`, one input (`in.*`, float16) with its answer
(`out.*`).
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.testing.subject import NotApplicable, Outputs, Subject

LARGEST_MB = 1  # ours: a golden answer beyond this is thinned, since it ships with the plugin


def keys_of(module: nn.Module) -> list[str]:
    """`key (shape) dtype` of each tensor of the state dict, sorted."""
    return sorted(
        f"{key} {tuple(one.shape)} {str(one.dtype).removeprefix('torch.')}" for key, one in module.state_dict().items()
    )


def record(subject: Subject) -> list[Path]:
    """Write what there is to record of a model; returns the files."""
    subject.recorded.mkdir(exist_ok=True)
    keys = subject.recorded / f"{subject.variant.tag}.keys"
    keys.write_text("\n".join(keys_of(subject.factory())) + "\n")
    if subject.at_hand is None:
        return [keys]
    golden = subject.recorded / f"{subject.variant.tag}.golden.safetensors"
    halved = {name: one.half() for name, one in subject.tensors(subject.feeds[0], batch=1).items()}
    tensors = {name: one.float() for name, one in halved.items()}
    answer = thinned(subject.answer(subject.at_hand, subject.feeds[0], tensors))
    told = {f"in.{name}": one for name, one in halved.items()} | {f"out.{name}": one for name, one in answer.items()}
    save_file({name: one.clone().contiguous() for name, one in told.items()}, golden)
    return [keys, golden]


def recorded_keys(subject: Subject) -> list[str]:
    file = subject.recorded / f"{subject.variant.tag}.keys"
    if not file.is_file():
        raise NotApplicable(f"no recorded keys; `zoo check {subject} --record` writes them")
    return file.read_text().splitlines()


def recorded_answer(subject: Subject) -> tuple[dict[str, Tensor], Outputs]:
    """(inputs, answer) as recorded."""
    file = subject.recorded / f"{subject.variant.tag}.golden.safetensors"
    if not file.is_file():
        raise NotApplicable(f"no recorded answer; `zoo check {subject} --record` writes one")
    tensors = load_file(file)
    inputs, answer = ({n[len(p) :]: one for n, one in tensors.items() if n.startswith(p)} for p in ("in.", "out."))
    return {name: one.float() for name, one in inputs.items()}, answer


def thinned(answer: Outputs) -> Outputs:
    """Every k-th number of tensors that would make the file large."""
    room = LARGEST_MB * 250_000 // max(len(answer), 1)
    return {
        name: one.flatten()[:: -(-one.numel() // room)].clone() if one.numel() > room else one
        for name, one in answer.items()
    }
