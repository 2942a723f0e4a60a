"""`zoo embed MODEL SOURCE OUT`: embeddings of a scene (dense map) or of chips (table)."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, run


@click.command("embed")
@data_options
def command(**given: Any) -> None:
    """Embeddings of SOURCE by MODEL, written to OUT.

    OUT.tif is a dense map, one pixel per patch; OUT.parquet or OUT.csv is a table, one row per chip: each file of a
    folder, or each window of a scene.

    zoo embed smarties scene.tif features.tif
    """
    run("embed", **given)
