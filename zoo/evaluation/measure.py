"""How good a model is on labelled data: the same numbers on one process and on many.

Protocols: `head` judges the model's own answers by its task's metric; `knn` and `probe` judge embeddings by labels of
samples, `frozen` by labels of pixels, each compared with (or fitted on) a gallery of other samples.
"""

# B batch, D width, K classes

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from zoo.datasets.opening import shared_ids
from zoo.datasets.sample import Batch, Reader
from zoo.errors import ConfigError, InputError, some
from zoo.evaluation.answers import Asking, Gallery, answers, embeddings, evaluating, features_of, label_of, spread
from zoo.evaluation.choosing import check_protocol, judged, metrics_of
from zoo.evaluation.protocols import Judging, few, fit_dense_probe, fit_probe, knn_votes
from zoo.evaluation.result import Evaluation
from zoo.model import Model
from zoo.predict.texts import embed_texts
from zoo.processes import processes, wait_for_all
from zoo.spec import Task, Variant
from zoo.tasks.metrics.sums import Figure
from zoo.tasks.pretrain import EmbedOutput
from zoo.tasks.retrieve import PLAIN, SCALE, class_vectors, sentences
from zoo.tasks.segment import SegmentOutput

Judge = Callable[[Any, Batch], Any]  # what the network answered -> what the metric takes
LEAST_SHARE = 1e-12  # of a class that no neighbour votes for: its logarithm stays finite


def measure(
    model: Model,
    reader: Reader,
    *,
    protocol: str = "head",
    gallery: Reader | None = None,
    batch_size: int = 32,
    workers: int = 0,
    limit: int | None = None,
    rows: Sequence[int] | None = None,
    bootstrap: int = 0,
    precision: str = "fp32",
    metric_options: Mapping[str, Any] = MappingProxyType({}),
    judging: Judging | None = None,
    dataset: str = "",
    split: str = "",
    advance: Callable[[int], object] = lambda _: None,
    crew: Any = None,
) -> Evaluation:
    """Scores of `model` on the samples of `reader`, each counted once, however many processes share them.

    Args:
        model: the network, put in evaluation mode meanwhile, and its description.
        reader: labelled samples.
        protocol: `head`, `knn`, `probe` or `frozen`; see the module.
        gallery: labelled samples, none of them in `reader`, for the protocols of embeddings.
        batch_size: samples per forward pass.
        workers: processes that read, of each process.
        limit: most samples of reader and gallery, evenly spread; `None` = all.
        rows: which samples of the reader, instead of a limit.
        bootstrap: replicates of the 95 % intervals; 0 = no intervals.
        precision: `fp32`, or `bf16` (autocast).
        metric_options: further keywords of the task's metric.
        judging: settings of the protocols of embeddings.
        dataset: name, for the record.
        split: name, for the record.
        advance: is told how many more samples of this process are done.
        crew: the processes that share the work; `None` = all that there are.

    Raises:
        ConfigError: no such protocol, or an option that is none.
        InputError: the data do not fit the model or the protocol, are empty, or share samples with the gallery.
    """
    crew, judging = crew or processes(), judging or Judging()
    metric_options = {**(getattr(reader, "judged_by", {}) if protocol == "head" else {}), **metric_options}
    rows = spread(len(reader.ids), limit) if rows is None else rows
    _check(reader, rows, gallery, protocol=protocol, batch_size=batch_size, limit=limit)
    task, variant = judged(model, reader, protocol=protocol)
    asking = Asking(crew=crew, batch_size=batch_size, workers=workers, precision=precision, advance=advance)
    with evaluating(model.module), torch.random.fork_rng(devices=[]):
        known = None
        if gallery is not None and protocol != "head":
            known = _known(model, gallery, asking, limit=limit, judging=judging, dense=protocol == "frozen")
            variant = replace(variant, multi_label=known.labels.ndim == 2)
        judge = _judge(model, variant, known, protocol=protocol, judging=judging, crew=crew)
        metric = metrics_of(task, variant, bootstrap=bootstrap, options=metric_options).to(model.device)
        metric.sync_on_compute = crew.num_processes > 1
        for _, batch, output in answers(model, reader, rows, asking):
            metric.update(judge(output, batch), batch.target, batch.ids)
        wait_for_all(crew)
        figures: dict[str, Figure] = metric.compute()
        tables = dict(metric.tables)
    told = {"batch_size": batch_size, "precision": precision, "limit": limit, "bootstrap": bootstrap, **metric_options}
    told |= {} if known is None else _decisive(protocol, judging) | {"gallery_samples": len(known.features)}
    return Evaluation(
        model=model.spec.name,
        variant=model.variant.tag,
        dataset=dataset,
        split=split,
        protocol=protocol,
        num_samples=len(rows),
        figures=figures,
        classes=variant.classes,
        tables=tables,
        notes=tuple(getattr(reader, "notes", ())),
        provenance=model.provenance({name: str(value) for name, value in told.items() if value is not None}),
        called=model.called,
    )


def _check(
    reader: Reader, rows: Sequence[int], gallery: Reader | None, *, protocol: str, batch_size: int, limit: int | None
) -> None:
    check_protocol(protocol)
    for name, value in (("batch_size", batch_size), ("limit", limit)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; expected 1 or more")
    if not len(rows):
        raise InputError("there is no sample to evaluate; choose another split: --split NAME")
    if protocol == "head":
        return
    if gallery is None or not len(gallery.ids):
        raise InputError(
            f"the protocol {protocol} compares with labelled samples, and none are given; say which split has them:"
            " --gallery train"
        )
    asked = {reader.ids[row] for row in rows}
    if shared := [one for one in shared_ids(reader, gallery) if one in asked]:
        raise InputError(
            f"{len(shared)} of {len(rows)} samples are in the gallery too ({some(shared)}); what is asked for would be its"
            " own neighbour. Choose other splits: --split and --gallery"
        )


def _known(
    model: Model, gallery: Reader, asking: Asking, *, limit: int | None, judging: Judging, dense: bool
) -> Gallery:
    """Embeddings and labels of the gallery; some of each class where few are asked for."""
    known = embeddings(model, gallery, spread(len(gallery.ids), limit), asking, dense=dense)
    if judging.shots is None:
        return known
    if known.labels.ndim != 1:
        raise InputError("shots draws samples of each class; expected samples with one class each: leave --shots out")
    return known[few(known.labels.cpu(), shots=judging.shots, seed=judging.seed).to(known.labels.device)]


def _judge(
    model: Model, variant: Variant, known: Gallery | None, *, protocol: str, judging: Judging, crew: Any
) -> Judge:
    """How the network's output becomes what the metric takes."""
    num_classes = len(variant.classes)
    match protocol:
        case "knn":
            assert known is not None
            return lambda output, batch: _voted(features_of(model, output, dense=False), known, variant, judging, batch)
        case "probe":
            assert known is not None
            linear = _shared(
                lambda: fit_probe(known.features, known.labels, num_classes=num_classes, judging=judging), model, crew
            )
            return lambda output, batch: _probed(linear, features_of(model, output, dense=False), batch)
        case "frozen":
            assert known is not None
            dense = _shared(
                lambda: fit_dense_probe(known.features, known.labels, num_classes=num_classes, judging=judging),
                model,
                crew,
            )
            return lambda output, _: SegmentOutput(logits=_logits(dense, features_of(model, output, dense=True)))
        case _ if model.task is Task.RETRIEVE and variant is not model.variant:
            vectors = _named(model, variant)
            return lambda output, _: EmbedOutput(
                pooled=output.pooled,
                logits=(SCALE if output.scale is None else output.scale.float()) * output.pooled @ vectors.T,
            )
        case _:
            return lambda output, _: output


def _voted(features: Tensor, known: Gallery, variant: Variant, judging: Judging, batch: Batch) -> EmbedOutput:
    """Shares of the votes, as logits of a softmax, or of sigmoids where several classes hold."""
    label_of(batch, dense=False)
    votes = knn_votes(
        known.features, known.labels, features, num_classes=len(variant.classes), judging=judging
    ).double()
    if not variant.multi_label:
        share = votes / votes.sum(dim=1, keepdim=True)
        return EmbedOutput(pooled=features, logits=share.clamp_min(LEAST_SHARE).log())
    every = known.labels.new_ones(len(known.labels), 1)
    total = knn_votes(known.features, every, features, num_classes=1, judging=judging).double()
    return EmbedOutput(pooled=features, logits=(votes / total).logit(eps=LEAST_SHARE))


def _probed(probe: nn.Module, features: Tensor, batch: Batch) -> EmbedOutput:
    label_of(batch, dense=False)
    return EmbedOutput(pooled=features, logits=_logits(probe, features))


@torch.inference_mode()
def _logits(probe: nn.Module, features: Tensor) -> Tensor:
    logits: Tensor = probe(features)
    return logits


def _shared(fit: Callable[[], nn.Module], model: Model, crew: Any) -> nn.Module:
    """The probe that the main process fits, on every process."""
    probes = [fit().cpu() if crew.is_main_process else None]
    if crew.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        wait_for_all(crew)
        probes = broadcast_object_list(probes)
    assert probes[0] is not None
    return probes[0].to(model.device).eval()


def _named(model: Model, variant: Variant) -> Tensor:
    """(K, D) unit vectors of classes that are words."""
    templates = variant.templates or PLAIN
    texts = [text for one in sentences(variant.classes, templates) for text in one]
    flat = embed_texts(model, texts)
    return class_vectors(flat.reshape(len(variant.classes), len(templates), -1)).to(model.device)


def _decisive(protocol: str, judging: Judging) -> dict[str, Any]:
    """Settings that decide the numbers of a protocol."""
    neighbours, fitting = ("neighbours", "temperature", "shots", "seed"), ("epochs", "batch", "lr", "seed", "shots")
    return {name: getattr(judging, name) for name in (neighbours if protocol == "knn" else fitting)}
