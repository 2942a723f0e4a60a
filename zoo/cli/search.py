"""`zoo search INDEX QUERY [OUT]`: the images of an index that fit best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("search")
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("query")
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--image", is_flag=True, help="QUERY is an image file, not words.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Number of hits.")
@click.option("--model", help="Where the model that made the index lies, if not where it was published.")
@click.option("--bands", help="Of a query image; see `zoo index --help`.")
@click.option("--device", help="cpu, cuda, cuda:1; default: the accelerator if there is one.")
@click.option("--offline", is_flag=True, help="Open no connection.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
def command(
    *,
    index: Path,
    query: str,
    out: Path | None,
    image: bool,
    bands: str | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """The images of INDEX that fit QUERY best, printed, or written to OUT (.parquet, .geojson, .csv).

    \b
    zoo search tiles.index "a golf course" --top 5
    zoo search tiles.index photo.jpg --image
    """  # noqa: D301  (click reads the escape)
    from zoo.errors import OutputError
    from zoo.io.whole import check_writable
    from zoo.predict.retrieval import search

    if out is not None:
        if out.exists() and not force:
            raise OutputError(f"{out} exists; add --force to overwrite it, or name another output")
        check_writable(out)
    given["offline"] = given["offline"] or None
    options: dict[str, Any] = {} if bands is None else {"bands": bands}
    hits = search(index, Path(query) if image else query, **given, **options)
    if out is not None:
        hits.save(out)
        click.echo(f"wrote {out}")
    elif as_json:
        click.echo(json.dumps(hits.table.to_pylist(), indent=2, ensure_ascii=False))
    else:
        rows = hits.table.to_pylist()
        width = max(len(row["id"]) for row in rows)
        click.echo("\n".join(f"{row['rank']:>4}  {row['score']:6.3f}  {row['id']:<{width}}".rstrip() for row in rows))
