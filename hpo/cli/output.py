"""What commands print: tables, in the form that `--format` names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hpo.tables.console import say, stdout

if TYPE_CHECKING:
    from hpo.tables import Table


class Format(StrEnum):
    """How a reading command prints."""

    table = "table"
    json = "json"
    csv = "csv"
    latex = "latex"
    markdown = "markdown"
    html = "html"

    @property
    def is_for_people(self) -> bool:
        """Whether it has what people see, in place of all that there is."""
        return self not in (Format.json, Format.csv)


def show(
    *tables: Table, output: Format = Format.table, whole: Any = None, empty: str = "", every: str = ""
) -> None:
    """Print tables: people get all that have rows, programs the first one.

    Args:
        whole: what JSON gets in place of the first table's rows.
        empty: what people are told if there are no rows.
        every: the command that prints the columns for which a terminal has no room; by default this one.
    """
    if not output.is_for_people:
        sys.stdout.write(_text_for_programs(tables[0], output, whole))
        return
    filled = [table for table in tables if table.rows]
    if output == Format.table:
        _print(filled, every)
    else:
        sys.stdout.write("\n".join(map(_renderer(output), filled)))
    if not filled and empty:
        say(empty)


def _text_for_programs(table: Table, output: Format, whole: Any) -> str:
    if output == Format.json:
        from hpo.tables import json

        return json.rendered(table, whole=whole)
    from hpo.tables import csv

    return csv.rendered(table)


def _renderer(output: Format) -> Callable[[Table], str]:
    from hpo.tables import html, latex, markdown

    renderers: dict[Format, Callable[[Table], str]] = {
        Format.latex: latex.rendered,
        Format.markdown: markdown.rendered,
        Format.html: html.rendered,
    }
    return renderers[output]


def _print(tables: list[Table], every: str) -> None:
    """On a terminal as wide as it is; elsewhere as wide as it takes."""
    from hpo.tables.terminal import laid_out

    width = stdout().width if sys.stdout.isatty() else None
    left_out: dict[str, None] = {}
    for index, table in enumerate(tables):
        if index:
            print()
        if table.caption:
            stdout().print(Text(table.caption, style="bold"))
        laid = laid_out(table, width)
        stdout(max(laid.width, width or 0)).print(laid.grid)
        left_out |= dict.fromkeys(laid.left_out)
    if left_out:
        sys.stdout.flush()
        how = every or "--format csv"
        say(f"Too narrow here for {', '.join(left_out)}. With them: {how}")
