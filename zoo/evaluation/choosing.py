"""Which metric judges what, and whether a model and a dataset speak of the same classes."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.bands import normal_form
from zoo.datasets.opening import unknown_options
from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.model import Model
from zoo.spec import Task, Variant
from zoo.tasks.metrics.sums import Sums

PROTOCOLS = ("head", "knn", "probe", "frozen")
METRICS = {
    Task.PRETRAIN: "zoo.tasks.metrics.labels:LabelMetrics",
    Task.SEGMENT: "zoo.tasks.metrics.segment:SegmentMetrics",
    Task.DETECT: "zoo.tasks.metrics.detect:DetectMetrics",
    Task.FORECAST: "zoo.tasks.metrics.forecast:ForecastMetrics",
    Task.SDM: "zoo.tasks.metrics.sdm:SdmMetrics",
    Task.RETRIEVE: "zoo.tasks.metrics.retrieve:RetrieveMetrics",
}


def metrics_of(task: Task, variant: Variant, *, bootstrap: int = 0, options: Mapping[str, Any] | None = None) -> Sums:
    """The metric of a task, new.

    Args:
        task: `Task.PRETRAIN` stands for labels of whole images.
        variant: whose answers are judged: its classes, and whether several of them hold together.
        bootstrap: replicates for intervals; 0 = none.
        options: further keywords of the task's metric.

    Raises:
        ConfigError: the metric has no such option.
    """
    module, _, name = METRICS[task].partition(":")
    made = getattr(importlib.import_module(module), name)
    options = dict(options or {})
    known = [one for one in inspect.signature(made).parameters if one not in ("variant", "bootstrap")]
    unknown_options(options, known, f"the metric of {task.value}")
    metric: Sums = made(variant=variant, bootstrap=bootstrap, **options)
    return metric


def check_protocol(name: str) -> None:
    """Raise `ConfigError` for a protocol that is none."""
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")


def judged(model: Model, reader: Reader, *, protocol: str) -> tuple[Task, Variant]:
    """The task whose metric judges, and the variant as the metric must see it: with the classes of the data.

    Raises:
        InputError: the protocol is not for this model, or its classes are not those of the data.
    """
    classes = tuple(reader.classes)
    match protocol:
        case "knn" | "probe":
            return Task.PRETRAIN, _of_data(model.variant, classes, protocol)
        case "frozen":
            return Task.SEGMENT, replace(_of_data(model.variant, classes, protocol), multi_label=False)
        case "head" if model.task is Task.RETRIEVE and classes:  # classes named in words
            return Task.PRETRAIN, _of_data(model.variant, classes, protocol)
        case _:
            _check_head(model, classes)
            return model.task, model.variant


def _of_data(variant: Variant, classes: tuple[str, ...], protocol: str) -> Variant:
    if not classes:
        raise InputError(f"the dataset names no classes, which the protocol {protocol} tells apart; choose another")
    return replace(variant, classes=classes, void=(), colours=())


def _check_head(model: Model, classes: tuple[str, ...]) -> None:
    """Raise unless the model answers by itself, for the classes of the data in their order."""
    mine = model.variant.classes
    if model.task is Task.PRETRAIN and not mine:
        raise InputError(
            f"{model.name} gives embeddings and has no classes of its own; judge them by neighbours or a linear probe:"
            " --protocol knn, --protocol probe, or frozen for labels of pixels"
        )
    if not classes or not mine or model.task is Task.RETRIEVE:
        return
    have, want = ([normal_form(name) for name in names] for names in (mine, classes))
    if have == want:
        return
    if len(have) != len(want):
        raise InputError(
            f"{model.name} answers for {len(mine)} classes ({some(mine)}), the data have {len(classes)}"
            f" ({some(classes)}); expected the same. {_advice(model)}"
        )
    if sorted(have) == sorted(want):
        raise InputError(
            f"{model.name} and the data have the same classes in another order ({some(mine)} and {some(classes)});"
            f" every label would mean another class. {_advice(model)}"
        )
    unlike = next(pair for pair in zip(mine, classes, strict=True) if normal_form(pair[0]) != normal_form(pair[1]))
    warnings.warn(
        f"{model.name} names its classes otherwise than the data ({unlike[0]!r} is {unlike[1]!r} there); they are taken"
        " to be the same, by their order",
        ZooWarning,
        stacklevel=2,
    )


def _advice(model: Model) -> str:
    others = "" if model.task is not Task.PRETRAIN else ", or judge its embeddings: --protocol knn or probe"
    return (
        f"Choose a dataset of its classes, train a head for yours (`zoo recipes {model.spec.name}`, with"
        f" classes=data){others}"
    )
