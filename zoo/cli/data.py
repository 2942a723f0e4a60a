"""`zoo data`: the published datasets that installed plugins can read."""

from __future__ import annotations

import json

import click


@click.command("data")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool) -> None:
    """Published datasets that installed plugins can read, from the folder that you have of them."""
    from zoo.plugins import plugins
    from zoo.spec_json import encode

    found = [
        (plugin.distribution, dataset)
        for plugin, datasets in plugins().call("zoo_register_datasets")
        for dataset in sorted(datasets, key=lambda one: one.name)
    ]
    if as_json:
        click.echo(json.dumps([{"plugin": plugin, **encode(dataset)} for plugin, dataset in found], indent=2))
        return
    width = max((len(dataset.name) for _, dataset in found), default=0)
    for plugin, dataset in found:
        click.echo(f"{dataset.name.ljust(width)}  {dataset.task.value}  {dataset.summary} ({plugin})")
        click.echo(f"{' ' * width}  read by {dataset.reader}; {dataset.source}")
    if not found:
        click.echo("no installed plugin reads a dataset; `zoo list` shows the models", err=True)
