"""Cells of CSV in which nothing can run."""

from __future__ import annotations

from typing import Any

# Spreadsheets take a text that begins so for a formula, and run it.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def defused(value: Any) -> Any:
    """A text that a spreadsheet would run, behind an apostrophe; numbers and all else as they are."""
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
