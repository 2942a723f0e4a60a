"""An evaluation as a table for the terminal, and as part of a model's card."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from zoo.cards import PIPELINES, add_results
from zoo.errors import ConfigError
from zoo.evaluation.published import beside, published, told
from zoo.evaluation.result import Evaluation, mean_and_spread, plain_cell, rounded
from zoo.io.whole import check_extension, whole
from zoo.model import Model
from zoo.tasks.metrics.sums import Figure

INTERVAL, FOLDS, THEIRS = "95 % interval", "folds: mean, std", "published"
TABLES = (".csv", ".parquet")  # of species
COUNTS = frozenset({"species"})  # scores that count what was scored (`zoo.tasks.metrics.sdm`): no measurement
MANY_CLASSES = 100  # ours: beyond it a table per class is for the JSON file
Row = Sequence[str]


def text_of(evaluation: Evaluation, model: Model) -> str:
    """Aligned tables: a row per score with its interval and what was published beside it; then a row per class."""
    head = (
        f"{evaluation.title} on {_where(evaluation)}, {evaluation.num_samples} samples, protocol {evaluation.protocol}"
    )
    rows, rest = _rows(evaluation, model)
    parts = [head, aligned(rows), *[f"published besides: {one}" for one in rest]]
    parts += [f"note: {one}" for one in evaluation.notes]
    if 0 < len(evaluation.per_class) <= MANY_CLASSES:
        parts += ["", aligned(_class_rows(evaluation))]
    return "\n".join(parts)


def block_of(evaluation: Evaluation, model: Model) -> str:
    """The part of a card: Markdown between two markers."""
    rows, rest = _rows(evaluation, model)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    told_of = evaluation.provenance
    weights = f"{told_of.weights}, sha256 {(told_of.sha256 or 'not known')[:12]}"
    options = ", ".join(f"{name} {value}" for name, value in sorted(told_of.options.items()))
    about = (
        f"`{evaluation.title}` on {_where(evaluation)}: {evaluation.num_samples} samples, protocol"
        f" {evaluation.protocol} ({options}). Weights: {weights}; zoo {told_of.zoo_version}."
    )
    besides = [f"Published besides: {'; '.join(rest)}."] if rest else []
    besides += [f"Note: {one}." for one in evaluation.notes]
    return "\n".join([_begin(evaluation), about, "", *lines, *(["", *besides] if besides else []), END])


END = "<!-- zoo: end of scores -->"


def with_scores(card: str, evaluation: Evaluation, model: Model) -> str:
    """A card with the scores in it: the block of this dataset, split and protocol replaced, or put at the end; and in
    the header, where the card has one, as the Hub reads them (`model-index`).
    """
    block, begin = block_of(evaluation, model), _begin(evaluation)
    before, found, rest = card.partition(begin)
    if found:
        card = before + block + rest.partition(END)[2]
    else:
        title = "" if re.search(r"^## Evaluation$", card, re.MULTILINE) else "## Evaluation\n\n"
        card = (f"{card.rstrip()}\n\n" if card.strip() else "") + f"{title}{block}\n"
    if not card.startswith("---\n"):
        return card
    return add_results(card, evaluation.model, _index(evaluation, model))


def write_species(evaluation: Evaluation, path: Path) -> None:
    """A row per species, as `.csv` or `.parquet`: presences, absences, scores, and the threshold of best true skill.

    Raises:
        ConfigError: the task has no species.
        OutputError: the file cannot be written, or has another extension.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    check_extension(path, TABLES, "a row per species")
    if "species" not in evaluation.tables:
        raise ConfigError(f"{evaluation.model} scores no species, so that there is no table of them; leave it out")
    cells = evaluation.tables["species"]
    table = pa.table({name: [plain_cell(one) for one in column] for name, column in cells.items()})
    with whole(path) as temporary:
        (csv.write_csv if path.suffix.lower() == ".csv" else parquet.write_table)(table, temporary)


def _index(evaluation: Evaluation, model: Model) -> list[dict[str, object]]:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=PIPELINES[model.task],
            task_name=model.task.value,
            dataset_type=re.sub(r"[^a-z0-9]+", "-", evaluation.dataset.lower()).strip("-"),
            dataset_name=evaluation.dataset,
            dataset_split=evaluation.split,
            dataset_args={"protocol": evaluation.protocol, "variant": evaluation.variant, "by": "zoo evaluate"},
            metric_type=name,
            metric_name=name,
            metric_value=rounded(figure.value),
        )
        for name, figure in evaluation.overall.items()
    ]
    index: list[dict[str, object]] = eval_results_to_model_index(evaluation.model, results)[0]["results"]
    return index


def _begin(evaluation: Evaluation) -> str:
    what = f"{evaluation.model}@{evaluation.variant}, {evaluation.dataset}, {evaluation.split}, {evaluation.protocol}"
    return f"<!-- zoo: scores of {what}; `zoo evaluate` writes them -->"


def _where(evaluation: Evaluation) -> str:
    return f"{evaluation.dataset or 'data of your own'}" + (f" ({evaluation.split})" if evaluation.split else "")


def _rows(evaluation: Evaluation, model: Model) -> tuple[list[Row], list[str]]:
    """Rows with their headings, and what was published of the same data without a row of its own."""
    theirs = published(model.variant.scores, evaluation, has_head=bool(model.variant.classes))
    intervals = any(one.low is not None for one in evaluation.overall.values())
    columns = ["metric", "value", *[INTERVAL] * intervals, *[FOLDS] * bool(evaluation.folds), *[THEIRS] * bool(theirs)]
    rows: list[Row] = [columns]
    placed = set()
    for name, figure in evaluation.overall.items():
        here = beside(name, theirs)
        placed |= {id(one) for one in here}
        cells = {
            "metric": name,
            "value": number(figure.value, name),
            INTERVAL: "" if name in COUNTS else _interval(figure),
            FOLDS: "" if name in COUNTS else _folds(evaluation.folds.get(name, ())),
            THEIRS: "; ".join(told(one) for one in here),
        }
        rows.append([cells[column] for column in columns])
    return rows, [told(one) for one in theirs if id(one) not in placed]


def _class_rows(evaluation: Evaluation) -> list[Row]:
    classes = evaluation.per_class
    scores = list(dict.fromkeys(name for one in classes.values() for name in one))
    rows: list[Row] = [["class", *scores]]
    for label, found in classes.items():
        rows.append([label, *[number(found[name].value) if name in found else "" for name in scores]])
    return rows


def aligned(rows: Sequence[Row]) -> str:
    """Rows of cells as columns of text."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def number(value: float, name: str = "") -> str:
    """Four digits: what a few thousand samples can tell apart; the score of that name may be a count."""
    if not math.isfinite(value):
        return "undefined"
    if name in COUNTS:
        return f"{value:.0f}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def _folds(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, spread = mean_and_spread(values)
    return f"{number(mean)}, {number(spread)}"
