"""`zoo train MODEL RECIPE [key=value ...]`: train or fine-tune."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click


@click.command("train")
@click.argument("model")
@click.argument("recipe")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; default: the next one in runs/.")
@click.option("--resume", metavar="auto|RUN", help="Go on with --out or the latest run like this one, or with RUN.")
@click.option("--folds", type=int, help="Cross-validate: a run per fold into --out, each judged by its fold.")
@click.option("--print-config", is_flag=True, help="Print all settings, and train nothing.")
@click.option("--device", type=click.Choice(["cpu"]), help="cpu: do not use an accelerator that is there.")
@click.option("--processes", type=int, default=1, show_default=True, help="Share each step among processes.")
def command(
    *,
    model: str,
    recipe: str,
    settings: tuple[str, ...],
    out: Path | None,
    resume: str | None,
    folds: int | None,
    print_config: bool,
    device: str | None,
    processes: int,
) -> None:
    """Train MODEL by RECIPE: one that its plugin ships (`zoo recipes MODEL`), or a .yaml of your own.

    With --folds the data are divided by `data.options` of their reader (`sites`: block_km), and the same command goes on
    where it was stopped.

    \b
    zoo train smarties finetune data.folder=chips epochs=10 optimizer.lr=1e-4
    zoo train masksdm@demo own data.folder=fir.csv data.options.block_km=50 --folds 5 --out fir
    """  # noqa: D301  (click reads the escape)
    from zoo.errors import ConfigError, InputError
    from zoo.training.recipes import recipe as read
    from zoo.training.recipes import written_out

    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    config = read(model, recipe, *settings)
    if folds is not None and (out is None or resume is not None):
        raise ConfigError("--folds needs --out FOLDER, and goes on in it by itself: leave --resume out")
    if print_config:
        click.echo(written_out(config), nl=False)
        return
    if processes > 1 and "RANK" not in os.environ:
        from zoo.predict.launch import launch

        sys.exit(launch(click.get_current_context().find_root().obj, processes))
    from zoo.processes import processes as crew
    from zoo.training.crossing import cross_validate
    from zoo.training.loop import train
    from zoo.training.phase import Stopped

    try:
        if folds is not None and out is not None:
            crossed = cross_validate(config, folds=folds, out=out)
            if crew().is_main_process:
                click.echo(crossed.text())
            return
        done = train(config, out=out, resume=resume)
    except (ConfigError, InputError) as err:
        raise type(err)(_as_settings(str(err))) from err
    except Stopped as err:
        click.echo(f"zoo: {err}", err=True)
        sys.exit(128 + err.signal)
    if crew().is_main_process:
        told = "  ".join(f"{name} {value:.4g}" for name, value in done.figures.items() if "/" not in name)
        click.echo(f"{done.folder}: {told}")
        click.echo(
            f"use it: zoo.load({str(done.folder / 'model')!r}); share it: zoo push {done.folder} ORG/NAME", err=True
        )


def _as_settings(message: str) -> str:
    """Advice that names options of other verbs, as settings of this one."""
    message = re.sub(r"--(bands|sensor|scale|offset|baseline|nodata|crs) ([\w.,\-]+)", r"data.options.\1=\2", message)
    return re.sub(r"--(bands|sensor|scale|offset|baseline|nodata|crs)\b", r"data.options.\1", message)
