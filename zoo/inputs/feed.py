"""One input of a model, fed from one raster or photograph: bands matched by name, numbers brought to the declared ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.errors import InputError, ZooWarning
from zoo.inputs.match import match
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.radiometry import Radiometry, product_level, radiometry
from zoo.inputs.ranges import check_range
from zoo.io.rasters import open_source
from zoo.io.source import Mask, Pixels, RasterSource
from zoo.options import Options
from zoo.spec import InputSpec
from zoo.tiling import Window

SAMPLE_WINDOWS = 3  # per axis; ours: nine small windows show a wrong scale at no cost
SAMPLE_SIDE = 128
GSD_SLACK = 2.0  # ours: pixels of half or twice the side are still of the same kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One input of the model, fed from one source; `said` is what file and user say of the numbers."""

    name: str
    spec: InputSpec
    source: RasterSource
    channels: tuple[int, ...]
    preprocess: Preprocess
    said: Radiometry

    def read(self, window: Window) -> tuple[Pixels, Mask]:
        """(C, h, w) numbers of the source in the input's order, and (h, w) where they are data."""
        return self.source.read(window, self.channels)


def open_input(
    choices: Sequence[InputSpec],
    item: Any,
    options: Options,
    *,
    where: str,
    shared_with: Sequence[InputSpec] = (),
    doubted: set[str] | None = None,
    doubting: bool = True,
) -> Feed:
    """Open the source of one input.

    Args:
        choices: the alternatives for the input, all of one name.
        item: what `zoo.io.rasters.open_source` opens.
        options: what the source does not say itself; mappings are of input names.
        where: the source, for messages.
        shared_with: other inputs that are fed from the same source.
        doubted: doubts that were told already, and are not told again; see `check_range`.
        doubting: whether to look at pixel size and at a sample of the numbers.

    Raises:
        InputError: the source cannot be read, is too small, or its bands do not fit.
    """
    name = choices[0].name
    options = options.of_input(name)
    source = open_source(item, choices, crs=options.crs, nodata=options.nodata)
    matched = match(
        choices,
        source.names,
        bands=options.bands,
        sensor=options.sensor,
        level=product_level(source.tags),
        shared_with=shared_with,
        where=where,
    )
    if options.nodata is None and source.nodata is None and matched.spec.nodata is not None:
        source = source.declared(nodata=matched.spec.nodata)
    said = radiometry(
        source.tags,
        [source.scales[channel] for channel in matched.channels],
        [source.offsets[channel] for channel in matched.channels],
        scale=options.scale,
        offset=options.offset,
        baseline=options.baseline,
        where=where,
    )
    preprocess = Preprocess(matched.spec, to_declared=said.to_declared(matched.spec, where))
    feed = Feed(
        name=name, spec=matched.spec, source=source, channels=matched.channels, preprocess=preprocess, said=said
    )
    _check_size(feed, where)
    if doubting:
        _check_gsd(feed, where, doubted)
        _check_numbers(feed, where, doubted)
    return feed


def _check_size(feed: Feed, where: str) -> None:
    least = feed.spec.multiple
    if min(feed.source.height, feed.source.width) < least:
        raise InputError(
            f"{where} is {feed.source.height} x {feed.source.width} px; expected at least {least} x {least} px,"
            " the smallest that the network sees; give a larger scene"
        )


def _check_gsd(feed: Feed, where: str, doubted: set[str] | None) -> None:
    """Warn when pixels are much finer or coarser than those that the model was made for."""
    declared, found = feed.spec.gsd_m, feed.source.gsd_m
    if declared is None or found is None:
        return
    finest, coarsest = declared
    if finest / GSD_SLACK <= found <= coarsest * GSD_SLACK or (doubted is not None and "gsd" in doubted):
        return
    if doubted is not None:
        doubted.add("gsd")
    wanted = f"{finest:g} m" if finest == coarsest else f"{finest:g} to {coarsest:g} m"
    warnings.warn(
        f"{where} has pixels of {found:.3g} m, and {feed.spec.label or feed.name} was made for {wanted}: what the network"
        " takes for a field may be a forest; resample the scene (gdalwarp -tr) if the answer looks wrong",
        ZooWarning,
        stacklevel=2,
    )


def _check_numbers(feed: Feed, where: str, doubted: set[str] | None) -> None:
    """Warn when a sample of the pixels cannot belong to the declared statistics."""
    source = feed.source
    side = min(SAMPLE_SIDE, source.height, source.width)
    rows = np.unique(np.linspace(0, source.height - side, SAMPLE_WINDOWS).astype(int))
    cols = np.unique(np.linspace(0, source.width - side, SAMPLE_WINDOWS).astype(int))
    windows = [Window(int(row), int(col), side, side) for row in rows for col in cols]
    pixels, valid = zip(*(feed.read(window) for window in windows), strict=True)
    data = np.concatenate([one[:, mask] for one, mask in zip(pixels, valid, strict=True)], axis=1)
    if data.shape[1]:
        percentiles = np.nanpercentile(data.astype(np.float64), [1, 50, 99], axis=1)
        check_range(feed.spec, percentiles, radiometry=feed.said, where=where, doubted=doubted)
