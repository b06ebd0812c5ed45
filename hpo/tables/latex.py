"""Tables in LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

import re

from tabulate import DataRow, Line, TableFormat, tabulate

from hpo.tables.table import Cell, Table

_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    # At the start of a row these would belong to the command that ended the last one.
    "[": "{[}",
    "*": "{*}",
}
_TRANSLATION = str.maketrans(_ESCAPES)
_NUMBER = re.compile(r"(x |< )?([+-]?\d+(?:\.\d+)?)(?:e([+-]?\d+))?")
_SIGNS = {"x ": r"\times ", "< ": "< "}
_ROW = DataRow("", " & ", r" \\")
# tabulate's own for booktabs escapes otherwise, and would escape mathematics.
_RULES = TableFormat(
    lineabove=Line(r"\toprule", "", "", ""),
    linebelowheader=Line(r"\midrule", "", "", ""),
    linebetweenrows=None,
    linebelow=Line(r"\bottomrule", "", "", ""),
    headerrow=_ROW,
    datarow=_ROW,
    padding=0,
    with_header_hide=None,
)


def rendered(table: Table) -> str:
    """A `tabular`: numbers to the right, their spreads and exponents in mathematics."""
    body = tabulate(
        [[_cell(cell) for cell in cells] for cells in table.body],
        headers=[escape(name) for name in table.head],
        tablefmt=_RULES,
        colalign=["right" if numeric else "left" for numeric in table.numeric],
        disable_numparse=True,
    )
    align = "".join("r" if numeric else "l" for numeric in table.numeric)
    return f"\\begin{{tabular}}{{{align}}}\n{body}\n\\end{{tabular}}\n"


def escape(text: str) -> str:
    r"""A text that LaTeX sets as it is.

    >>> print(escape("a_b & 50 %"))
    a\_b \& 50 \%
    """
    return re.sub(r"\s", " ", text).translate(_TRANSLATION)


def _cell(cell: Cell) -> str:
    if not cell.text:
        return "--"
    return _mathematics(cell.text) if cell.is_number else escape(cell.text)


def _mathematics(text: str) -> str:
    r"""A number with what belongs to it: `0.97 ± 0.01`, `x 1.2 to x 1.4`, `< 0.001`."""
    for between, sign in ((" to ", "$ to $"), (" ± ", r" \pm ")):
        parts = [_NUMBER.fullmatch(part) for part in text.split(between)]
        if all(parts) and len(parts) > 1:
            return f"${sign.join(_powered(part) for part in parts if part)}$"
    if (found := _NUMBER.fullmatch(text)) is None:
        return escape(text)
    shown = _powered(found)
    return shown if shown.replace(".", "").isdigit() else f"${shown}$"


def _powered(number: re.Match[str]) -> str:
    before, digits, power = number.groups()
    shown = _SIGNS.get(before or "", "") + digits
    return shown if power is None else rf"{shown} \times 10^{{{int(power)}}}"
