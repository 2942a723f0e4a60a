"""`zoo install`: plugins into the environment that zoo itself runs in."""

from __future__ import annotations

import click


@click.command("install")
@click.argument("packages", nargs=-1, required=True)
@click.option("-e", "--editable", is_flag=True, help="Install a folder so that edits to it take effect.")
def command(*, packages: tuple[str, ...], editable: bool) -> None:
    """Install plugins: `zoo install zoo-smarties`, a folder, or anything that pip takes."""
    from zoo.installer import install

    for line in install(packages, editable=editable):
        click.echo(line)
