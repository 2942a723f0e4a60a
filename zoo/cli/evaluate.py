"""`zoo evaluate MODEL DATASET [FOLDER]`: how good a model is on labelled data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from zoo.cli.names import names_option

STDOUT = "-"  # of `--card` without a file


@click.command("evaluate")
@click.argument("model")
@click.argument("dataset")
@click.argument("rest", nargs=-1, metavar="[FOLDER] [KEY=VALUE]...")
@click.option("--split", default="test", show_default=True, help="Which part of the dataset.")
@click.option(
    "--protocol",
    type=click.Choice(["head", "knn", "probe", "frozen"]),
    default="head",
    show_default=True,
    help="head: the model's own answers; of embeddings: knn, probe, or frozen (labels of pixels).",
)
@click.option("--gallery", default="train", show_default=True, help="Split that embeddings are compared with.")
@click.option("--neighbours", type=int, help="knn: how many vote (20).")
@click.option("--epochs", type=int, help="probe, frozen: epochs of training (100).")
@click.option("--shots", type=int, help="knn, probe: as many samples of each class, drawn from the gallery.")
@click.option("--seed", type=int, help="Of a probe, and of the draw of --shots (0).")
@click.option("--bootstrap", type=int, default=1000, show_default=True, help="Replicates for intervals; 0 = none.")
@click.option("--folds", type=int, help="Also scores in so many spatial folds.")
@click.option("--block-km", type=float, help="Side of the blocks that folds are made of.")
@names_option("--predictors", "sdm: variables or groups that the model is told of; the others count as missing.")
@click.option("--limit", type=int, help="Most samples, evenly spread.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON to this file.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="sdm: write the calibration plot (.png).")
@click.option(
    "--by-species",
    type=click.Path(path_type=Path, dir_okay=False),
    help="sdm: write scores and threshold of each (.csv).",
)
@click.option(
    "--card", is_flag=False, flag_value=STDOUT, metavar="[FILE]", help="Put the scores into a card, or print that part."
)
@click.option("--batch-size", type=int, default=32, show_default=True, help="Samples per forward pass.")
@click.option("--workers", type=int, default=0, show_default=True, help="Processes that read samples.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--device", help="cpu, cuda, cuda:1; default: the accelerator if there is one.")
@click.option("--processes", type=int, default=1, show_default=True, help="Share the samples among processes.")
@click.option("--offline", is_flag=True, help="Open no connection.")
def command(
    *,
    model: str,
    dataset: str,
    rest: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    plot: Path | None,
    by_species: Path | None,
    card: str | None,
    processes: int,
    offline: bool,
    **given: Any,
) -> None:
    """Scores of MODEL on a labelled DATASET (`zoo data` lists them) that lies in FOLDER.

    MODEL is a name, a saved folder, or the folder of a training run. KEY=VALUE are options of the dataset's reader;
    gallery.KEY=VALUE of the gallery's alone, metric.KEY=VALUE of the task's metric. Of a run that was trained on the
    layout sites, options that are not said are those of its training.

    \b
    zoo evaluate smarties@eurosat-linprobe-vit-b eurosat-ms EuroSAT_MS
    zoo evaluate smarties eurosat-ms EuroSAT_MS --protocol knn --gallery train
    zoo evaluate smarties@demo world --protocol probe n=300
    zoo evaluate runs/polo-finetune-001 points flight --out scores.json --card README.md
    zoo evaluate runs/fir sites fir.csv --plot calibration.png --by-species species.csv
    """  # noqa: D301  (click reads the escape)
    from zoo.cli.data_options import check_model
    from zoo.evaluation.run_data import as_trained, doubt_training_data, from_table

    folder, options = _told(rest)
    taken = as_trained(Path(model), dataset, folder, options)
    options = {**taken, **options}
    _check_outputs(out, card, plot, by_species, sources=[folder, options, from_table(folder, options)])
    check_model(model)
    if processes > 1 and "RANK" not in os.environ:
        from zoo.predict.launch import launch

        sys.exit(launch(click.get_current_context().find_root().obj, processes))
    from zoo.evaluation.protocols import Judging
    from zoo.evaluation.verb import evaluate
    from zoo.model import load

    settings = {name: given.pop(name) for name in ("neighbours", "epochs", "shots", "seed")}
    if taken and os.environ.get("RANK", "0") == "0":
        click.echo(f"as in training: {' '.join(f'{name}={value}' for name, value in taken.items())}", err=True)
    doubt_training_data(Path(model), dataset, folder, given["split"], options)
    loaded = load(model, device=given.pop("device"), offline=offline or None)
    _check_task(loaded, plot or by_species)
    evaluation = evaluate(
        loaded,
        dataset,
        folder,
        gallery_options=_part(options, "gallery"),
        metric_options=_part(options, "metric"),
        options=options,
        judging=Judging(**{name: value for name, value in settings.items() if value is not None}),
        **given,
    )
    if os.environ.get("RANK", "0") == "0":
        _tell(evaluation, loaded, as_json=as_json, out=out, card=card)
        _write_species(evaluation, plot, by_species)


def _told(rest: tuple[str, ...]) -> tuple[str | None, dict[str, Any]]:
    """Folder, and options as typed values: `n=3` is a number."""
    from zoo.cli.data_options import typed
    from zoo.errors import ConfigError

    folders = [one for one in rest if "=" not in one]
    if len(folders) > 1:
        raise ConfigError(
            f"expected one folder, found {' and '.join(folders)}; options of the reader are written KEY=VALUE"
        )
    return (folders[0] if folders else None), typed([one for one in rest if "=" in one])


def _part(options: dict[str, Any], name: str) -> dict[str, Any]:
    """The options below `name.`, taken out of the others."""
    from zoo.errors import ConfigError

    found = options.pop(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{name}={found!r} has no key; expected {name}.KEY=VALUE, or --{name} for the split")
    return found


def _check_outputs(
    out: Path | None, card: str | None, plot: Path | None, by_species: Path | None, *, sources: Any
) -> None:
    """Raise for what cannot be written, before hours are spent."""
    from zoo.errors import OutputError
    from zoo.io.sources import check_kept
    from zoo.io.whole import check_extension, check_writable

    told = (
        (out, (".json",), "an evaluation"),
        (plot, (".png",), "a plot"),
        (by_species, (".csv", ".parquet"), "a row per species"),
    )
    for path, extensions, what in told:
        if path is not None:
            check_extension(path, extensions, what)
            check_writable(path)
            check_kept(sources, path)
    if card is not None and card != STDOUT:
        check_writable(Path(card))
        if not Path(card).is_file():
            raise OutputError(
                f"there is no card {card}; name one that is there, or print its part with --card alone, at the end"
            )


def _check_task(loaded: Any, asked: Path | None) -> None:
    from zoo.errors import ConfigError
    from zoo.spec import Task

    if asked is not None and loaded.task is not Task.SDM:
        raise ConfigError(
            f"{loaded.name} is for {loaded.task.value}; {asked.name} would tell of probabilities of species, for models of"
            " the task sdm alone: leave it out"
        )


def _write_species(evaluation: Any, plot: Path | None, by_species: Path | None) -> None:
    from zoo.evaluation.report import write_species
    from zoo.io.whole import whole

    if by_species is not None:
        write_species(evaluation, by_species)
        click.echo(f"wrote {by_species}", err=True)
    if plot is not None:
        with whole(plot) as temporary:
            evaluation.plot().savefig(temporary, format="png", metadata={"Software": None})
        click.echo(f"wrote {plot}", err=True)


def _tell(evaluation: Any, loaded: Any, *, as_json: bool, out: Path | None, card: str | None) -> None:
    from zoo.evaluation.report import block_of, text_of, with_scores
    from zoo.io.whole import whole

    if card != STDOUT:
        click.echo(evaluation.to_json().rstrip() if as_json else text_of(evaluation, loaded))
    if out is not None:
        with whole(out) as temporary:
            temporary.write_text(evaluation.to_json(), "utf-8")
        click.echo(f"wrote {out}", err=True)
    if card == STDOUT:
        click.echo(block_of(evaluation, loaded))
    elif card is not None:
        text = with_scores(Path(card).read_text("utf-8"), evaluation, loaded)
        with whole(Path(card)) as temporary:
            temporary.write_text(text, "utf-8")
        click.echo(f"wrote {card}", err=True)
