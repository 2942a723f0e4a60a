"""`zoo convert`: the authors' checkpoint becomes safetensors with the network's own keys, checked strictly."""

from __future__ import annotations

from pathlib import Path

import click

LAYOUTS = ("safetensors", "torch", "lightning", "transformers", "open_clip", "ultralytics")


@click.command("convert")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(LAYOUTS), help="How FILE is laid out, where it differs from the model's.")
@click.option("--data", type=click.Path(path_type=Path), help="What goes with FILE: its configuration or data folder.")
@click.option(
    "--bands",
    multiple=True,
    metavar="INPUT=NAMES",
    help="Order in which FILE's network takes an input's bands, where it is not the model's; may be repeated.",
)
def command(
    *, model: str, file: Path, out: Path | None, layout: str | None, data: Path | None, bands: tuple[str, ...]
) -> None:
    """Turn FILE, the authors' checkpoint of MODEL, into a folder OUT that `zoo.load` reads.

    The file is read without running anything in it, and must fit the network: every tensor, or an error that lists
    what differs. OUT is FILE's name without extension where it is not given; a name in .safetensors writes the
    weights alone.
    """
    from zoo.convert import convert_checkpoint
    from zoo.errors import some

    out = out or file.with_suffix("")
    pairs = [one.partition("=") for one in bands]
    orders = {name.strip(): [band.strip() for band in told.split(",")] for name, _, told in pairs}
    report = convert_checkpoint(model, file, out, layout=layout, data=data, bands=orders)
    click.echo(f"{out}: {report}")
    if report.ignored:
        click.echo(f"not used: {some(report.ignored, 8)}", err=True)
    if out.suffix != ".safetensors":
        click.echo(f'load it with zoo.load("{out if "/" in str(out) else f"./{out}"}")', err=True)
