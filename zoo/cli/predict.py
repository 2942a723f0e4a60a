"""`zoo predict MODEL SOURCE OUT`: the answer of the model's task."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, run


@click.command("predict")
@data_options
def command(**given: Any) -> None:
    """The answer of MODEL on SOURCE, written to OUT; the extension decides the format."""
    run("predict", **given)
