"""`zoo explain MODEL SITES OUT`: which predictors an answer owes itself to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.data_options import data_options, places_options, run, typed
from zoo.cli.names import names_of, names_option
from zoo.datasets.catalogue import SITES

NO_FOLDER = "-"  # in place of SITES, for datasets that need none


@click.command("explain")
@data_options
@click.argument("rest", nargs=-1, metavar="[KEY=VALUE]...")
@names_option("--species", "Which are explained; needed of a model of many.")
@places_options
@click.option("--group", "group", multiple=True, metavar="NAME=A,B|FILE", help="Predictors that are one group; repeat.")
@click.option(
    "--labels",
    is_flag=False,
    flag_value=SITES,
    metavar="[DATASET]",
    help="Explain the AUC over labelled sites: SITES is a table with species, or the folder of that dataset.",
)
@click.option("--split", default="test", show_default=True, help="With --labels: which part of the dataset.")
@click.option(
    "--method",
    type=click.Choice(["exact", "latin", "permutation"]),
    default="exact",
    show_default=True,
    help="All coalitions, or orders that are drawn, with standard errors.",
)
@click.option("--rounds", type=int, help="Latin squares (2), or pairs of a permutation and its reverse (20).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn.")
@click.option("--curves", is_flag=True, help="Response curves instead: the probability along each predictor.")
@names_option("--predictors", "With --curves: of which; else all that the sites have.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png", help="Also draw it.")
def command(
    *, rest: tuple[str, ...], group: tuple[str, ...], labels: str | None, plot: Path | None, **given: Any
) -> None:
    """What each predictor, or group of them, adds to MODEL's answer: Shapley values.

    At places: what it adds to the probability of a species, in a row per site, species and group, or in a map. With --labels:
    what it adds to the AUC over the sites. Predictors in no group stay hidden. KEY=VALUE are options of the dataset's reader.
    With --curves: how the probability changes along each predictor, where it alone is shown, and in the mean over the sites.

    \b
    zoo explain masksdm sites.csv why.parquet --species "Poa alpina"
    zoo explain masksdm rasters/ why.tif --species "Poa alpina" --plot why.png
    zoo explain masksdm sites.csv why.csv --group climate=bio_1,bio_12 --group soil=CLYPPT,SNDPPT
    zoo explain masksdm sites.csv curves.csv --curves --species "Poa alpina" --predictors bio_1,bio_12 --plot curves.png
    zoo explain masksdm splot/ groups.csv --labels splotopen --plot groups.png
    zoo explain masksdm plots.csv single.csv --labels --method permutation --rounds 50
    """  # noqa: D301  (click looks for a backspace)
    from zoo.errors import InputError, OutputError

    if labels is not None and "=" in labels:  # an option of the reader, which click took for the dataset's name
        rest, labels = (labels, *rest), SITES
    if given["source"] == NO_FOLDER and labels in (None, SITES):
        raise InputError(
            "- stands for a dataset that needs no folder; name one with --labels, or give a table or rasters"
        )
    if plot is not None and plot.exists() and not (given["force"] or given["resume"]):
        raise OutputError(f"{plot} exists; add --force to overwrite it, or name another picture")
    if given["source"] == NO_FOLDER:
        given["source"] = None
    run(
        "explain",
        groups=_groups(group),
        labels=labels,
        reader_options=typed(rest) or None,
        plot=plot,
        **given,
    )


def _groups(told: tuple[str, ...]) -> dict[str, tuple[str, ...]] | None:
    """Variables by group.

    Raises:
        ConfigError: one is not written so, or a name comes twice.
    """
    from zoo.errors import ConfigError

    groups: dict[str, tuple[str, ...]] = {}
    for one in told:
        name, is_told, variables = one.partition("=")
        if not is_told or not name:
            raise ConfigError(f"--group {one} names no group; expected --group NAME=A,B: climate=bio_1,bio_12")
        if name in groups:
            raise ConfigError(f"--group {name} is given twice; expected each group once, with all its predictors")
        groups[name] = names_of(variables)
    return groups or None
