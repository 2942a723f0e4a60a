"""`zoo push FOLDER ORG/NAME`: publish a saved model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repo", metavar="ORG/NAME")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be sent.")
@click.option("--private", is_flag=True, help="If the repository is created now, make it private.")
@click.option("--message", default="Publish with zoo push", show_default=True, help="Of the commit.")
def command(*, folder: Path, repo: str, dry_run: bool, private: bool, message: str) -> None:
    """Publish a folder as `model.save` writes it: weights, description, card, golden tensors, nothing else."""
    from zoo.hub.push import push

    pushed = push(folder, repo, dry_run=dry_run, private=private, message=message)
    for file in pushed.files:
        click.echo(f"{file.name}  {file.size / 1e6:.1f} MB  sha256 {file.sha256}")
    for name in pushed.left_out:
        click.echo(f"left out: {name}", err=True)
    if dry_run:
        click.echo(f"dry run: nothing was sent to {pushed.address}", err=True)
    else:
        click.echo(f"{pushed.address} is at commit {pushed.commit}", err=True)
