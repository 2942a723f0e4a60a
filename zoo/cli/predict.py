"""`zoo predict MODEL SOURCE OUT`: the answer of the model's task."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.data_options import data_options, places_options, point_options, run
from zoo.cli.names import names_option


@click.command("predict")
@data_options
@click.option("--scores", is_flag=True, help="Class maps: the probability of every class, a band each.")
@click.option("--format", type=click.Choice(["tif", "png"]), help="Of the maps in an output folder (tif).")
@point_options
@names_option("--species", "Species distributions: those asked for (all).")
@places_options
@names_option("--predictors", "Species distributions: names or groups that are shown; others count as missing (all).")
@click.option("--at", help="Forecasts: time of the last input, or FIRST/LAST (all that can be).")
@click.option("--top", type=int, help="Species distributions: the most probable ones of each site, a row each.")
def command(**given: Any) -> None:
    """The answer of MODEL on SOURCE, written to OUT; the extension decides the format.

    \b
    zoo predict coralscapes reef.jpg reef.tif      class map (.tif, or .png coloured)
    zoo predict coralscapes reefs/ maps/           a map per file, and maps/cover.csv
    zoo predict coralscapes reefs/ cover.csv       percent of each class per image alone
    zoo predict polo flight/ birds.parquet         points (.parquet, .geojson, .csv)
    zoo predict masksdm sites.csv species.parquet  a row per site (.parquet, .geojson, .csv)
    zoo predict masksdm sites.csv species.parquet --covariates rasters/ --sampling nearest
    zoo predict masksdm rasters/ map.tif --species "Poa alpina"
    zoo predict masksdm rasters/ maps/ --grid 5.9,45.8,10.5,47.9,0.01     a map per species
    zoo predict hemu stack.nc ssr.zarr             maps in time (.zarr, .nc; .tif for one time)
    """  # noqa: D301  (click reads the escape)
    run("predict", **given)
