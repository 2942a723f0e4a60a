"""Cross-validation: a run per fold of the data, each judged by the fold that it has not seen.

::

    fir/
        fold-1/          a run, as any other (`zoo.training.folder`)
            test.json    scores of its weights on its fold
        fold-2/ ...
        folds.json       mean and standard deviation of the scores over the folds
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError
from zoo.evaluation.report import COUNTS, Row, aligned, number
from zoo.evaluation.result import mean_and_spread, spread_of
from zoo.evaluation.verb import evaluate
from zoo.hub.records import sha256_of
from zoo.io.whole import whole
from zoo.processes import processes
from zoo.training.config import TrainConfig
from zoo.training.folder import RunFolder
from zoo.training.loop import train
from zoo.training.place import check_same

JUDGED, ALL = "test.json", "folds.json"
LEAST = 3  # folds: one is the test, one chooses the weights, the others train


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossed:
    """What the folds said.

    Attributes:
        folder: of the runs.
        scores: by name, a value per fold; NaN where undefined.
        samples: that each fold was judged by.
        notes: with what care they must be read.
    """

    folder: Path
    scores: Mapping[str, tuple[float, ...]]
    samples: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Aligned rows: mean and standard deviation, and each fold."""
        rows: list[Row] = [["metric", "mean", "std", *[f"fold {fold}" for fold in range(1, len(self.samples) + 1)]]]
        for name, values in self.scores.items():
            over = ("", "") if name in COUNTS else map(number, mean_and_spread(values))
            rows.append([name, *over, *(number(one, name) for one in values)])
        rows.append(["samples", "", "", *map(str, self.samples)])
        return "\n".join([aligned(rows), *(f"note: {one}" for one in self.notes)])


def cross_validate(config: TrainConfig, *, folds: int, out: str | Path) -> Crossed:
    """Train and judge a run per fold; folds that are done are not done again.

    The reader of the data takes the options `folds` and `fold` (from 1), as the layout `sites` does: one fold is the test,
    the next the validation, the others train.

    Args:
        config: of all runs but for the fold.
        folds: how many, from 3.
        out: folder of the runs.

    Raises:
        ConfigError: a setting is wrong, or other than that of a fold that is there.
        InputError: the data do not fit.
        Stopped: by SIGTERM or Ctrl-C; the same call goes on.
    """
    if folds < LEAST:
        raise ConfigError(f"folds is {folds}; expected {LEAST} or more: one is the test, one the validation")
    folder = Path(out)
    told = [_fold(config, folds, fold, folder / f"fold-{fold}") for fold in range(1, folds + 1)]
    names = list(dict.fromkeys(name for one in told for name in one["metrics"]))
    crossed = Crossed(
        folder=folder,
        scores={name: tuple(_value(one["metrics"].get(name)) for one in told) for name in names},
        samples=tuple(one["num_samples"] for one in told),
        notes=tuple(dict.fromkeys(note for one in told for note in one.get("notes", ()))),
    )
    if processes().is_main_process:
        plain = {
            "model": config.model,
            "recipe": config.recipe,
            "folds": folds,
            "num_samples": list(crossed.samples),
            "metrics": {name: spread_of(values) for name, values in crossed.scores.items()},
            "notes": list(crossed.notes),
        }
        with whole(folder / ALL) as part:
            part.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return crossed


def _fold(config: TrainConfig, folds: int, fold: int, folder: Path) -> dict[str, Any]:
    """The evaluation of one fold, as JSON has it."""
    options = {**config.data.options, "folds": folds, "fold": fold}
    config = replace(config, data=replace(config.data, options=options))
    judged, data = folder / JUDGED, _data_of(config)
    if (found := _read(judged)) is not None:
        check_same(RunFolder(folder), config)
        if found.get("data_sha256") != data:
            raise ConfigError(
                f"{folder} was trained and judged on other data than {config.data.folder} holds now; begin anew with"
                " another --out"
            )
        return found
    done = train(config, out=folder, resume="auto")
    held = config.validation
    evaluation = evaluate(
        done.model,
        config.data.dataset,
        config.data.folder,
        split="test",
        bootstrap=0,
        options={**options, **(held.options if held is not None and held.dataset is None else {})},
        metric_options=held.metric_options if held is not None else {},
    )
    told = {**json.loads(evaluation.to_json()), "data_sha256": data}
    if processes().is_main_process:
        with whole(judged) as part:
            part.write_text(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return told


def _data_of(config: TrainConfig) -> str:
    """What tells these data from others: the bytes of a table; of a folder, names and sizes of its files."""
    told = hashlib.sha256()
    root = Path(config.data.folder or "")
    if config.data.folder is not None and root.is_file():
        return sha256_of(root)
    for one in sorted(root.rglob("*")) if config.data.folder is not None else ():
        if one.is_file():
            told.update(f"{one.relative_to(root).as_posix()} {one.stat().st_size}\n".encode())
    return told.hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """What the first process finds: the others need not see the folder."""
    crew = processes()
    found = [json.loads(path.read_text(encoding="utf-8")) if crew.is_main_process and path.is_file() else None]
    if crew.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(found)
    return found[0]


def _value(metric: Mapping[str, float | None] | None) -> float:
    value = None if metric is None else metric["value"]
    return math.nan if value is None else value
