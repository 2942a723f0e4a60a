"""Points drawn over their image, with matplotlib's object interface; the image is read in strips and thinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import InputError, MissingDependency, some
from zoo.io.cog import class_colours
from zoo.io.rasters import open_source
from zoo.io.source import RasterSource
from zoo.results.detections import Array, PointsResult
from zoo.tiling import Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PX = 1024  # ours: more rows or columns than this do not fit on a screen
LIMITS = (2, 98)  # percentiles between which grey levels run
WIDTH_INCH, DPI = 7.0, 150
DOT = 14.0  # points squared


def draw_points(result: PointsResult, image: str | None) -> Figure:
    """The picture of one image's points; see `PointsResult.plot`.

    Raises:
        InputError: the result has no such image.
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependency("pictures need matplotlib: pip install 'lasig-zoo[plot]'") from err
    index = _image(result, image)
    name = result.images[index]
    mine = result.image == index
    source = result.sources.get(name)
    figure = Figure(dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    ratio = 0.75
    if source is not None:
        raster = open_source(next(iter(source.values())) if isinstance(source, dict) else source)
        ratio = raster.height / raster.width
        axes.imshow(_look(raster), extent=(0, raster.width, raster.height, 0), interpolation="nearest")
    else:
        axes.invert_yaxis()
    figure.set_size_inches(WIDTH_INCH, float(np.clip(WIDTH_INCH * ratio, 2.0, 12.0)))
    colours = np.array(class_colours(len(result.classes))) / 255
    for one in np.unique(result.class_ids[mine]):
        x, y = result.xy_px[mine & (result.class_ids == one)].T
        axes.scatter(
            x, y, s=DOT, color=colours[one], edgecolors="white", linewidths=0.5, label=_said(result, one, len(x))
        )
    axes.set_title(f"{name}: {int(mine.sum())} points", fontsize="small")
    axes.tick_params(labelsize="x-small")
    axes.set_aspect("equal")
    if mine.any():
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0.0, fontsize="small")
    return figure


def _said(result: PointsResult, class_id: int, number: int) -> str:
    return f"{result.classes[class_id]} ({number})"


def _image(result: PointsResult, image: str | None) -> int:
    if image is None:
        return int(np.bincount(result.image, minlength=len(result.images)).argmax())
    if image not in result.images:
        raise InputError(
            f"the result has no image {image!r}; its {len(result.images)} images are {some(result.images, 8)}"
        )
    return result.images.index(image)


def _look(raster: RasterSource) -> Array:
    """(h, w, 4) red, green, blue, alpha in 0 ... 1 of the first three bands, or of the first as grey."""
    step = -(-max(raster.height, raster.width) // SHOWN_PX)
    names = [(name or "").lower() for name in raster.names]
    colours = ("red", "green", "blue")
    channels = [names.index(one) for one in colours] if set(colours) <= set(names) else [0, 1, 2][: raster.count]
    channels = channels if len(channels) == 3 else channels[:1]
    strips = [raster.read(Window(row, 0, 1, raster.width), channels) for row in range(0, raster.height, step)]
    pixels = np.concatenate([one[:, :, ::step] for one, _ in strips], axis=1).astype(np.float64)
    seen = np.concatenate([mask[:, ::step] for _, mask in strips], axis=0)
    if raster.dtype == "uint8":
        low, high = 0.0, 255.0
    else:
        low, high = np.percentile(pixels[:, seen], LIMITS) if seen.any() else (0.0, 1.0)
    shares = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1)
    rgb = np.broadcast_to(shares, (3, *shares.shape[1:])) if len(shares) == 1 else shares
    return np.concatenate([np.moveaxis(rgb, 0, -1), seen[..., None].astype(np.float64)], axis=-1)
