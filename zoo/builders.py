"""A variant's network as a function without arguments: the last of the fences around a plugin."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from torch import nn

from zoo.errors import PluginError
from zoo.spec import Variant


def builder_of(distribution: str, variant: Variant) -> Callable[[], nn.Module]:
    """The variant's network as a function without arguments; its failures are the plugin's."""
    path, _, name = variant.builder.partition(":")
    try:
        function = getattr(importlib.import_module(path), name)
    except (Exception, SystemExit) as err:
        raise PluginError(f"{distribution}: cannot import builder {variant.builder}: {err}") from err

    @functools.wraps(function)
    def call() -> nn.Module:
        try:
            module = function(**variant.config)
        except (Exception, SystemExit) as err:
            raise PluginError(f"{distribution}: builder {variant.builder} failed: {err}") from err
        if not isinstance(module, nn.Module):
            raise PluginError(f"{distribution}: builder {variant.builder} returned a {type(module).__name__}")
        return module

    return call
