"""Statistics as plain data, and as files: JSON, YAML, or a row per band in CSV."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo import __version__
from zoo.datasets.declared import Comparison
from zoo.datasets.distributions import Distribution
from zoo.datasets.statistics import BandStatistics, Statistics
from zoo.io.whole import check_extension, whole
from zoo.spec import Json

SUFFIXES = (".json", ".yaml", ".yml", ".csv")


def to_json(found: Statistics, comparison: Comparison | None = None, *, model: str | None = None) -> dict[str, Json]:
    """All that was found, as plain data; numbers that do not exist (of an empty band) are `None`.

    `input_spec` holds what a `zoo.spec.InputSpec` takes, in the order of its bands: `mean` and `std` for `Normalise`,
    `low` and `high` (the outermost percentiles that were asked for) for `Percentile`; with a model, in its numbers.
    """
    ranges = [_used(band) for band in found.bands]
    ends = (found.percents[0], found.percents[-1]) if found.percents else (0.0, 100.0)
    plain: dict[str, Json] = {
        "zoo": __version__,
        "sources": [*found.sources],
        "windows": {"read": found.windows, "all": found.all_windows},
        "left_out": [*found.left_out],
        "bands": [_of_band(band, found.percents) for band in found.bands],
        "input_spec": {
            "bands": [band.name for band in found.bands],
            "mean": [_number(one.mean) for one in ranges],
            "std": [_number(one.std) for one in ranges],
            "low": [_number(one.percentile(ends[0])) for one in ranges],
            "high": [_number(one.percentile(ends[1])) for one in ranges],
            "percentiles_of_low_and_high": [*ends],
        },
    }
    if comparison is not None:
        plain["compared"] = {
            "model": model,
            "input": None if found.spec is None else found.spec.label or found.spec.name,
            "bands": [_plain(asdict(one)) for one in comparison.bands],
            "doubts": [*comparison.doubts],
        }
    return plain


def save(path: Path, plain: dict[str, Json]) -> None:
    """Write what `to_json` gave.

    Raises:
        OutputError: unknown extension, or the file cannot be written.
    """
    suffix = check_extension(path, SUFFIXES, "statistics")
    with whole(path) as temporary:
        if suffix == ".json":
            temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
        elif suffix == ".csv":
            _write_csv(temporary, plain["bands"])
        else:
            from omegaconf import OmegaConf

            OmegaConf.save(OmegaConf.create(plain), temporary)


def _write_csv(path: Path, bands: list[dict[str, Any]]) -> None:
    rows = [
        {**{key: value for key, value in band.items() if key != "percentiles"}}
        | {f"p{percent}": value for percent, value in band["percentiles"].items()}
        for band in bands
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _of_band(band: BandStatistics, percents: tuple[float, ...]) -> dict[str, Json]:
    one = band.distribution
    return {
        "name": band.name,
        "numbers": band.numbers,
        "valid": band.valid,
        "min": _number(one.low),
        "max": _number(one.high),
        "mean": _number(one.mean),
        "std": _number(one.std),
        "percentiles": {f"{percent:g}": _number(one.percentile(percent)) for percent in percents},
        "percentiles_off_by_at_most": max((one.error_at(percent) for percent in percents), default=0.0),
    }


def _used(band: BandStatistics) -> Distribution:
    return band.distribution if band.declared is None else band.declared


def _plain(fields: dict[str, Any]) -> dict[str, Json]:
    return {
        key: [_number(one) for one in value] if isinstance(value, tuple) else _number(value)
        for key, value in fields.items()
    }


def _number(value: Any) -> Json:
    return None if isinstance(value, float) and not math.isfinite(value) else value
