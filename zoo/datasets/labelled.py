"""What would go wrong with a labelled dataset: splits, labels, classes, samples. See `zoo.datasets.checking` for files."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.findings import Finding, Report, Severity, gathered
from zoo.datasets.opening import open_dataset, shared_ids
from zoo.datasets.sample import IGNORED, Reader, Sample
from zoo.errors import ZooError, ZooWarning, some
from zoo.spec import Variant

SAMPLE = 200  # samples of each split that are read; ours: a minute on a laptop
RARE = 0.01  # share of the labels below which a class is hardly learned; ours
SHOWN = 5  # names per message; ours
UNITS = {"label": "samples", "pixels": "pixels", "point_classes": "points", "presence": "presences"}


def check_dataset(
    name: str,
    folder: str | Path | None,
    *,
    splits: Sequence[str] = ("train",),
    options: Mapping[str, Any] | None = None,
    variant: Variant | None = None,
    sample: int = SAMPLE,
) -> Report:
    """Check splits of a dataset, and read a sample of each, spread evenly.

    Args:
        name: of a dataset; see `zoo.datasets.opening.open_dataset`.
        folder: where it lies.
        splits: which parts; what they share is an error.
        options: of its reader.
        variant: the network that is to be trained or evaluated.
        sample: samples of each split that are read.
    """
    findings: list[Finding] = []
    readers: dict[str, Reader] = {}
    seen = _Seen()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ZooWarning)
        for split in splits:
            try:
                readers[split] = open_dataset(name, folder, split=split, options=options or {}, variant=variant)
            except ZooError as err:
                findings.append(_error(f"split {split}", str(err)))
        for split, reader in readers.items():
            findings += _ids(split, reader)
            findings += _classes(split, reader, variant)
            findings += _read(split, reader, sample, seen)
    findings += [_of(Severity.WARNING, "", str(one.message)) for one in told if issubclass(one.category, ZooWarning)]
    findings += _shared(readers)
    classes = next((reader.classes for reader in readers.values() if reader.classes), ())
    findings += _rare(seen, classes)
    total = sum(len(reader.ids) for reader in readers.values())
    return Report(
        findings=gathered(findings),
        looked_at=f"{total} samples in {', '.join(readers) or 'no split'}, {seen.samples} of them read",
        balance=tuple((one, seen.counts[index]) for index, one in enumerate(classes)) if seen.unit else (),
        unit=seen.unit,
    )


@dataclass(kw_only=True, slots=True)
class _Seen:
    """Labels of the samples that were read."""

    samples: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    unit: str = ""


def _ids(split: str, reader: Reader) -> Iterator[Finding]:
    twice = [one for one, count in Counter(reader.ids).items() if count > 1]
    if twice:
        yield _error(split, f"{len(twice)} samples are there twice, the first is {twice[0]}", "remove the copies")


def _shared(readers: Mapping[str, Reader]) -> Iterator[Finding]:
    for (one, first), (other, second) in itertools.combinations(readers.items(), 2):
        if shared := shared_ids(first, second):
            yield _error(
                f"{one} and {other}",
                f"{len(shared)} samples are in both, the first is {shared[0]}: what was learned by heart would count as"
                " understood",
                "divide them anew, or take other folders for the two",
            )


def _classes(split: str, reader: Reader, variant: Variant | None) -> Iterator[Finding]:
    """Whether the labels are those that the model's head answers."""
    have, head = reader.classes, () if variant is None else variant.classes
    if not have or not head or have == head:
        return
    advice = "train with classes=data for a head of the data's own classes"
    if len(have) != len(head):
        found = f"{len(have)} classes in the data, and the model's head answers {len(head)}"
        # A recipe may say classes=data already; evaluating and predicting need the head's own classes.
        yield _of(Severity.WARNING, split, f"{found} (data: {some(have, SHOWN)}; model: {some(head, SHOWN)})", advice)
        return
    place = next(index for index, pair in enumerate(zip(have, head, strict=True)) if pair[0] != pair[1])
    yield _of(
        Severity.WARNING,
        split,
        f"class {place} is {have[place]!r} in the data and {head[place]!r} in the model: the same number means another"
        " class",
        f"bring the classes into the model's order, or {advice}",
    )


def _read(split: str, reader: Reader, sample: int, seen: _Seen) -> Iterator[Finding]:
    total = len(reader.ids)
    places = np.linspace(0, total - 1, min(sample, total)).round().astype(int)
    unlabelled = []
    for place in places.tolist():
        try:
            one = reader.sample(place)
        except (ZooError, OSError, ValueError, KeyError) as err:
            yield _error(str(reader.ids[place]), f"cannot be read: {err}")
            continue
        seen.samples += 1
        for name, tensor in one.inputs.items():
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                yield _error(one.id, f"input {name} holds NaN or infinity", "declare nodata, or leave the sample out")
        labels, unit = _labels(one)
        if labels is None:
            unlabelled.append(one.id)
            continue
        yield from _counted(one.id, labels, unit, len(reader.classes), seen)
    if unlabelled:
        severity = Severity.WARNING if len(unlabelled) < len(places) else Severity.NOTE
        found = f"{len(unlabelled)} of the {len(places)} samples that were read have no labels, the first is {unlabelled[0]}"
        yield _of(severity, split, found, "fine for pretraining; leave them out of anything else")


def _labels(one: Sample) -> tuple[Tensor | None, str]:
    """Numbers of the classes that a sample holds, and what they count; `None` where it is not labelled."""
    target = one.target
    for name in ("label", "point_classes", "presence"):
        if name not in target:
            continue
        values = torch.as_tensor(target[name])
        unit = UNITS["pixels" if name == "label" and values.ndim == 2 else name]
        if values.is_floating_point():  # classes that hold together
            return (None if bool(values.isnan().all()) else torch.nonzero(values > 0)[:, 0]), unit
        labels = values[values != IGNORED].flatten()
        return (None if name == "label" and not labels.numel() else labels), unit
    if "values" in target:
        return (None if bool(torch.as_tensor(target["values"]).isnan().all()) else torch.empty(0)), ""
    return (torch.empty(0) if target.get("texts") else None), ""


def _counted(where: str, labels: Tensor, unit: str, num_classes: int, seen: _Seen) -> Iterator[Finding]:
    seen.unit = seen.unit or unit
    if not unit:
        return
    numbers, counts = np.unique(labels.numpy(), return_counts=True)
    seen.counts.update(dict(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True)))
    strange = [int(number) for number in numbers if not 0 <= number < num_classes]
    if num_classes and strange:
        yield _error(
            where,
            f"label {strange[0]} is none of the {num_classes} classes (0 to {num_classes - 1})",
            f"correct it, or make it {IGNORED} (not labelled); numbers from 1 on have to be lowered by 1",
        )


def _rare(seen: _Seen, classes: Sequence[str]) -> Iterator[Finding]:
    total = sum(seen.counts.values())
    if not total:
        return
    absent = [name for index, name in enumerate(classes) if not seen.counts[index]]
    rare = [name for index, name in enumerate(classes) if 0 < seen.counts[index] < RARE * total]
    if absent:
        yield _of(Severity.WARNING, "", f"no label of {some(absent, SHOWN)} in the samples that were read")
    if rare:
        advice = "mind the score of each class, not only the overall one"
        yield _of(Severity.NOTE, "", f"less than {RARE * 100:g} % of the labels are {some(rare, SHOWN)}", advice)


def _of(severity: Severity, where: str, what: str, advice: str = "") -> Finding:
    return Finding(severity=severity, where=where, what=what, advice=advice)


def _error(where: str, what: str, advice: str = "") -> Finding:
    return _of(Severity.ERROR, where, what, advice)
