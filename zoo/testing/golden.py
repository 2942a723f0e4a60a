"""What a plugin records of a network, so that a later change of it is seen: its keys, and one answer.

`zoo check NAME --record` writes both beside the package's modules: `checks/<tag>.keys`, a line per tensor of the state
dict, and for weights that are at hand `checks/<tag>.golden.safetensors`: numbers as a file holds them (`in.*`), the
names of their bands (`bands.*`, in the metadata) and a digest of the classes', and the answer (`out.*`). Replaying them takes the whole way: bands
found by name, numbers prepared, network, weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.model import Model
from zoo.spec import InputSpec, Kind
from zoo.testing.answers import Outputs, answer_for
from zoo.testing.examples import TEXTS
from zoo.testing.subject import NotApplicable, Subject, fail

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
    feed = subject.feeds[0]
    given = {item.name: subject.numbers(item) for item in feed if item.kind is not Kind.TEXT}
    sources = {item.name: _source(subject, item, given.get(item.name)) for item in feed}
    answer = thinned(answer_for(subject.at_hand, feed, sources))
    told = {f"in.{name}": one for name, one in given.items()} | {f"out.{name}": one for name, one in answer.items()}
    names = {f"bands.{item.name}": ",".join(item.band_ids) for item in feed} | {"classes": classes_of(subject)}
    save_file({name: one.clone().contiguous() for name, one in told.items()}, golden, names)
    return [keys, golden]


def recorded_keys(subject: Subject) -> list[str]:
    file = subject.recorded / f"{subject.variant.tag}.keys"
    if not file.is_file():
        raise NotApplicable(f"no recorded keys; `zoo check {subject} --record` writes them")
    return file.read_text().splitlines()


def replayed(subject: Subject, *models: Model) -> tuple[Outputs, list[Outputs]]:
    """The recorded answer, and what each of `models` says of the recorded numbers.

    Raises:
        NotApplicable: there is none.
        CheckFailed: the classes are others than they were.
    """
    file = subject.recorded / f"{subject.variant.tag}.golden.safetensors"
    if not file.is_file():
        raise NotApplicable(f"no recorded answer; `zoo check {subject} --record` writes one")
    with safe_open(file, "pt") as opened:
        tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        told = opened.metadata()
    if told.get("classes", classes_of(subject)) != classes_of(subject):
        fail(
            "the classes, or their order, are no longer those recorded",
            "the same",
            f"Outputs of the published weights would change their names; if it was meant: `zoo check {subject} --record`.",
        )
    feed = subject.feeds[0]
    sources = {
        item.name: _source(subject, item, tensors.get(f"in.{item.name}"), told[f"bands.{item.name}"].split(","))
        for item in feed
    }
    recorded = {name.removeprefix("out."): one for name, one in tensors.items() if name.startswith("out.")}
    return recorded, [thinned(answer_for(model, feed, sources)) for model in models]


def classes_of(subject: Subject) -> str:
    """A digest of the names of the classes in their order."""
    return hashlib.sha256(json.dumps(subject.variant.classes).encode()).hexdigest()


def _source(subject: Subject, item: InputSpec, given: Tensor | None, names: Sequence[str] | None = None) -> Any:
    """What is read: the numbers under their names; of words, the example texts."""
    return TEXTS if given is None else subject.source(item, given, names)


def thinned(answer: Outputs) -> Outputs:
    """Every k-th number of tensors that would make the file large."""
    room = LARGEST_MB * 250_000 // max(len(answer), 1)
    return {
        name: one.flatten()[:: -(-one.numel() // room)].clone() if one.numel() > room else one
        for name, one in answer.items()
    }
