"""GeoJSON of points as a table, as zoo and QGIS write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zoo.errors import InputError
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.io.vectors import GEOMETRY, geo_metadata, wkb

SUFFIXES = (".geojson", ".json")


def read_points(path: Path) -> pa.Table:
    """A row per feature, all of which are held: its properties, and its point as GeoParquet has it.

    Places are longitude and latitude (RFC 7946), unless the file has the member `crs` of GeoJSON 2008, as QGIS writes it.

    Raises:
        InputError: it cannot be read, or holds something else than points.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        features = told["features"]
        properties = [one["properties"] or {} for one in features]
        keys = dict.fromkeys(key for one in properties for key in one)
        table = pa.table({key: pa.array([one.get(key) for one in properties]) for key in keys})
        places = np.array([_point(one["geometry"], path) for one in features], np.float64).reshape(-1, 1, 2)
        crs = to_crs((told.get("crs") or {"properties": {"name": LON_LAT}})["properties"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as err:  # pyarrow's of mixed kinds are among them
        raise InputError(f"{path} is no GeoJSON of points that can be read: {err!r}; export it again") from err
    if not features:
        raise InputError(f"{path} holds no points; expected a feature each")
    table = table.append_column(GEOMETRY, wkb(places))
    return table.replace_schema_metadata({"geo": json.dumps(geo_metadata(places, crs))})


def _point(shape: Any, path: Path) -> list[float]:
    """x, y of a point, or of several that are one."""
    if shape is None:
        return [np.nan, np.nan]
    corners = {"Point": [shape.get("coordinates")], "MultiPoint": shape.get("coordinates")}.get(shape["type"])
    if corners is None or len(corners) != 1:
        raise InputError(f"{path} holds shapes that are no points; expected a point each: take centroids first")
    x, y = corners[0][:2]
    return [x, y]
