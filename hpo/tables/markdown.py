"""Tables in GitHub-flavoured Markdown, and texts that Markdown shows as they are."""

from __future__ import annotations

import re

from tabulate import tabulate

from hpo.tables.table import Table

_SPECIAL = re.compile(r"[\\`*\[|~$]|<(?=[A-Za-z/!?])|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])")
# What opens a heading, a list, a rule or a quotation at the beginning of a line.
_OPENING = re.compile(r"^(>|#(?=#{0,5}(\s|$))|[-+=](?=\s|$|[-+=])|\d{1,9}(?=[.)](\s|$)))")


def rendered(table: Table) -> str:
    """A table of escaped texts; numbers to the right.

    >>> from hpo.tables import Column
    >>> print(rendered(Table("", (Column("arm"), Column("a_b")), [{"arm": "x|y", "a_b": "*"}])), end="")
    | arm   | a_b   |
    |:------|:------|
    | x\\|y  | \\*    |
    """
    text: str = tabulate(
        [[escaped(cell.text) for cell in cells] for cells in table.body],
        headers=[escaped(name) for name in table.head],
        tablefmt="pipe",
        colalign=["right" if numeric else "left" for numeric in table.numeric],
        disable_numparse=True,
    )
    return f"{text}\n"


def escaped(text: str) -> str:
    r"""A text as Markdown shows it literally, on one line.

    >>> print(escaped("- *all* of [it]"))
    \- \*all\* of \[it]
    """
    line = _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
    return _OPENING.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", line)
