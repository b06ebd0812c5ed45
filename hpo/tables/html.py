"""Tables in HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from hpo.tables.table import Table


def rendered(table: Table) -> str:
    """A `table` of escaped texts; cells of columns of numbers are of class `number`.

    >>> from hpo.tables import Column
    >>> print(rendered(Table("", (Column("arm"),), [{"arm": "<b>"}])), end="")
    <table>
    <thead><tr><th scope="col">arm</th></tr></thead>
    <tbody>
    <tr><td>&lt;b&gt;</td></tr>
    </tbody>
    </table>
    """
    head = _row('th scope="col"', table.head, table.numeric)
    rows = "\n".join(_row("td", (cell.text for cell in cells), table.numeric) for cells in table.body)
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n"


def _row(tag: str, texts: Iterable[str], numeric: Iterable[bool]) -> str:
    name = tag.split()[0]
    cells = []
    for text, is_number in zip(texts, numeric, strict=True):
        opening = f'{tag} class="number"' if is_number else tag
        cells.append(f"<{opening}>{escape(text)}</{name}>")
    return f"<tr>{''.join(cells)}</tr>"
