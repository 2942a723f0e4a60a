"""Tables with a row per site: CSV, Parquet, GeoParquet and GeoJSON files, pyarrow tables, pandas and geopandas frames.

A long file is opened without its numbers: what names and places its rows is held, and the other columns are read in blocks
(`zoo.io.table_blocks.Rows`). Coordinates are found under their usual names, Darwin Core's among
them (https://dwc.tdwg.org/terms/#location), or in the point geometry of a GeoParquet file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pyproj
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from zoo.bands import normal_form
from zoo.errors import InputError
from zoo.io import point_features
from zoo.io.delimited import EMPTY, dialect_of
from zoo.io.grid import LON_LAT
from zoo.io.rasters import open_dataset
from zoo.io.source import BEYOND_DATA, to_crs
from zoo.io.vectors import Places, places_of

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.bz2")
PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)
# What people take for a table of sites, and what they do with it.
FOREIGN = {
    (".gpkg", ".shp", ".fgb", ".kml", ".gpx"): (
        "a vector file",
        "in QGIS, Export > Save Features As, format CSV with GEOMETRY=AS_XY (columns X and Y; give --crs), GeoJSON or Parquet",
    ),
    (".xlsx", ".xls", ".ods"): ("a spreadsheet", "save the sheet as CSV UTF-8"),
}
BLOCK_BYTES = 1 << 21  # of text, ours: pyarrow reads 32 blocks ahead; larger ones are no faster
HASHED_ROWS = 65_536  # of a table in memory at a time
LARGEST_DEGREES = (360.0, 90.0)  # of longitude, which some count from 0 on, and latitude
# Names of coordinates in longitude and latitude, of coordinates in a CRS of their own, and of what names a site. The
# first two pairs and the last four ids are Darwin Core's.
LON_LAT_NAMES = (("decimalLongitude", "decimalLatitude"), ("longitude", "latitude"), ("lon", "lat"))
XY_NAMES = (("x", "y"), ("easting", "northing"))
ID_NAMES = ("id", "site", "siteID", "plot", "plotID", "locationID", "eventID", "occurrenceID", "catalogNumber")


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Rows and named columns.

    Attributes:
        name: how messages call it.
        data: the columns as they were found: all, or those that name and place the rows.
        file: where the columns that are not held are read from.
        names: of all columns of the file, held or not; empty where all are held.
        places: x, y of each row (N, 1, 2), NaN where a row has none; `None` where the table has no coordinates.
        crs: of the places; `None` where the table does not say.
        decimal_point: of numbers in text.
    """

    name: str
    data: pa.Table
    file: Path | None = None
    names: tuple[str, ...] = ()
    places: Places | None = None
    crs: CRS | None = None
    decimal_point: str = "."

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.names or tuple(self.data.column_names)

    @property
    def ids(self) -> pa.Array:
        """What the table calls its rows, else their numbers from 1."""
        column = _named(self.columns, ID_NAMES)
        return pa.array(np.arange(1, len(self) + 1)) if column is None else self.data[column].combine_chunks()

    def numbers(self, column: str, *, nodata: float | None = None) -> NDArray[np.float32]:
        """The numbers (N,) of a column, NaN where there is none.

        Args:
            column: as the table spells it.
            nodata: a number that marks missing values, besides empty cells.

        Raises:
            InputError: the column holds something else.
        """
        numbers = self.numbers_exact(column)
        if nodata is not None:
            numbers = np.where(numbers == nodata, np.nan, numbers)
        missing = ~(np.abs(numbers) < BEYOND_DATA)
        return np.where(missing, np.nan, numbers).astype(np.float32)

    def numbers_exact(self, column: str) -> NDArray[np.float64]:
        """The numbers (N,) of a column in double precision, as coordinates need; see `numbers`."""
        held = self.data if self.file is None or column in self.data.column_names else _read(self.file, [column])
        values = held[column]
        kind = values.type
        if pa.types.is_dictionary(kind):
            values, kind = values.cast(kind.value_type), kind.value_type
        if pa.types.is_decimal(kind) or pa.types.is_null(kind):
            values, kind = values.cast(pa.float64()), pa.float64()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise InputError(_no_numbers(self.name, column, values, self.decimal_point))
        return np.asarray(values.cast(pa.float64()).to_numpy(), np.float64)

    def fingerprint(self) -> str:
        """What tells this table from another."""
        if self.file is not None:
            return f"{len(self)} x {','.join(self.columns)} {_file_sum(self.file):08x}"
        told = _Sum()
        with pa.ipc.new_stream(pa.PythonFile(told, "w"), self.data.schema) as stream:
            stream.write_table(self.data, max_chunksize=HASHED_ROWS)  # of slices and dictionaries what they hold
        return f"{len(self)} x {','.join(self.columns)} {told.total:08x}"


class _Sum(io.RawIOBase):
    """A file of which only the checksum is kept."""

    def __init__(self) -> None:
        self.total = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.total = zlib.crc32(data, self.total)
        return memoryview(data).nbytes


def is_table(source: Any) -> bool:
    """Whether `source` is a table, in memory or by its file's extension."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source).lower().endswith(SUFFIXES)
    return isinstance(source, pa.Table | TableSource) or (hasattr(source, "columns") and hasattr(source, "iloc"))


def is_like_table(source: Any) -> bool:
    """Whether `open_table` is to open `source`: a table, points in GeoJSON, or what it refuses with advice."""
    if is_table(source) or not isinstance(source, str | os.PathLike):
        return is_table(source)
    suffix = Path(source).suffix.lower()
    if suffix == ".gpkg":  # of rasters, some are
        with contextlib.suppress(RasterioError):
            open_dataset(source).close()
            return False
    return suffix in (*point_features.SUFFIXES, *(one for suffixes in FOREIGN for one in suffixes))


def is_parquet(path: Path) -> bool:
    """Whether a table is Parquet, by its name."""
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def open_table(source: Any, *, crs: Any = None, held: bool = True) -> TableSource:
    """Read a table.

    Args:
        source: a path, a pyarrow table, a pandas or geopandas frame; a `TableSource` is taken as it is.
        crs: of coordinates named x and y, where the table does not say; longitude and latitude may be given a datum.
        held: whether all columns of a file are held, or only those that name and place its rows.

    Raises:
        InputError: the file is missing, empty, or no table; there are no rows; `crs` contradicts the table; or a place in
            degrees lies beyond the Earth.
    """
    if isinstance(source, TableSource):
        return source
    file: Path | None = None
    names: list[str] = []
    if not isinstance(source, str | os.PathLike):
        name, data = type(source).__name__, _from_memory(source)
    elif Path(source).suffix.lower() in point_features.SUFFIXES:
        check_file(Path(source), (*SUFFIXES, *point_features.SUFFIXES))
        name, data = Path(source).name, point_features.read_points(Path(source))
    elif held:
        name, data = Path(source).name, _read(Path(source))
    else:
        file, name = Path(source), Path(source).name
        names, metadata = _header(file)
        check_columns(name, names)
        data = _read(file, _naming(names, metadata)).replace_schema_metadata(metadata)
    if data.num_rows == 0:
        raise InputError(
            f"{name} holds no rows (columns: {_listed(names or data.column_names)}); expected a row per site"
        )
    check_columns(name, data.column_names)
    data = _without_bytes(data, name)
    is_text = isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(CSV_SUFFIXES)
    point = dialect_of(Path(source)).decimal_point if is_text else "."
    places, found = _places(data, name, crs, point)
    return TableSource(
        name=name, data=data, file=file, names=tuple(names), places=places, crs=found, decimal_point=point
    )


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise `InputError` if two columns have one name."""
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled:
        raise InputError(f"{name} has two columns called {doubled[0]!r}; rename one of them, or delete it")


def _naming(names: Sequence[str], metadata: Mapping[bytes, bytes]) -> list[str]:
    """The columns that name and place the rows; the first where there are none, which says how many rows there are."""
    wanted = (ID_NAMES, ("crs",), *((one,) for pair in (*LON_LAT_NAMES, *XY_NAMES) for one in pair))
    found = {_named(names, one) for one in wanted}
    found |= {json.loads(metadata[b"geo"])["primary_column"]} if b"geo" in metadata else set()
    return [name for name in names if name in found] or list(names[:1])


def _header(path: Path) -> tuple[list[str], Mapping[bytes, bytes]]:
    """Names of a file's columns, and what it says of them."""
    with readable(path) as parquet:
        schema = pq.read_schema(path) if parquet else stream_csv(path).schema
    return schema.names, schema.metadata or {}


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """All columns of a file, or some."""
    with readable(path) as parquet:
        if parquet:
            return pq.read_table(path, columns=columns)
        if columns:  # to infer kinds from all rows, `read_csv` holds the whole text
            kinds = stream_csv(path).schema
            with contextlib.suppress(pa.ArrowInvalid):  # a later block holds another kind
                return stream_csv(path, {name: kinds.field(name).type for name in columns}).read_all()
        return pa_csv.read_csv(path, **dialect_of(path).options(columns=columns))


@contextlib.contextmanager
def readable(path: Path) -> Iterator[bool]:
    """Within the block, what pyarrow raises of the file is an `InputError`; whether it is Parquet by its name."""
    check_file(path, SUFFIXES)
    try:
        yield is_parquet(path)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as err:
        raise InputError(
            f"{path} is no table that can be read: {err}; expected {', '.join(SUFFIXES)} by its contents too,"
            " with text in UTF-8. Correct that row, or export the table again"
        ) from err


def check_file(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise `InputError` unless there is a file of one of the extensions, with something in it."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one table ({', '.join(suffixes)})")
    for foreign, (what, advice) in FOREIGN.items():
        if path.name.lower().endswith(foreign):
            raise InputError(f"{path} is {what}, expected a table ({', '.join(suffixes)}); {advice}")
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: the extension {path.suffix!r} is none of a table; expected {', '.join(suffixes)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); expected a table with a row per site. Export it again")


def stream_csv(
    path: Path, types: Mapping[str, pa.DataType] | None = None, *, block_bytes: int | None = None
) -> pa_csv.CSVStreamingReader:
    """Batches of rows of a CSV file: the columns of `types`, or all in the types that the first block suggests."""
    told = dialect_of(path).options(
        types=types, columns=[*types] if types else None, block_bytes=block_bytes or BLOCK_BYTES
    )
    return pa_csv.open_csv(pa.input_stream(str(path)), **told)


def _from_memory(source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if not (hasattr(source, "columns") and hasattr(source, "iloc")):
        raise InputError(
            f"found a {type(source).__name__}, expected a table: a path ({', '.join(SUFFIXES)}), a pyarrow table or a"
            " pandas frame"
        )
    shape = getattr(source, "geometry", None)
    if shape is None or not hasattr(shape, "to_wkb"):
        return pa.Table.from_pandas(source, preserve_index=False)
    table = pa.Table.from_pandas(source.drop(columns=shape.name), preserve_index=False)
    crs = None if source.crs is None else json.loads(source.crs.to_json())
    geo = {"primary_column": shape.name, "columns": {shape.name: {"encoding": "WKB", "crs": crs}}}
    table = table.append_column(shape.name, pa.array(shape.to_wkb(), pa.binary()))
    return table.replace_schema_metadata({"geo": json.dumps(geo)})


def _without_bytes(data: pa.Table, name: str) -> pa.Table:
    """Bytes that are text as text; others than a geometry's, which nothing here reads, are left out."""
    geometries = json.loads((data.schema.metadata or {}).get(b"geo", b'{"columns": {}}'))["columns"]
    for column in data.column_names:
        if column in geometries or not _is_bytes(data[column].type):
            continue
        try:
            data = data.set_column(data.column_names.index(column), column, data[column].cast(pa.large_string()))
        except pa.ArrowInvalid as err:
            if column == _named(data.column_names, ID_NAMES):
                raise InputError(
                    f"{name}: column {column!r} holds bytes, expected text or numbers; write it as text"
                ) from err
            data = data.drop_columns(column)
    return data


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _places(data: pa.Table, name: str, crs: Any, decimal_point: str) -> tuple[Places | None, CRS | None]:
    """Coordinates of the rows, and their CRS."""
    told = None if crs is None else to_crs(crs)
    if b"geo" in (data.schema.metadata or {}):
        return _geometry(data, name, told)
    degrees = told if told is not None and told.is_geographic else to_crs(LON_LAT)
    for pairs, known in ((LON_LAT_NAMES, degrees), (XY_NAMES, _crs_column(data))):
        for pair in pairs:
            columns = [_named(data.column_names, (one,)) for one in pair]
            if all(columns) and (told or known):
                crs = _agreed(f"{name}: the columns {columns[0]} and {columns[1]} are", known, told)
                plain = TableSource(name=name, data=data, decimal_point=decimal_point)
                places = np.stack([plain.numbers_exact(str(column)) for column in columns], axis=-1)[:, None]
                _check_degrees(places, crs, name)
                return places, crs
    return None, None


def _geometry(data: pa.Table, name: str, told: CRS | None) -> tuple[Places | None, CRS | None]:
    """Points of a GeoParquet table; a CRS that the file leaves out is longitude and latitude, as its standard says."""
    geo = json.loads(data.schema.metadata[b"geo"])
    column = geo["primary_column"]
    facts = geo["columns"][column]
    if column not in data.column_names or facts.get("encoding") != "WKB":
        return None, None
    places = places_of(data[column])
    if places is None or places.shape[1] > 1:
        raise InputError(f"{name}: the geometry is not of points; expected a point per site: take centroids first")
    stated = facts.get("crs", LON_LAT)
    known = None if stated is None else to_crs(json.dumps(stated) if isinstance(stated, dict) else stated)
    crs = _agreed(f"{name}: its geometry is", known, told)
    _check_degrees(places, crs, name)
    return places, crs


def _agreed(what: str, known: CRS | None, told: CRS | None) -> CRS | None:
    """The CRS that the table states, else the one that is told, which must not contradict it."""
    if known is None or told is None or known == told:
        return known or told
    if not _pyproj(known).equals(_pyproj(told), ignore_axis_order=True):
        found, asked = (one.to_string() if one.to_authority() else _pyproj(one).name for one in (known, told))
        raise InputError(
            f"{what} in {found}, and --crs says {asked}; leave --crs out, which is of coordinates named x and y. If it is of"
            f" another source, say of which input: --crs INPUT={asked}"
        )
    return known


def _pyproj(crs: CRS) -> pyproj.CRS:
    return pyproj.CRS(crs.to_wkt())


def _check_degrees(places: Places, crs: CRS | None, name: str) -> None:
    """Raise for a place that no longitude and latitude can be."""
    if crs is None or not crs.is_geographic or crs.units_factor[0].lower() != "degree":
        return
    beyond = np.abs(places[:, 0]) > LARGEST_DEGREES
    if beyond.any():
        row, axis = np.argwhere(beyond)[0].tolist()
        raise InputError(
            f"{name}: the {('longitude', 'latitude')[axis]} in row {row + 1} is {places[row, 0, axis]:g}, expected degrees from"
            f" {-LARGEST_DEGREES[axis]:g} to {LARGEST_DEGREES[axis]:g}. Are longitude and latitude swapped, has a decimal point"
            " slipped, or are these metres (columns x, y and --crs)? Leave the cell empty where a place is not known"
        )


def _crs_column(data: pa.Table) -> CRS | None:
    """The one CRS that a column `crs` names in all rows, as zoo's own CSV files do."""
    column = _named(data.column_names, ("crs",))
    values = [] if column is None else data[column].unique().to_pylist()
    return to_crs(values[0]) if len(values) == 1 and values[0] else None


def _named(columns: Any, names: tuple[str, ...]) -> str | None:
    """The first of `names` that is a column, however it is spelled."""
    spelled: Mapping[str, str] = {normal_form(column): column for column in reversed(tuple(columns))}
    return next((spelled[normal_form(one)] for one in names if normal_form(one) in spelled), None)


def _no_numbers(name: str, column: str, values: pa.ChunkedArray, point: str) -> str:
    what = f"{name}: column {column!r} holds"
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return f"{what} {values.type}, expected numbers; convert it, or leave it out"
    texts = ((row, one) for row, one in enumerate(values.to_pylist(), 1) if one is not None and one not in EMPTY)
    row, text = next((one for one in texts if not _is_number(one[1], point)), (0, ""))
    if not row:
        return f"{what} numbers as text, expected numbers; write them as numbers"
    found, other = f"{what} the text {text!r} in row {row}, expected numbers", {".": ",", ",": "."}[point]
    if not _is_number(text, other):
        return f"{found}; correct the cell, or leave it empty where the value is missing"
    return (
        f"{found} ({'a decimal comma?' if point == '.' else 'a decimal point, and commas elsewhere?'}); save the table with"
        " decimal points (R: write.csv), or with semicolons and decimal commas in all columns (R: write.csv2; Excel: CSV UTF-8)"
    )


def _is_number(text: str, point: str) -> bool:
    """Whether a text is a number with this decimal point."""
    if point == "," and "." in text:
        return False
    try:
        float(text.replace(point, "."))
    except ValueError:
        return False
    return "_" not in text  # Python's alone


def _file_sum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            total = zlib.crc32(block, total)
    return total


def _listed(names: Any) -> str:
    return ", ".join(names)
