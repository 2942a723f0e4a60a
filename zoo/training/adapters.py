"""LoRA: low-rank adapters beside frozen layers while a phase lasts, merged into them at its end."""

from __future__ import annotations

import fnmatch
from typing import Any

from torch import nn

from zoo.errors import ConfigError, MissingDependency
from zoo.training.config import Lora


def with_adapters(network: nn.Module, told: Lora) -> Any:
    """The network with adapters on the layers that fit; `merged` takes them away again.

    Raises:
        MissingDependency: `peft` is not installed.
        ConfigError: no layer fits.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as err:
        raise MissingDependency("LoRA needs peft: pip install 'lasig-zoo[train]'") from err
    layers = {name: one for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)}
    chosen = [name for name in layers if any(fnmatch.fnmatchcase(name, pattern) for pattern in told.target)]
    if not chosen:
        raise ConfigError(
            f"lora.target={list(told.target)} fits no linear or convolutional layer; they are called"
            f" {', '.join([*layers][:3])}, ..."
        )
    config = LoraConfig(r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, target_modules=chosen)
    return LoraModel(network, config, "default")


def merged(adapted: Any) -> None:
    """Put what the adapters learnt into the layers of the network that `with_adapters` was given."""
    adapted.merge_and_unload()
