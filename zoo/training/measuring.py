"""What is measured while training: the task's metrics of the validation data, or the loss on them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo import registry
from zoo.datasets.loading import loader
from zoo.datasets.sample import Reader
from zoo.model import Model
from zoo.spec import Variant
from zoo.tasks.across import alone
from zoo.tasks.objective import Moment
from zoo.training.config import TrainConfig, Validation
from zoo.training.learner import Learner
from zoo.training.steps import divisor

if TYPE_CHECKING:
    from zoo.evaluation.result import Evaluation

Summed = tuple[float, float, float, float]  # total, count, weight and least count of a term


@dataclass(frozen=True, kw_only=True, slots=True)
class Validating:
    """Validation data.

    Attributes:
        told: what is measured.
        reader: the samples.
        gallery: those with which embeddings are compared (`knn`), or on which a probe is fitted.
    """

    told: Validation
    reader: Reader
    gallery: Reader | None = None


def measured(
    held: Validating,
    model: Model,
    learner: Learner,
    network: nn.Module,
    *,
    config: TrainConfig,
    moment: Moment,
    accelerator: Any,
) -> dict[str, float]:
    """Numbers by name, the same in all processes; the modules' modes are as they were.

    Args:
        held: on what.
        model: whose network is trained.
        learner: network and objective as they are trained.
        network: the weights that are meant (an average, or the learner's own).
        config: of the run.
        moment: when.
        accelerator: of the run.
    """
    losses: dict[str, float] = {}
    if held.told.loss or held.told.protocol == "loss":
        losses = _losses(held, learner, network, config=config, moment=moment, accelerator=accelerator)
    if held.told.protocol == "loss":
        return losses
    if learner.network is model.module:
        asked = replace(model, module=network)
    else:  # what is trained was built from the model's own network, which may be a part of it
        asked = replace(model, module=copy.deepcopy(model.module))
        learner.objective.finish(network, asked)
    return {**losses, **evaluated(held, asked, config).values}


def evaluated(held: Validating, model: Model, config: TrainConfig, *, bootstrap: int = 0) -> Evaluation:
    """The scores of a model by the protocol of the validation; every process calls it.

    Args:
        held: on what.
        model: with the weights that are judged.
        config: of the run.
        bootstrap: replicates of the intervals; 0 = none.
    """
    from zoo.evaluation.measure import measure  # with torchmetrics, which takes seconds to import

    return measure(
        model,
        held.reader,
        protocol=held.told.protocol,
        gallery=held.gallery,
        batch_size=_batch(config),
        workers=config.workers,
        limit=held.told.limit,
        bootstrap=bootstrap,
        metric_options=held.told.metric_options,
        precision="bf16" if config.precision == "bf16" else "fp32",
        dataset=held.told.dataset or config.data.dataset,
        split=held.told.split,
    )


def score_names(config: TrainConfig, held: Validating, variant: Variant) -> list[str] | None:
    """Names of all numbers that the validation may give; `None` where they are known only when it has been made."""
    losses = held.told.loss or held.told.protocol == "loss"
    if losses or held.told.protocol != "head":
        return None  # an objective's terms are known when it has seen a batch
    from zoo.evaluation.choosing import metrics_of

    task = registry.find(config.model)[0].spec.task_of(variant)
    return [*metrics_of(task, variant, options=held.told.metric_options).scores()] or None


def _batch(config: TrainConfig) -> int:
    """Samples at once: as many as the phase with the least can train on."""
    return min(phase.micro_batch or phase.batch for phase in config.phases.values())


@torch.no_grad()
def _losses(
    held: Validating,
    learner: Learner,
    network: nn.Module,
    *,
    config: TrainConfig,
    moment: Moment,
    accelerator: Any,
) -> dict[str, float]:
    """The objective's terms over all samples, each divided by all that counted."""
    batch, num = _batch(config), min(len(held.reader.ids), held.told.limit or len(held.reader.ids))
    starts = range(accelerator.process_index * batch, num, accelerator.num_processes * batch)
    keys: Iterable[list[tuple[int, int]]] = (
        [(0, index) for index in range(one, min(one + batch, num))] for one in starts
    )
    modes = {module: module.training for part in (network, learner.objective) for module in part.modules()}
    sums: dict[str, Summed] = {}
    network.eval()
    learner.objective.eval()
    try:
        for one in loader(held.reader, keys, seed=config.seed, workers=config.workers, training=False, pin=False):
            with accelerator.autocast(), alone():
                terms = learner.objective(network, one.to(accelerator.device), moment)
            for name, term in terms.items():
                total, count, *_ = sums.get(name, (0.0, 0.0))
                sums[name] = (total + term.total.item(), count + float(term.count), term.weight, term.least)
    finally:
        for module, training in modes.items():
            module.training = training
    found = _over_all(sums, accelerator)
    return {"loss": sum(found.values()), **(found if len(found) > 1 else {})}


def _over_all(own: dict[str, Summed], accelerator: Any) -> dict[str, float]:
    """Weighted means by name, of the sums of all processes; one without a batch knows no names."""
    everybody: list[dict[str, Summed]] = [own]
    if accelerator.num_processes > 1:
        everybody = [{}] * accelerator.num_processes
        torch.distributed.all_gather_object(everybody, own)
    found = {}
    for name in sorted({name for one in everybody for name in one}):
        totals, counts, weights, least = zip(*(one[name] for one in everybody if name in one), strict=True)
        found[name] = float(weights[0] * sum(totals) / divisor(sum(counts), least[0]))
    return found
