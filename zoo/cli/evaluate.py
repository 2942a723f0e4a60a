"""`zoo evaluate`."""

from __future__ import annotations

import click


@click.command("evaluate")
def command() -> None:
    """Not written yet."""
    raise click.ClickException("not written yet")
