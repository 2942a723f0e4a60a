"""`zoo demo [FOLDER]`: a small model on a sample scene, and a page with pictures."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("zoo-demo"))
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this model; may be given again.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def command(*, folder: Path, models: tuple[str, ...], opens: bool) -> None:
    """Try small models on a sample scene; writes a page with pictures to FOLDER (zoo-demo).

    Nothing is fetched: demo weights come with the plugins. They show how things work and are not for science.
    """
    from zoo.demo import run

    page = run(folder, models)
    click.echo(str(page))
    if opens:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
