"""`zoo info NAME`: what a model needs, gives, and where it comes from."""

from __future__ import annotations

import json

import click


@click.command("info")
@click.argument("model")
@click.option("--bibtex", is_flag=True, help="Print only the citation.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole description as JSON.")
def command(*, model: str, bibtex: bool, as_json: bool) -> None:
    """What a model needs, gives, and where it comes from."""
    from zoo.registry import find

    entry, variant = find(model)
    if bibtex:
        click.echo(entry.spec.paper.bibtex)
    elif as_json:
        from zoo.spec_json import encode

        click.echo(json.dumps(encode(entry.spec), indent=2))
    else:
        from zoo.describe import describe

        click.echo(describe(entry.spec, variant, plugin=f"{entry.plugin.distribution} {entry.plugin.version}"))
