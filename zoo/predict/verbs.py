"""Which kind of answer a call asks for: the verb, the source and the extension of the output decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.errors import ConfigError, OutputError
from zoo.io.cog import EXTENSIONS as MAPS
from zoo.io.sources import is_collection, label
from zoo.model import Model
from zoo.options import Options
from zoo.predict.chips import table_of
from zoo.predict.maps import map_each, map_scene
from zoo.predict.points import count, detect
from zoo.predict.segmentation import segment
from zoo.results.rows import EXTENSIONS as TABLES
from zoo.spec import Task
from zoo.tasks.pretrain import EmbedMap

__all__ = ["classify", "count", "embed", "predict"]


def embed(model: Model, source: Any, out: Path | None, options: Options) -> Any:
    """Dense embeddings for `.tif` (and in memory, for one scene), a vector per chip for tables."""
    if _wants_table(source, out):
        return table_of(model, source, out, options, rows=lambda output: output.pooled, columns=None)
    if not is_collection(source):
        _check_extension(out, MAPS, "a dense map is a raster")
        return map_scene(model, source, out, options, EmbedMap())
    if out is not None and out.suffix:
        raise OutputError(
            f"{out.name} is one file, and {label(source)} holds many; name a folder for the maps (features/), or a table"
            " with a row per file (features.parquet)"
        )
    return map_each(model, source, out, options, EmbedMap())


def classify(model: Model, source: Any, out: Path | None, options: Options) -> Any:
    """Class scores per chip: sigmoid where classes may hold together, else softmax."""
    _check_extension(out, TABLES, "class scores are a table")
    if model.task is Task.RETRIEVE:
        from zoo.predict.retrieval import zero_shot

        return zero_shot(model, source, out, options)

    def scores(output: Any) -> torch.Tensor:
        logits: torch.Tensor = output.logits
        return logits.sigmoid() if model.variant.multi_label else logits.softmax(dim=-1)

    return table_of(model, source, out, options, rows=scores, columns=model.variant.classes)


def predict(model: Model, source: Any, out: Path | None, options: Options) -> Any:
    """The answer of the model's task."""
    match model.task:
        case Task.PRETRAIN:
            return embed(model, source, out, options)
        case Task.SEGMENT:
            return segment(model, source, out, options)
        case Task.DETECT:
            return detect(model, source, out, options)
        case Task.SDM:
            from zoo.predict.species import predict_species

            return predict_species(model, source, out, options)
        case Task.FORECAST:
            from zoo.predict.forecast import forecast

            return forecast(model, source, out, options)
        case Task.RETRIEVE:
            return classify(model, source, out, options)
        case _:
            raise ConfigError(f"{model.name}: `predict` does not know the task {model.task.value!r} yet")


def _wants_table(source: Any, out: Path | None) -> bool:
    if out is None:
        return is_collection(source)
    return out.suffix.lower() in TABLES


def _check_extension(out: Path | None, allowed: Sequence[str], why: str) -> None:
    if out is not None and out.suffix.lower() not in allowed:
        raise OutputError(f"cannot write {out.name}: {why}; name the output with {' or '.join(allowed)}")
