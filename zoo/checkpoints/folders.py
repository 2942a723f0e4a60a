"""A model as a folder of data: `model.safetensors`, `config.json`, `README.md`, and golden tensors where there are any.

`Model.save` writes one, `zoo push` publishes it, `zoo.load` reads it. The folder describes a network and does not
bring one: its builder must be a builder of the installed plugin of that model, or anybody's folder could name any
function of any package.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import __version__
from zoo.cards import render_card, update_card
from zoo.checkpoints.layouts import known_sha256, map_safetensors, save_safetensors
from zoo.checkpoints.saved import CONFIG, FORMAT, WEIGHTS, Saved, read_config, read_description
from zoo.errors import OutputError, SpecError, WeightsError
from zoo.hub.records import sha256_of
from zoo.spec import InputSpec, Kind, ModelSpec, Variant, Weights
from zoo.spec_json import encode

if TYPE_CHECKING:
    from zoo.model import Model, Origin

logger = logging.getLogger(__name__)
CARD, GOLDEN = "README.md", "golden.safetensors"
SIDE = 64  # pixels of a golden input where the spec fixes none, ours: small, and large enough for five halvings


def save_model(model: Model, folder: Path, *, golden: Mapping[str, Tensor] | None = None) -> Path:
    """Write a model to a folder that `zoo.load` reads; prose of a card that is there already is kept.

    Args:
        model: spec, variant and network.
        folder: new, empty, or written by an earlier `save_model`.
        golden: `in.<name>` and `out.<name>` to store; `None` = the network's answer to a fixed input, for networks
            whose inputs are rasters, photographs or tables.

    Raises:
        OutputError: the folder holds something else, or cannot be written; it is then as it was.
    """
    folder = folder.resolve()
    _check_target(folder)
    parts = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        _write(model, folder, parts, golden)
        folder.mkdir(exist_ok=True)
        for name in (WEIGHTS, GOLDEN, CARD, CONFIG):  # the description last: it vouches for the weights by their hash
            if (parts / name).exists():
                os.replace(parts / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as err:
        raise OutputError(
            f"cannot write {folder}: {err.strerror or err}; choose a folder with room that you may write to"
        ) from err
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return folder


def read_folder(folder: Path) -> Saved:
    """The description of a saved model, checked; the weights are hashed, and not read.

    Raises:
        UnknownModel: its plugin is not installed.
        WeightsError: a file is missing, or the weights are not those that the description vouches for.
        SpecError: the description is wrong, or names code that the plugin does not.
    """
    saved = read_description(folder)
    found = known_sha256(saved.file)
    if found != saved.sha256:
        raise WeightsError(
            f"{saved.file} is not what {CONFIG} vouches for: its SHA-256 is {found}, expected {saved.sha256}; fetch it"
            " again"
        )
    return saved


def read_golden(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
    """Golden inputs and outputs by name, or `None` where the folder has none."""
    if not (folder / GOLDEN).is_file():
        return None
    tensors = map_safetensors(folder / GOLDEN)
    inputs, outputs = (
        {key.removeprefix(side): tensor for key, tensor in tensors.items() if key.startswith(side)}
        for side in ("in.", "out.")
    )
    return inputs, outputs


def check_golden(model: Model, folder: Path, *, rtol: float = 1e-4, atol: float = 1e-5) -> float:
    """Replay the golden inputs of a folder.

    Args:
        model: the network to ask.
        folder: with golden tensors.
        rtol: allowed difference relative to the largest golden number, ours: float32 sums in another order.
        atol: allowed difference beside it.

    Returns:
        The largest difference.

    Raises:
        WeightsError: there is nothing to replay, or the network answers otherwise; says which output and by how much.
    """
    golden = read_golden(folder)
    if golden is None:
        raise WeightsError(f"{folder} has no {GOLDEN}; save the model again to write one")
    inputs, expected = golden
    found = _answer(model, inputs)
    worst = 0.0
    for name, want in expected.items():
        if name not in found or found[name].shape != want.shape:
            raise WeightsError(f"the network has no output {name} of size {tuple(want.shape)}, which {folder} recorded")
        difference = float((found[name] - want).abs().max()) if want.numel() else 0.0
        if not difference <= atol + rtol * float(want.abs().max() if want.numel() else 0):
            raise WeightsError(f"output {name} differs by {difference:.3g} from the golden one in {folder}")
        worst = max(worst, difference)
    return worst


# ------------------------------------------------------------------------------------------------------------- writing


def _check_target(folder: Path) -> None:
    """A folder that zoo may fill: nothing that somebody else put there is mixed with ours."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise OutputError(f"{folder} holds other files and no {CONFIG}; choose a new or an empty folder")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose a new or an empty folder")
    if (folder / CONFIG).is_file():
        try:
            read_config(folder)
        except SpecError as err:
            raise OutputError(f"{folder} holds a {CONFIG} of something else; choose a new or an empty folder") from err


def _write(model: Model, folder: Path, parts: Path, golden: Mapping[str, Tensor] | None) -> None:
    state = {key: value for key, value in model.module.state_dict().items() if isinstance(value, Tensor)}
    save_safetensors(state, parts / WEIGHTS)
    licence, made = _licence(model), _made_from(model.origin)
    sha256 = sha256_of(parts / WEIGHTS)
    weights = Weights(file=WEIGHTS, sha256=sha256, size=(parts / WEIGHTS).stat().st_size, license=licence)
    variant = replace(model.variant, weights=weights)
    config = {
        "zoo_format": FORMAT,
        "zoo_version": __version__,
        "model": model.spec.name,
        "task": model.task.value,
        "license": licence,
        "weights_sha256": sha256,
        "made_from": made,
        "variant": encode(variant),
    }
    (parts / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    (parts / CARD).write_text(_card(folder / CARD, model.spec, variant))
    tensors = golden if golden is not None else golden_tensors(model)
    if tensors:
        save_safetensors(tensors, parts / GOLDEN)


def _licence(model: Model) -> str | None:
    """Of the weights; the authors' holds for those that say nothing, but not for one's own."""
    stated = model.variant.weights.license if model.variant.weights else None
    own = model.origin is not None and bool(model.origin.made_from.get("own"))
    return stated if own else stated or model.spec.licences.weights


def _made_from(origin: Origin | None) -> dict[str, Any] | None:
    """What is said of the weights; what a folder said of data and licences stays with them."""
    if origin is None:
        return None
    return {**origin.made_from, "name": origin.name, "revision": origin.revision}


def _card(existing: Path, spec: ModelSpec, variant: Variant) -> str:
    if existing.is_file():
        with contextlib.suppress(SpecError):  # a card without markers is not one of ours to keep
            return update_card(existing.read_text(), spec, variant)
    return render_card(spec, variant)


def golden_tensors(model: Model) -> dict[str, Tensor]:
    """The network's answer to a fixed input of prepared numbers: `in.<name>`, `out.<name>`; empty where none is made."""
    names = dict.fromkeys(item.name for item in model.variant.inputs)
    first = [next(item for item in model.variant.inputs if item.name == name) for name in names]
    shapes = {item.name: _golden_shape(item) for item in first}
    if None in shapes.values():
        logger.info("no golden tensors for %s: inputs other than rasters, photographs and tables", model.name)
        return {}
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items() if shape}
    answer = _answer(model, inputs)
    return {f"in.{name}": one for name, one in inputs.items()} | {f"out.{name}": one for name, one in answer.items()}


def _golden_shape(item: InputSpec) -> tuple[int, ...] | None:
    bands = len(item.bands)
    side = item.window or -(-SIDE // item.multiple) * item.multiple
    match item.kind:
        case Kind.RASTER | Kind.IMAGE:
            return (1, bands or 3, side, side)
        case Kind.TABLE if bands:
            return (1, bands)
        case _:
            return None


def _answer(model: Model, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of the network by name, on the CPU, in evaluation mode."""
    ids = {item.name: item.band_ids for item in reversed(model.variant.inputs)}
    valid = {
        name: torch.ones(one.shape if one.ndim == 2 else (len(one), *one.shape[2:]), dtype=torch.bool)  # 2: a table
        for name, one in inputs.items()
    }
    training = model.module.training
    model.module.eval()
    try:
        output = model.forward(
            {name: one.to(model.device) for name, one in inputs.items()},
            bands=ids,
            valid={name: one.to(model.device) for name, one in valid.items()},
        )
    finally:
        model.module.train(training)
    fields = output._asdict() if hasattr(output, "_asdict") else {"output": output}
    return {name: one.detach().cpu().clone() for name, one in fields.items() if isinstance(one, Tensor)}
