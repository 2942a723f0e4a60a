"""`zoo info NAME`: what a model needs, gives, and where it comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click


@click.command("info")
@click.argument("model")
@click.option("--bibtex", is_flag=True, help="Print only the citation.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole description as JSON.")
def command(*, model: str, bibtex: bool, as_json: bool) -> None:
    """What a model needs, gives, and where it comes from.

    MODEL is a name, a saved folder, or the folder of a training run.
    """
    from zoo.checkpoints.saved import called, is_path, of_run, read_description
    from zoo.registry import find

    told: dict[str, Any] = {}
    if is_path(model) and not model.startswith("hf://"):
        saved = read_description(of_run(Path(model)))
        entry, _ = find(saved.model)
        variant = replace(saved.variant, scores=())  # the authors' are of other weights
        spec = replace(entry.spec, variants=(variant,))
        told = {"called": called(Path(model)), "made_from": saved.made_from}
    else:
        entry, variant = find(model)
        spec = entry.spec
    if bibtex:
        click.echo(spec.paper.bibtex)
    elif as_json:
        from zoo.spec_json import encode

        click.echo(json.dumps(encode(spec), indent=2))
    else:
        from zoo.describe import describe

        plugin = f"{entry.plugin.distribution} {entry.plugin.version}"
        click.echo(describe(spec, variant, plugin=plugin, **told))
