"""All that decides a run, as frozen dataclasses; `zoo.training.recipes` makes them from YAML and `key=value`.

Standard library only: OmegaConf fills these types at the edge, and goes no further.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Where samples come from.

    Attributes:
        dataset: a dataset of a plugin, or a layout of zoo's own; `zoo data` lists them.
        folder: where it lies.
        split: which part of it.
        options: further keywords of the reader.
    """

    dataset: str
    folder: str | None = None
    split: str = "train"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What is measured while training, and when.

    Attributes:
        split: of the training's dataset and folder, where no others are named.
        protocol: `head` (the model's own answers, by its task's metrics), `knn`, `probe` (of embeddings), or `loss`
            (the objective's, without metrics).
        loss: whether the objective's loss is measured beside the metrics.
        metric_options: further keywords of the task's metric.
        every: length between two, in what the phase is counted in (epochs or steps); `None` = an epoch, or the phase.
        limit: most samples; `None` = all.
        bootstrap: replicates of the 95 % intervals of the last measurement, that of the weights that are kept.
    """

    split: str = "val"
    dataset: str | None = None
    folder: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    protocol: Literal["head", "knn", "probe", "loss"] = "head"
    loss: bool = False
    metric_options: dict[str, Any] = field(default_factory=dict)
    every: float | None = None
    limit: int | None = None
    bootstrap: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """Which weights of a phase are the best, and are what it leaves; and when it has stopped to improve.

    Attributes:
        metric: a name that the validation gives.
        direction: whether the largest (`max`) or least (`min`) is best.
        patience: validations without improvement after which the phase ends (and the next, if any, begins); `None` = never.
    """

    metric: str
    direction: Literal["max", "min"] = "max"
    patience: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimizer:
    """How parameters move.

    Attributes:
        lr: learning rate.
        lr_for: `lr` holds for a batch of that many samples, and grows in proportion; `None` = as it is.
        nesterov: of SGD.
        warmup: steps of warm-up inside the schedule-free optimiser.
    """

    name: Literal["adamw", "adam", "sgd", "schedule-free-adamw"] = "adamw"
    lr: float = 1e-4
    lr_for: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.0
    nesterov: bool = False
    warmup: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How the learning rate changes; lengths are in epochs, or in steps where the phase is counted in steps.

    Attributes:
        name: `constant`, `cosine`, `linear`, `polynomial`, `steps` (times `gamma` at each milestone, or every so often),
            `plateau` (times `gamma` where `on` has not improved by `threshold` for more than `patience` times).
        warmup: length of a straight rise from `start` to the rate.
        warmup_least: steps that the rise takes at least.
        start: factor at the beginning of the warm-up.
        end: factor at the end.
        power: of the polynomial.
        milestones: shares (0..1) of the phase.
        gamma: see `name`.
        interval: length between falls of `steps`, instead of milestones.
        patience: see `name`.
        threshold: share of a value by which a better one must be better.
        on: the `best` metric at each validation, or the mean `loss` of training at each line of the log.
        overlap: whether the fall counts from the beginning of the phase, and the warm-up rises towards it; else it begins
            after the warm-up.
        by: whether the rate changes at each `step` or each `epoch`; `fall`: rises at each step, falls at each epoch.
        momentum_start: momentum (or first beta) at the beginning of the warm-up; `None` = as it is.
    """

    name: Literal["constant", "cosine", "linear", "polynomial", "steps", "plateau"] = "constant"
    warmup: float = 0.0
    warmup_least: int = 0
    start: float = 0.0
    end: float = 0.0
    power: float = 0.9
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    interval: float | None = None
    patience: int = 10
    threshold: float = 1e-4
    on: Literal["best", "loss"] = "best"
    overlap: bool = False
    by: Literal["step", "epoch", "fall"] = "step"
    momentum_start: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Parameters that move otherwise than the rest; the first group that fits a parameter takes it.

    Attributes:
        match: patterns (`fnmatch`) of parameter names, without the leading `network.`; one must fit.
        max_ndim: parameters of at most so many dimensions (1: biases and norms); `None` = any.
        lr: factor on the learning rate.
        weight_decay: instead of the optimiser's; `None` = the optimiser's.
        start: factor at the beginning of the warm-up, instead of the schedule's.
    """

    match: tuple[str, ...] = ("*",)
    max_ndim: int | None = None
    lr: float = 1.0
    weight_decay: float | None = None
    start: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Low-rank adapters (`peft`), merged into the network at the end of the phase.

    Attributes:
        target: patterns (`fnmatch`) of the modules that get adapters.
        beside: patterns of the network's own parameters that are trained beside them (a head).
        bias: whether the biases of modules with adapters are trained too.
        rank: of the adapters.
        alpha: their scale is alpha / rank.
    """

    target: tuple[str, ...]
    beside: tuple[str, ...] = ("head*",)
    bias: bool = False
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ema:
    """An exponential moving average of the weights, which is what is evaluated and kept.

    Attributes:
        decay: share of the old average kept at each step.
        tau: steps over which the decay rises to its value, as decay (1 - exp(-step / tau)); 0 = from the beginning.
    """

    decay: float = 0.999
    tau: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseData:
    """What a phase reads otherwise than the run.

    Attributes:
        split: instead of the run's.
        options: of the reader, beside and instead of the run's.
    """

    split: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One phase of training: what is trained, on what, for how long.

    Attributes:
        objective: a name among the model's objectives, or `"pkg.mod:Class"`; `None` = the task's own.
        objective_options: keywords of the objective.
        epochs: length; either this or `steps`.
        steps: length in optimiser steps; 0 = the objective begins and finishes, and nothing is trained.
        data: see `PhaseData`.
        best: which weights it leaves; `None` = the last.
        batch: samples per optimiser step, of all processes together: results do not depend on their number, but for batch
            norms, which see a process's own part.
        micro_batch: most samples of a process at once; the rest of its share is accumulated. `None` = all.
        trained: patterns (`fnmatch`) of the names of parameters that are trained.
        frozen: patterns of those among them that are not.
        eval_mode: patterns of modules that stay in evaluation mode (batch norms of a frozen part).
        groups: by name; see `Group`. Parameters that fit none are one more.
        layer_decay: factor on the learning rate per block, from the last to the first; 1 = none.
        clip: largest norm of the gradient; `None` = any.
    """

    objective: str | None = None
    objective_options: dict[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    steps: int | None = None
    data: PhaseData | None = None
    best: Best | None = None
    batch: int = 32
    micro_batch: int | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    trained: tuple[str, ...] = ("*",)
    frozen: tuple[str, ...] = ()
    eval_mode: tuple[str, ...] = ()
    groups: dict[str, Group] = field(default_factory=dict)
    layer_decay: float = 1.0
    clip: float | None = None
    lora: Lora | None = None
    ema: Ema | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A run.

    Attributes:
        model: the network that is trained, `smarties@vit-b`.
        recipe: name of the recipe that this came from.
        summary: what it is, in a line.
        start: where weights come from: `weights` (the model's own, published), `random`, or a reference, folder or run.
        fresh: patterns of keys that begin at random, whatever `start` has there (a new head).
        dropped: patterns of keys that `start` has and the network has not.
        classes: whether the head is for the classes of the `model`, or of the `data` (a head of that many).
        network: instead of the variant's configuration, by key.
        data: of training.
        validation: `None` = nothing is measured.
        seed: of weights that begin at random, of the order of samples, and of all draws.
        precision: `fp32`, `bf16` or `fp16` (autocast; fp16 with a scaler of gradients).
        workers: processes that read samples, of each training process; 0 = the training process itself.
        unused_parameters: whether some parameters may have no part in a batch (layers of bands that are not there); several
            processes then look for them in each step, which costs a little.
        log_every: steps between two lines of the log.
        save_every: length between two checkpoints, as `Validation.every`; the end of a phase is always one.
        keep: checkpoints that are kept, beside the best.
        trackers: of Accelerate: `tensorboard`, `wandb`, ...
        drop_last: whether an epoch's last samples that do not fill a batch are left out.
        phases: by name, in order.
    """

    model: str
    recipe: str = ""
    summary: str = ""
    start: str = "weights"
    fresh: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    classes: Literal["model", "data"] = "model"
    network: dict[str, Any] = field(default_factory=dict)
    data: Data
    validation: Validation | None = None
    seed: int = 42
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    workers: int = 2
    unused_parameters: bool = True
    log_every: int = 10
    save_every: float | None = None
    keep: int = 2
    trackers: tuple[str, ...] = ("tensorboard",)
    drop_last: bool = True
    phases: dict[str, Phase] = field(default_factory=dict)

    @property
    def best(self) -> Best | None:
        """By what the weights that the run leaves were chosen: the last phase's."""
        return [*self.phases.values()][-1].best
