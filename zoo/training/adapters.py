"""LoRA: low-rank adapters beside frozen layers while a phase lasts, merged into them at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo.errors import ConfigError, MissingDependency, some
from zoo.training.config import Lora
from zoo.training.parameters import fits


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network with adapters; `born` says which of its own parameters were trained before it had them."""

    network: nn.Module
    adapters: Any
    born: Mapping[str, bool]


def with_adapters(network: nn.Module, told: Lora) -> Adapted:
    """Put adapters on the layers that fit, in place; they and what `beside` says are trained, the rest is frozen.

    Raises:
        MissingDependency: `peft` is not installed.
        ConfigError: no layer fits.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as err:
        raise MissingDependency("LoRA needs peft: pip install 'lasig-zoo[train]'") from err
    layers = {name: one for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)}
    chosen = [name for name in layers if fits(name, told.target)]
    if not chosen:
        raise ConfigError(
            f"lora.target={list(told.target)} fits no linear or convolutional layer; they are called {some([*layers])}"
        )
    born = {name: one.requires_grad for name, one in network.named_parameters()}
    config = LoraConfig(
        r=told.rank,
        lora_alpha=told.alpha,
        lora_dropout=told.dropout,
        target_modules=chosen,
        bias="lora_only" if told.bias else "none",
    )
    adapters = LoraModel(network, config, "default")
    for name, one in network.named_parameters():
        if born.get(name) and fits(name, told.beside):
            one.requires_grad_(True)
    return Adapted(network, adapters, born)


def merged(adapted: Adapted) -> None:
    """Put what the adapters learnt into the layers of the network, and take them away."""
    adapted.adapters.merge_and_unload()
    for name, one in adapted.network.named_parameters():
        one.requires_grad_(adapted.born[name])
