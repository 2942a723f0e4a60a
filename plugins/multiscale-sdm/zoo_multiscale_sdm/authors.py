"""The authors' checkpoints and configuration files as variants of this model.

A checkpoint, `models/<run>/last.pth`, holds weights alone; `config.json` says of which network, and
`last_species_auc.csv` beside it which species. Their example calls the block of branches `aspp_params`, their code
`spatial_block_params`.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, InputError
from zoo.spec import Band, InputSpec, Layout, Normalise, Variant, Weights
from zoo_multiscale_sdm.variants import CLIMATE, CLIMATE_STEPS, SIDE, env_input, sat_input, window_of

BRANCHES = ("spatial_block_params", "aspp_params", "branches")
# Layers of the challenge's rasters; with the 19 of `bioclim` they make the 41 of all three. Their names are not said.
OTHERS = {"soil": 9, "landcover": 13}
SPECIES_TABLES = ("last_species_auc.csv", "best_val_auc_species_auc.csv")
MOST = 2**14  # of any size in a configuration; ours: 8 times what the paper's runs have
HEADS = ("fc.weight", "linear.weight", "head.weight")


def bundle(variant: Variant, file: Path, data: Path | None) -> tuple[Variant, Weights]:
    """The variant that a checkpoint of the authors' belongs to, and how the file is read.

    Args:
        variant: the one that was asked for; its scales count where `data` says none.
        file: the checkpoint.
        data: `config.json`, or the folder that holds it, and maybe the table of species.

    Raises:
        InputError: `data` cannot be read.
        ConfigError: it is no configuration of this model.
    """
    species = _num_species(file)
    if data is not None:
        told = _read(data / "config.json" if data.is_dir() else data)
        variant = variant_of(told, tag=variant.tag, num_species=species)
        names = _species(data if data.is_dir() else data.parent, species)
        variant = variant if names is None else replace(variant, classes=names)
    elif species not in (None, len(variant.classes)):
        classes = tuple(f"species {number}" for number in range(1, (species or 0) + 1))
        variant = replace(variant, classes=classes, config={**variant.config, "num_classes": species})
    # Differs: the authors' largest scale is not centred, and their weights learned it so.
    variant = replace(variant, config={**variant.config, "crop": "original"}, weights=None, scores=())
    given = [name for name in ("env", "sat") if name in variant.config["modalities"]]
    table = "BOTH" if len(given) == 2 else given[0].upper()
    weights = Weights(file=file.name, layout=Layout.TORCH, renames=f"zoo_multiscale_sdm.weights:{table}")
    return variant, weights


def variant_of(told: Mapping[str, Any], *, tag: str, num_species: int | None = None) -> Variant:
    """The variant of a configuration file.

    Args:
        told: the file's contents.
        tag: of the variant.
        num_species: answers of the head; `None` = those of the challenge.

    Raises:
        ConfigError: it is no configuration of this model, or of a network that the authors' code cannot build.
    """
    blocks = {name: told.get(f"{name}_model") or None for name in ("env", "sat")}
    given = {name: block for name, block in blocks.items() if block is not None}
    if not given or not all(isinstance(block, Mapping) for block in given.values()):
        raise ConfigError(
            f"the configuration has {', '.join(map(str, told)) or 'no keys'}; expected env_model, sat_model or both, as"
            " the authors' config.json"
        )
    inputs, modalities = [], {}
    for name, block in given.items():
        inputs.append(_input(name, block))
        modalities[name] = modality_of(block, len(inputs[-1].bands))
    number = num_species or 2174
    return Variant(
        tag=tag,
        builder="zoo_multiscale_sdm.network.multiscale:build",
        summary="of a configuration of the authors' code",
        config={"modalities": modalities, "num_classes": number, "crop": "original"},
        inputs=tuple(inputs),
        classes=tuple(f"species {place}" for place in range(1, number + 1)),
        multi_label=True,
    )


def modality_of(told: Mapping[str, Any], num_bands: int) -> dict[str, Any]:
    """A modality of `zoo_multiscale_sdm.network.multiscale.build`, of a model's block in a configuration.

    Raises:
        ConfigError: a key is missing, or means a network that the authors' code cannot build.
    """
    branches = _block(told, *BRANCHES)
    scales = {
        "width": _numbers(branches, "out_channels"),
        "embedding": _numbers(branches, "out_size"),
        "linears": _numbers(branches, "n_linear_layers"),
        "kernels": _numbers(branches, "kernel_sizes", depth=2),
        "strides": _numbers(branches, "strides", depth=2),
        "pools": _numbers(branches, "pooling_sizes", depth=2),
    }
    _check_alike("scales", *([len(layers) for layers in scales[key]] for key in ("kernels", "strides", "pools")))
    match told.get("backbone"):
        case "ResNet":
            return {"bands": num_bands, "backbone": "resnet", "scales": scales}
        case "CNN":
            layers = _block(told, "backbone_params")
            cnn = {
                "filters": _numbers(layers, "n_filters", depth=1),
                "kernels": _numbers(layers, "kernel_sizes", depth=1),
                "paddings": _numbers(layers, "paddings", depth=1, least=0),
                "pools": _numbers(layers, "pooling_sizes", depth=1),
            }
            _check_alike("the backbone", *(len(one) for one in cnn.values()))
            return {"bands": num_bands, "backbone": "cnn", **cnn, "scales": scales}
        case other:
            raise ConfigError(f"the configuration says the backbone {other!r}; expected CNN or ResNet")


def _block(told: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = next((told[name] for name in names if name in told), None)
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"the configuration of a model lacks {' or '.join(names)}; expected the authors' config.json, as beside their"
            " checkpoints"
        )
    return found


def _numbers(block: Mapping[str, Any], key: str, *, depth: int = 0, least: int = 1) -> Any:
    """A whole number, or lists of such, `depth` deep."""

    def fits(found: Any, depth: int) -> bool:
        if depth:
            return isinstance(found, list) and bool(found) and all(fits(one, depth - 1) for one in found)
        return type(found) is int and least <= found <= MOST

    if key not in block:
        raise ConfigError(f"the configuration of a model lacks the key {key!r}; expected the authors' config.json")
    if not fits(block[key], depth):
        kind = ("a whole number", "a list of whole numbers", "lists of whole numbers in a list")[depth]
        raise ConfigError(f"the configuration's {key} is {str(block[key])[:60]}; expected {kind}, {least} to {MOST}")
    return block[key]


def _check_alike(where: str, *lengths: Any) -> None:
    if any(one != lengths[0] for one in lengths):
        told = ", ".join(map(str, lengths))
        raise ConfigError(
            f"the configuration's lists for {where} have lengths {told}; expected a number per layer in each"
        )


def _input(name: str, block: Mapping[str, Any]) -> InputSpec:
    covariates, side = block.get("covariates"), _numbers(block, "patch_size")
    if not isinstance(covariates, list) or (name == "sat" and covariates != ["sat"]):
        expected = '["sat"]' if name == "sat" else "a list of bioclim, soil, landcover"
        raise ConfigError(f"{name}_model has the covariates {str(covariates)[:60]}; expected {expected}")
    if name == "sat":
        if not 0 < window_of(side) <= SIDE:
            raise ConfigError(
                f"sat_model has the patch_size {side}; expected 2 to {SIDE}, the side of their images in pixels"
            )
        return sat_input(window_of(side))
    bands: tuple[Band, ...] = ()
    for one in covariates:
        if one != "bioclim" and one not in OTHERS:
            raise ConfigError(f"env_model has the covariate {one!r}; expected bioclim, {', '.join(OTHERS)}")
        layers = OTHERS.get(one, 0)
        bands += CLIMATE if one == "bioclim" else tuple(Band(id=f"{one}_{n}", unit="1") for n in range(1, layers + 1))
    # Even sizes of theirs give one cell more.
    return env_input(side + 1 - side % 2, bands=bands, steps=_steps(bands))


def _steps(bands: tuple[Band, ...]) -> tuple[Any, ...]:
    """Statistics of the climate; other layers are taken as standardised already."""
    known, fill = CLIMATE_STEPS
    own = dict(zip((band.id for band in CLIMATE), zip(known.mean, known.std, strict=True), strict=True))
    mean, std = zip(*(own.get(band.id, (0.0, 1.0)) for band in bands), strict=True)
    return Normalise(mean=mean, std=std, source=known.source), fill


def _read(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise InputError(f"cannot read {path}: {err}; expected the authors' config.json: --data config.json") from err
    if not isinstance(told, Mapping):
        raise ConfigError(f"{path} holds a {type(told).__name__}; expected the authors' config.json")
    return told


def _num_species(file: Path) -> int | None:
    from zoo.checkpoints.loading import read_state_dict

    state = read_state_dict(file, Layout.TORCH)
    return next((len(state[key]) for key in HEADS if key in state and state[key].ndim == 2), None)


def _species(folder: Path, number: int | None) -> tuple[str, ...] | None:
    """Names from the table of scores beside the checkpoint, if it has all species."""
    import pyarrow.csv as pa_csv

    for path in (folder / name for name in SPECIES_TABLES):
        if path.is_file():
            table = pa_csv.read_csv(path)
            if "species" in table.column_names and table.num_rows == number:
                return tuple(str(one) for one in table["species"].to_pylist())
    return None
