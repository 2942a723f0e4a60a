"""Pictures of evaluations, with matplotlib's object interface: the reliability curve of probabilities."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ConfigError, MissingDependency
from zoo.evaluation.result import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE, BARS, FAINT = "#2f6ea3", "#b9c9d9", "0.45"
SIDE_INCH, DPI = 4.8, 150
NOTE, LONG = 100, 28  # letters in a line of notes, and of a title beside the mean difference; ours


def draw_calibration(evaluation: Evaluation) -> Figure:
    """How often a species is present where it is said to be so probable, in ten bins; and how many cells each bin has.

    A cell is a species at a site. Points on the diagonal: probabilities mean what they say. Lines are 95 % bootstrap
    intervals over sites, where the evaluation has some.

    Raises:
        ConfigError: the evaluation is of a task without calibration.
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependency("pictures need matplotlib: pip install 'lasig-zoo[plot]'") from err
    if "calibration" not in evaluation.tables:
        raise ConfigError(
            f"{evaluation.model} has no calibration to draw; the metric of the task sdm has (protocol head)"
        )
    table = {name: np.asarray(column, np.float64) for name, column in evaluation.tables["calibration"].items()}
    notes = [line for one in evaluation.notes for line in textwrap.wrap(f"{one}.", NOTE)]
    figure = Figure(dpi=DPI, layout="constrained", figsize=(SIDE_INCH, SIDE_INCH * 1.3 + 0.16 * len(notes)))
    axes: Any = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    curve, counts = axes
    curve.plot([0, 1], [0, 1], color="0.6", lw=0.9, ls=(0, (4, 3)), zorder=1)
    known = table["cells"] > 0
    if np.isfinite(table["low"][known]).any():
        curve.vlines(
            table["probability"][known], table["low"][known], table["high"][known], color=LINE, lw=1.3, alpha=0.6
        )
    curve.plot(table["probability"][known], table["frequency"][known], color=LINE, marker="o", ms=4.5, lw=1.3)
    curve.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="frequency of presence")
    error = evaluation.values.get("calibration_error")
    told = "" if error is None else f"mean difference {error:.3f}"
    title = evaluation.title if len(evaluation.title) <= LONG else evaluation.title.replace(" (", "\n(")
    curve.set_title(title, fontsize="medium", fontweight="bold", loc="left")
    curve.set_title(told, fontsize="x-small", color=FAINT, loc="right")
    width = table["to"] - table["from"]
    counts.bar(table["from"], table["cells"], width=0.92 * width, align="edge", color=BARS)
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylim(0, max(float(table["cells"].max()) * 4, 1))
    for start, num, one in zip(table["from"], table["cells"], width, strict=True):
        if num:
            counts.annotate(
                _short(num), (start + 0.46 * one, num), xytext=(0, 2), textcoords="offset points", ha="center",
                fontsize="xx-small", color=FAINT,
            )  # fmt: skip
    counts.set(xlabel="probability of presence", ylabel="cells")
    for one in (curve, counts):
        one.grid(color="0.92", lw=0.7)
        one.set_axisbelow(True)
        one.tick_params(labelsize="x-small")
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    if notes:
        figure.supxlabel("\n".join(notes), fontsize="xx-small", color=FAINT, x=0.02, ha="left")
    return figure


def _short(num: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if num >= size:
            return f"{num / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{num:.0f}"
