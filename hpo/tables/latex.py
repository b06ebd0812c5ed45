"""Tables in LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    **dict.fromkeys("\n\r\t", " "),
}
_TRANSLATION = str.maketrans(_ESCAPES)
_NUMBER = r"([+-]?\d+(?:\.\d+)?)(?:e([+-]?\d+))?"
_WITH_SPREAD = re.compile(rf"{_NUMBER}(?: ± {_NUMBER})?")


def tabular(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A `tabular` of texts. Columns of numbers are set right; `0.97 ± 0.01` and exponents in mathematics."""
    columns = list(zip(*rows, strict=True))
    align = "".join("r" if all(_is_number(text) for text in column) else "l" for column in columns)
    lines = [" & ".join(map(_cell, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(map(escape, head)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def escape(text: str) -> str:
    """A text that LaTeX sets as it is."""
    return text.translate(_TRANSLATION)


def _is_number(text: str) -> bool:
    return text == "-" or _WITH_SPREAD.fullmatch(text) is not None


def _cell(text: str) -> str:
    if text == "-":  # there is no value
        return "--"
    found = _WITH_SPREAD.fullmatch(text)
    if found is None:
        return escape(text)
    mean, power, spread, spread_power = found.groups()
    shown = _powered(mean, power) + (rf" \pm {_powered(spread, spread_power)}" if spread else "")
    return shown if shown.replace(".", "").isdigit() else f"${shown}$"


def _powered(digits: str, power: str | None) -> str:
    return digits if power is None else rf"{digits} \times 10^{{{int(power)}}}"
