"""Words as an input: the plugin's tokenizer, and the files it needs."""

from __future__ import annotations

import importlib
import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.errors import InputError, PluginError, SpecError, WeightsError
from zoo.spec import InputSpec, Kind, Weights

if TYPE_CHECKING:
    from zoo.model import Model

Tokenizer = Callable[[Sequence[str]], Tensor]


def text_input(model: Model) -> InputSpec:
    """The input that takes words.

    Raises:
        InputError: the model has none.
    """
    for spec in model.variant.inputs:
        if spec.kind is Kind.TEXT:
            return spec
    raise InputError(f"{model.name} takes no words; `zoo list --task retrieve` names the models that do")


def tokenizer_of(model: Model) -> Tokenizer:
    """The plugin's tokenizer, made with the small files that belong to the weights."""
    spec = text_input(model)
    if spec.tokenizer is None:
        raise SpecError(f"{model.name}: input {spec.name!r} names no tokenizer; say `tokenizer` in the plugin")
    path, _, name = spec.tokenizer.partition(":")
    try:
        make = getattr(importlib.import_module(path), name)
    except (Exception, SystemExit) as err:
        raise PluginError(f"{model.name}: cannot import the tokenizer {spec.tokenizer}: {err}") from err
    tokenizer: Tokenizer = make(companions(model))
    return tokenizer


def companions(model: Model) -> Mapping[str, Path]:
    """The small files that belong to the weights, by name.

    A model from a folder has those of the published variant that it comes from.

    Raises:
        WeightsError: one is missing.
    """
    published = [one.weights for one in model.spec.variants if one.tag == model.variant.tag]
    weights = published[0] if published else model.spec.default.weights
    if weights is None or not weights.companions:
        return {}
    folder = _home(weights)
    files = {name: folder / name for name in weights.companions}
    if missing := [name for name, path in files.items() if not path.is_file()]:
        raise WeightsError(f"{model.name}: {', '.join(missing)} is not there; type `zoo pull {model.name}`")
    return files


def _home(weights: Weights) -> Path:
    """The folder in which companions lie."""
    if weights.repo is None:
        return Path(str(importlib.resources.files(weights.file.partition(":")[0])))
    from zoo.hub.fetch import fetch

    return fetch(weights).path.parents[weights.file.count("/")]
