"""What a run begins with: its data, the network that is trained, where its weights come from, what it is trained for."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.builders import builder_of
from zoo.checkpoints.saved import is_path, of_run, read_description
from zoo.datasets.opening import check_splits, open_dataset
from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError, some
from zoo.model import Model, load
from zoo.spec import InputSpec, Task, Variant
from zoo.tasks.objective import Objective
from zoo.training.config import Data, Phase, TrainConfig
from zoo.training.measuring import Validating, score_names
from zoo.training.parameters import fits

OBJECTIVES = {  # of tasks, where a recipe names none; a model of points brings its own
    Task.PRETRAIN: "zoo.tasks.losses.labels:Labels",
    Task.SEGMENT: "zoo.tasks.losses.segment:Segment",
    Task.FORECAST: "zoo.tasks.losses.forecast:Forecast",
    Task.SDM: "zoo.tasks.losses.sdm:Presence",
    Task.RETRIEVE: "zoo.tasks.losses.retrieve:Contrastive",
}
SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")  # of Accelerate: no process has all weights
HEAD_SIZE = "num_classes"  # the key of `Variant.config` that says for how many classes a network answers


def variant_of(config: TrainConfig, classes: Sequence[str]) -> Variant:
    """The variant that is trained, its head for the classes that the data have where the configuration asks so.

    Raises:
        ConfigError: data and head have other classes.
    """
    _, variant = registry.find(config.model)
    if unknown := set(config.network) - set(variant.config):
        raise ConfigError(
            f"network.{min(unknown)} is no setting of {config.model}; its settings are {', '.join(variant.config)}"
        )
    variant = replace(variant, config={**variant.config, **config.network})
    if config.classes == "data":
        if not classes:
            raise ConfigError("classes=data, and the data name no classes; say classes=model")
        if HEAD_SIZE not in variant.config:
            raise ConfigError(
                f"classes=data, and {config.model} has no head of classes ({HEAD_SIZE}); choose a variant that has one"
            )
        colours = variant.colours if tuple(classes) == variant.classes else ()
        kept = tuple(name for name in variant.void if name in classes)
        told = {**variant.config, HEAD_SIZE: len(classes)}
        return replace(variant, classes=tuple(classes), colours=colours, void=kept, config=told)
    if classes and variant.classes and len(classes) != len(variant.classes):
        raise ConfigError(
            f"the data have {len(classes)} classes ({some(classes)}), the head of {config.model} has"
            f" {len(variant.classes)} ({some(variant.classes)}); a head of its own: classes=data fresh=[head.*]"
        )
    if classes and variant.classes and tuple(classes) != variant.classes:
        first = next(pair for pair in zip(classes, variant.classes, strict=True) if pair[0] != pair[1])
        raise ConfigError(
            f"the data call a class {first[0]!r} where {config.model} has {first[1]!r}; give the data's classes in the"
            " head's order (data.options.classes), or say classes=data fresh=[head.*]"
        )
    return variant


def begin(config: TrainConfig, variant: Variant, device: torch.device) -> Model:
    """The model with the weights that the configuration says.

    Raises:
        WeightsError: they cannot be had.
        ConfigError: they do not fit, beyond what `fresh` and `dropped` allow.
    """
    entry, own = registry.find(config.model)
    reference = config.model if config.start == "weights" else config.start
    if config.start == "weights" and variant == own and not config.fresh:
        return load(config.model, device=device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        module = builder_of(entry.plugin.distribution, variant)()
    origin = None
    if config.start != "random":
        source = load(reference, device="cpu")
        if source.spec.name != entry.spec.name:
            raise ConfigError(f"start={config.start} is a {source.spec.name}; expected weights of {entry.spec.name}")
        _transfer(module, source.module.state_dict(), config, reference)
        origin = source.origin
    return Model(spec=entry.spec, variant=variant, module=module.to(device), device=device, origin=origin)


def _transfer(module: nn.Module, source: Mapping[str, Tensor], config: TrainConfig, reference: str) -> None:
    """Copy weights by key but those that are fresh; what is not there, or of another size, must be fresh, and what is not
    wanted must be dropped.
    """
    own = module.state_dict()
    for pattern in (*config.fresh, *config.dropped):
        if not any(fits(key, (pattern,)) for key in (*own, *source)):
            raise ConfigError(
                f"{pattern!r} fits no weights of {config.model} or {reference}; they are called {some([*own])}"
            )
    random = [
        key
        for key, value in own.items()
        if key not in source or source[key].shape != value.shape or fits(key, config.fresh)
    ]
    if lost := [key for key in random if not fits(key, config.fresh)]:
        raise ConfigError(
            f"{reference} has no weights, or of another size, for {len(lost)} of {len(own)} keys of {config.model}:"
            f" {some(lost)}; to begin these at random say fresh=[{lost[0].rpartition('.')[0] or lost[0]}*]"
        )
    left = [key for key in source if key not in own and not fits(key, (*config.dropped, *config.fresh))]
    if left:
        raise ConfigError(
            f"{reference} has {len(left)} keys that {config.model} has not: {some(left)};"
            f" to leave them out say dropped=[{left[0].rpartition('.')[0] or left[0]}*]"
        )
    kept = {key: value for key, value in source.items() if key in own and key not in random}
    module.load_state_dict({**own, **kept})


def objective_of(model: Model, phase: Phase) -> Objective:
    """The objective of a phase.

    Raises:
        ConfigError: the model has none of that name, or its options are wrong.
    """
    named = phase.objective
    path = OBJECTIVES.get(model.task, "") if named is None else model.spec.objectives.get(named, named)
    module, _, attribute = path.partition(":")
    if not attribute:
        known = ", ".join(model.spec.objectives) or "none"
        found = "no objective is named" if named is None else f"{model.name} has no objective {named!r}"
        raise ConfigError(f"{found}; it has {known}: say objective=NAME, or one of your own as objective=pkg.mod:Class")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as err:
        raise ConfigError(f"cannot import the objective {path}: {err}") from err
    if not (isinstance(kind, type) and issubclass(kind, Objective)):  # a recipe must not call whatever it names
        raise ConfigError(f"{path} is no objective; expected a subclass of zoo.tasks.objective.Objective")
    known_options = inspect.signature(kind).parameters
    for option in phase.objective_options:
        if option not in known_options:
            near = difflib.get_close_matches(option, known_options, n=1)
            raise ConfigError(
                f"objective {named or attribute} has no option {option!r}"
                + (f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known_options)}")
            )
    extra = {"variant": model.variant} if "variant" in known_options else {}
    try:
        return kind(**phase.objective_options, **extra)
    except (TypeError, ValueError) as err:
        raise ConfigError(f"objective {named or attribute} with {phase.objective_options}: {err}") from err


def accelerator_of(config: TrainConfig) -> Any:
    """Accelerate's `Accelerator`, made anew for a run.

    Raises:
        ConfigError: the precision is not possible here, or weights would be divided among processes.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    from zoo.processes import processes

    state = processes()
    AcceleratorState._reset_state()  # noqa: SLF001  (of a run before this one, perhaps in another precision)
    wrapping = DistributedDataParallelKwargs(
        find_unused_parameters=config.unused_parameters, gradient_as_bucket_view=True
    )
    try:
        made = Accelerator(
            mixed_precision={"fp32": "no"}.get(config.precision, config.precision),
            cpu=state.device.type == "cpu",
            kwargs_handlers=[wrapping],
        )
    except ValueError as err:
        raise ConfigError(
            f"precision={config.precision} is not possible here: {err}; say precision=bf16 or precision=fp32"
        ) from err
    made.gradient_accumulation_steps = 1  # a setting of `accelerate config` would divide gradients once more
    if made.distributed_type.value in SHARDED:
        raise ConfigError(
            f"Accelerate is set to {made.distributed_type.value}, and zoo trains with whole weights on each process; start"
            " it with --processes, torchrun or distributed_type MULTI_GPU, and save memory with micro_batch=,"
            " precision=bf16 or lora"
        )
    return made


def reader_of(config: TrainConfig, variant: Variant, phase: Phase | None = None) -> Reader:
    """The training samples, of a run or as one of its phases reads them."""
    told = (
        config.data
        if phase is None or phase.data is None
        else replace(
            config.data,
            split=phase.data.split or config.data.split,
            options={**config.data.options, **phase.data.options},
        )
    )
    return _opened(told, "data" if phase is None or phase.data is None else "phases.*.data", variant)


def _opened(told: Data, part: str, variant: Variant) -> Reader:
    """The reader; what is wrong with it is told with the settings that say it."""
    try:
        return open_dataset(told.dataset, told.folder, split=told.split, options=told.options, variant=variant)
    except (InputError, ConfigError) as err:
        names = ", ".join(f"{part}.{name}" for name in ("dataset", "folder", "split", "options"))
        raise type(err)(f"{err} (settings: {names})") from err


def same_samples(reader: Reader, before: str) -> str:
    """A digest of the samples' ids.

    Raises:
        ConfigError: it was another one `before`, when the run was begun; empty = it has just begun.
    """
    digest = hashlib.blake2b(digest_size=8)
    for one in reader.ids:
        digest.update(one.encode() + b"\0")
    if before and digest.hexdigest() != before:
        raise ConfigError(
            f"the training data are not those with which the run was begun (now {len(reader.ids)} samples, such as"
            f" {reader.ids[0]}); give the same, or begin another run with --out"
        )
    return digest.hexdigest()


def data_of(config: TrainConfig) -> tuple[Reader, Validating | None, Variant]:
    """Readers of training and validation, checked against each other and the head; and the variant that is trained.

    Raises:
        InputError: they cannot be read, are empty, or share samples.
        ConfigError: they do not fit the head, or a metric is chosen that is not measured.
    """
    _, variant = registry.find(config.model)
    if config.classes == "data":  # it is the data that name them, not the model
        variant = replace(variant, classes=(), colours=(), void=())
    inputs = _inputs_of(config, variant)
    variant = replace(variant, inputs=inputs)
    reader = reader_of(config, variant)
    trained = replace(variant_of(config, reader.classes), inputs=inputs)
    variant = replace(variant, classes=trained.classes)  # those of all splits
    if prepared := getattr(reader, "prepared_by", None):
        trained, variant = replace(trained, inputs=prepared), replace(variant, inputs=prepared)
    told = config.validation
    if told is None:
        return reader, None, trained
    own = Data(
        dataset=told.dataset or config.data.dataset,
        folder=told.folder or config.data.folder,
        split=told.split,
        options={**(config.data.options if told.dataset is None else {}), **told.options},
    )
    held = _opened(own, "validation", variant)
    check_splits(reader, held)
    validating = Validating(told=told, reader=held, gallery=reader if told.protocol in ("knn", "probe") else None)
    _check_metrics(config, validating, trained)
    return reader, validating, trained


def _inputs_of(config: TrainConfig, variant: Variant) -> tuple[InputSpec, ...]:
    """The variant's inputs; where one begins with saved weights, in the order and with the statistics that these know."""
    if not is_path(config.start):
        return variant.inputs
    if config.start.startswith("hf://"):
        saved = load(config.start, device="cpu").variant.inputs
    else:  # the weights themselves are read once, where they are copied
        saved = read_description(of_run(Path(config.start))).variant.inputs

    def known(own: InputSpec) -> InputSpec:
        same = [one for one in saved if one.name == own.name and {*one.band_ids} == {*own.band_ids}]
        labelled = [one for one in same if one.label == own.label]
        return labelled[0] if labelled else same[0] if len(same) == 1 else own

    return tuple(known(one) for one in variant.inputs)


def _check_metrics(config: TrainConfig, validating: Validating, variant: Variant) -> None:
    """Raise, before hours are spent, where the best is chosen by what is not measured."""
    chosen = {phase.best.metric for phase in config.phases.values() if phase.best is not None}
    known = score_names(config, validating, variant) if chosen else None
    for metric in chosen:
        if known is not None and metric not in known:
            near = difflib.get_close_matches(metric, known, n=1)
            raise ConfigError(
                f"best.metric={metric} is not measured"
                + (f"; did you mean {near[0]!r}?" if near else f"; there are {some(known, 8)}")
            )
