"""Pictures of explanations, with matplotlib's object interface: bars per species, maps per group, response curves."""

# P groups

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import InputError, MissingDependency
from zoo.explain.result import BASE, WHOLE, Bars, ExplanationMap, Panel
from zoo.io.source import Pixels
from zoo.results.pictures import extent_of, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zoo.explain.curves import Curve, Curves

UP, DOWN = "#b2452f", "#2f6ea3"  # ours: red and blue that are told apart without red or green cones, and in print
MOST_BARS, MOST_PANELS = 20, 9  # ours: more do not fit on a page
WIDTH_INCH, BAR_INCH, DPI = 6.4, 0.3, 150
PERCENTILE = 99  # of the absolute contributions, at which the colours of maps end: single cells would wash them out
COLUMNS = 3  # of maps
CURVES, CURVE_ROWS = 4, 6  # columns and rows of response curves, ours: what a page holds
LINE, ALONE = "#2b5c8a", "#c05a1f"  # ours: blue and orange, likewise told apart


def draw_bars(bars: Bars) -> Figure:
    """See `Explanation.plot`.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = _figure()
    panels = bars.panels[:MOST_PANELS]
    shown = min(len(bars.groups), MOST_BARS + 1)
    figure.set_size_inches(WIDTH_INCH, len(panels) * (shown * BAR_INCH + 0.95) + 0.25)
    grid: Any = figure.subplots(len(panels), 1, squeeze=False, sharex=True)
    for axes, one in zip(grid[:, 0], panels, strict=True):
        _draw_panel(axes, bars, one)
    ends = np.array([axes.dataLim.intervalx for axes in grid[:, 0]])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    span = high - low or 1.0
    grid[0, 0].set_xlim(low - 0.03 * span, high + 0.13 * span)  # room for the numbers
    left_out = len(bars.panels) - len(panels)
    more = f"; {left_out} more species are not drawn: --species says which" if left_out else ""
    grid[-1, 0].set_xlabel(
        f"adds to the {bars.value}{bars.over and f', mean over {bars.over}'}{more}", fontsize="small"
    )
    return figure


def _draw_panel(axes: Axes, bars: Bars, one: Panel) -> None:
    names, up, down, errors = _longest(bars.groups, one)
    rows = np.arange(len(names))
    axes.barh(rows, up, color=UP, height=0.72)
    axes.barh(rows, down, color=DOWN, height=0.72)
    ends = up.copy()
    if errors is not None:
        known = np.isfinite(errors)
        axes.errorbar((up + down)[known], rows[known], xerr=errors[known], fmt="none", ecolor="0.2", capsize=2, lw=0.9)
        ends = np.maximum(up, up + down + np.nan_to_num(errors))
    for row, total in enumerate(up + down):
        said = f"{total:+.3f}".replace("-", "\N{MINUS SIGN}") if round(total, 3) else "0"
        beside: Any = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(said, (ends[row], row), fontsize="x-small", color="0.25", **beside)
    axes.axvline(0, color="0.2", lw=0.8)
    axes.set_yticks(rows, names, fontsize="small")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize="x-small", labelbottom=True)
    axes.grid(axis="x", color="0.9", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title(one.title, fontsize="medium", fontweight="bold", loc="left")
    told = f"{bars.value}: {one.base:.3f} without, {one.whole:.3f} with all"
    axes.set_title(told, fontsize="x-small", color="0.35", loc="right")


def _longest(groups: tuple[str, ...], one: Panel) -> tuple[list[str], Any, Any, Any]:
    """Names, what raises, what lowers, and errors, longest first; those that do not fit are one bar."""
    order = np.argsort(-(one.up - one.down), kind="stable")
    first, rest = order[:MOST_BARS], order[MOST_BARS:]
    if len(rest) == 1:
        first, rest = order, order[:0]
    names, up, down = [groups[index] for index in first], one.up[first], one.down[first]
    errors = None if one.errors is None else one.errors[first]
    if len(rest):
        names.append(f"{len(rest)} others")
        up, down = np.append(up, one.up[rest].sum()), np.append(down, one.down[rest].sum())
        errors = None if errors is None else np.append(errors, np.nan)
    return names, up, down, errors


def draw_maps(result: ExplanationMap) -> Figure:
    """See `ExplanationMap.plot`.

    Raises:
        InputError: the file holds no explanation.
        MissingDependency: matplotlib is not installed.
    """
    groups = [name for name in result.names if name not in (BASE, WHOLE)]
    if tuple(result.names) != (*groups, BASE, WHOLE):
        raise InputError(f"the map has the bands {', '.join(result.names[:8])}; expected groups, {BASE} and {WHOLE}")
    shown = [*groups[: MOST_PANELS - 1], WHOLE]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure()
    side = 2.5
    ratio = float(np.clip(result.grid.height / result.grid.width, 0.3, 3.0))
    figure.set_size_inches(columns * side + 0.9, rows * (side * ratio + 0.35) + 0.6)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    values = _values(result)
    parts = np.abs(values[: len(groups)])
    limit = float(np.nanpercentile(parts, PERCENTILE)) if np.isfinite(parts).any() else 0.0
    limit = limit or 1e-6
    images = {}
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, name in zip(grid.ravel(), shown, strict=False):
        whole = name == WHOLE
        colours: Any = {"cmap": "viridis", "vmin": 0, "vmax": 1} if whole else _diverging(limit)
        picture = np.ma.masked_invalid(values[result.names.index(name)])
        images[whole] = axes.imshow(picture, extent=extent_of(result), interpolation="nearest", **colours)
        axes.set_title("probability of presence" if whole else name, fontsize="small")
    # Beside and below all panels, so that all have one size.
    beside = figure.colorbar(images[False], ax=grid, extend="both", shrink=0.8, aspect=30)
    below = figure.colorbar(images[True], ax=grid, location="bottom", shrink=0.5, aspect=30)
    for bar, told in ((beside, "adds to the probability"), (below, "probability of presence")):
        bar.set_label(told, fontsize="x-small")
        bar.ax.tick_params(labelsize="x-small")
    options = result.provenance.options if result.provenance else {}
    figure.suptitle(options.get("species", ""), fontsize="medium", fontweight="bold")
    return figure


def draw_curves(result: Curves) -> Figure:
    """See `Curves.plot`.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    single = len(result.species) == 1
    curves = _steepest(result, CURVES * 3 if single else CURVES)
    rows = [curves[start : start + CURVES] for start in range(0, len(curves), CURVES)] if single else [curves]
    panels = [(number, row) for number in range(min(len(result.species), CURVE_ROWS)) for row in rows]
    figure = _figure()
    columns = max(len(row) for row in rows)
    figure.set_size_inches(columns * 2.1 + 0.7, len(panels) * 1.9 + 0.5)
    grid: Any = figure.subplots(len(panels), columns, squeeze=False, sharey=True)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, (number, row) in zip(grid, panels, strict=True):
        for axes, curve in zip(line, row, strict=False):
            axes.set_axis_on()
            _draw_curve(axes, curve, number)
        line[0].set_ylabel("probability", fontsize="x-small")
        if row is rows[0]:
            line[0].set_title(result.species[number], fontsize="small", fontweight="bold", loc="left")
    grid[0, 0].set_ylim(bottom=0)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    left_out = len(result.species) - min(len(result.species), CURVE_ROWS)
    if left_out:
        title = f"{left_out} more species are not drawn: --species says which"
        figure.suptitle(title, x=0.99, ha="right", fontsize="x-small", color="0.4")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="x-small", frameon=False)
    return figure


def _steepest(result: Curves, most: int) -> tuple[Curve, ...]:
    """The curves along which the probabilities change most, in their order; all where there are few."""
    swings = [np.ptp(one.profile[0], axis=1).max() for one in result.curves]
    chosen = sorted(np.argsort(-np.array(swings), kind="stable")[:most])
    return tuple(result.curves[index] for index in chosen)


def _draw_curve(axes: Axes, curve: Curve, number: int) -> None:
    mean, low, high = curve.profile[:, number]
    marker = "o" if len(curve.values) == 1 else None  # all sites have one value
    axes.plot(curve.values, mean, color=LINE, lw=1.6, marker=marker, label="profile: others as at the sites, mean")
    if curve.alone is not None:
        axes.plot(
            curve.values,
            curve.alone[number],
            color=ALONE,
            lw=1.4,
            ls="--",
            marker=marker,
            label="alone: nothing else shown",
        )
    axes.fill_between(curve.values, low, high, color=LINE, alpha=0.18, lw=0, label="profile of 80 % of the sites")
    seen = curve.seen[np.isfinite(curve.seen)]
    across = axes.get_xaxis_transform()
    axes.vlines(seen, 0, 0.035, transform=across, color="0.25", lw=0.4, alpha=0.6)
    unit = "" if curve.unit == "1" else f" ({curve.unit})"
    axes.set_xlabel(f"{curve.predictor}{unit}", fontsize="x-small", labelpad=2)
    axes.tick_params(labelsize="xx-small", length=2)
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _diverging(limit: float) -> dict[str, Any]:
    return {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}


def _values(result: ExplanationMap) -> Pixels:
    """(bands, h, w), NaN where there are none."""
    found = thinned(result, lambda pixels, valid: np.moveaxis(np.where(valid, pixels, np.nan), 0, -1))
    return np.moveaxis(found, -1, 0)


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependency("pictures need matplotlib: pip install 'lasig-zoo[plot]'") from err
    return Figure(dpi=DPI, layout="constrained")
