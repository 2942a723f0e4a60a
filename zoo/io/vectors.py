"""Rows with a place, written as GeoParquet, GeoJSON or CSV. The same rows give the same bytes.

Places are an array (N, K, 2) of x, y: points where K = 1, rings (open, counterclockwise) where K > 2; a row with NaN has
no place.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
from pyarrow import csv as pa_csv
from pyarrow import parquet
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.warp import transform as warp_points

from zoo.io.grid import LON_LAT

Places = np.ndarray[Any, np.dtype[np.float64]]
EXTENSIONS = (".parquet", ".geojson", ".csv")  # of tables
GEOMETRY = "geometry"
ROW_GROUP = 65_536  # ours: a row group of 768 float32 numbers per row is then 200 MB before compression
DECIMALS = 8  # of degrees in GeoJSON: 1 mm on the ground; drones see centimetres
WKB_POINT, WKB_POLYGON = 1, 3  # OGC 06-103r4, 8.2.4
WKB_POINT_BYTES = 21


def reproject(places: Places, source: CRS, target: CRS | str = LON_LAT) -> Places:
    """The same places in another CRS."""
    xs, ys = warp_points(source, target, places[..., 0].ravel().tolist(), places[..., 1].ravel().tolist())
    return np.stack([xs, ys], axis=-1).reshape(places.shape)


def reproject_known(places: Places, source: CRS, target: CRS | str = LON_LAT) -> Places:
    """The same places in another CRS, NaN for those that are not finite or that it cannot hold."""
    found = np.full(places.shape, np.nan)
    known = np.isfinite(places).all(axis=-1)
    try:
        found[known] = reproject(places[known], source, target)
    except CPLE_BaseError:  # GDAL gives none where one fails, and PROJ says which
        there = pyproj.Transformer.from_crs(_pyproj(source), _pyproj(target), always_xy=True)
        moved = np.stack(there.transform(*places[known].T), axis=-1)
        moved[~np.isfinite(moved).all(axis=-1)] = np.nan
        found[known] = moved
    return found


def _pyproj(crs: CRS | str) -> pyproj.CRS:
    return pyproj.CRS(crs if isinstance(crs, str) else crs.to_wkt())


def wkb(places: Places) -> pa.Array:
    """Well-known binary of points or polygons, null where a place has NaN."""
    count, corners, _ = places.shape
    if corners == 1:
        layout = [("order", "u1"), ("kind", "<u4"), ("xy", "<f8", (1, 2))]
    else:
        layout = [("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("num", "<u4"), ("xy", "<f8", (corners + 1, 2))]
    rows = np.zeros(count, dtype=layout)
    rows["order"] = 1  # little-endian
    if corners == 1:
        rows["kind"], rows["xy"] = WKB_POINT, places
    else:
        rows["kind"], rows["rings"], rows["num"] = WKB_POLYGON, 1, corners + 1
        rows["xy"] = np.concatenate([places, places[:, :1]], axis=1)
    offsets = np.arange(count + 1, dtype=np.int64) * rows.itemsize
    packed = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(rows.tobytes())]
    ).cast(pa.binary())
    present = pa.array(~np.isnan(places).any(axis=(1, 2)))
    return pa.compute.if_else(present, packed, pa.scalar(None, pa.binary()))


def places_of(column: pa.ChunkedArray) -> Places | None:
    """Places of a column in well-known binary, NaN where it is null: points, or polygons of one ring of as many corners.

    Returns:
        (N, K, 2) as at the top of this module; `None` for what is neither.
    """
    shapes = [None if shape is None else _shape(shape) for shape in column.to_pylist()]
    sizes = {len(shape) for shape in shapes if shape is not None}
    if len(sizes) > 1 or 0 in sizes:
        return None
    nowhere = np.full((sizes.pop() if sizes else 1, 2), np.nan)
    return np.stack([nowhere if shape is None else shape for shape in shapes])


def _shape(binary: bytes) -> Places:
    """Corners (K, 2) of one point or ring, none of them for another shape."""
    order = "<" if binary[:1] == b"\x01" else ">"
    (kind,) = struct.unpack_from(f"{order}I", binary, 1)
    if kind % 1000 == WKB_POINT and len(binary) >= WKB_POINT_BYTES:  # 1001 has a height after x and y
        return np.array([struct.unpack_from(f"{order}2d", binary, 5)])
    if kind == WKB_POLYGON:
        rings, corners = struct.unpack_from(f"{order}2I", binary, 5)
        if rings == 1 and corners > 1:
            return np.frombuffer(binary, f"{order}f8", 2 * corners, offset=13).reshape(-1, 2)[:-1].astype(np.float64)
    return np.zeros((0, 2))


def write_geoparquet(
    table: pa.Table, places: Places | None, crs: CRS | None, path: Path, tags: Mapping[str, str]
) -> None:
    """A table and its places as GeoParquet 1.1, or plain Parquet where there are none; `tags` go to the file's metadata."""
    metadata = dict(tags)
    if places is not None:
        table = table.append_column(GEOMETRY, wkb(places))
        metadata["geo"] = json.dumps(geo_metadata(places, crs))
    table = table.replace_schema_metadata(metadata)
    parquet.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)


def geo_metadata(places: Places, crs: CRS | None) -> dict[str, Any]:
    """The metadata `geo` of GeoParquet 1.1.0; a CRS of null says that it is unknown."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Point" if places.shape[1] == 1 else "Polygon"],
        "crs": None if crs is None else _projjson(crs),
    }
    if places.shape[1] > 1:
        column["orientation"] = "counterclockwise"
    located = places[~np.isnan(places).any(axis=(1, 2))].reshape(-1, 2)
    if len(located):
        column["bbox"] = [*located.min(axis=0).tolist(), *located.max(axis=0).tolist()]
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _projjson(crs: CRS) -> dict[str, Any]:
    """A CRS as PROJ's JSON, by its code where it has one.

    GDAL's own differs (WGS 84 as an ensemble or a datum) with whether the process met the code first in a file or here.
    """
    authority = crs.to_authority()
    told: dict[str, Any] = pyproj.CRS(":".join(authority) if authority else crs.to_wkt()).to_json_dict()
    return told


def write_geojson(table: pa.Table, places: Places | None, crs: CRS | None, path: Path, tags: Mapping[str, str]) -> None:
    """A feature per row (RFC 7946), in WGS 84 longitude and latitude; rows without a place have a null geometry.

    Places without a CRS stay columns and rows of the picture: GeoJSON cannot say so, hence they go to the properties
    `x`, `y` of their centre.
    """
    write_features([(table, places)], crs, path, tags)


def write_features(
    chunks: Iterable[tuple[pa.Table, Places | None]], crs: CRS | None, path: Path, tags: Mapping[str, str]
) -> None:
    """The rows of all chunks as `write_geojson` writes those of one table."""
    head = json.dumps({"type": "FeatureCollection", "zoo": dict(tags)}, ensure_ascii=False)
    with path.open("w", encoding="utf-8") as file:
        file.write(head.removesuffix("}") + ', "features": [')
        comma = ""
        for feature in itertools.chain.from_iterable(_features(table, places, crs) for table, places in chunks):
            file.write(f"{comma}\n" + json.dumps(feature, ensure_ascii=False, allow_nan=False))
            comma = ","
        file.write("\n]}\n")


def _features(table: pa.Table, places: Places | None, crs: CRS | None) -> Iterator[dict[str, Any]]:
    if places is not None and crs is None:
        table, places = with_centres(table, places, None), None
    if places is not None and crs is not None:
        places = np.round(reproject(places, crs), DECIMALS)
    for index, row in enumerate(_rows(table)):
        geometry = None if places is None else _geometry(places[index])
        yield {"type": "Feature", "geometry": geometry, "properties": _plain(row)}


def write_csv(table: pa.Table, places: Places | None, crs: CRS | None, path: Path) -> None:
    """A line per row; places as the columns `x`, `y` of their centre and `crs`, vectors as a column per number."""
    if places is not None:
        table = with_centres(table, places, crs)
    pa_csv.write_csv(_flat(table), path)


def csv_metadata(name: str, tags: Mapping[str, str]) -> str:
    """What `<name>-metadata.json` says of a CSV file (W3C, Metadata Vocabulary for Tabular Data, 5.3)."""
    told = {"@context": "http://www.w3.org/ns/csvw", "url": name, "notes": [dict(tags)]}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def with_centres(table: pa.Table, places: Places, crs: CRS | None) -> pa.Table:
    """The table with the columns `x`, `y` of the places' centres, and `crs`."""
    x, y = places.mean(axis=1).T
    for name, values in (("x", x), ("y", y)):
        table = table.append_column(name, pa.array(values, from_pandas=True))
    return table if crs is None else table.append_column("crs", pa.array([crs.to_string()] * len(x)))


def _flat(table: pa.Table) -> pa.Table:
    """Vectors as one column per number, at the end."""
    vectors = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    flat = table.drop_columns(vectors)
    for name in vectors:
        width = table.schema.field(name).type.list_size
        values = table[name].combine_chunks().flatten().to_numpy().reshape(-1, width)
        for index, column in enumerate(values.T):
            flat = flat.append_column(f"{name}_{index:04d}", pa.array(column))
    return flat


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _geometry(place: Places) -> dict[str, Any] | None:
    if not np.isfinite(place).all():
        return None
    corners = place.tolist()
    if len(corners) == 1:
        return {"type": "Point", "coordinates": corners[0]}
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: unknown numbers are null."""
    return {
        key: [_number(one) for one in value] if isinstance(value, list) else _number(value)
        for key, value in row.items()
    }


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rings(bounds: Iterable[Any]) -> Places:
    """Corners (N, 4, 2), counterclockwise, of boxes (west, south, east, north)."""
    west, south, east, north = np.asarray(bounds, dtype=np.float64).reshape(-1, 4).T
    return np.stack(
        [np.stack(corner, axis=-1) for corner in ((west, south), (east, south), (east, north), (west, north))], axis=1
    )
