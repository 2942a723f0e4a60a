"""`zoo new NAME --task T`: a plugin to start from."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.spec import Task


@click.command("new")
@click.argument("name")
@click.option("--task", required=True, type=click.Choice([task.value for task in Task]), help="What it answers.")
@click.option("--license", "licence", default="Apache-2.0", show_default=True, help="Of the code, e.g. MIT.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder to make; default zoo-NAME.")
def command(*, name: str, task: str, licence: str, folder: Path | None) -> None:
    """Start a plugin of your own: network, description, tests, card. Its tests pass at once.

    zoo new kelp --task segment
    """
    from zoo.scaffold import new_plugin

    folder = folder or Path(f"zoo-{name}")
    for file in new_plugin(name, task, folder, licence=licence):
        click.echo(file)
    click.echo(f"next: zoo install -e {folder}; zoo check {name}; then read {folder / 'README.md'}", err=True)
