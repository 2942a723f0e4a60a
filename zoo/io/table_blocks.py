"""Columns of numbers of a table's file, read in blocks of rows, for tables of any length."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from zoo.errors import InputError
from zoo.io.tables import DELIMITERS, PARQUET_SUFFIXES, SUFFIXES

BLOCK_BYTES = 1 << 24  # of text; ours: kinds of columns are decided by the first block, which most tables fit into
BLOCK_ROWS = 1 << 16  # of Parquet


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Names of the columns that hold numbers, and of the others, in the file's order."""

    numbers: tuple[str, ...]
    others: tuple[str, ...]


def columns_of(path: Path) -> Columns:
    """The columns of a CSV or Parquet file.

    Raises:
        InputError: it cannot be read, or no column holds numbers.
    """
    with _readable(path):
        schema = pq.read_schema(path) if _is_parquet(path) else _streamed(path, {}).schema
    doubled = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if doubled:
        raise InputError(f"{path.name} has two columns called {doubled[0]!r}; rename one of them, or delete it")
    numbers = tuple(field.name for field in schema if _is_number(field.type))
    others = tuple(name for name in schema.names if name not in numbers)
    if not numbers:
        raise InputError(
            f"{path.name} has no column of numbers (columns: {', '.join(others)}); expected some. Decimal commas, or"
            " another delimiter than comma, tab or semicolon?"
        )
    return Columns(numbers=numbers, others=others)


def blocks_of(path: Path, columns: Sequence[str]) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Blocks of rows: the numbers (n,) of each of the columns, NaN where there is none.

    Raises:
        InputError: the file is damaged, or a cell holds no number.
    """
    with _readable(path):
        batches = (
            pq.ParquetFile(path).iter_batches(batch_size=BLOCK_ROWS, columns=[*columns])
            if _is_parquet(path)
            else _streamed(path, dict.fromkeys(columns, pa.float64()))
        )
        for batch in batches:
            yield {
                name: batch.column(batch.schema.get_field_index(name))
                .cast(pa.float64())
                .to_numpy(zero_copy_only=False)
                .astype(np.float64, copy=False)
                for name in columns
            }


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises into an `InputError`."""
    if not path.is_file() or not path.stat().st_size:
        found = "is empty (0 bytes)" if path.is_file() else "does not exist"
        raise InputError(f"{path} {found}; expected a table ({', '.join(SUFFIXES)})")
    try:
        yield
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as err:
        raise InputError(
            f"{path} cannot be read as a table: {err}; correct that row, or export the table again"
        ) from err


def _streamed(path: Path, types: dict[str, pa.DataType]) -> pa_csv.CSVStreamingReader:
    with pa.input_stream(str(path)) as stream:
        head = stream.read(1 << 16).decode("utf-8-sig", errors="replace")
    first = head.splitlines()[0] if head.strip() else ""
    return pa_csv.open_csv(
        pa.input_stream(str(path)),
        read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(delimiter=max(DELIMITERS, key=first.count), newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=[*types] or None),
    )


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
    )
