"""A model's description in words, as `zoo info` prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Any

from zoo.errors import some
from zoo.spec import (
    Clip,
    Decibel,
    Fill,
    InputSpec,
    Kind,
    ModelSpec,
    Normalise,
    Percentile,
    Resize,
    Scale,
    Step,
    Variant,
    Weights,
)

NOT_STATED = "not stated by the authors"
MOST_NAMES = 200  # of classes; more are species
LONG_RUN = 12  # numbered names in a row, from which on the first and the last are enough; ours: the months in full


def describe(
    spec: ModelSpec,
    variant: Variant,
    *,
    plugin: str,
    called: str = "",
    made_from: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The model and one variant of it: inputs with units, recipe, weights, licences, scores, citation.

    Args:
        spec: the model.
        variant: of it, or as a folder has it.
        plugin: that brought it.
        called: the name of a saved model, whose weights are not the variant's own.
        made_from: what its folder says of them; see `zoo.checkpoints.saved.Saved`.
    """
    if called and made_from.get("data"):  # weights of one's own, whatever they began with
        variant = replace(variant, summary="", demo=False)
    parts = _head(spec, variant, plugin, called), _inputs(variant), _weights(variant), _origin(made_from)
    return "\n".join([*chain.from_iterable(parts), *_tail(spec, variant)])


def _head(spec: ModelSpec, variant: Variant, plugin: str, called: str) -> Iterator[str]:
    name = f"{spec.name}@{variant.tag}"
    yield f"{f'{called} ({name})' if called else name}: {variant.summary or spec.summary}"
    yield f"  task          {spec.task_of(variant).value}"
    if capabilities := spec.capabilities_of(variant):
        yield f"  can also      {', '.join(capabilities)}"
    yield f"  plugin        {plugin}"
    if variant.demo:
        yield "  note          demo weights: for trying things out, not for science"
    if variant.classes:
        names = _runs(variant.classes)
        rest = " (`zoo info --json` has all)" if len(names) > MOST_NAMES else ""
        yield f"  classes       {len(variant.classes)}: {some(names, MOST_NAMES)}{rest}"
    for quantity in variant.quantities:
        yield f"  answers       {quantity.name} in {quantity.unit}, {_leads(variant)} after the last input"
    if variant.templates:
        yield f"  templates     {' | '.join(variant.templates)}"


def _leads(variant: Variant) -> str:
    return ", ".join(f"{hours:g} h" for hours in variant.lead_times_h)


def _inputs(variant: Variant) -> Iterator[str]:
    names = list(dict.fromkeys(item.name for item in variant.inputs))
    for name in names:
        choices = [item for item in variant.inputs if item.name == name]
        yield f"input {name} ({choices[0].kind.value})" + (", one of:" if len(choices) > 1 else "")
        for item in choices:
            yield from (f"  {line}" for line in _input(item))


def _input(item: InputSpec) -> Iterator[str]:
    if item.kind is Kind.TEXT:
        yield f"{item.label or item.name}: words"
        return
    noun = "variables" if item.kind in (Kind.TABLE, Kind.SERIES) else "bands"
    units = list(dict.fromkeys(band.unit for band in item.bands))
    size = f"windows of {item.window} px" if item.window else "any size"
    if item.multiple > 1:
        size += f", sides a multiple of {item.multiple}"
    size = "a row per site" if item.kind is Kind.TABLE else size
    if item.kind is Kind.SERIES:
        size += f", {item.times or 'any number of'} times"
    yield f"{item.label or item.name}: {len(item.bands)} {noun} in {', '.join(units) or 'no unit'}; {size}"
    if item.any_subset:
        yield f"    any subset of the {noun} will do"
    if item.optional:
        yield "    may be left out"
    yield f"    {noun:<11} {', '.join(_runs(item.band_ids))}"
    for unit in units if len(units) > 1 else ():
        same = [band.id for band in item.bands if band.unit == unit]
        yield f"      {'no unit' if unit == '1' else unit:<9} {', '.join(_runs(same))}"
    if item.gsd_m:
        low, high = item.gsd_m
        yield f"    pixel       {low:g} m" + (f" to {high:g} m" if high != low else "")
    if item.scale is not None:
        yield f"    numbers     physical = number x {item.scale:g} + {item.offset:g}" + (
            f" ({item.level})" if item.level else ""
        )
    for index, step in enumerate(item.steps, 1):
        yield f"    step {index}      {_step(step)}"


def _runs(names: Sequence[str]) -> list[str]:
    """The names, of which those that count upwards in a row become one: `satclip_0 ... satclip_255`."""
    runs: list[list[str]] = []
    for name in names:
        if runs and _counts_on(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    parts = ([f"{run[0]} ... {run[-1]}"] if len(run) >= LONG_RUN else run for run in runs)
    return list(chain.from_iterable(parts))


def _counts_on(name: str, following: str) -> bool:
    number = re.search(r"\d+$", name)
    return number is not None and following == f"{name[: number.start()]}{int(number[0]) + 1}"


def _step(step: Step) -> str:
    match step:
        case Scale():
            return f"x * {step.factor:g} + {step.offset:g}"
        case Clip():
            return f"clip to [{step.low:g}, {step.high:g}]"
        case Decibel():
            return f"10 log10(x), at least {step.floor_db:g} dB"
        case Percentile():
            return f"clip((x - p1) / (p99 - p1), 0, 1); p1 {_numbers(step.low)}; p99 {_numbers(step.high)}"
        case Normalise():
            return f"(x - mean) / std; mean {_numbers(step.mean)}; std {_numbers(step.std)}"
        case Fill():
            return f"missing pixels become {step.value:g}"
        case Resize():
            return f"whole chips resized to {step.size[0]} x {step.size[1]} px, spline order {step.order}"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _weights(variant: Variant) -> Iterator[str]:
    weights = variant.weights
    if weights is None:
        yield "weights         none published"
        return
    shipped = (
        f"{weights.file} (shipped with the plugin)" if ":" in weights.file else f"{weights.file}, in the model's folder"
    )
    home = f"hf://{weights.repo}/{weights.file}" if weights.repo else shipped
    if weights.archive:
        home = f"{weights.file}, in the archive {weights.archive}"
    yield f"weights         {home}"
    yield f"  size          {_size(weights)}"
    yield f"  state         {_pin(weights)}"
    yield f"  licence       {weights.license or NOT_STATED}"


def _origin(made_from: Mapping[str, Any]) -> Iterator[str]:
    if name := made_from.get("name"):
        yield f"  began with    {name}"
    for one in made_from.get("data") or ():
        yield f"  trained on    {one.get('name')}: {one.get('source')}"


def _size(weights: Weights) -> str:
    return "not read yet" if weights.size is None else f"{weights.size / 1e6:,.1f} MB"


def _pin(weights: Weights) -> str:
    if weights.archive is not None:
        known = f", sha256 {weights.sha256}" if weights.sha256 else ""
        return f"not fetched by zoo: download it and `zoo convert` it{known}"
    if weights.repo is None:
        return "part of the plugin" if ":" in weights.file else f"saved, sha256 {weights.sha256}"
    if not weights.pinned:
        return "not pinned: revision and hash are recorded at the first download and kept"
    return f"pinned to revision {weights.revision}, sha256 {weights.sha256}"


def _tail(spec: ModelSpec, variant: Variant) -> Iterator[str]:
    yield "licences"
    for what, licence in (
        ("code", spec.licences.code),
        ("weights", spec.licences.weights),
        ("data", spec.licences.data),
    ):
        yield f"  {what:<13} {licence or NOT_STATED}"
    if variant.scores:
        yield "published scores"
        for score in variant.scores:
            value = "not published in numbers" if score.value is None else f"{score.value:g}"
            yield f"  {score.dataset}, {score.metric}: {value} ({score.protocol}; {score.source})"
    yield "variants        " + ", ".join(one.tag for one in spec.variants)
    links = [f"https://doi.org/{spec.paper.doi}"] if spec.paper.doi else []
    links += [f"https://arxiv.org/abs/{spec.paper.arxiv}"] if spec.paper.arxiv else []
    yield f"paper           {spec.paper.title} {' '.join(links)}".rstrip()
    if spec.repository:
        yield f"code            {spec.repository}"
    yield f"cite            zoo info {spec.name} --bibtex"
