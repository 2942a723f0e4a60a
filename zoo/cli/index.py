"""`zoo index MODEL SOURCE OUT`: an index of images, to be searched by words."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, run


@click.command("index")
@data_options
def command(**given: Any) -> None:
    """A vector for each image of SOURCE (a folder, glob, or windows of one scene), kept in OUT (.index or .parquet).

    \b
    zoo index rs-m-clip tiles/ tiles.index
    zoo search tiles.index "a golf course"
    """  # noqa: D301  (click reads the escape)
    run("index", **given)
