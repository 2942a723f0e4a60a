"""`zoo push FOLDER ORG/NAME`: publish a saved model, or the model of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zoo.hub.push import Pushed


@click.command("push")
@click.argument("folder", metavar="FOLDER|RUN", type=click.Path(path_type=Path))
@click.argument("repo", metavar="ORG/NAME")
@click.option("--license", "licence", help="Of a run's model, SPDX; default: that of the weights it began with.")
@click.option("--data-license", "data_licence", help="Of a run's training data, SPDX, where it is not known.")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be sent.")
@click.option("--private", is_flag=True, help="If the repository is created now, make it private.")
@click.option("--message", default="Publish with zoo push", show_default=True, help="Of the commit.")
def command(
    *,
    folder: Path,
    repo: str,
    licence: str | None,
    data_licence: str | None,
    dry_run: bool,
    private: bool,
    message: str,
) -> None:
    """Publish a model: weights, description, card, golden tensors, nothing else.

    FOLDER is one that `model.save` wrote. RUN is the folder of a training run: its model gets a card that says from
    which weights, data and settings it was made, and how good it is.
    """
    from zoo.errors import ConfigError
    from zoo.hub.push import push

    if (folder / "config.yaml").is_file():
        from zoo.training.folder import RunFolder
        from zoo.training.publishing import publish

        published = publish(
            RunFolder(folder),
            repo,
            licence=licence,
            data_licence=data_licence,
            dry_run=dry_run,
            private=private,
            message=message,
        )
        _show(published.pushed)
        if dry_run:
            click.echo(f"\n{published.card}", nl=False)
        for doubt in published.doubts:
            click.echo(f"zoo: {doubt}", err=True)
        return
    if licence or data_licence:
        raise ConfigError(f"--license and --data-license are for training runs, and {folder} is none (no config.yaml)")
    _show(push(folder, repo, dry_run=dry_run, private=private, message=message))


def _show(pushed: Pushed) -> None:
    for file in pushed.files:
        click.echo(f"{file.name}  {file.size / 1e6:.1f} MB  sha256 {file.sha256}")
    for name in pushed.left_out:
        click.echo(f"left out: {name}", err=True)
    if pushed.commit is None:
        click.echo(f"dry run: nothing was sent to {pushed.address}", err=True)
    else:
        click.echo(f"{pushed.address} is at commit {pushed.commit}", err=True)
