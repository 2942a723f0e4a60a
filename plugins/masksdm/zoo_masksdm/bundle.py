"""What a released file lacks, from the authors' data: statistics of the predictors and names of the species."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError
from zoo.spec import Variant, Weights
from zoo_masksdm.geoplant import geoplant
from zoo_masksdm.imputation import medians
from zoo_masksdm.network.maxent import SETS, MaxentFeatures
from zoo_masksdm.splot import splot
from zoo_masksdm.tables import PlotReader
from zoo_masksdm.tables import completed as with_data


def bundled(variant: Variant, file: Path, data: Path | None) -> tuple[Variant, Weights]:
    """See `zoo.spec.ModelSpec.bundle`.

    Raises:
        ConfigError: no data are given, or none are needed.
        InputError: see `completed`.
    """
    name, weights = f"masksdm@{variant.tag}", variant.weights
    if weights is None or weights.archive is None:
        raise ConfigError(f"{name} is no released network of the authors; `zoo info masksdm` lists them")
    if data is None:
        raise ConfigError(
            f"{file.name} holds weights alone; {name} also needs the mean and deviation of {variant.config['features']}"
            f" predictors and the names of {variant.config['num_classes']} species, which it reads from the authors' data:"
            f" zoo convert {name} {file} OUT --data FOLDER"
        )
    return completed(variant, data), weights


def completed(variant: Variant, folder: Path) -> Variant:
    """A released variant with all that it needs to answer for raw predictors.

    Statistics are those of the training rows of the split that the variant was trained with; the species are those with more
    than 20 presences.

    Args:
        variant: as it is registered.
        folder: the authors' `data/` (sPlotOpen), or GeoPlant's tables.

    Raises:
        InputError: the folder does not fit, or has another number of species than the file.
    """
    spacing = 5.0 if variant.tag.startswith("blocks5") else 1.0
    if variant.inputs[0].label == "GeoPlant":
        reader = geoplant(folder, split="train", spacing=spacing, variant=variant)
    else:
        reader = splot(folder, split="train", spacing=spacing, variant=variant)
    if (count := len(reader.classes)) != variant.config["num_classes"]:
        raise InputError(
            f"{folder} has {count} species with more than 20 presences, masksdm@{variant.tag} answers for"
            f" {variant.config['num_classes']}: these are not the data that it was trained on"
        )
    return replace(with_data(variant, reader), config={**variant.config, **_fitted(variant, reader)})


def _fitted(variant: Variant, reader: PlotReader) -> dict[str, object]:
    """What networks beside the masked one have learned of the training rows."""
    kinds = variant.config.get("kinds")
    if kinds is None and not variant.builder.endswith(":imputed"):
        return {}
    x, satclip = _rows(reader)
    if kinds is not None:
        features = MaxentFeatures(x.shape[1], SETS[str(kinds)])
        features.fit(x.nan_to_num(nan=0.0))
        return {"ranges": features.ranges.tolist()}
    if variant.tag.endswith("-median"):
        middle = {"fill_predictors": medians(x).tolist()}
        return middle if satclip is None else middle | {"fill_satclip": medians(satclip).tolist()}
    return {} if satclip is None else {"fill_satclip": satclip.mean(dim=0).tolist()}


def _rows(reader: Reader) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Standardised predictors (N, F), NaN where missing, and SatCLIP embeddings (N, 256)."""
    samples = [reader.sample(index) for index in range(len(reader.ids))]
    x = torch.stack([torch.where(one.valid["predictors"], one.inputs["predictors"], torch.nan) for one in samples])
    there = "satclip" in samples[0].inputs
    return x, torch.stack([one.inputs["satclip"] for one in samples]) if there else None
