"""`zoo recipes MODEL`: how a model can be trained."""

from __future__ import annotations

import json

import click


@click.command("recipes")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, model: str, as_json: bool) -> None:
    """Training recipes that MODEL's plugin ships.

    zoo recipes smarties
    """
    from zoo.training.recipes import recipe, recipes

    found = {name: recipe(model, name) for name in recipes(model)}
    if as_json:
        rows = [{"recipe": name, "model": one.model, "summary": one.summary} for name, one in found.items()]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(name) for name in found), default=0)
    for name, one in found.items():
        click.echo(f"{name.ljust(width)}  {one.summary} ({one.model}, data: {one.data.dataset})")
    if found:
        click.echo(
            f"\nzoo train {model} RECIPE data.folder=PATH [key=value ...]; all settings: --print-config", err=True
        )
    else:
        click.echo(f"{model} ships no recipes; write a .yaml of your own: docs/train.md", err=True)
