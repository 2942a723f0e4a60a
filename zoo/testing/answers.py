"""What a network says: of prepared tensors, and of sources that go the way of a user's files."""

# B batch, T times, V quantities, L lead times

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooWarning
from zoo.model import Model
from zoo.options import Options
from zoo.spec import InputSpec, Kind, Task

Outputs = dict[str, Tensor]


def answer_for(model: Model, feed: Sequence[InputSpec], sources: Mapping[str, Any]) -> Outputs:
    """The tensors of the answer on `sources`, after the same opening, matching and preprocessing as a user's files.

    Texts are tokenized and answered by themselves. A forecast is in its quantities, by their names.
    """
    words = {item.name: sources[item.name] for item in feed if item.kind is Kind.TEXT}
    rest = tuple(item for item in feed if item.kind is not Kind.TEXT)
    made: Outputs = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        if rest:
            one = narrowed(model, rest)
            kinds = {item.kind for item in rest}
            way = _of_series if Kind.SERIES in kinds else _of_sites if Kind.TABLE in kinds else _of_scene
            if model.task is Task.SDM and way is _of_scene:
                way = _of_patches
            made |= way(one, {item.name: sources[item.name] for item in rest})
        if words:
            from zoo.inputs.words import tokenizer_of

            tokenize = tokenizer_of(model)
            made |= flat(model.forward({name: tokenize(list(texts)) for name, texts in words.items()}))
    return made


def narrowed(model: Model, feed: Sequence[InputSpec]) -> Model:
    """The model with only the alternatives of `feed`, so that no other one competes for the bands."""
    return replace(model, variant=replace(model.variant, inputs=tuple(feed)))


def flat(output: Any, name: str = "") -> Outputs:
    """The tensors of an output by name: `pooled`, `tokens`, `boxes.0`."""
    if isinstance(output, Tensor):
        return {name or "output": output}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        output = output._asdict()
    elif isinstance(output, list | tuple):
        output = {str(index): one for index, one in enumerate(output)}
    if not isinstance(output, Mapping):
        return {}
    return {key: one for part, value in output.items() for key, one in flat(value, f"{name}.{part}".strip(".")).items()}


def apart(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Largest difference between two answers, as a share of the largest number; infinite where they do not compare."""
    if ours.keys() != theirs.keys():
        return math.inf
    return max((_apart(ours[name], theirs[name]) for name in ours), default=math.inf)


def identical(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Whether two answers (or state dicts) have the same bits."""
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(ours[name].nan_to_num(), theirs[name].nan_to_num())
        for name in ours
    )


def _of_scene(model: Model, sources: Mapping[str, Any]) -> Outputs:
    from zoo.predict.scene import open_scene
    from zoo.tiling import Window

    scene = open_scene(model, dict(sources), Options())
    window = Window(0, 0, scene.grid.height, scene.grid.width)
    batch = scene.prepare(scene.read([window]), model.device, resize=True)
    return flat(model.forward(batch.tensors, bands=batch.bands, valid=batch.valid))


def _of_patches(model: Model, sources: Mapping[str, Any]) -> Outputs:
    """Of one site: its patches share a middle, and no grid."""
    from zoo.predict.scene import open_scene
    from zoo.tiling import Window

    tensors: Outputs = {}
    valid: Outputs = {}
    bands: dict[str, tuple[str, ...]] = {}
    for item in model.variant.inputs:
        scene = open_scene(narrowed(model, (item,)), {item.name: sources[item.name]}, Options())
        window = Window(0, 0, scene.grid.height, scene.grid.width)
        batch = scene.prepare(scene.read([window]), model.device, resize=True)
        tensors |= batch.tensors
        bands |= batch.bands
        valid |= batch.valid
    return flat(model.forward(tensors, bands=bands, valid=valid))


def _of_sites(model: Model, sources: Mapping[str, Any]) -> Outputs:
    from zoo.predict.opening import open_feeds
    from zoo.predict.predictors import Sites, prepare

    table, feeds = open_feeds(model, dict(sources), Options())
    assert table is not None, "an input is a table"
    sites = Sites(rows=slice(0, len(table)), places=table.places, crs=table.crs)
    batch = prepare(feeds, {name: feed.read(sites) for name, feed in feeds.items()}, model.device)
    return flat(model.forward(batch.tensors, bands=batch.bands, valid=batch.valid))


def _of_series(model: Model, sources: Mapping[str, Any]) -> Outputs:
    from zoo.predict.series_feeds import open_feeds
    from zoo.tasks.forecast import ForecastMap
    from zoo.tiling import Window

    tensors, bands, valid, times = {}, {}, {}, {}
    for name, feed in open_feeds(model, dict(sources), Options()).items():
        grid, steps = feed.source.grid, feed.steps(feed.source.times[-1])
        assert steps is not None, "examples have steps enough"
        found, known = feed.source.read(Window(0, 0, grid.height, grid.width), feed.channels, steps)
        tensors[name] = feed.preprocess(torch.from_numpy(found), torch.from_numpy(known))[None]
        bands[name], valid[name] = feed.spec.band_ids, torch.from_numpy(known)[None]
        since = (feed.source.times[steps] - np.datetime64(0, "s")) / np.timedelta64(1, "D")
        times[name] = torch.from_numpy(since)[None]
    output = model.forward(tensors, bands=bands, valid=valid, times=times)
    maps = ForecastMap(model.variant).maps(output)
    names = [f"{one.name}_{hours:g}h" for hours in model.variant.lead_times_h for one in model.variant.quantities]
    return {name: maps[:, index : index + 1] for index, name in enumerate(names)}


def _apart(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return math.inf
    if not ours.numel():
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    difference = float((ours - theirs).abs().max())
    scale = max(float(ours.abs().max()), float(theirs.abs().max()), 1e-12)
    return difference / scale if math.isfinite(difference) else math.inf
