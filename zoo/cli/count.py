"""`zoo count MODEL SOURCE [OUT]`: how many of each class, per image."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.data_options import data_options, point_options, run

if TYPE_CHECKING:
    from zoo.results.detections import CountTable


@click.command("count")
@functools.partial(data_options, out_required=False)
@point_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool, **given: Any) -> None:
    """Count what MODEL finds on SOURCE, by image and class; also written to OUT (.csv, .parquet) if one is named.

    zoo count polo flight/ counts.csv
    """
    run("count", show=_print_json if as_json else _print_table, **given)


def _print_json(table: CountTable) -> None:
    rows = [
        {"image": image, "counts": dict(zip(table.classes, row, strict=True))}
        for image, row in zip(table.images, table.counts.tolist(), strict=True)
    ]
    click.echo(json.dumps({"images": rows, "total": table.total}, indent=2))


def _print_table(table: CountTable) -> None:
    """A line per image, and one of their sum where there are several."""
    counts = [[*row, sum(row)] for row in table.counts.tolist()]
    rows = [[image, *map(str, row)] for image, row in zip(table.images, counts, strict=True)]
    if len(rows) > 1:
        rows.append(["all", *(str(sum(column)) for column in zip(*counts, strict=True))])
    rows.insert(0, ["image", *table.classes, "total"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        click.echo("  ".join([name.ljust(widths[0]), *cells]))
