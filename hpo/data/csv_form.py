"""How a CSV file is written: what stands between its values, its decimal mark and its encoding."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SEPARATORS = ",;\t|"
HEAD = 2**16  # bytes by which a file's form is told
COMMA_NUMBER, POINT_NUMBER = re.compile(r"^[+-]?\d+,\d+$"), re.compile(r"^[+-]?\d+\.\d+$")
# Whatever Windows writes decodes in it, but for a few bytes.
LAST_RESORT = "cp1252"


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written. Raises ValueError for a form that no file can have.

    As one file of a table is written, so are others that do not say otherwise themselves: where a file begins
    with a mark of its encoding, is UTF-8, has its columns' names between other signs, or has only numbers
    with the other decimal mark, it is read by what it says.
    """

    separator: str
    decimal: str
    encoding: str

    def __post_init__(self) -> None:
        separates = len(self.separator) == 1 and self.separator not in '"\r\n'
        if not separates or self.decimal not in (".", ",") or self.separator == self.decimal:
            raise ValueError("must have a separator and another decimal mark")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError("must have an encoding of text") from None

    def separates(self, text: str, names: Collection[str]) -> bool:
        """Whether all these names stand in the header of a file, between its signs."""
        header = next(csv.reader(lines_of(text), delimiter=self.separator), [])
        return set(names) <= set(names_of(header))


def names_of(header: Sequence[str]) -> list[str]:
    """The columns' names in a header, a number where there is none."""
    names = [name.removeprefix("\ufeff").strip() for name in header]
    return [name or f"Unnamed: {index}" for index, name in enumerate(names)]


def encodings_of(head: bytes, like: CsvForm | None = None) -> list[str]:
    """What a file that begins so may be in, the likeliest first; what is no Unicode is as another file."""
    last = LAST_RESORT
    if like is not None and not codecs.lookup(like.encoding).name.startswith("utf"):
        last = like.encoding
    if (encoding := utf_16_or_32(head)) != "":
        return [encoding]
    if head.startswith(b"\xef\xbb\xbf"):
        return ["utf-8-sig", last]
    try:
        # A character may be cut at the end.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)
        return ["utf-8", last]
    except UnicodeDecodeError:
        return [last] if last == LAST_RESORT else [last, LAST_RESORT]


def utf_16_or_32(head: bytes) -> str:
    """The encoding if it has a byte order mark, or every second byte is 0, as where Excel exports text."""
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if head.startswith(mark):
            return encoding
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if (
            len(head) > 1
            and head[first::2].count(0) > 0.8 * len(head[first::2])
            and 0 not in head[1 - first :: 2]
        ):
            return encoding
    return ""


def separator_of(text: str) -> str:
    """What stands between the values: the sign with which most lines have most values, all as many."""
    lines = lines_of(text)

    def values(separator: str) -> tuple[bool, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        alike = sum(count == counts[0] for count in counts) >= 0.9 * len(counts)
        return alike and counts[0] > 1, counts[0]

    return max(SEPARATORS, key=values)


def decimal_of(text: str, separator: str, like: CsvForm | None = None) -> str:
    """The decimal mark that most numbers have; that of another file, unless all have the other one."""
    if separator == ",":
        return "."
    cells = [cell.strip() for row in csv.reader(lines_of(text), delimiter=separator) for cell in row]
    commas, points = (sum(bool(form.match(cell)) for cell in cells) for form in (COMMA_NUMBER, POINT_NUMBER))
    if like is not None and (not commas + points or (points if like.decimal == "." else commas)):
        return like.decimal
    return "," if commas > points else "."


def lines_of(text: str) -> Sequence[str]:
    """Whole lines, of a file that may be cut anywhere."""
    lines = text.splitlines()
    return lines[:-1] if len(text) > HEAD // 4 and len(lines) > 2 else lines
