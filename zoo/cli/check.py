"""`zoo check NAME`: whether a model does what a model of the zoo must do."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zoo.testing import Outcome


@click.command("check")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--record", is_flag=True, help="First write what the checks compare with: keys, and an answer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, models: tuple[str, ...], record: bool, as_json: bool) -> None:
    """Conformance checks of a model: bands, numbers, weights, gradients, sizes, seams.

    MODEL is a name as in `zoo list` (its demo variant, else the first), or NAME@VARIANT. The exit code is 1 if a check
    fails, or if one passes that the plugin excuses.
    """
    from zoo import testing

    results, ok = [], True
    for model in models:
        subject = testing.subject_of(model)
        for file in testing.record(subject) if record else ():
            click.echo(f"wrote {file}", err=True)
        outcomes = testing.run_checks(subject)
        ok &= all(one.ok for one in outcomes)
        results.append({"model": str(subject), "checks": [_row(one) for one in outcomes]})
        if not as_json:
            _show(str(subject), outcomes)
    if as_json:
        click.echo(json.dumps(results, indent=2))
    if not ok:
        sys.exit(1)


def _row(outcome: Outcome) -> dict[str, str]:
    return {"check": outcome.check, "verdict": outcome.verdict.value, "reason": outcome.reason}


def _show(name: str, outcomes: Sequence[Outcome]) -> None:
    """A line per check; reasons of failures are given whole."""
    width = max(len(one.check) for one in outcomes)
    room = max(shutil.get_terminal_size((120, 24)).columns - width - 12, 40)
    for one in outcomes:
        reason = one.reason if not one.ok or len(one.reason) <= room else one.reason[: room - 1] + "…"
        click.echo(f"{one.check:{width}}  {one.verdict:8}  {reason}".rstrip())
    counts = Counter(one.verdict.value for one in outcomes)
    click.echo(f"{name}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
