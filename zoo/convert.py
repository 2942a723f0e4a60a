"""A user's own checkpoint of a known model, converted and checked against the network."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from zoo import registry
from zoo.builders import builder_of
from zoo.checkpoints.folders import save_model
from zoo.checkpoints.layouts import save_safetensors
from zoo.checkpoints.loading import LoadReport, load_into
from zoo.errors import ConfigError, OutputError, WeightsError
from zoo.hub.records import sha256_of
from zoo.model import Model, Origin
from zoo.spec import Layout, Variant, Weights


def convert_checkpoint(
    reference: str,
    file: Path,
    out: Path,
    *,
    layout: str | None = None,
    data: Path | None = None,
    bands: Mapping[str, Sequence[str]] | None = None,
) -> LoadReport:
    """Load the authors' checkpoint strictly into the network that `reference` names, and save that.

    Args:
        reference: the model or variant that the file belongs to.
        file: the checkpoint.
        out: a folder as `Model.save` writes it, or a file in `.safetensors`.
        layout: of the file; `None` = the variant's, and `torch` where that has no weights. Safetensors are known by
            their contents.
        data: what the model reads beside the checkpoint (a configuration, a folder of statistics); see
            `ModelSpec.bundle`.
        bands: by input, the order in which the file's network takes its bands, where it is not the model's: a file says
            how many, and not which.

    Raises:
        WeightsError: the file cannot be read, or does not fit; `OutputError`: `out` cannot be written.
        ConfigError: the model reads nothing beside a checkpoint, or `bands` are not those of an input.
    """
    if out.resolve() == file.resolve():
        raise OutputError(f"{out} is the file to be converted; give another name: zoo convert {reference} {file} OUT")
    entry, variant = registry.find(reference)
    if not file.is_file():
        raise WeightsError(f"there is no file {file}; expected a checkpoint of {reference}")
    sha256 = sha256_of(file)
    known = variant.weights or Weights(file=file.name, layout=Layout.TORCH)
    if entry.spec.bundle is not None:
        module_name, _, name = entry.spec.bundle.partition(":")
        variant, known = getattr(importlib.import_module(module_name), name)(variant, file, data)
    elif data is not None:
        raise ConfigError(f"{entry.spec.name} reads nothing beside a checkpoint; leave out --data {data}")
    variant = _ordered(variant, bands or {})
    chosen = Layout(layout) if layout else known.layout
    if chosen == Layout.SAFETENSORS and layout is None:
        chosen = Layout.TORCH  # a file of the user's own, which may be older than the published one
    weights = replace(known, layout=chosen)
    module, report = load_into(builder_of(entry.plugin.distribution, variant), file, weights, sha256=sha256)
    if out.suffix == ".safetensors":
        save_safetensors(module.state_dict(), out)
    else:
        origin = Origin(name=file.name, revision=None, sha256=sha256, report=report)
        device = torch.device("cpu")
        save_model(Model(spec=entry.spec, variant=variant, module=module.eval(), device=device, origin=origin), out)
    return report


def _ordered(variant: Variant, bands: Mapping[str, Sequence[str]]) -> Variant:
    """The variant with the bands of its inputs, and their steps, in the orders that are told."""
    if unknown := sorted(set(bands) - {one.name for one in variant.inputs}):
        known = ", ".join(dict.fromkeys(one.name for one in variant.inputs))
        raise ConfigError(f"--bands is for the input {unknown[0]!r}; expected {known}")
    inputs = []
    for one in variant.inputs:
        told = tuple(bands.get(one.name, one.band_ids))
        if sorted(told) != sorted(one.band_ids):
            raise ConfigError(
                f"--bands {one.name}={','.join(told)} is not the input's bands in another order; expected each of"
                f" {', '.join(one.band_ids)} once"
            )
        inputs.append(one.subset(told))
    return replace(variant, inputs=tuple(inputs))
