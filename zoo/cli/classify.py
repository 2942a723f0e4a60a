"""`zoo classify MODEL SOURCE OUT`: class scores per chip."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, run
from zoo.cli.names import names_option


@click.command("classify")
@data_options
@names_option("--classes", "Classes named in words, for models that compare images with words.")
@click.option("--template", "templates", multiple=True, help='Sentence for a class, e.g. "a satellite photo of {}."')
def command(*, templates: tuple[str, ...], **given: Any) -> None:
    """Class scores of SOURCE by MODEL, one row per chip, written to OUT (.parquet, .csv, .geojson).

    \b
    zoo classify smarties@eurosat-finetune-vit-b chips/ classes.parquet
    zoo classify rs-m-clip chips/ classes.csv --classes "forest,lake,golf course"
    """  # noqa: D301  (click reads the escape)
    given["templates"] = templates or None
    run("classify", **given)
