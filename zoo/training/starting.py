"""What a run begins with: the network that is trained, and where its weights come from."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.builders import builder_of
from zoo.errors import ConfigError
from zoo.model import Model, load
from zoo.spec import Variant
from zoo.training.config import TrainConfig

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
            f"the data have {len(classes)} classes ({_some(classes)}), the head of {config.model} has"
            f" {len(variant.classes)} ({_some(variant.classes)}); a head of its own: classes=data fresh=[head.*]"
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
    if config.start == "weights" and variant == own:
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
    """Copy weights by key; what is not there, or of another size, must be fresh, what is not wanted must be dropped."""
    own = module.state_dict()
    random = [key for key, value in own.items() if key not in source or source[key].shape != value.shape]
    if lost := [key for key in random if not _fits(key, config.fresh)]:
        raise ConfigError(
            f"{reference} has no weights, or of another size, for {len(lost)} of {len(own)} keys of {config.model}:"
            f" {_some(lost)}; to begin these at random say fresh=[{lost[0].rpartition('.')[0] or lost[0]}*]"
        )
    left = [key for key in source if key not in own and not _fits(key, (*config.dropped, *config.fresh))]
    if left:
        raise ConfigError(
            f"{reference} has {len(left)} keys that {config.model} has not: {_some(left)};"
            f" to leave them out say dropped=[{left[0].rpartition('.')[0] or left[0]}*]"
        )
    kept = {key: value for key, value in source.items() if key in own and key not in random}
    module.load_state_dict({**own, **kept})


def _fits(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
