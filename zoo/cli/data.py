"""`zoo data`: datasets that can be read, statistics of a user's own data, and what would go wrong with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zoo.options import Options
    from zoo.spec import InputSpec, Variant

_OPTIONS = (
    click.option("--input", "input_name", help="Which of the model's inputs the data are, where it takes several."),
    click.option(
        "--bands", help="Preset (S2, S2-L1C, S1, RGB) or names in the file's order: B02,B03,B04 (- = unused)."
    ),
    click.option("--sensor", help="Which of the alternatives this is, e.g. S2-L2A; see `zoo info MODEL`."),
    click.option("--scale", type=float, help="Physical value = number x SCALE + OFFSET, where the file does not say."),
    click.option("--offset", type=float, help="See --scale."),
    click.option("--baseline", help="Sentinel-2 processing baseline (e.g. 05.09), where the file does not say."),
    click.option("--nodata", type=float, help="Value of missing pixels, where the file does not say."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def _own_data(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what the user's files do not say themselves."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group("data", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Datasets that can be read from the folder that you have of them; statistics and checks of your own data."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from zoo.datasets.opening import list_datasets
    from zoo.spec_json import encode

    found = list_datasets()
    if as_json:
        click.echo(json.dumps([{"plugin": plugin, **encode(dataset)} for plugin, dataset in found], indent=2))
        return
    width = max((len(dataset.name) for _, dataset in found), default=0)
    for plugin, dataset in found:
        click.echo(f"{dataset.name.ljust(width)}  {dataset.task.value}  {dataset.summary} ({plugin})")
        click.echo(f"{' ' * width}  read by {dataset.reader}; {dataset.source}")


@command.command("stats")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", help="Compare with what this model declares.")
@click.option("--percentile", "percents", type=float, multiple=True, help="Beside 1, 2, 98 and 99; may be repeated.")
@click.option("--sample", type=int, help="Read that many windows, spread evenly, instead of all.")
@click.option("--workers", type=int, help="Threads that read and count (one per processor).")
@click.option("--out", type=click.Path(path_type=Path), help="Also write stats.json, .yaml or .csv.")
@_own_data
def stats(
    *,
    paths: tuple[str, ...],
    model: str | None,
    percents: tuple[float, ...],
    sample: int | None,
    workers: int | None,
    out: Path | None,
    as_json: bool,
    input_name: str | None,
    **told: Any,
) -> None:
    """Mean, deviation, range and percentiles of each band, variable or column, in one pass.

    PATH: rasters, photographs, series, tables, folders of them or patterns, all of one kind.

    zoo data stats tiles/ --model smarties --out stats.json
    """
    from zoo.io.whole import check_extension, check_writable

    if out is not None:
        from zoo.datasets.statistics_files import SUFFIXES

        check_extension(out, SUFFIXES, "statistics")
        check_writable(out)
    inputs = [] if model is None else _inputs(_variant(model), input_name)
    from zoo.cli.data_report import comparison_table, statistics_table
    from zoo.datasets.declared import compare
    from zoo.datasets.statistics import PERCENTS, statistics
    from zoo.datasets.statistics_files import save, to_json

    found = statistics(
        _files(paths),
        inputs=inputs,
        options=_options(told),
        percents=(*PERCENTS, *percents),
        sample=sample,
        workers=workers,
    )
    comparison = None if model is None else compare(found)
    plain = to_json(found, comparison, model=model)
    if out is not None:
        save(out, plain)
    if as_json:
        click.echo(json.dumps(plain, indent=2))
        return
    click.echo(statistics_table(found))
    if comparison is not None:
        click.echo("\n" + comparison_table(found, comparison, str(model)))
    if out is not None:
        click.echo(f"wrote {out}")


@command.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--model", required=True, help="The model that is to read the data.")
@click.option("--dataset", help="Read PATH, a folder, as this labelled dataset; `zoo data` lists them.")
@click.option("--split", "splits", multiple=True, help="Of the dataset; may be repeated (train).")
@click.option("--option", "reader_options", multiple=True, metavar="KEY=VALUE", help="For the dataset's reader.")
@click.option(
    "--sample", type=int, default=200, show_default=True, help="Files, or samples of each split, to look into."
)
@_own_data
def check(
    *,
    paths: tuple[str, ...],
    model: str,
    dataset: str | None,
    splits: tuple[str, ...],
    reader_options: tuple[str, ...],
    sample: int,
    as_json: bool,
    input_name: str | None,
    **told: Any,
) -> None:
    """What would go wrong if the model read these data, before hours are spent; exit code 1 if something would.

    zoo data check tiles/ --model smarties

    zoo data check eurosat/ --model smarties --dataset class-folders --split train --split val
    """
    variant = _variant(model)
    from zoo.cli.data_options import typed
    from zoo.cli.data_report import findings_text
    from zoo.datasets.checking import check as check_files
    from zoo.datasets.labelled import check_dataset
    from zoo.errors import ConfigError

    if dataset is not None:
        if len(paths) > 1:
            raise ConfigError(f"--dataset reads one folder, and got {len(paths)}: {', '.join(paths)}; name one")
        report = check_dataset(
            dataset,
            paths[0],
            splits=splits or ("train",),
            options=typed(reader_options),
            variant=variant,
            sample=sample,
        )
    else:
        report = check_files(_files(paths), inputs=_inputs(variant, input_name), options=_options(told), sample=sample)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else findings_text(report))
    if report.has_errors:
        sys.exit(1)


def _variant(model: str) -> Variant:
    from zoo.registry import find

    return find(model)[1]


def _inputs(variant: Variant, name: str | None) -> list[InputSpec]:
    """The alternatives of the input that the data are.

    Raises:
        ConfigError: there are several inputs and none was named, or none of that name.
    """
    from zoo.errors import ConfigError
    from zoo.spec import Kind

    names = list(dict.fromkeys(one.name for one in variant.inputs if one.kind is not Kind.TEXT))
    if name is None and len(names) != 1:
        raise ConfigError(
            f"{variant.tag} takes {', '.join(names) or 'words only'}; say which the data are: --input {names[0] if names else 'NAME'}"
        )
    if name is not None and name not in names:
        raise ConfigError(f"{variant.tag} has no input {name!r}; expected --input {' or '.join(names)}")
    return [one for one in variant.inputs if one.name == (name or names[0])]


def _options(told: dict[str, Any]) -> Options:
    from zoo.options import Options

    return Options.of({name: value for name, value in told.items() if value is not None})


def _files(paths: tuple[str, ...]) -> list[Path]:
    """All files that the paths stand for, each once, in order."""
    from zoo.cli.data_options import check_paths
    from zoo.errors import InputError
    from zoo.io.sources import expand, is_collection
    from zoo.io.tables import SUFFIXES

    found: dict[Path, None] = {}
    for path in paths:
        check_paths(path, None)
        try:
            files = expand(path) if is_collection(path) else [Path(path)]
        except InputError:  # no rasters there
            files = [one for one in sorted(Path(path).rglob("*")) if one.name.lower().endswith(SUFFIXES)]
            if not files:
                raise
        found |= dict.fromkeys(files)
    return [*found]
