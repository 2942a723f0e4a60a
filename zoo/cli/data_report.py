"""What `zoo data stats` and `zoo data check` print."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from zoo.errors import some

if TYPE_CHECKING:
    from zoo.datasets.declared import BandComparison, Comparison
    from zoo.datasets.findings import Finding, Report
    from zoo.datasets.statistics import Statistics

LISTED = 6  # names per line
COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def statistics_table(found: Statistics) -> str:
    """A line of what was read, then a row per band."""
    files = f"{len(found.sources)} files" if len(found.sources) > 1 else found.sources[0]
    part = "" if found.windows == found.all_windows else f", {found.windows} of {found.all_windows} windows"
    inner = [f"{percent:g} %" for percent in found.percents]
    middle = sum(percent < 50 for percent in found.percents)
    head = ["band", "data", "min", *inner[:middle], "mean", "std", *inner[middle:], "max"]
    rows = [head]
    for band in found.bands:
        one = band.distribution
        cells = [number(one.percentile(percent)) for percent in found.percents]
        moments = [number(one.mean), number(one.std)]
        rows.append(
            [
                band.name,
                share(band.valid),
                number(one.low),
                *cells[:middle],
                *moments,
                *cells[middle:],
                number(one.high),
            ]
        )
    lines = [f"{files}{part}, as stored", table(rows)]
    if found.left_out:
        lines.append(f"no numbers in {some(found.left_out, LISTED)}: left out")
    return "\n".join(lines)


def comparison_table(found: Statistics, comparison: Comparison, model: str) -> str:
    """A row per band with the model's range beside the data's, then doubts and what it comes to."""
    assert found.spec is not None
    head = ["band", "unit", "1 %", "50 %", "99 %", "declared range", "cut off", "mean", "std", "verdict"]
    rows = [head, *(_compared(one) for one in comparison.bands)]
    lines = [
        f"beside what {model} declares for {found.spec.label or found.spec.name}, in the numbers that it takes",
        table(rows, left=("band", "unit", "verdict")),
    ]
    if any(one.standardised for one in comparison.bands):
        lines.append("mean, std: after the model's own steps, where its training data have 0 and 1")
    lines += [f"doubt: {doubt}" for doubt in comparison.doubts]
    apart = [one.band for one in comparison.bands if not one.fits]
    if apart:
        lines.append(
            f"{len(apart)} of {len(comparison.bands)} bands do not look like the training data: {some(apart, LISTED)}. Check their"
            " unit and order (--bands, --scale, --offset); if they are right, fine-tune with your own numbers"
            " (--out stats.json: input_spec)"
        )
    elif not comparison.doubts:
        lines.append(f"all {len(comparison.bands)} bands look like the training data")
    return "\n".join(lines)


def findings_text(report: Report) -> str:
    """Errors first, each with the file and what to type; then the balance of classes, then how many there are of each."""
    lines = [_finding(one) for one in report.findings]
    if report.balance:
        total = sum(count for _, count in report.balance)
        rows = [["class", report.unit, "share"]]
        rows += [[name, str(count), share(count / total if total else 0)] for name, count in report.balance]
        lines += [table(rows), ""]
    counts = {severity: sum(one.severity == severity for one in report.findings) for severity in COLOURS}
    said = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    lines.append(f"{report.looked_at}: {said or 'nothing would go wrong that can be seen beforehand'}")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]], *, left: Sequence[str] = ("band", "class")) -> str:
    """Columns under the first row's heads; numbers end alike, the columns named in `left` begin alike."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if head in left else cell.rjust(width)
            for cell, width, head in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """Four digits, without an exponent as far as people read numbers."""
    if value != value:  # noqa: PLR0124 - NaN
        return "-"
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def share(value: float) -> str:
    """A percentage that is 0 or 100 only if it is exactly."""
    if value != value:  # noqa: PLR0124 - NaN
        return "-"
    if 0 < value < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= value < 1 else f"{value * 100:.4g} %" if value in (0, 1) else f"{value * 100:.1f} %"


def _compared(one: BandComparison) -> list[str]:
    declared = "-" if one.low is None or one.high is None else f"{number(one.low)} to {number(one.high)}"
    cut = "-" if one.low is None else share(one.cut_below + one.cut_above)
    return [
        *(one.band, one.unit, *(number(value) for value in one.percentiles), declared, cut),
        *(f"{round(one.mean, 2) + 0.0:.2f}", f"{one.std:.2f}", one.verdict),
    ]


def _finding(one: Finding) -> str:
    room = max(shutil.get_terminal_size((120, 24)).columns - 9, 60)
    where = f"{one.where}" + (f" and {one.others} more" if one.others else "")
    text = f"{where}: {one.what}" if where else one.what
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    if one.advice:
        lines += textwrap.wrap(f"-> {one.advice}", room, break_long_words=False, break_on_hyphens=False)
    head = click.style(f"{one.severity.value:7}", fg=COLOURS[one.severity.value])
    return f"{head}  " + "\n         ".join(lines)
