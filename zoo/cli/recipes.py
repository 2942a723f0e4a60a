"""`zoo recipes`."""

from __future__ import annotations

import click


@click.command("recipes")
def command() -> None:
    """Not written yet."""
    raise click.ClickException("not written yet")
