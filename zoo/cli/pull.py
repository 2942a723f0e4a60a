"""`zoo pull NAME`: fetch and check weights, for work without network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click

from zoo.progress import download_bar


@click.command("pull")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--update", is_flag=True, help="Look for a newer commit of weights that are not pinned.")
@click.option("--offline", is_flag=True, help="Open no connection: only check what is in the cache.")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Also copy the files there.")
def command(*, models: tuple[str, ...], update: bool, offline: bool, folder: Path | None) -> None:
    """Fetch and check a model's weights, for work without network.

    MODEL is a name as in `zoo list`, NAME@VARIANT, or hf://ORG/NAME[@REVISION].
    """
    for model in models:
        with download_bar() as progress:
            paths = _paths(model, update=update, offline=offline or None, progress=progress)
        for name, path in paths.items():
            click.echo(path if folder is None else _copy(path, folder / name))


def _paths(
    model: str, *, update: bool, offline: bool | None, progress: Callable[[str, int, int], None]
) -> dict[str, Path]:
    """The files of a model by their names in the repository, fetched and checked."""
    from zoo.hub.fetch import REPO_EXTRAS, REPO_FILES, fetch, fetch_repo

    if model.startswith("hf://"):
        folder = fetch_repo(model, update=update, offline=offline, progress=progress)
        return {name: folder / name for name in (*REPO_FILES, *REPO_EXTRAS) if (folder / name).is_file()}
    from zoo.registry import find

    entry, variant = find(model)
    weights, name = variant.weights, f"{entry.spec.name}@{variant.tag}"
    if weights is None:
        click.echo(f"{name}: the authors published no weights", err=True)
        return {}
    if weights.archive is not None:
        from zoo.errors import HubError
        from zoo.model import not_fetched

        raise HubError(not_fetched(entry.spec, variant))
    if weights.repo is None:
        click.echo(f"{name}: the weights come inside the plugin; nothing to fetch", err=True)
        return {}
    fetched = fetch(weights, update=update, offline=offline, progress=progress)
    if not weights.pinned:
        click.echo(f"{name}: not pinned; now at commit {fetched.revision}, SHA-256 {fetched.sha256}", err=True)
    root = fetched.path.parents[weights.file.count("/")]
    return {name: root / name for name in (*weights.companions, weights.file)}


def _copy(path: Path, target: Path) -> Path:
    """Copy a file so that the target's name never holds a part of it."""
    from zoo.errors import OutputError

    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        os.replace(part, target)
    except OSError as err:
        raise OutputError(f"cannot write {target}: {err.strerror or err}; give --to a folder that has room") from err
    finally:
        part.unlink(missing_ok=True)
    return target
