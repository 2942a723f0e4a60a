"""What a training run's own configuration says of data by which it is judged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.datasets.catalogue import SITES
from zoo.errors import ZooWarning

DIVIDING = ("splits", "shares", "seed", "block_km", "folds", "fold")  # options that say which samples a split has
OF_ANY_TABLE = ("covariates", "sampling", "rasters", "background", "unlisted")  # the others are of the one that trained
PATHS = ("covariates", "rasters", "background")  # of options that begin at the table


def as_trained(run: Path, dataset: object, folder: str | Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the layout `sites` that a run was trained with and that are not among `options`.

    Those of that layout are mostly of what lies around a table, and hold in evaluation as in training.

    Of another table than the run's, those that say where predictors come from and what is absent; their relative paths
    begin at the run's table still.

    Args:
        run: its folder, or that of its model; of anything else nothing is taken.
        dataset: on which it is judged.
        folder: where that lies.
        options: what the user says.
    """
    told, validated = _read(run)
    if dataset != SITES or told.get("dataset") != SITES:
        return {}
    own = {**(told.get("options") or {}), **validated}
    if not _same(told, folder):
        own = {name: value for name, value in own.items() if name in OF_ANY_TABLE}
        own |= from_table(told.get("folder"), own)
    return {name: value for name, value in own.items() if name not in options and value is not None}


def from_table(folder: str | Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that are paths, whole: relative ones begin at the table, or in its folder."""
    table = Path(folder or ".").expanduser()
    home = table if table.is_dir() else table.parent
    return {name: _below(home, options[name]) for name in PATHS if name in options}


def doubt_training_data(
    run: Path, dataset: object, folder: str | Path | None, split: str, options: Mapping[str, Any]
) -> None:
    """Warn where a run is judged by the samples that it was trained on, or may be, its data being divided otherwise."""
    told, _ = _read(run)
    if told.get("dataset") != dataset or not _same(told, folder):
        return
    if told.get("split") == split:
        warnings.warn(
            f"{run} was trained on this very split ({split}): what was learnt by heart counts as understood; say --split"
            " of other samples",
            ZooWarning,
            stacklevel=2,
        )
    trained = told.get("options") or {}
    if unlike := [name for name in DIVIDING if trained.get(name) != options.get(name)]:
        as_then = " ".join(f"{name}={trained[name]}" for name in unlike if trained.get(name) is not None)
        warnings.warn(
            f"{run} was trained on data that were divided otherwise ({', '.join(unlike)}), so that samples of its training"
            f" may be among these; divide them as then: {as_then or 'without ' + ', '.join(unlike)}",
            ZooWarning,
            stacklevel=2,
        )


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings `data` of a run, and the options of its validation; nothing of what is no run."""
    from yaml import safe_load

    home = run.parent if run.name == "model" and not (run / "config.yaml").is_file() else run
    if not (home / "config.yaml").is_file():
        return {}, {}
    settings = safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    settings = settings if isinstance(settings, dict) else {}
    held = settings.get("validation") or {}
    return settings.get("data") or {}, {} if held.get("dataset") else held.get("options") or {}


def _same(told: Mapping[str, Any], folder: str | Path | None) -> bool:
    """Whether the data are those of the training; a relative path may have been said from elsewhere."""
    trained, given = Path(told.get("folder") or ".").expanduser(), Path(folder or ".").expanduser().resolve()
    if trained.resolve() == given:
        return True
    parts = trained.parts
    return bool(parts) and not trained.is_absolute() and ".." not in parts and given.parts[-len(parts) :] == parts


def _below(home: Path, value: Any) -> Any:
    """An option whose texts are paths, which begin in `home`."""
    if isinstance(value, Mapping):
        return {name: _below(home, one) for name, one in value.items()}
    return str((home / Path(value).expanduser()).resolve()) if isinstance(value, str) else value
