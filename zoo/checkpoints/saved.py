"""What the folder of a saved model says of it, read without torch: `zoo info` tells it; see `zoo.checkpoints.folders`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo import __version__, registry
from zoo.errors import SpecError, WeightsError
from zoo.spec import Variant, Weights
from zoo.spec_json import decode

FORMAT = 1  # of config.json; counted up when an older zoo could not read it
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What a folder holds.

    Attributes:
        model: name of the model, whose plugin must be installed.
        variant: the saved network; its `weights` are those of the folder.
        weights: of `file`, in the network's own keys.
        file: the weights file.
        sha256: of the file, as `config.json` says and as it was checked.
        zoo_version: that wrote the folder.
        made_from: what it says of how the weights came about: `name` and `revision` of those they began with, and of a
            training run `license` of those, whether they are one's `own` (began with random ones), and the `data` of it
            and of all runs before it. Anybody may have written it.
    """

    model: str
    variant: Variant
    weights: Weights
    file: Path
    sha256: str
    zoo_version: str
    made_from: Mapping[str, Any]


def is_path(reference: str) -> bool:
    """Whether a reference is to a folder: names of models have no `/`."""
    return "/" in reference or os.sep in reference or reference.startswith(".")


def of_run(folder: Path) -> Path:
    """The folder of the model itself, where `folder` is that of the run that trained it.

    Raises:
        WeightsError: the run has not ended.
    """
    if (folder / "config.json").is_file():
        return folder
    if (folder / "model" / "config.json").is_file():
        return folder / "model"
    if (folder / "config.yaml").is_file():
        raise WeightsError(
            f"{folder} is a run that has not ended; go on with its command and --resume auto, then load it"
        )
    return folder


def called(folder: Path) -> str:
    """The last part of a folder's path; of the model of a run, that of the run."""
    folder = folder.resolve()
    run = folder.parent if folder.name == "model" and (folder.parent / "config.yaml").is_file() else folder
    return run.name


def read_description(folder: Path) -> Saved:
    """What a folder says of its model, checked; not whether its weights are those, see `zoo.checkpoints.folders.read_folder`.

    Raises:
        UnknownModel: its plugin is not installed.
        WeightsError: a file is missing.
        SpecError: the description is wrong, or names code that the plugin does not.
    """
    config = read_config(folder)
    name, sha256, described = (config.get(key) for key in ("model", "weights_sha256", "variant"))
    if not isinstance(name, str) or not isinstance(sha256, str) or not isinstance(described, dict):
        raise SpecError(f"{folder / CONFIG} lacks model, variant or weights_sha256; expected what `model.save` writes")
    variant = decode(Variant, {**described, "weights": None}, where=f"{folder / CONFIG}: variant")
    entry, _ = registry.find(name)
    builders = sorted({one.builder for one in entry.spec.variants})
    if variant.builder not in builders:
        raise SpecError(
            f"{folder / CONFIG} wants its network built by {variant.builder!r}, which is none of {name}'s:"
            f" {', '.join(builders)}; a folder brings data, never code"
        )
    tokenizers = {item.tokenizer for one in entry.spec.variants for item in one.inputs}
    if foreign := {str(item.tokenizer) for item in variant.inputs} - {str(one) for one in (*tokenizers, None)}:
        raise SpecError(
            f"{folder / CONFIG} wants its texts read by {', '.join(sorted(foreign))}, which is no tokenizer of {name}'s;"
            " a folder brings data, never code"
        )
    file = folder / WEIGHTS
    if not file.is_file():
        raise WeightsError(f"{file} is missing; fetch the folder again, or save the model again")
    licence = config.get("license")
    weights = Weights(
        file=WEIGHTS,
        sha256=sha256,
        size=file.stat().st_size,
        license=licence if isinstance(licence, str) else None,
    )
    return Saved(
        model=name,
        variant=replace(variant, weights=weights),
        weights=weights,
        file=file,
        sha256=sha256,
        zoo_version=str(config.get("zoo_version")),
        made_from=made if isinstance(made := config.get("made_from"), dict) else {},
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder, if it is zoo's."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError as err:
        raise WeightsError(
            f"{folder} has no {CONFIG}; expected a folder that `model.save` wrote"
            + ("" if folder.is_dir() else ", and there is no such folder: a model's name has no / in it")
        ) from err
    except (OSError, ValueError) as err:
        raise SpecError(f"{folder / CONFIG} is not JSON ({err}); expected what `model.save` writes") from err
    if not isinstance(config, dict) or not isinstance(config.get("zoo_format"), int):
        raise SpecError(f"{folder / CONFIG} is not zoo's: it has no zoo_format; expected what `model.save` writes")
    if config["zoo_format"] > FORMAT:
        raise SpecError(
            f"{folder} was written by zoo {config.get('zoo_version')} in format {config['zoo_format']};"
            f" this zoo {__version__} reads up to {FORMAT}: upgrade with `pip install -U lasig-zoo`"
        )
    return config
