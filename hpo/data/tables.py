"""Tables in files, as people's are: CSV and Parquet to a frame."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.data.archive import explain
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from hpo.spec.parts import Data

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)

SEPARATORS = ",;\t|"
HEAD = 2**16  # bytes by which a file's form is told
# What people write for no value, besides nothing.
NOTHING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "#N/A")
# Of a file's bytes, what reading them takes at most; compressed ones are several times as many.
MEMORY_PER_BYTE, COMPRESSION = 3.0, 8.0
COMMA_NUMBER, POINT_NUMBER = re.compile(r"^[+-]?\d+,\d+$"), re.compile(r"^[+-]?\d+\.\d+$")


def is_table(name: str) -> bool:
    """Whether a name is that of a table's file."""
    return name.lower().endswith(SUFFIXES)


def read_table(path: Path, data: Data | None = None) -> pd.DataFrame:
    """The table in a file, its columns named as the file names them.

    `data` may say how a CSV file is written; what it does not say is told from the file.

    Raises:
        DataError: the file is not there, is no table, or does not fit into memory.
    """
    try:
        _check_memory(path)
        is_parquet = path.name.lower().endswith(PARQUET_SUFFIXES)
        frame = _read_parquet(path) if is_parquet else _read_csv(path, data)
    except FileNotFoundError:
        raise DataError(str(path), "must be an existing file") from None
    except IsADirectoryError:
        raise DataError(str(path), "must be a file, but is a folder") from None
    except OSError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    names = [str(name) for name in frame.columns]
    if twins := [name for index, name in enumerate(names) if name in names[:index]]:
        raise DataError(str(path), "must have columns of different names", got=twins[0])
    if not len(frame):
        raise DataError(str(path), "must have rows", got=0)
    frame.columns = names
    return frame


def _check_memory(path: Path) -> None:
    import psutil

    size = path.stat().st_size
    if path.is_dir():
        raise IsADirectoryError
    compressed = path.name.lower().endswith((".gz", *PARQUET_SUFFIXES))
    needed = size * MEMORY_PER_BYTE * (COMPRESSION if compressed else 1)
    free = psutil.virtual_memory().available
    if needed > free:
        rule = f"a file of {size / 2**30:.1f} GiB needs about {needed / 2**30:.0f} GiB of memory"
        remedy = "Train on a part of its rows, or on a larger machine."
        raise DataError(str(path), rule, got=f"{free / 2**30:.0f} GiB", remedy=remedy)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas(self_destruct=True)
        return frame
    except pa.ArrowException as error:
        raise DataError(str(path), "must be a whole Parquet file", got=explain(error)) from None


def _read_csv(path: Path, data: Data | None) -> pd.DataFrame:
    head = _head(path)
    encoding = (data and data.encoding) or _encoding(path, head)
    text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
    separator = (data and data.separator) or _separator(text)
    decimal = (data and data.decimal) or _decimal(text, separator)
    text_columns: dict[str, Any] = {}
    while True:
        try:
            return _parse(path, encoding, separator, decimal, text_columns)
        except _MixedColumnError as mixed:
            text_columns |= mixed.types
        except UnicodeDecodeError:
            # What Windows writes decodes, whatever it is.
            encoding = "cp1252"


class _MixedColumnError(Exception):
    """A column does not stay what its beginning was taken for."""

    def __init__(self, types: dict[str, Any]) -> None:
        self.types = types


def _parse(
    path: Path, encoding: str, separator: str, decimal: str, types: dict[str, Any], *, newlines: bool = False
) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        table = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(encoding="utf8" if encoding == "utf-8-sig" else encoding),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=newlines),
            arrow_csv.ConvertOptions(
                column_types=types,
                null_values=list(NOTHING),
                strings_can_be_null=True,
                decimal_point=decimal,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        said = explain(error)
        if found := re.search(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error", said):
            names = next(
                csv.reader(io.StringIO(_head(path).decode(encoding, "replace")), delimiter=separator)
            )
            name = names[int(found[1])].removeprefix("\ufeff")
            if name not in types and "invalid UTF8" not in said:
                raise _MixedColumnError({name: pa.string()}) from None
        if "UTF8" in said or "utf-8" in said.lower():
            raise UnicodeDecodeError("utf-8", b"", 0, 1, said) from None
        if not newlines:
            return _parse(path, encoding, separator, decimal, types, newlines=True)
        raise _told(path, said, separator) from None
    frame: pd.DataFrame = table.to_pandas(self_destruct=True)
    return frame


def _told(path: Path, said: str, separator: str) -> DataError:
    """What is wrong with a CSV file that cannot be parsed."""
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", said)
    if ragged is None:
        remedy = "Say how it is written: data.separator, data.encoding."
        return DataError(str(path), "must be a CSV file", got=said, remedy=remedy)
    row, columns, got = ragged.groups()
    where = f" in row {int(row) - 1}" if row else ""
    rule = f"every row must have {columns} values, as the header has, with {separator!r} between them"
    remedy = "Correct the row, or say data.separator."
    return DataError(str(path), rule, got=f"{got}{where}", remedy=remedy)


def _head(path: Path) -> bytes:
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            head: bytes = file.read(HEAD)
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(str(path), "must be a whole gzip file", got=explain(error)) from None
    if not head.strip():
        raise DataError(str(path), "must have a header and rows", got="an empty file")
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        remedy = "Save it as CSV or Parquet."
        raise DataError(str(path), "must be text", got="a binary file", remedy=remedy)
    return head


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    try:
        # A character may be cut at the end.
        head[: max(1, len(head) - 4)].decode() if len(head) == HEAD else head.decode()
        return "utf-8"
    except UnicodeDecodeError as error:
        return "utf-8" if len(head) == HEAD and error.start > HEAD - 8 else "cp1252"


def _separator(text: str) -> str:
    """What stands between the values: the sign with which most lines have most values, all as many."""
    lines = _lines(text)

    def values(separator: str) -> tuple[bool, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        alike = sum(count == counts[0] for count in counts) >= 0.9 * len(counts)
        return alike and counts[0] > 1, counts[0]

    return max(SEPARATORS, key=values)


def _decimal(text: str, separator: str) -> str:
    if separator == ",":
        return "."
    cells = [cell.strip() for row in csv.reader(_lines(text), delimiter=separator) for cell in row]
    commas, points = (sum(bool(form.match(cell)) for cell in cells) for form in (COMMA_NUMBER, POINT_NUMBER))
    return "," if commas > points else "."


def _lines(text: str) -> Sequence[str]:
    """Whole lines, of a file that may be cut anywhere."""
    lines = text.splitlines()
    return lines[:-1] if len(text) > HEAD // 4 and len(lines) > 2 else lines
