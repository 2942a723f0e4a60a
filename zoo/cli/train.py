"""`zoo train`."""

from __future__ import annotations

import click


@click.command("train")
def command() -> None:
    """Not written yet."""
    raise click.ClickException("not written yet")
