"""The curves of a run as a picture: loss, learning rate, and what was measured, over optimiser steps.

matplotlib's object interface is used, without `pyplot`: no global state, no window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import MissingDependency
from zoo.io.whole import whole
from zoo.training.config import TrainConfig
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 8  # of measurements, ours: more are scores of single classes, and stand in the log
SMOOTH = 15  # ours: the smoothed loss averages over about 1/15 of a phase ...
LEAST = 9  # ... and over no fewer values than this
DECADES = 1.5  # ours: a loss that spans more is drawn on a logarithmic scale
INK, FAINT, LOSS, RATE, METRIC, BEST = "#333333", "#8a8a8a", "#2f6db3", "#7a5195", "#2a8a6a", "#d1495b"


@dataclass(kw_only=True, slots=True)
class Curves:
    """What is drawn, over optimiser steps of all phases together.

    Attributes:
        phases: (name, first step, last step) in order.
        logged: `{name: {step: value}}` of training.
        measured: the same of validation.
        metric: that chooses the best.
        best: the step of the best.
    """

    phases: list[tuple[str, int, int]] = field(default_factory=list)
    logged: dict[str, dict[int, float]] = field(default_factory=dict)
    measured: dict[str, dict[int, float]] = field(default_factory=dict)
    metric: str | None = None
    best: int | None = None


def curves_of(events: Sequence[TrainEvent], config: TrainConfig) -> Curves:
    """Where two events are of one step (a run that was resumed), the later one counts."""
    curves = Curves(metric=config.best.metric if config.best else None)
    ends: dict[str, int] = {}
    for event in events:
        if event.phase:
            ends[event.phase] = max(ends.get(event.phase, 0), event.step)
    starts, start = {}, 0
    for phase, end in ends.items():
        curves.phases.append((phase, start, start + end))
        starts[phase], start = start, start + end
    for event in events:
        kinds = {Happened.LOGGED: curves.logged, Happened.EVALUATED: curves.measured}
        if event.kind in kinds:
            for name, value in event.values.items():
                kinds[event.kind].setdefault(name, {})[starts[event.phase] + event.step] = value
    if best := best_of(events, config):
        curves.best = starts[best.phase] + best.step
    return curves


def draw_curves(run: RunFolder) -> Path | None:
    """Write `curves.png` of a run; `None` where nothing was logged yet.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    curves = curves_of(run.events(), run.read_config())
    if not curves.logged and not curves.measured:
        return None
    figure = _drawn(curves, title=run.path.resolve().name)
    with whole(run.curves) as part:
        figure.savefig(part, dpi=130, metadata={"Software": None})
    return run.curves


def smoothed(values: Sequence[float], span: int) -> list[float]:
    """Mean of the values around each, weighted by a triangle of `span` values; what is no number is skipped.

    Centred, since a mean of the past alone lags behind a loss that falls. At both ends the triangle is cut.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = np.isfinite(numbers)
    half = max(min(span, 2 * len(numbers) - 1) // 2, 0)
    triangle = np.concatenate([np.arange(1, half + 2), np.arange(half, 0, -1)])
    total, weight = (
        np.convolve(one, triangle)[half : half + len(numbers)] for one in (np.where(known, numbers, 0.0), known * 1.0)
    )
    return [float(one) for one in np.where(weight > 0, total / np.maximum(weight, 1), math.nan)]


# ------------------------------------------------------------------------------------------------------------- drawing


def _drawn(curves: Curves, *, title: str) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependency("curves need matplotlib: pip install 'lasig-zoo[train]'") from err
    names = _chosen(curves)
    rows = -(-len(names) // 2)
    heights = [3.0, 1.1, *([1.9] * rows)]  # inches, ours
    figure = Figure(figsize=(9.5, sum(heights) + 0.9), layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    grid = figure.add_gridspec(2 + rows, 2, height_ratios=heights)
    top = figure.add_subplot(grid[0, :])
    _loss(top, curves)
    rate = figure.add_subplot(grid[1, :], sharex=top)
    _rate(rate, curves)
    panels = [top, rate]
    for index, name in enumerate(names):
        wide = index == len(names) - 1 and index % 2 == 0  # the last of an odd number
        place = grid[2 + index // 2, :] if wide else grid[2 + index // 2, index % 2]
        panel = figure.add_subplot(place, sharex=top)
        _metric(panel, name, curves)
        panels.append(panel)
    for panel in panels:
        _dress(panel, curves)
    for panel in panels[-2 if names and len(names) % 2 == 0 else -1 :]:
        panel.set_xlabel("optimiser steps", fontsize=9, color=INK)
    _name_phases(top, curves)
    return figure


def _chosen(curves: Curves) -> list[str]:
    """Metrics with a panel of their own: the one that decides first, as many as fit."""
    names = [name for name in curves.measured if name != "loss"]
    return sorted(names, key=lambda name: name != curves.metric)[:MOST_PANELS]


def _loss(panel: Axes, curves: Curves) -> None:
    raw = curves.logged.get("loss", {})
    for index, (_, low, high) in enumerate(curves.phases):
        part = {step: raw[step] for step in sorted(raw) if low < step <= high or step == low == 0}
        if not part:
            continue
        steps, values = [*part], [*part.values()]
        label = "training" if index == len(curves.phases) - 1 else None
        panel.plot(steps, values, color=LOSS, alpha=0.25, linewidth=0.9)
        panel.plot(steps, smoothed(values, max(len(values) // SMOOTH, LEAST)), color=LOSS, linewidth=1.9, label=label)
    if measured := curves.measured.get("loss"):
        steps = sorted(measured)
        panel.plot(
            steps, [measured[step] for step in steps], color=BEST, linewidth=1.2, marker="o", ms=3.5, label="validation"
        )
        if curves.metric == "loss" and curves.best in measured:
            _mark(panel, curves.best, measured[curves.best])
    seen = [one for one in (*raw.values(), *curves.measured.get("loss", {}).values()) if math.isfinite(one)]
    if seen and min(seen) > 0 and math.log10(max(seen) / min(seen)) > DECADES:
        panel.set_yscale("log")
    _say(panel, "loss", "smoothed; as logged behind it" if raw else "")
    if measured and raw:
        panel.legend(frameon=False, fontsize=9, loc="upper right", labelcolor=INK)


def _rate(panel: Axes, curves: Curves) -> None:
    from matplotlib.ticker import MaxNLocator

    rates = {name: row for name, row in curves.logged.items() if name == "lr" or name.startswith("lr.")}
    for index, (name, row) in enumerate(rates.items()):
        steps = sorted(row)
        label = name.partition(".")[2] or "all others"
        panel.plot(steps, [row[step] for step in steps], color=RATE, linewidth=1.5, alpha=1 / (index + 1), label=label)
    panel.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    panel.yaxis.set_major_locator(MaxNLocator(3))
    panel.set_ylim(bottom=0)
    _say(panel, "learning rate")
    if len(rates) > 1:
        panel.legend(frameon=False, fontsize=8, loc="upper right", labelcolor=INK, ncols=len(rates))


def _metric(panel: Axes, name: str, curves: Curves) -> None:
    row = {step: value for step, value in sorted(curves.measured[name].items()) if math.isfinite(value)}
    steps, values = [*row], [*row.values()]
    panel.plot(steps, values, color=METRIC, linewidth=1.5, marker="o", ms=3)
    at = curves.best
    if at in row:
        _mark(panel, at, row[at])
        note = f"best {row[at]:.4g}, step {at:,}" if name == curves.metric else f"{row[at]:.4g} at that step"
    else:
        note = f"last {values[-1]:.4g}" if values else "no number"
    panel.margins(y=0.15)
    _say(panel, name, note)


def _mark(panel: Axes, step: int, value: float) -> None:
    panel.plot(step, value, marker="*", ms=13, color=BEST, markeredgecolor="white", zorder=5, clip_on=False)


def _say(panel: Axes, what: str, note: str = "") -> None:
    """The heading of a panel, and a remark at its right."""
    panel.set_title(what, loc="left", fontsize=10, fontweight="bold", color=INK)
    panel.set_title(note, loc="right", fontsize=8.5, color=FAINT)


def _dress(panel: Axes, curves: Curves) -> None:
    """What all panels share: few lines, phases as shaded spans."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for index, (_, low, high) in enumerate(curves.phases):
        if index % 2:
            panel.axvspan(low, high, color="#eef1f5", zorder=0, linewidth=0)
    end = curves.phases[-1][2] if curves.phases else 1
    panel.set_xlim(0, max(end, 1) * 1.02)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    panel.grid(axis="y", color="#e3e3e3", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8.5, colors=INK, length=3)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b0b0b0")


def _name_phases(panel: Axes, curves: Curves) -> None:
    """Names at the top of their spans, where there is more than one."""
    if len(curves.phases) < 2:
        return
    for name, low, high in curves.phases:
        panel.annotate(
            name,
            ((low + high) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -11),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=FAINT,
        )
