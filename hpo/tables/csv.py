"""Tables as CSV, in which nothing can run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hpo.tables.table import Row, Table

# Spreadsheets take a text that begins so for a formula, and run it.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def rendered(table: Table) -> str:
    """All values of a table: a line a row, mappings by names with dots, lists as JSON.

    >>> print(rendered(Table("", (), [{"arm": "=1+1", "mean": {"f1": 0.5}, "units": [8]}])), end="")
    arm,mean.f1,units
    '=1+1,0.5,[8]
    """
    kept = [{key: row[key] for key in row if key not in table.omitted} for row in table.rows]
    rows = [dict(_flat(row)) for row in kept]
    names = dict.fromkeys([*table.keys, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(defused(name) for name in names)
    writer.writerows([defused(row.get(name, "")) for name in names] for row in rows)
    return text.getvalue()


def defused(value: Any) -> Any:
    """A text that a spreadsheet would run, behind an apostrophe; numbers and all else as they are.

    >>> defused("=1+1"), defused("-0.5"), defused(-1)
    ("'=1+1", '-0.5', -1)
    """
    if not isinstance(value, str):
        return value
    # Python's csv does not quote a carriage return before 3.13, and readers take it for the end of the row.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith(FORMULAS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _flat(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value
