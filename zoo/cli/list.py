"""`zoo list`: the models that are installed, one line each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence

import click

from zoo.spec import ModelSpec, Task


@click.command("list")
@click.option("--task", type=click.Choice([task.value for task in Task]), help="Only models of this task.")
@click.option("--sensor", help="Only models with an input of this sensor or label (S2, S1, RGB, S2-L2A).")
@click.option("--license", "licence", help="Only models whose weights have this licence (SPDX, e.g. Apache-2.0).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, task: str | None, sensor: str | None, licence: str | None, as_json: bool) -> None:
    """Models that are installed."""
    from zoo.registry import entries

    specs = [entry.spec for entry in entries()]
    specs = [
        spec
        for spec in specs
        if (task is None or task in _tasks(spec))
        and (sensor is None or sensor.upper() in _sensors(spec))
        and (licence is None or licence.lower() == (spec.licences.weights or "").lower())
    ]
    if as_json:
        click.echo(json.dumps([_row(spec) for spec in specs], indent=2))
    elif specs:
        click.echo(_table(specs))
    else:
        click.echo("no model fits; `zoo list` without options shows all, `zoo install zoo-smarties` adds one", err=True)


def _tasks(spec: ModelSpec) -> list[str]:
    return list(dict.fromkeys(spec.task_of(variant).value for variant in spec.variants))


def _sensors(spec: ModelSpec) -> set[str]:
    """Labels of the inputs and sensors of their bands, upper case."""
    inputs = [item for variant in spec.variants for item in variant.inputs]
    bands = {band.id.partition(":")[0] for item in inputs for band in item.bands if ":" in band.id}
    return {name.upper() for name in {item.label for item in inputs} | bands if name}


def _row(spec: ModelSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "task": spec.task.value,
        "summary": spec.summary,
        "variants": [variant.tag for variant in spec.variants],
        "sensors": sorted(_sensors(spec)),
        "licences": {"code": spec.licences.code, "weights": spec.licences.weights, "data": spec.licences.data},
    }


def _table(specs: Sequence[ModelSpec]) -> str:
    rows = [("model", "task", "weights licence", "what it does")]
    rows += [(spec.name, spec.task.value, spec.licences.weights or "not stated", spec.summary) for spec in specs]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    room = max(shutil.get_terminal_size((120, 24)).columns - sum(widths) - 6, 20)
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), _short(row[3], room)])
        for row in rows
    )


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"
