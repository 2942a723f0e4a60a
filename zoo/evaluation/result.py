"""What an evaluation found, as plain data."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.results.provenance import Provenance
from zoo.tasks.metrics.sums import Figure, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figures

MANY_ROWS = 100  # ours: of a table in JSON, as of the classes in a report
DIGITS = 9  # of figures in files. ours: sums of measured values differ in the 15th by the order of the processes


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Scores of a model on a dataset; nothing of time, host or number of processes.

    Attributes:
        model: name of the model.
        variant: tag of the variant.
        dataset: name of the dataset; empty where a reader of one's own was measured.
        split: of the dataset.
        protocol: `head`, `knn`, `probe` or `frozen`; see `zoo.evaluation.measure`.
        num_samples: that were asked for, each counted once.
        figures: scores by name, with their 95 % bootstrap intervals; those of one class as `score/class`.
        classes: that were told apart.
        folds: values of the scores in each spatial fold, where folds were asked for; NaN where undefined.
        tables: what the metric found that is more than a figure, as columns by name: of the task sdm `calibration` and
            `species` (`zoo.tasks.metrics.sdm.SdmMetrics`).
        notes: what must be said beside the scores, as the data's reader told.
        provenance: weights, zoo's version, and the options that decide the numbers.
        called: what the model is called where it is shown, see `zoo.model.Model.called`; empty = by its name.
    """

    model: str
    variant: str
    dataset: str
    split: str
    protocol: str
    num_samples: int
    figures: Mapping[str, Figure]
    classes: tuple[str, ...] = ()
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: Provenance
    called: str = ""

    @property
    def title(self) -> str:
        """Which model this is of, in words."""
        return self.called or f"{self.model}@{self.variant}"

    @property
    def values(self) -> dict[str, float]:
        """Scores by name, without intervals."""
        return {name: one.value for name, one in self.figures.items()}

    @property
    def overall(self) -> dict[str, Figure]:
        """The scores that are not of one class."""
        return {name: one for name, one in self.figures.items() if name.partition("/")[2] not in self.classes}

    @property
    def per_class(self) -> dict[str, dict[str, Figure]]:
        """Scores of single classes, by class and score."""
        found: dict[str, dict[str, Figure]] = {}
        for name, one in self.figures.items():
            score, _, label = name.partition("/")
            if label in self.classes:
                found.setdefault(label, {})[score] = one
        return found

    def plot(self) -> Figures:
        """The reliability curve: how often a species is present where it is said to be so probable. Needs matplotlib.

        Raises:
            ConfigError: the task has none.
            MissingDependency: matplotlib is not installed.
        """
        from zoo.evaluation.pictures import draw_calibration

        return draw_calibration(self)

    def to_json(self) -> str:
        """JSON, the same bytes whatever number of processes measured; what is undefined is `null`."""
        told = self.provenance
        fields: dict[str, Any] = {
            "model": self.model,
            "variant": self.variant,
            "dataset": self.dataset,
            "split": self.split,
            "protocol": self.protocol,
            "num_samples": self.num_samples,
            "metrics": {name: _plain(one) for name, one in self.figures.items()},
            "folds": {name: spread_of(values) for name, values in self.folds.items()},
            **({"tables": self._short_tables()} if self.tables else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
            "weights": told.weights,
            "revision": told.revision,
            "sha256": told.sha256,
            "zoo_version": told.zoo_version,
            "options": dict(sorted(told.options.items())),
        }
        return json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _short_tables(self) -> dict[str, Any]:
        """Tables of few rows; those of many species are for files of their own."""
        return {
            name: {column: [plain_cell(one) for one in cells] for column, cells in table.items()}
            for name, table in self.tables.items()
            if all(len(cells) <= MANY_ROWS for cells in table.values())
        }


def plain_cell(cell: Any) -> Any:
    """A cell of a table as files have it: figures to `DIGITS`, `None` where undefined."""
    return rounded(cell) if isinstance(cell, float) else cell


def rounded(value: float | None) -> float | None:
    """To `DIGITS` significant digits; `None` where there is no number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and standard deviation (n - 1), of the values that are defined; NaN where they are too few."""
    known = [value for value in values if math.isfinite(value)]
    return (
        statistics.mean(known) if known else math.nan,
        statistics.stdev(known) if len(known) > 1 else math.nan,
    )


def spread_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values, as files have them."""
    mean, spread = mean_and_spread(values)
    return {"mean": rounded(mean), "std": rounded(spread), "values": [rounded(value) for value in values]}


def _plain(figure: Figure) -> dict[str, float | None]:
    return {"value": rounded(figure.value), "low": rounded(figure.low), "high": rounded(figure.high)}
