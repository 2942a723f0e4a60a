"""`zoo runs`: training runs of a folder, or all of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo.training.folder import RunFolder, Summary

SILENT_S = 600  # ours: a run that logged nothing for so long may have been killed


@click.command("runs")
@click.argument("place", metavar="[FOLDER|RUN]", default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, place: str, as_json: bool) -> None:
    """Training runs of a folder (default: runs), or, for a run's name or folder, all of that run."""
    run = _run_of(place)
    if run is not None:
        told = _details(run)
        click.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(_page(run, told)))
        return
    rows = list(_rows(Path(place)))
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo(f"no runs in {place}; `zoo train MODEL RECIPE` makes one", err=True)


def _run_of(place: str) -> RunFolder | None:
    """The run of that name or path; `None` for a folder of runs.

    Raises:
        ConfigError: it is neither.
    """
    import difflib

    from zoo.errors import ConfigError
    from zoo.training.folder import RUNS, RunFolder, find_runs

    for path in (Path(place), RUNS / place):
        if (path / "config.yaml").is_file():
            return RunFolder(path)
    if Path(place).is_dir() or Path(place) == RUNS:
        return None
    names = [one.path.name for one in find_runs(RUNS)]
    near = difflib.get_close_matches(place, names, n=3)
    advice = f"did you mean {', '.join(near)}?" if near else "`zoo runs` lists those in runs/"
    raise ConfigError(f"{place} is neither a run nor a folder of runs; {advice}")


def _rows(folder: Path) -> Iterator[Summary]:
    """Runs that can be read; of the others, one line each on stderr."""
    from zoo.errors import ConfigError
    from zoo.training.folder import find_runs

    for run in find_runs(folder):
        try:
            yield run.summary()
        except ConfigError as err:
            click.echo(f"zoo: left out {run.path}: {err}", err=True)


def _plain(row: Summary) -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(row), "folder": str(row.folder), "silent_s": round(row.silent_s)}


def _state(row: Summary) -> str:
    silent = row.state == "running" and row.silent_s > SILENT_S
    return f"{row.state}, silent for {_duration(row.silent_s)}" if silent else row.state


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _step(row: Summary) -> str:
    return f"{row.phase} {row.step:,}/{row.steps:,}" if row.steps else "not begun"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _table(rows: Sequence[Summary]) -> str:
    cells = [("run", "model", "recipe", "state", "step", "best", "loss")]
    for row in rows:
        best = "-" if row.best is None else f"{row.metric} {_number(row.best)}"
        cells.append((row.name, row.model, row.recipe or "-", _state(row), _step(row), best, _number(row.loss)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


# --------------------------------------------------------------------------------------------------------------- a run


def _details(run: RunFolder) -> dict[str, Any]:
    files = sorted(one for one in run.path.rglob("*") if one.is_file())
    return {
        **_plain(run.summary()),
        "changed": _changed(run),
        "metrics": run.read_metrics(),
        "environment": run.read_environment(),
        "files": {one.relative_to(run.path).as_posix(): one.stat().st_size for one in files},
    }


def _changed(run: RunFolder) -> list[str] | None:
    """What the run was told otherwise than its recipe says; `None` where the recipe is not at hand."""
    from zoo.errors import ZooError
    from zoo.training.recipes import differences, recipe

    config = run.read_config()
    try:
        return differences(recipe(config.model, config.recipe), config)
    except ZooError:  # its plugin is not installed, or it was a file of the user's
        return None


def _page(run: RunFolder, told: dict[str, Any]) -> Iterator[str]:
    row = run.summary()
    yield f"{row.name}: {row.model}, recipe {row.recipe or 'of its own'}"
    yield f"  state      {_state(row)}, {_step(row)}"
    changed = told["changed"]
    if changed is None:
        yield f"  settings   in {run.config} (the recipe itself is not at hand to compare)"
    else:
        yield f"  settings   {'as the recipe says' if not changed else 'changed from the recipe:'}"
        yield from (f"    {line}" for line in changed)
    yield from _measured(told["metrics"], row)
    environment = told["environment"]
    if environment:
        git = environment.get("git")
        commit = f", git {git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else ""
        devices = ", ".join(environment.get("devices", []))
        yield f"  made with  zoo {environment.get('zoo')} on {devices}, {environment.get('processes')} process(es){commit}"
    yield "  files"
    yield from (f"    {_size(size):>9}  {name}" for name, size in told["files"].items())
    if run.model.is_dir():
        yield f'  use        zoo.load("{run.model}"), or publish it: zoo push {run.path} ORG/NAME'


def _measured(metrics: dict[str, Any], row: Summary) -> Iterator[str]:
    yield f"  loss       {_number(row.loss)} (training, last)"
    evaluation = metrics.get("evaluation")
    if evaluation:
        yield f"  measured   on {evaluation['dataset']}, {evaluation['split']}, {evaluation['num_samples']} samples"
        for name, one in evaluation["metrics"].items():
            interval = f" ({_number(one['low'])} to {_number(one['high'])})" if one["low"] is not None else ""
            yield f"    {name} {_number(one['value'])}{interval}"
    for what in ("best", "last"):
        one = metrics.get(what)
        if one:
            yield f"  {what:<9}  at step {one['step']:,} of {one['phase']}"
            yield from (f"    {name} {_number(value)}" for name, value in one["values"].items())


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
