"""Columns of numbers of a table, read in blocks of rows, for tables of any length."""

# n rows of a block, F columns

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from zoo.errors import InputError
from zoo.io.tables import TableSource, check_columns, is_parquet, readable, stream_csv

KINDS_BYTES = 1 << 24  # of text; ours: kinds of columns are decided by the first block, which most tables fit into
BLOCK_ROWS = 1 << 16  # of Parquet
BLOCK_NUMBERS = 1 << 20  # ours: 4 MB of float32 per block that `Rows` keeps; larger ones are no faster
PAGE_BYTES = 1 << 18  # ours: of a Parquet column that are read at a time, where a row group may hold a million rows
ASKED = 8  # ours: more questions than are under way at a time, see `zoo.predict.stream.run`


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
    with readable(path) as parquet:
        schema = pq.read_schema(path) if parquet else stream_csv(path, block_bytes=KINDS_BYTES).schema
    check_columns(path.name, schema.names)
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
    with readable(path) as parquet:
        batches = (
            pq.ParquetFile(path).iter_batches(batch_size=BLOCK_ROWS, columns=[*columns])
            if parquet
            else stream_csv(path, dict.fromkeys(columns, pa.float64()))
        )
        for batch in batches:
            yield {
                name: batch.column(batch.schema.get_field_index(name))
                .cast(pa.float64())
                .to_numpy(zero_copy_only=False)
                .astype(np.float64, copy=False)
                for name in columns
            }


class Rows:
    """Columns of a table by rows, which are read in order: few blocks are held at a time.

    Rows may be asked for by several threads and with gaps; for rows further back than the last questions the table is
    read again from its beginning.

    Args:
        table: held, or in a file.
        columns: one per number of a row; `None` for one that the table lacks.
        nodata: a number that marks missing values, besides empty cells.
    """

    def __init__(self, table: TableSource, columns: Sequence[str | None], *, nodata: float | None = None) -> None:
        self._table, self._columns, self._nodata = table, tuple(columns), nodata
        self._lock = threading.Lock()
        self._start = self._stop = 0  # of the rows that are kept
        self._rewind()

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """The numbers (rows, F), NaN where there is none.

        Raises:
            InputError: the file is damaged, or a cell holds no number.
        """
        with self._lock:
            if rows.start < self._start:
                self._rewind()
            self._asked.append(rows.start)
            while self._stop < rows.stop:
                block = next(self._blocks, None)
                if block is None:
                    raise InputError(
                        f"{self._table.name} ends after {self._stop} of {len(self._table)} rows: it was changed while it"
                        " was read; run the command again"
                    )
                self._kept.append((self._stop, block))
                self._stop += len(block)
                while len(self._kept) > 1 and self._kept[1][0] <= min(self._asked):
                    self._kept.popleft()
                self._start = self._kept[0][0]
            parts = [block[max(rows.start - first, 0) : max(rows.stop - first, 0)] for first, block in self._kept]
            return np.concatenate(parts) if parts else np.empty((0, len(self._columns)), np.float32)

    def sample(self, count: int, *, each: Callable[[NDArray[np.float32]], None] | None = None) -> NDArray[np.float32]:
        """At most `count` rows (m, F), evenly spread over the table; all of its cells are read.

        Args:
            count: of rows.
            each: is given every block (n, F) that is read.

        Raises:
            InputError: the file is damaged, or a cell holds no number; says which.
        """
        step, start, parts = -(-len(self._table) // count), 0, []
        for block in self._read():
            if each is not None:
                each(block)
            parts.append(block[-start % step :: step].copy())
            start += len(block)
        return np.concatenate(parts)

    def _rewind(self) -> None:
        self._blocks = self._read()
        self._kept: collections.deque[tuple[int, NDArray[np.float32]]] = collections.deque()
        self._asked: collections.deque[int] = collections.deque(maxlen=ASKED)
        self._start = self._stop = 0

    def _read(self) -> Iterator[NDArray[np.float32]]:
        size = max(BLOCK_NUMBERS // len(self._columns), 1)
        for batch in self._batches(size):
            for start in range(0, batch.num_rows, size):
                piece = replace(self._table, data=batch.slice(start, size), file=None, names=(), places=None)
                block = np.full((len(piece), len(self._columns)), np.nan, np.float32)
                for index, column in enumerate(self._columns):
                    if column is not None:
                        block[:, index] = piece.numbers(column, nodata=self._nodata)
                yield block

    def _batches(self, size: int) -> Iterator[pa.Table]:
        table, wanted = self._table, [column for column in self._columns if column is not None]
        if table.file is None:
            kinds = table.data.schema
            self._check([name for name in wanted if not _is_number(_value_type(kinds.field(name).type))])
            yield table.data
        elif is_parquet(table.file):
            kinds = pq.read_schema(table.file)
            self._check([name for name in wanted if not _is_number(_value_type(kinds.field(name).type))])
            with readable(table.file):
                file = pq.ParquetFile(table.file, buffer_size=PAGE_BYTES, pre_buffer=False)
                for batch in file.iter_batches(batch_size=size, columns=wanted):
                    yield pa.Table.from_batches([batch])
        else:
            yield from self._csv(table.file, wanted)

    def _csv(self, file: Path, wanted: list[str]) -> Iterator[pa.Table]:
        with readable(file):
            kinds = stream_csv(file).schema
            types = {name: _csv_type(kinds.field(name).type) for name in wanted}
            try:
                for batch in stream_csv(file, types):
                    yield pa.Table.from_batches([batch])
            except pa.ArrowInvalid:
                self._check(wanted)
                raise

    def _check(self, columns: Sequence[str]) -> None:
        """Raise if one of the columns holds something other than numbers."""
        for column in columns:
            self._table.numbers_exact(column)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
    )


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """What a column is read as; the first block does not tell whole numbers from others."""
    return kind if pa.types.is_boolean(kind) else pa.float64()
