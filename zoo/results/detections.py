"""Results of detection: a row per point, and counts per image and class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rasterio.crs import CRS

from zoo.io import vectors
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.results.provenance import Provenance
from zoo.results.rows import RowsResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[Any]]
BOX = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")


@dataclass(frozen=True, kw_only=True)
class CountTable:
    """How many of each class, a row per image, images with none included.

    Attributes:
        images: name of each.
        classes: names of the K classes.
        counts: (N, K).
        provenance: how the points were found.
        failures: images that could not be used, and why.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Array
    provenance: Provenance
    failures: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def total(self) -> dict[str, int]:
        """Number of each class over all images."""
        return dict(zip(self.classes, self.counts.sum(axis=0).tolist(), strict=True))

    def rows(self) -> RowsResult:
        """A row per image: name, a column per class, `total`."""
        columns = [pa.array(self.images, pa.string()), *map(pa.array, self.counts.T), pa.array(self.counts.sum(axis=1))]
        table = pa.table(columns, names=["image", *self.classes, "total"])
        return RowsResult(table=table, provenance=self.provenance)

    def save(self, path: str | Path) -> Path:
        """Write `.csv`, `.parquet` or `.geojson` (without places); see `RowsResult.save`."""
        return self.rows().save(path)


@dataclass(frozen=True, kw_only=True)
class PointsResult:
    """Points on images.

    Attributes:
        images: name of each image that was looked at, those without points included.
        image: (N,), the number of each point's image.
        xy_px: (N, 2), x and y in pixels of the image: the centre of its first pixel is (0.5, 0.5).
        xy: (N, 2) in the image's CRS, NaN where it has none.
        crs: of each image, as text; empty where it has none.
        class_ids: (N,).
        scores: (N,), 0 ... 1; within an image the best come first.
        boxes_px: (N, 4), x_min, y_min, x_max, y_max, where the network knows the extent.
        classes: names.
        provenance: how the points were found.
        failures: images that could not be used, and why.
        sources: what each image was read from, for `plot`.
    """

    images: tuple[str, ...]
    image: Array
    xy_px: Array
    xy: Array
    crs: tuple[str, ...]
    class_ids: Array
    scores: Array
    boxes_px: Array | None = None
    classes: tuple[str, ...]
    provenance: Provenance
    failures: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    def counts(self) -> CountTable:
        """Number of points per image and class."""
        counts = np.zeros((len(self.images), len(self.classes)), np.int64)
        np.add.at(counts, (self.image, self.class_ids), 1)
        return CountTable(
            images=self.images,
            classes=self.classes,
            counts=counts,
            provenance=self.provenance,
            failures=self.failures,
        )

    def rows(self) -> RowsResult:
        """A row per point: image, x_px, y_px, class, score, and the box where there is one.

        Places are in the images' CRS where they share one, else in longitude and latitude.
        """
        columns: dict[str, Any] = {
            "image": pa.array([self.images[index] for index in self.image], pa.string()),
            "x_px": pa.array(self.xy_px[:, 0]),
            "y_px": pa.array(self.xy_px[:, 1]),
            "class": pa.array([self.classes[index] for index in self.class_ids], pa.string()),
            "score": pa.array(self.scores.astype(np.float32)),
        }
        if self.boxes_px is not None:
            columns |= {name: pa.array(side) for name, side in zip(BOX, self.boxes_px.T, strict=True)}
        places, crs = self._places()
        return RowsResult(table=pa.table(columns), places=places, crs=crs, provenance=self.provenance)

    def save(self, path: str | Path) -> Path:
        """Write `.parquet` (GeoParquet), `.geojson` or `.csv` (with x, y); see `RowsResult.save`."""
        return self.rows().save(path)

    def to_geopandas(self) -> Any:
        """The points as a GeoDataFrame; needs geopandas."""
        return self.rows().to_geopandas()

    def plot(self, image: str | None = None) -> Figure:
        """The points over one image, coloured by class, with counts in the legend. Needs matplotlib.

        Args:
            image: name of the image; `None` = the one with the most points.
        """
        from zoo.results.point_pictures import draw_points

        return draw_points(self, image)

    def _places(self) -> tuple[vectors.Places | None, CRS | None]:
        named = sorted({crs for crs in self.crs if crs})
        if not named:
            return None, None
        places = self.xy[:, None, :].astype(np.float64).copy()
        if len(named) == 1:
            return places, to_crs(named[0])
        of_point = np.array(self.crs, dtype=object)[self.image]
        for crs in named:
            mine = of_point == crs
            if mine.any():
                places[mine] = vectors.reproject(places[mine], to_crs(crs))
        return places, to_crs(LON_LAT)
