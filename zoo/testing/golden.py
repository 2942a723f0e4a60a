"""What a plugin records of a network, so that a later change of it is seen: its keys, and one answer.

`zoo check NAME --record` writes both beside the package's modules: `checks/<tag>.keys`, a line per tensor of the state
dict, and for weights that are at hand `checks/<tag>.golden.safetensors`: numbers as a file holds them (`in.*`), the
names of their bands (`bands.*`, in the metadata), and the answer (`out.*`). Replaying them takes the whole way: bands
found by name, numbers prepared, network, weights.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.model import Model
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
    raw = {item.name: subject.raw(item, batch=1)[0] for item in subject.rasters}
    sources = {item.name: subject.source(item, raw[item.name]) for item in subject.rasters}
    answer = thinned(subject.answer_for(subject.at_hand, subject.rasters, sources))
    told = {f"in.{name}": one for name, one in raw.items()} | {f"out.{name}": one for name, one in answer.items()}
    bands = {f"bands.{item.name}": ",".join(item.band_ids) for item in subject.rasters}
    save_file({name: one.clone().contiguous() for name, one in told.items()}, golden, bands)
    return [keys, golden]


def recorded_keys(subject: Subject) -> list[str]:
    file = subject.recorded / f"{subject.variant.tag}.keys"
    if not file.is_file():
        raise NotApplicable(f"no recorded keys; `zoo check {subject} --record` writes them")
    return file.read_text().splitlines()


def replayed(subject: Subject, *models: Model) -> tuple[Outputs, list[Outputs]]:
    """The recorded answer, and what each of `models` says of the recorded numbers."""
    file = subject.recorded / f"{subject.variant.tag}.golden.safetensors"
    if not file.is_file():
        raise NotApplicable(f"no recorded answer; `zoo check {subject} --record` writes one")
    with safe_open(file, "pt") as opened:
        tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        told = opened.metadata()
    sources = {
        item.name: subject.source(item, tensors[f"in.{item.name}"], told[f"bands.{item.name}"].split(","))
        for item in subject.rasters
    }
    recorded = {name.removeprefix("out."): one for name, one in tensors.items() if name.startswith("out.")}
    return recorded, [thinned(subject.answer_for(model, subject.rasters, sources)) for model in models]


def thinned(answer: Outputs) -> Outputs:
    """Every k-th number of tensors that would make the file large."""
    room = LARGEST_MB * 250_000 // max(len(answer), 1)
    return {
        name: one.flatten()[:: -(-one.numel() // room)].clone() if one.numel() > room else one
        for name, one in answer.items()
    }
