"""Arguments and options shared by the verbs that run a model on data."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click


def _per_input(name: str, text: str, kind: Callable[[str], Any] = str) -> Callable[[Any], Any]:
    """An option that may be repeated, once per input: `--bands s1=S1 --bands s2=S2`."""

    def read(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Any:
        pairs = [re.fullmatch(r"([A-Za-z_]\w*)=(.*)", one) for one in given]
        try:
            if given and all(pairs):
                return {pair[1]: kind(pair[2]) for pair in pairs if pair}
            if len(given) > 1:
                raise click.BadParameter(f"got {' and '.join(given)}; say INPUT=VALUE to give one for each input")
            return kind(given[0]) if given else None
        except ValueError as err:
            raise click.BadParameter(f"{' '.join(given)} is no number") from err

    return click.option(f"--{name}", multiple=True, callback=read, metavar="[INPUT=]VALUE", help=text)


_OPTIONS = (
    click.option("--input", "inputs", multiple=True, metavar="NAME=SOURCE", help="A further input that goes with it."),
    _per_input("bands", "Preset (S2, S2-L1C, S1, RGB) or names in the file's order: B02,B03,B04 (- = unused)."),
    _per_input("sensor", "Which of the model's inputs this is, e.g. S2-L2A; see `zoo info MODEL`."),
    _per_input("scale", "Physical value = number x SCALE + OFFSET, where the file does not say.", float),
    _per_input("offset", "See --scale.", float),
    _per_input("baseline", "Sentinel-2 processing baseline (e.g. 05.09), where the file does not say."),
    _per_input("nodata", "Value of missing pixels, where the file does not say.", float),
    _per_input("crs", "CRS of the source, where the file does not say (EPSG:32632)."),
    click.option("--window", type=int, help="Side of the windows in pixels."),
    click.option("--halo", type=int, help="Pixels by which a window reaches beyond what it decides."),
    click.option("--blend", type=click.Choice(["none", "mean", "cosine"]), help="How overlapping windows are joined."),
    click.option("--batch-size", type=int, help="Windows or chips per forward pass (8)."),
    click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Arithmetic of the forward pass (fp32)."),
    click.option("--float16", is_flag=True, help="Write floating-point results in half precision."),
    click.option("--device", help="cpu, cuda, cuda:1; default: the accelerator if there is one."),
    click.option("--processes", type=int, default=1, show_default=True, help="Share the work among processes."),
    click.option("--resume", is_flag=True, help="Go on with the parts that an interrupted run left."),
    click.option("--offline", is_flag=True, help="Open no connection."),
    click.option("--force", is_flag=True, help="Overwrite OUT."),
)
_POINTS = (
    click.option("--min-score", type=float, help="Least score of a point (0.25)."),
    click.option("--max-points", type=int, help="Most points that one window may answer, the best-scored (30000)."),
    click.option(
        "--dor",
        type=float,
        help="Distance over radius: of two points of a class closer than DOR x its radius one stays (0.3).",
    ),
)


_PLACES = (
    _per_input("covariates", "Rasters (file, folder, glob) that give the sites of a table what its columns lack."),
    click.option(
        "--sampling",
        type=click.Choice(["cell", "nearest", "bilinear"]),
        help="Of rasters at sites: the cell, the nearest cell with data, between four cells (cell).",
    ),
    click.option("--grid", metavar="W,S,E,N,STEP[,CRS]|RASTER", help="Of a map of species (that of the first raster)."),
)


def data_options(function: Callable[..., Any], *, out_required: bool = True) -> Callable[..., Any]:
    """Add MODEL, SOURCE, OUT and the options that all tasks share to a command."""
    arguments = (
        click.argument("model"),
        click.argument("source"),
        click.argument("out", required=out_required, type=click.Path(path_type=Path)),
    )
    for option in reversed((*arguments, *_OPTIONS)):
        function = option(function)
    return function


def point_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of detection."""
    for option in reversed(_POINTS):
        function = option(function)
    return function


def places_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of where predictors of species come from."""
    for option in reversed(_PLACES):
        function = option(function)
    return function


def typed(pairs: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` as values: `n=3` is a number, `classes=[a,b]` a list, `gallery.n=3` a mapping.

    Raises:
        ConfigError: one is not written so.
    """
    from zoo.errors import ConfigError

    if strange := [one for one in pairs if not re.match(r"[A-Za-z_][\w.]*=", one)]:
        raise ConfigError(f"{strange[0]!r} is no option; expected KEY=VALUE, such as classes=[water,forest]")
    if not pairs:
        return {}
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        told = OmegaConf.to_container(OmegaConf.from_dotlist([*pairs]))
    except (OmegaConfBaseException, YAMLError) as err:
        said = " ".join(str(err).split())
        raise ConfigError(f"cannot read {' '.join(pairs)}: {said}; a list is written classes=[water,forest]") from err
    assert isinstance(told, dict)
    return {str(name): value for name, value in told.items()}


def run(
    verb: str,
    *,
    model: str,
    source: str | None,
    out: Path | None,
    inputs: tuple[str, ...],
    device: str | None,
    processes: int,
    offline: bool,
    force: bool,
    show: Callable[[Any], None] | None = None,
    **options: Any,
) -> None:
    """Load the model, run the verb, say what was written; exit code 1 if a file of a folder failed.

    `show` prints what the user wants to see of the result itself.
    """
    from zoo.errors import ConfigError, OutputError

    if out is None and processes > 1:
        raise ConfigError(
            f"several processes share their work beside OUT; name one: zoo {verb} {model} {source} out.csv"
        )
    if out is not None and not force and not options.get("resume") and _is_taken(out):
        raise OutputError(f"{out} exists; add --force to overwrite it, or name another output")
    check_model(model)
    if source is not None:
        check_paths(source, out)
    if processes > 1 and "RANK" not in os.environ:
        from zoo.predict.launch import launch

        sys.exit(launch(click.get_current_context().find_root().obj, processes))
    import zoo

    loaded = zoo.load(model, device=device, offline=offline or None)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    try:
        result = getattr(loaded, verb)(_sources(source, inputs, loaded), out, **given)
    except KeyboardInterrupt:
        click.echo("zoo: stopped; what is finished is kept: run the same command with --resume to go on", err=True)
        sys.exit(130)
    if os.environ.get("RANK", "0") == "0":
        if show is not None:
            show(result)
        _report(result, out)


def check_model(model: str) -> None:
    """Raise for a name that nobody has, before torch is imported: it takes seconds."""
    from zoo.checkpoints.saved import is_path
    from zoo.registry import find

    if not is_path(model):
        find(model)


def check_paths(source: str, out: Path | None) -> None:
    """Raise for what cannot be, before torch is imported: it takes seconds."""
    from zoo.errors import InputError, OutputError
    from zoo.plugins import plugins

    theirs = plugins().manager.hook.zoo_open_source.get_hookimpls()  # what a plugin opens need not be a file
    if (
        not theirs
        and not any(sign in source for sign in ":*?[")
        and not source.startswith("/vsi")
        and not Path(source).exists()
    ):
        folder = Path(source).parent
        have = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        near = difflib.get_close_matches(Path(source).name, have, n=1)
        raise InputError(f"{source} does not exist" + (f"; did you mean {folder / near[0]}?" if near else ""))
    if out is not None and out.suffix and not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}; make it (mkdir -p {out.parent}) or choose another")


def _is_taken(out: Path) -> bool:
    """Whether there is a file, or a folder that holds something."""
    return any(out.iterdir()) if out.is_dir() else out.exists()


def _sources(source: str | None, inputs: tuple[str, ...], loaded: Any) -> Any:
    """SOURCE alone, or with `--input s1=radar.tif` a mapping in which SOURCE is the first input that is not named.

    Where all are, SOURCE is the table of sites around which they are read.
    """
    if not inputs:
        return source
    names = list(dict.fromkeys(item.name for item in loaded.variant.inputs))
    further = dict(pair.partition("=")[::2] for pair in inputs)
    first = next((name for name in names if name not in further), "sites")
    return {first: source, **further}


def _report(result: Any, out: Path | None) -> None:
    failures = dict(getattr(result, "failures", {}))
    for name, why in failures.items():
        click.echo(f"zoo: {name}: {why.removeprefix(f'{name}: ')}", err=True)
    if out is not None:
        click.echo(f"wrote {out}")
    if failures:
        click.echo(f"zoo: {len(failures)} of the files could not be used", err=True)
        sys.exit(1)
