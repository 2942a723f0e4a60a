"""Results with a row per thing: chips, detections, sites. Most rows have a place; it goes where the format keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rasterio.crs import CRS

from zoo.errors import MissingDependency, some
from zoo.io import vectors
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.io.whole import whole
from zoo.results.provenance import Provenance, save_by_plugin

if TYPE_CHECKING:
    import geopandas
    import pandas as pd

EXTENSIONS = vectors.EXTENSIONS
SHOWN = 5  # ours: columns that are named where a result is printed


@dataclass(frozen=True, kw_only=True, repr=False)
class RowsResult:
    """Rows of a table, and where each lies.

    Attributes:
        table: pyarrow table of the attributes, without the places.
        places: x, y as (N, K, 2): points (K = 1) or rings (K > 2, open, counterclockwise); NaN where a row has none;
            `None` where no row has.
        crs: of the places; `None` = columns and rows of a picture.
        provenance: how the rows were made.
    """

    table: pa.Table
    places: vectors.Places | None = None
    crs: CRS | None = None
    provenance: Provenance

    def __repr__(self) -> str:
        where = "" if self.places is None else ", in pixels" if self.crs is None else f", {self.crs.to_string()[:40]}"
        return f"{type(self).__name__}({len(self)} rows of {some(self.table.column_names, SHOWN)}{where})"

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def save(self, path: str | Path) -> Path:
        """Write GeoParquet 1.1, GeoJSON (WGS 84) or CSV (with `x`, `y` of the centre), as the extension says.

        A CSV has no room for provenance: it stands beside it, in `<name>.csv-metadata.json`.

        Raises:
            OutputError: unknown extension, or the place cannot be written.
        """
        path = Path(path)
        if save_by_plugin(self, path, EXTENSIONS, "a table"):
            return path
        tags = self.provenance.tags()
        with whole(path) as temporary:
            match path.suffix.lower():
                case ".parquet":
                    vectors.write_geoparquet(self.table, self.places, self.crs, temporary, tags)
                case ".geojson":
                    vectors.write_geojson(self.table, self.places, self.crs, temporary, tags)
                case _:
                    vectors.write_csv(self.table, self.places, self.crs, temporary)
                    with whole(path.with_name(f"{path.name}-metadata.json")) as told:
                        told.write_text(vectors.csv_metadata(path.name, tags), encoding="utf-8")
        return path

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame with the columns of a CSV: `x`, `y` and `crs` too where they lie somewhere; needs pandas."""
        table = self.table if self.places is None else vectors.with_centres(self.table, self.places, self.crs)
        try:
            return table.to_pandas()
        except ImportError as err:
            raise MissingDependency("to_pandas() needs pandas: pip install pandas") from err

    def to_geopandas(self) -> geopandas.GeoDataFrame:
        """The rows as a GeoDataFrame; needs geopandas."""
        try:
            import geopandas
        except ImportError as err:
            raise MissingDependency("to_geopandas() needs geopandas: pip install geopandas") from err
        frame = self.table.to_pandas()
        geometry = None if self.places is None else geopandas.GeoSeries.from_wkb(vectors.wkb(self.places).to_pylist())
        return geopandas.GeoDataFrame(frame, geometry=geometry, crs=None if self.crs is None else self.crs.to_wkt())


@dataclass(frozen=True, kw_only=True, repr=False)
class ChipTable:
    """One row of numbers per chip: a file of a folder, or a window of a scene.

    Attributes:
        ids: name of each chip.
        bounds: (N, 4) west, south, east, north in the chip's CRS; columns and rows where it has none.
        crs: of each chip, as text; empty where it has none.
        values: (N, D), float32.
        columns: names of the D numbers (classes); `None` = one vector called `embedding`.
        provenance: how the numbers were made.
        failures: chips that could not be read, and why.
    """

    ids: tuple[str, ...]
    bounds: np.ndarray[Any, np.dtype[np.float64]]
    crs: tuple[str, ...]
    values: np.ndarray[Any, np.dtype[np.float32]]
    columns: tuple[str, ...] | None = None
    provenance: Provenance
    failures: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"ChipTable({len(self)} chips x {self.values.shape[1]} numbers{failed})"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def embeddings(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The numbers (N, D)."""
        return self.values

    def rows(self) -> RowsResult:
        """The same as a table with footprints: in the chips' CRS where they share one, else in longitude and latitude."""
        columns = {"id": pa.array(self.ids, pa.string())}
        if self.columns is None:
            flat = pa.array(np.ascontiguousarray(self.values, dtype=np.float32).ravel())
            columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, self.values.shape[1])
        else:
            columns |= {name: pa.array(column) for name, column in zip(self.columns, self.values.T, strict=True)}
        places, crs = self._footprints()
        return RowsResult(table=pa.table(columns), places=places, crs=crs, provenance=self.provenance)

    def save(self, path: str | Path) -> Path:
        """Write `.parquet` (GeoParquet with footprints), `.geojson` or `.csv` (with centres); see `RowsResult.save`."""
        return self.rows().save(path)

    def to_geopandas(self) -> geopandas.GeoDataFrame:
        """The rows with their footprints as a GeoDataFrame; needs geopandas."""
        return self.rows().to_geopandas()

    def _footprints(self) -> tuple[vectors.Places | None, CRS | None]:
        named = sorted({crs for crs in self.crs if crs})
        if not named:
            return None, None
        footprints = vectors.rings(self.bounds)
        footprints[[not crs for crs in self.crs]] = np.nan
        if len(named) == 1:
            return footprints, to_crs(named[0])
        for crs in named:
            mine = [one == crs for one in self.crs]
            footprints[mine] = vectors.reproject(footprints[mine], to_crs(crs))
        return footprints, to_crs(LON_LAT)
