"""Tables in files, as people's are: CSV and Parquet to a frame."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.data.archive import explain
from hpo.data.columns import MOSTLY
from hpo.data.csv_form import (
    HEAD,
    CsvForm,
    decimal_of,
    encodings_of,
    names_of,
    separator_of,
    utf_16_or_32,
)
from hpo.data.frames import check_names
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from hpo.spec.parts import Data

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)

BLOCK = 2**24  # bytes that are parsed at once; a row must fit into them
# What begins no text: zip and Excel, PDF, Parquet, PNG, JPEG, HDF5; pickles and old Excel have control bytes.
MAGIC = (b"PK\x03\x04", b"%PDF", b"PAR1", b"\x89PNG", b"\xff\xd8\xff", b"\x89HDF")
GZIP = b"\x1f\x8b"
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
# Where pandas keeps the index of a frame that has no name.
INDEX = re.compile(r"__index_level_\d+__$")
# What people write for no value, besides nothing.
NOTHING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "#N/A")
# Of a file's bytes, what reading them takes at most; compressed ones are several times as many.
MEMORY_PER_BYTE, COMPRESSION = 3.0, 8.0
# A whole number or one with a decimal comma.
ANY_COMMA_NUMBER = r"\s*[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?\s*"


def is_table(name: str) -> bool:
    """Whether a name is that of a table's file."""
    return name.lower().endswith(SUFFIXES)


@dataclass(frozen=True, eq=False)
class TableFile:
    """A table as a frame; `form` is how its file is written, None if it is no CSV file."""

    frame: pd.DataFrame
    form: CsvForm | None = None


def read_table(
    path: Path,
    data: Data | None = None,
    *,
    text: Sequence[str] = (),
    like: CsvForm | None = None,
    names: Collection[str] = (),
) -> TableFile:
    """The table in a file, its columns named as the file names them.

    `data` may say how a CSV file is written; what it does not say is told from the file, and by `like`: how
    another file is written that has the columns `names`. `text`: columns that are text, whatever they look
    like.

    Raises:
        DataError: the file is not there, is no table, or does not fit into memory.
    """
    try:
        _check_memory(path)
        is_parquet = path.name.lower().endswith(PARQUET_SUFFIXES)
        read = TableFile(_read_parquet(path)) if is_parquet else _read_csv(path, data, text, like, names)
    except FileNotFoundError:
        raise DataError(str(path), "must be an existing file") from None
    except IsADirectoryError:
        raise DataError(str(path), "must be a file, but is a folder") from None
    except OSError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    found = [str(name) for name in read.frame.columns]
    check_names(found, place=str(path))
    if not len(read.frame):
        raise _no_rows(path)
    read.frame.columns = found
    return read


def _no_rows(path: Path) -> DataError:
    remedy = "Add rows below its header."
    return DataError(str(path), "must have rows", got="nothing but a header", remedy=remedy)


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
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        rule = "must be a whole Parquet file"
        raise DataError(str(path), rule, got=_short(error), remedy="Write it anew.") from None
    for field in table.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            rule = "must be numbers, dates or text"
            remedy = "Write the file without it."
            raise DataError(f"{path}: column {field.name!r}", rule, got=str(field.type), remedy=remedy)
    # What pandas kept as its index is a column as any other, unless it only counts the rows.
    table = table.drop_columns([name for name in table.column_names if INDEX.match(name)])
    return _frame(table, ignore_metadata=True)


def _frame(table: Any, **options: Any) -> pd.DataFrame:
    """An Arrow table as a frame: dates as such, truth values with gaps as numbers with gaps."""
    import pyarrow as pa

    unclear = [index for index, field in enumerate(table.schema) if pa.types.is_boolean(field.type)]
    unclear = [index for index in unclear if table.column(index).null_count]
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, self_destruct=True, **options)
    for index in unclear:
        frame.isetitem(index, frame.iloc[:, index].astype("boolean").array)
    return frame


def _read_csv(
    path: Path,
    data: Data | None,
    text_columns: Sequence[str],
    like: CsvForm | None,
    names: Collection[str],
) -> TableFile:
    head = _head(path, is_known=bool(data and data.encoding))
    encodings = [data.encoding] if data and data.encoding else encodings_of(head, like)
    for encoding in encodings:
        try:
            text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
        except (LookupError, UnicodeError):
            remedy = "Others are utf-8, cp1252 and utf-16."
            raise DataError("data.encoding", "must be an encoding", got=encoding, remedy=remedy) from None
        same = like is not None and like.separates(text, names)
        separator = (data and data.separator) or (like.separator if like and same else separator_of(text))
        decimal = (data and data.decimal) or decimal_of(text, separator, like if same else None)
        if separator == decimal or separator in '"\r\n':
            rule = "must be neither the decimal mark nor a quote or the end of a line"
            raise DataError("data.separator", rule, got=separator)
        try:
            has_quotes = '"' in text
            frame = _parsed(path, encoding, separator, decimal, text_columns, has_quotes=has_quotes)
        except UnicodeError:
            continue
        return TableFile(frame, CsvForm(separator, decimal, encoding))
    remedy = 'Say data.encoding, as "cp1252" or "utf-16", or save it as UTF-8.'
    raise DataError(
        str(path), f"must be text in the encoding {encodings[0]}", got="other bytes", remedy=remedy
    )


def _parsed(
    path: Path, encoding: str, separator: str, decimal: str, text: Sequence[str], *, has_quotes: bool
) -> pd.DataFrame:
    """The table in a CSV file of this form. Raises UnicodeError if it is in another encoding."""
    import pyarrow as pa

    types: dict[str, Any] = dict.fromkeys(text, pa.string())
    while True:
        try:
            frame = _parse(path, encoding, separator, decimal, types, newlines=has_quotes)
            break
        except _MixedColumnError as mixed:
            types |= mixed.types
    if decimal == ",":
        for index, column in enumerate(frame.columns):
            _with_points(frame, index, is_mixed=column in types and column not in text)
    return frame


def _with_points(frame: pd.DataFrame, index: int, *, is_mixed: bool) -> None:
    """Numbers with decimal commas among others as everybody reads them, if the column is mostly such."""
    import pandas as pd

    series = frame.iloc[:, index]
    if not pd.api.types.is_string_dtype(series.dtype) or not len(known := series.dropna()):
        return
    numbers = known.str.fullmatch(ANY_COMMA_NUMBER)
    if is_mixed or numbers.mean() >= MOSTLY:
        others = ~numbers.reindex(series.index, fill_value=False)
        frame.isetitem(index, series.where(others, series.str.replace(",", ".", regex=False)).array)


class _MixedColumnError(Exception):
    """A column does not stay what its beginning was taken for."""

    def __init__(self, types: dict[str, Any]) -> None:
        self.types = types


def _parse(
    path: Path, encoding: str, separator: str, decimal: str, types: dict[str, Any], *, newlines: bool
) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        table = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(
                encoding="utf8" if encoding in ("utf-8", "utf-8-sig") else encoding, block_size=BLOCK
            ),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=newlines),
            arrow_csv.ConvertOptions(
                column_types=types,
                null_values=list(NOTHING),
                strings_can_be_null=True,
                decimal_point=decimal,
            ),
        )
        if any(pa.types.is_binary(field.type) for field in table.schema):
            # What is no UTF-8 is taken for bytes.
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "not UTF-8")
        return _frame(table.rename_columns(names_of(table.column_names)))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        said = _short(error)
        if "Empty CSV file" in said:
            raise _no_rows(path) from None
        if "UTF8" in said or "utf-8" in said.lower():
            raise UnicodeDecodeError("utf-8", b"", 0, 1, said) from None
        if found := re.search(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error", said):
            head = _head(path, is_known=True).decode(encoding, "replace")
            name = next(csv.reader(io.StringIO(head), delimiter=separator))[int(found[1])]
            if name not in types:
                raise _MixedColumnError({name: pa.string()}) from None
        if not newlines:
            return _parse(path, encoding, separator, decimal, types, newlines=True)
        raise _told(path, said, encoding, separator) from None
    except OSError as error:
        raise DataError(
            str(path), "must be a whole file", got=_short(error), remedy="Copy it again."
        ) from None


def _told(path: Path, said: str, encoding: str, separator: str) -> DataError:
    """What is wrong with a CSV file that cannot be parsed."""
    for row, (columns, got) in enumerate(_ragged(path, encoding, separator)):
        if got != columns:
            values = f"{columns} value{'s' if columns > 1 else ''}"
            rule = f"every row must have {values}, as the header has, with {separator!r} between them"
            remedy = "Correct the row, or say data.separator."
            if columns == 1:
                remedy = "Its first line must be the header, or say data.separator."
            return DataError(str(path), rule, got=f"{got} in row {row}", remedy=remedy)
    remedy = "Say how it is written: data.separator, data.encoding."
    return DataError(str(path), "must be a CSV file", got=said, remedy=remedy)


def _ragged(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, int]]:
    """How many values the header has, and each row from the header on; empty lines are none."""
    columns = 0
    try:
        with _opened(path, "rt", encoding=encoding, errors="replace", newline="") as file:
            for row in csv.reader(file, delimiter=separator):
                columns = columns or len(row)
                if row:
                    yield columns, len(row)
    except (csv.Error, OSError, EOFError):
        return


def _opened(path: Path, mode: str, **options: Any) -> Any:
    is_gzip = path.name.lower().endswith(".gz")
    return gzip.open(path, mode, **options) if is_gzip else path.open(mode, **options)


def _head(path: Path, *, is_known: bool = False) -> bytes:
    """The first bytes of a file. Raises DataError if they are no text; not if its encoding `is_known`."""
    try:
        with _opened(path, "rb") as file:
            head: bytes = file.read(HEAD)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        remedy = "Name it without .gz, or write it anew."
        raise DataError(str(path), "must be a whole gzip file", got=explain(error), remedy=remedy) from None
    if not head.strip().removeprefix(b"\xef\xbb\xbf"):
        remedy = "Write it anew, with the names of its columns in the first row."
        raise DataError(str(path), "must have a header and rows", got="an empty file", remedy=remedy)
    if head.startswith(GZIP):
        raise DataError(
            str(path), "must be text", got="a gzip file", remedy="Name it so that it ends in .gz."
        )
    if head.startswith(MAGIC) or (not is_known and _is_binary(head)):
        remedy = "Save it as CSV or Parquet."
        raise DataError(str(path), "must be text", got="a binary file", remedy=remedy)
    return head


def _is_binary(head: bytes) -> bool:
    if utf_16_or_32(head):
        return False
    return b"\0" in head or len(CONTROL.findall(head)) > len(head) / 100


def _short(error: BaseException) -> str:
    """An error of Arrow in one short line: its messages quote whole rows."""
    return explain(error)[:120]
