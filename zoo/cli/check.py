"""`zoo check NAME`: whether a model does what a model of the zoo must do."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from zoo.testing.conformance import Verdict

if TYPE_CHECKING:
    from zoo.testing import Outcome

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.OUTDATED: "red",
    Verdict.EXCUSED: "yellow",
    Verdict.SKIPPED: "bright_black",
}


@click.command("check")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--record", is_flag=True, help="First write what the checks compare with: keys, and an answer.")
@click.option("--all", "everything", is_flag=True, help="Also list checks that pass and say nothing more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, models: tuple[str, ...], record: bool, everything: bool, as_json: bool) -> None:
    """Conformance checks of a model: bands, numbers, weights, gradients, sizes, seams.

    MODEL is a name as in `zoo list` (its demo variant, else the first), or NAME@VARIANT. The exit code is 1 if a check
    fails, or if one passes that the plugin excuses.
    """
    from zoo import testing

    results, ok = [], True
    for place, model in enumerate(models):
        subject = testing.subject_of(model)
        for file in testing.record(subject) if record else ():
            click.echo(f"wrote {file}", err=True)
        outcomes = testing.run_checks(subject)
        ok &= all(one.ok for one in outcomes)
        results.append({"model": str(subject), "checks": [_row(one) for one in outcomes]})
        if not as_json:
            click.echo("\n" * bool(place), nl=False)
            _show(str(subject), outcomes, everything=everything)
    if as_json:
        click.echo(json.dumps(results, indent=2))
    if not ok:
        sys.exit(1)


def _row(outcome: Outcome) -> dict[str, str]:
    return {"check": outcome.check, "verdict": outcome.verdict.value, "reason": outcome.reason}


def _show(name: str, outcomes: Sequence[Outcome], *, everything: bool) -> None:
    """A line per check that failed, did not run, or has something to say, then how many went how."""
    shown = [one for one in outcomes if everything or one.reason or one.verdict is not Verdict.PASS]
    width = max((len(one.check) for one in shown), default=0)
    columns = shutil.get_terminal_size((120, 24)).columns
    for one in shown:
        head = f"{one.check:{width}}  {click.style(f'{one.verdict.value:8}', fg=COLOURS[one.verdict])}  "
        click.echo(
            head + _beside(one, columns=max(columns - width - 12, 40), indent=width + 12)
            if one.reason
            else head.rstrip()
        )
    counts = Counter(one.verdict for one in outcomes)
    click.echo(
        f"{click.style(name, bold=True)}: "
        + ", ".join(f"{click.style(str(count), fg=COLOURS[verdict])} {verdict}" for verdict, count in counts.items())
    )


def _beside(outcome: Outcome, *, columns: int, indent: int) -> str:
    """What a check says, in a column of its own; cut to one line unless something is to be done."""
    if outcome.ok:
        return textwrap.shorten(outcome.reason, columns, placeholder=" ...")
    lines = textwrap.wrap(outcome.reason, columns, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)
