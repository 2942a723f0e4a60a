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
    print_config: bool,
    device: str | None,
    processes: int,
) -> None:
    """Train MODEL by RECIPE: one that its plugin ships (`zoo recipes MODEL`), or a .yaml of your own.

    zoo train smarties finetune data.folder=chips epochs=10 optimizer.lr=1e-4
    """
    from zoo.training.recipes import recipe as read
    from zoo.training.recipes import written_out

    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    config = read(model, recipe, *settings)
    if print_config:
        click.echo(written_out(config), nl=False)
        return
    if processes > 1 and "RANK" not in os.environ:
        from zoo.predict.launch import launch

        sys.exit(launch(click.get_current_context().find_root().obj, processes))
    from zoo.errors import ConfigError, InputError
    from zoo.processes import processes as crew
    from zoo.training.loop import train
    from zoo.training.phase import Stopped

    try:
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
