"""The command `zoo`: one thin file per verb, imported when the verb is typed.

Results go to stdout; progress, warnings and errors to stderr. A `ZooError` is one line without a traceback and the exit
code 1; `zoo --debug VERB ...` shows the traceback.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from typing import Any

import click

from zoo import __version__
from zoo.errors import ZooError, ZooWarning

# verb -> what `zoo --help` says of it; the command is `zoo.cli.<verb>.command`.
VERBS: dict[str, dict[str, str]] = {
    "find out": {
        "list": "Models that are installed.",
        "info": "What a model needs, gives, and where it comes from.",
        "data": "Datasets: what plugins read, statistics of your own, what would go wrong.",
        "demo": "Try a small model on a sample scene; writes a page with pictures.",
    },
    "use": {
        "embed": "Embeddings of a scene (dense map) or of chips (table).",
        "predict": "The model's answer on your data.",
        "classify": "Class scores per chip, for models with a head or classes named in words.",
        "index": "An index of images, to be searched by words.",
        "search": "The images of an index that fit words, or another image.",
        "count": "How many of each class, per image, for models that find things.",
        "explain": "Which predictors an answer owes itself to, for models that can hide them.",
    },
    "train": {
        "train": "Train or fine-tune a model with a recipe.",
        "recipes": "Training recipes of a model.",
        "runs": "Training runs of a folder.",
        "evaluate": "How good a model is on labelled data.",
    },
    "weights": {
        "pull": "Fetch and check a model's weights, for work without network.",
        "convert": "Turn the authors' checkpoint file into a safe one.",
        "push": "Publish a saved model on the Hub.",
        "cache": "What was fetched: list, verify, remove.",
    },
    "plugins": {
        "plugins": "Installed plugins, and why one fails.",
        "install": "Install plugins.",
        "uninstall": "Remove plugins.",
        "check": "Conformance checks of a model.",
        "new": "Start a plugin of your own.",
    },
}
_HELP = {verb: text for group in VERBS.values() for verb, text in group.items()}


class LazyGroup(click.Group):
    """Imports a verb's file when it is typed, and asks plugins for commands only when zoo has no such verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_HELP, *sorted(self._plugin_commands())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _HELP:
            command: click.Command = importlib.import_module(f"zoo.cli.{name}").command
            return command
        return self._plugin_commands().get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, verbs in VERBS.items():
            with formatter.section(group.capitalize()):
                formatter.write_dl([*verbs.items()])
        if extra := self._plugin_commands():
            with formatter.section("From plugins"):
                formatter.write_dl([(name, extra[name].get_short_help_str()) for name in sorted(extra)])

    def _plugin_commands(self) -> dict[str, click.Command]:
        from zoo.plugins import plugins

        collector = click.Group()
        for _ in plugins().call("zoo_register_commands", cli=collector):
            pass
        return {name: command for name, command in collector.commands.items() if name not in _HELP}


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def cli(*, debug: bool) -> None:
    """Published models for Earth observation and ecology, on your data.

    zoo embed smarties@demo scene.tif features.tif
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors raised on purpose are printed without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    warnings.showwarning = _show_warning
    told = _Told(logging.WARNING)
    logging.getLogger("zoo").addHandler(told)
    try:
        # `list` would be the verb of that name: a submodule is an attribute of its package
        code = cli.main(args=[*arguments], prog_name="zoo", standalone_mode=False, obj=[*arguments])
    except click.ClickException as err:
        err.show()
        code = err.exit_code
    except click.Abort:  # Ctrl-C, or "no" to a question
        click.echo("zoo: stopped", err=True)
        code = 130
    except ZooError as err:
        if debug:
            raise
        click.echo(f"zoo: {err}", err=True)
        code = 1
    except BrokenPipeError:  # `zoo list | head`
        sys.stderr.close()
        code = 141
    finally:
        logging.getLogger("zoo").removeHandler(told)
    sys.exit(code if isinstance(code, int) else 0)


class _Told(logging.Handler):
    """What the library logs, such as a plugin that fails: one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"zoo: {record.getMessage()}", err=True)


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    if issubclass(category, ZooWarning):
        click.echo(f"zoo: warning: {message}", err=True)
    else:
        _default_showwarning(message, category, *rest, **named)


_default_showwarning = warnings.showwarning
