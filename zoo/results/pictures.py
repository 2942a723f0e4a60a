"""Pictures of maps, drawn with matplotlib from a bounded number of pixels.

matplotlib's object interface is used, without `pyplot`: no global state, no window, safe in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import InputError, MissingDependency, some
from zoo.io.cog import palette
from zoo.io.source import Pixels
from zoo.tiling import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zoo.results.maps import RasterResult

SAMPLE = 20_000  # ours: pixels that principal components and colour limits are fitted on
SHOWN_PX = 1024  # ours: more rows or columns than this do not fit on a screen
LIMITS = (2, 98)  # percentiles between which colours run
WIDTH_INCH, DPI = 6.0, 150
MAX_LEGEND = 30  # classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """Principal components, and the limits of their scores on the sample."""

    mean: np.ndarray[Any, Any]  # (D,)
    axes: np.ndarray[Any, Any]  # (D, 3)
    low: np.ndarray[Any, Any]  # (3,)
    high: np.ndarray[Any, Any]

    def colours(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Red, green and blue in 0 ... 1 of vectors (N, D)."""
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        shares: np.ndarray[Any, Any] = np.clip(((rows - self.mean) @ self.axes - self.low) / span, 0.0, 1.0)
        return shares


def fit_components(rows: np.ndarray[Any, Any]) -> Components:
    """The first three principal components of vectors (N, D), float64; fewer than three dimensions leave channels at 0.

    The sign of a component is that of its largest loading, so that equal vectors give equal colours on every machine.
    """
    mean = rows.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(rows - mean, rowvar=False).reshape(rows.shape[1], -1))
    axes = np.zeros((rows.shape[1], 3))
    kept = vectors[:, ::-1][:, :3]
    axes[:, : kept.shape[1]] = kept * np.sign(kept[np.abs(kept).argmax(axis=0), range(kept.shape[1])])
    low, high = np.percentile((rows - mean) @ axes, LIMITS, axis=0)
    return Components(mean=mean, axes=axes, low=low, high=high)


def draw(result: RasterResult, band: str | None = None) -> Figure:
    """The picture of a map; see `RasterResult.plot`.

    Raises:
        InputError: there is no band of that name.
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependency("pictures need matplotlib: pip install 'lasig-zoo[plot]'") from err
    place = _place(result, band)
    ratio = result.grid.height / result.grid.width
    figure = Figure(figsize=(WIDTH_INCH, float(np.clip(WIDTH_INCH * ratio, 2.0, 12.0))), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    if place is None:
        _draw_components(axes, result)
    elif result.classes and np.dtype(result.dtype).kind in "ui":
        _draw_classes(axes, result, place)
    else:
        _draw_numbers(figure, axes, result, place)
    _label_axes(axes, result)
    return figure


def _place(result: RasterResult, band: str | None) -> int | None:
    if band is None:
        return 0 if len(result.names) == 1 else None
    if band not in result.names:
        raise InputError(f"the map has no band {band!r}; its {len(result.names)} bands are {some(result.names, 8)}")
    return result.names.index(band)


def _draw_components(axes: Axes, result: RasterResult) -> None:
    sample = _thinned(result, _sample_step(result), _vectors)
    rows = sample[np.isfinite(sample).all(axis=-1)]
    fitted = fit_components(rows) if len(rows) > 1 else None

    def colours(pixels: Pixels, valid: Pixels) -> Pixels:
        rgba = np.zeros((*valid.shape, 4), np.float32)
        if fitted is not None:
            rgba[valid, :3] = fitted.colours(pixels[:, valid].T.astype(np.float64))
        rgba[..., 3] = valid
        return rgba

    axes.imshow(_thinned(result, _shown_step(result), colours), extent=extent_of(result), interpolation="nearest")


def _draw_classes(axes: Axes, result: RasterResult, place: int) -> None:
    from matplotlib.patches import Patch

    colours = np.array(palette(result.classes, result.colours), np.uint8)
    ids = _thinned(result, _shown_step(result), lambda pixels, valid: np.where(valid, pixels[place].astype(int), -1))
    known = (ids >= 0) & (ids < len(colours))
    axes.imshow(
        np.where(known[..., None], colours[np.where(known, ids, 0)], 0),
        extent=extent_of(result),
        interpolation="nearest",
    )
    present = np.unique(ids[known])[:MAX_LEGEND]
    if len(present):
        patches = [Patch(color=colours[index] / 255, label=result.classes[index]) for index in present]
        axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0.0)


def _draw_numbers(figure: Figure, axes: Axes, result: RasterResult, place: int) -> None:
    numbers = _thinned(
        result, _shown_step(result), lambda pixels, valid: np.where(valid, pixels[place].astype(np.float64), np.nan)
    )
    known = numbers[np.isfinite(numbers)]
    low, high = np.percentile(known, LIMITS) if known.size else (0.0, 1.0)
    image = axes.imshow(
        np.ma.masked_invalid(numbers), vmin=low, vmax=high, extent=extent_of(result), interpolation="nearest"
    )
    unit = "" if result.unit in ("", "1") else f" ({result.unit})"
    figure.colorbar(image, ax=axes, label=result.names[place] + unit, extend="both", shrink=0.8)


def _vectors(pixels: Pixels, valid: Pixels) -> Pixels:
    """(h, w, D) in float64, NaN where there are no data."""
    return np.where(valid[..., None], np.moveaxis(pixels, 0, -1).astype(np.float64), np.nan)


def thinned(result: RasterResult, look: Callable[[Pixels, Pixels], Pixels]) -> Pixels:
    """What `look` makes of the rows and columns that fit on a screen: it takes pixels (bands, h, w) and where they have
    data (h, w), and gives (h, w, ...).
    """
    return _thinned(result, _shown_step(result), look)


def _thinned(result: RasterResult, step: int, look: Callable[[Pixels, Pixels], Pixels]) -> Pixels:
    """What `look` makes of every `step`-th row and column, read block by block."""
    shape = (-(-result.grid.height // step), -(-result.grid.width // step))
    whole: Pixels | None = None
    for block in result.blocks():
        rows, cols = _kept(block.row, block.height, step), _kept(block.col, block.width, step)
        if rows.start >= block.height or cols.start >= block.width:
            continue
        pixels = result.read(block)[:, rows, cols]
        seen = look(pixels, result.valid(pixels))
        if whole is None:
            whole = np.zeros((*shape, *seen.shape[2:]), seen.dtype)
        place = Window((block.row + rows.start) // step, (block.col + cols.start) // step, *seen.shape[:2])
        whole[place.slices] = seen
    assert whole is not None, "a map has at least one pixel"
    return whole


def _kept(first: int, size: int, step: int) -> slice:
    return slice(-first % step, size, step)


def _sample_step(result: RasterResult) -> int:
    return max(1, int(np.ceil(np.sqrt(result.grid.height * result.grid.width / SAMPLE))))


def _shown_step(result: RasterResult) -> int:
    return -(-max(result.grid.height, result.grid.width) // SHOWN_PX)


def extent_of(result: RasterResult) -> tuple[float, float, float, float]:
    """Left, right, bottom, top in coordinates of the CRS; in columns and rows where the grid is turned."""
    grid = result.grid
    if grid.crs is None or not grid.transform.is_rectilinear or grid.transform.e > 0:
        return 0.0, float(grid.width), float(grid.height), 0.0
    (left, top), (right, bottom) = (grid.transform @ corner for corner in ((0, 0), (grid.width, grid.height)))
    return left, right, bottom, top


def _label_axes(axes: Axes, result: RasterResult) -> None:
    crs = result.grid.crs
    axes.set_aspect("equal")
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.tick_params(labelsize="x-small")
    axes.locator_params(nbins=5)
    if crs is not None:
        axes.set_xlabel(crs.to_string() if crs.to_epsg() else "x", fontsize="x-small")
