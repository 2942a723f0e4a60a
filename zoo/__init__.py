"""zoo: published models for Earth observation and ecology, on your data.

>>> import zoo
>>> model = zoo.load("smarties@demo")
>>> result = model.embed("scene.tif")

Names are bound when first used, so that `import zoo` loads neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zoo.errors import ZooError
    from zoo.evaluation.verb import evaluate
    from zoo.hookspecs import hookimpl
    from zoo.io.arrays import open_array
    from zoo.model import Model, build, load
    from zoo.predict.retrieval import search
    from zoo.registry import find, list_models
    from zoo.training.loop import train
    from zoo.training.recipes import recipe

_HOMES = {
    "Model": "zoo.model",
    "ZooError": "zoo.errors",
    "build": "zoo.model",
    "evaluate": "zoo.evaluation.verb",
    "find": "zoo.registry",
    "hookimpl": "zoo.hookspecs",
    "list_models": "zoo.registry",
    "load": "zoo.model",
    "open_array": "zoo.io.arrays",
    "recipe": "zoo.training.recipes",
    "search": "zoo.predict.retrieval",
    "train": "zoo.training.loop",
}
__all__ = [
    "Model",
    "ZooError",
    "build",
    "evaluate",
    "find",
    "hookimpl",
    "list_models",
    "load",
    "open_array",
    "recipe",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
