"""Tables that are written as they are made: chunk after chunk, so that memory does not grow with the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rasterio.crs import CRS

from zoo.io import vectors
from zoo.io.vectors import EXTENSIONS, Places
from zoo.io.whole import check_extension, whole

Chunk = tuple[pa.Table, Places | None]


def write_rows(
    path: Path, chunks: Iterable[Chunk], *, places: Places | None, crs: CRS | None, tags: Mapping[str, str]
) -> None:
    """Write chunks of rows as GeoParquet 1.1, GeoJSON or CSV, as the extension says.

    Args:
        path: the file; it appears when it is whole.
        chunks: rows in order, of the same columns, each with its places.
        places: of all rows, for the extent that GeoParquet's metadata hold; `None` where rows have no place.
        crs: of the places.
        tags: what the file says of how it was made; beside a CSV they stand in `<name>.csv-metadata.json`.

    Raises:
        OutputError: unknown extension, or the place cannot be written.
    """
    suffix = check_extension(path, EXTENSIONS, "a table")
    with whole(path) as temporary:
        if suffix == ".parquet":
            geo = {} if places is None else {"geo": json.dumps(vectors.geo_metadata(places, crs))}
            _write_parquet(temporary, chunks, dict(tags) | geo)
        elif suffix == ".geojson":
            vectors.write_features(chunks, crs, temporary, tags)
        else:
            _write_csv(temporary, chunks, crs)
            with whole(path.with_name(f"{path.name}-metadata.json")) as told:
                told.write_text(vectors.csv_metadata(path.name, tags), encoding="utf-8")


def _write_parquet(path: Path, chunks: Iterable[Chunk], metadata: Mapping[str, str]) -> None:
    writer = None
    try:
        for table, places in chunks:
            if places is not None:
                table = table.append_column(vectors.GEOMETRY, vectors.wkb(places))
            table = table.replace_schema_metadata(metadata)
            if writer is None:  # a dictionary of numbers, of which few are alike, takes a third more room than they do
                alike = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
                writer = pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=alike)
            writer.write_table(table)
            del table  # before the next is made
    finally:
        if writer is not None:
            writer.close()


def _write_csv(path: Path, chunks: Iterable[Chunk], crs: CRS | None) -> None:
    writer = None
    try:
        for table, places in chunks:
            flat = table if places is None else vectors.with_centres(table, places, crs)
            writer = writer or pa_csv.CSVWriter(path, flat.schema)
            writer.write_table(flat)
            del table, flat  # before the next is made
    finally:
        if writer is not None:
            writer.close()
