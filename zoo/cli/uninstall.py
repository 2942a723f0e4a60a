"""`zoo uninstall`: remove plugins from the environment that zoo itself runs in."""

from __future__ import annotations

import click


@click.command("uninstall")
@click.argument("packages", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(*, packages: tuple[str, ...], yes: bool) -> None:
    """Remove plugins."""
    from zoo.installer import uninstall

    if not yes:
        click.confirm(f"Remove {', '.join(packages)}?", abort=True)
    for line in uninstall(packages):
        click.echo(line)
