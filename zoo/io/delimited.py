"""How a CSV file is written: its encoding, what stands between cells, its decimal point, and which cells are empty.

Spreadsheets and R write what the computer's language asks for: on many, semicolons, decimal commas and Windows-1252.
"""

from __future__ import annotations

import codecs
import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from zoo.errors import InputError, ZooWarning

DELIMITERS = (",", "\t", ";")
READ_BYTES = 1 << 20  # ours: of a file whose encoding is looked at
HEAD_BYTES = 1 << 18  # ours: in which delimiter and decimal point are looked for; some thousand rows
BYTE_ORDERS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Cells without a number: those of pyarrow (https://arrow.apache.org/docs/python/generated/pyarrow.csv.ConvertOptions.html),
# R's NA and spreadsheets' #N/A among them; and the hyphen of printed tables.
EMPTY = (*pa_csv.ConvertOptions().null_values, "-")
# A whole cell that is a number with a point or comma, and one whose comma may be of thousands.
DECIMAL = r"(?m)(?:^|{0})\s*\"?([-+]?\d*[.,]\d+(?:[eE][-+]?\d+)?)\"?\s*(?={0}|\r?$)"
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """Of a CSV file.

    Attributes:
        encoding: as Python calls it.
        delimiter: between cells.
        decimal_point: point or comma.
    """

    encoding: str
    delimiter: str
    decimal_point: str

    def options(
        self,
        *,
        types: Mapping[str, pa.DataType] | None = None,
        columns: Sequence[str] | None = None,
        block_bytes: int | None = None,
    ) -> dict[str, Any]:
        """Arguments of pyarrow's readers, for some columns or all."""
        return {
            "read_options": pa_csv.ReadOptions(block_size=block_bytes, encoding=self.encoding),
            "parse_options": pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            "convert_options": pa_csv.ConvertOptions(
                column_types=types,
                include_columns=None if columns is None else [*columns],
                null_values=EMPTY,
                decimal_point=self.decimal_point,
            ),
        }


def dialect_of(path: Path) -> Dialect:
    """How a file is written; read once for each state of the file, so that a warning is told once.

    Raises:
        InputError: its text is of no encoding that is read.
        OSError: it cannot be read.
    """
    stat = path.stat()
    return _dialect(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _dialect(path: Path, size: int, changed: int) -> Dialect:  # noqa: ARG001  (they tell states of the file apart)
    encoding = _encoding(path)
    with pa.input_stream(str(path)) as stream:
        head = stream.read(HEAD_BYTES).decode("utf-8-sig" if encoding == "utf8" else encoding, errors="replace")
    first = head.splitlines()[0] if head.strip() else ""
    delimiter = max(DELIMITERS, key=first.count)
    return Dialect(encoding=encoding, delimiter=delimiter, decimal_point=_decimal_point(head, delimiter))


def _encoding(path: Path) -> str:
    """UTF-8 if all of the file is, UTF-16 if it begins so, else Windows-1252."""
    with pa.input_stream(str(path)) as stream:
        start = stream.read(2)
    wide = start in BYTE_ORDERS
    for encoding in ("utf-16",) if wide else ("utf8", "cp1252"):
        if _decodes(path, encoding):
            if encoding == "cp1252":
                warnings.warn(
                    f"{path.name} is not in UTF-8 and was read as Windows-1252; save it as UTF-8 to be sure of letters such as"
                    " é and ° (Excel: CSV UTF-8; R: fileEncoding = 'UTF-8')",
                    ZooWarning,
                    stacklevel=2,
                )
            return encoding
    found = "begins as UTF-16, and goes on as something else" if wide else "is in neither UTF-8 nor Windows-1252"
    raise InputError(
        f"{path}: its text {found}; expected UTF-8: save it again as UTF-8 (Excel: CSV UTF-8; R: fileEncoding = 'UTF-8')"
    )


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with pa.input_stream(str(path)) as stream:
        try:
            while block := stream.read(READ_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _decimal_point(head: str, delimiter: str) -> str:
    """A comma where no number has a point, and a comma is not that of thousands; numbers then cannot be misread."""
    if delimiter == ",":
        return "."
    cells = re.findall(DECIMAL.format(delimiter), head)
    is_comma = all("," in cell for cell in cells) and any(not THOUSANDS.fullmatch(cell) for cell in cells)
    return "," if is_comma else "."
