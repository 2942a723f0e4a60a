"""How much of each image every class covers, in percent of what is labelled and, on the ground, in square metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zoo.io.grid import Grid
from zoo.results.maps import RasterResult
from zoo.results.provenance import Provenance
from zoo.results.rows import RowsResult
from zoo.tiling import Window

STRIPS = 256  # ours: a pixel's area changes with latitude; within a 256th of the map's height it is taken as constant

Counts = np.ndarray[Any, np.dtype[np.int64]]
Areas = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Cover:
    """Of one image: pixels of each class (K,), and their area in m2, NaN where there is no CRS."""

    pixels: Counts
    areas_m2: Areas
    labelled: int  # pixels with data that are not void


@dataclass(frozen=True, kw_only=True)
class CoverTable:
    """Cover of each class, a row per image.

    Attributes:
        images: name of each.
        classes: names of the K classes; those that mean "not labelled" are left out.
        pixels: (N, K).
        labelled: (N,), pixels with a class. Where classes may hold together, the K columns do not add up to it.
        areas_m2: (N, K), NaN for images without a CRS.
        provenance: how the maps were made.
        failures: images that could not be read, and why.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    pixels: Counts
    labelled: Counts
    areas_m2: Areas
    provenance: Provenance
    failures: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def percent(self) -> Areas:
        """(N, K), of the labelled pixels of each image; NaN where there are none."""
        labelled = np.where(self.labelled > 0, self.labelled, np.nan)[:, None]
        share: Areas = 100.0 * self.pixels / labelled
        return share

    def rows(self) -> RowsResult:
        """A row per image: name, labelled pixels, percent of each class, and m2 of each where an image has a CRS."""
        columns: list[tuple[str, Any]] = [("image", pa.array(self.images, pa.string()))]
        columns.append(("labelled_pixels", pa.array(self.labelled)))
        columns += [(name, pa.array(values)) for name, values in zip(self.classes, self.percent.T, strict=True)]
        if np.isfinite(self.areas_m2).any():
            areas = zip(self.classes, self.areas_m2.T, strict=True)
            columns += [(f"{name} m2", pa.array(values, from_pandas=True)) for name, values in areas]
        names, arrays = zip(*columns, strict=True)
        return RowsResult(table=pa.table(list(arrays), names=list(names)), provenance=self.provenance)

    def save(self, path: str | Path) -> Path:
        """Write `.csv`, `.parquet` or `.geojson` (without places); see `RowsResult.save`."""
        return self.rows().save(path)


def cover_of(result: RasterResult, void: Sequence[str] = ()) -> Cover:
    """Cover of each class of a class map, read block by block.

    Args:
        result: a map of class ids, or bands of 0 and 1, one per class.
        void: classes that mean "not labelled".
    """
    banded = len(result.names) > 1 or result.classes == ("absent", "present")
    names = result.names if banded else result.classes
    pixels, areas = np.zeros(len(names), np.int64), np.zeros(len(names))
    labelled = 0
    kept = np.array([name not in void for name in names])
    strip_rows, strip_areas = _strip_areas(result.grid)
    for block in result.blocks():
        end = block.row + block.height
        for strip in range(block.row // strip_rows, -(-end // strip_rows)):
            first, last = max(strip * strip_rows, block.row), min((strip + 1) * strip_rows, end)
            window = Window(first, block.col, last - first, block.width)
            here, seen = _counted(result, window, len(names), banded=banded)
            pixels += here
            areas += here * strip_areas[strip]
            labelled += seen if banded else int(here[kept].sum())
    return Cover(pixels=pixels[kept], areas_m2=areas[kept], labelled=labelled)


def cover_table(
    covers: Mapping[str, Cover],
    classes: Sequence[str],
    void: Sequence[str],
    provenance: Provenance,
    failures: Mapping[str, str],
) -> CoverTable:
    """The covers of several images, by name."""
    kept = tuple(name for name in classes if name not in void)
    rows = list(covers.values())
    return CoverTable(
        images=tuple(covers),
        classes=kept,
        pixels=np.array([row.pixels for row in rows], np.int64).reshape(-1, len(kept)),
        labelled=np.array([row.labelled for row in rows], np.int64),
        areas_m2=np.array([row.areas_m2 for row in rows], np.float64).reshape(-1, len(kept)),
        provenance=provenance,
        failures=dict(failures),
    )


def _counted(result: RasterResult, window: Window, num_classes: int, *, banded: bool) -> tuple[Counts, int]:
    """Pixels of each class, and pixels with data."""
    values = result.read(window)
    valid = result.valid(values)
    if banded:
        return values[:, valid].astype(np.int64).sum(axis=1), int(valid.sum())
    counts = np.bincount(values[0][valid], minlength=num_classes)[:num_classes]
    return counts.astype(np.int64), int(valid.sum())


def _strip_areas(grid: Grid) -> tuple[int, list[float]]:
    """Rows per strip, and m2 of a pixel in each; NaN without a CRS."""
    rows = -(-grid.height // STRIPS)
    if grid.crs is None:
        return grid.height, [float("nan")]
    sides = (
        grid.crop(Window(top, 0, min(rows, grid.height - top), grid.width)).gsd_m for top in range(0, grid.height, rows)
    )
    return rows, [float("nan") if side is None else side * side for side in sides]
