"""`zoo classify MODEL SOURCE OUT`: class scores per chip."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, run


@click.command("classify")
@data_options
def command(**given: Any) -> None:
    """Class scores of SOURCE by MODEL, one row per chip, written to OUT (.parquet, .csv, .geojson).

    zoo classify smarties@eurosat-finetune-vit-b chips/ classes.parquet
    """
    run("classify", **given)
