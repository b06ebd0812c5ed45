"""Tables: each value read once, by its kind; each form lays out the same cells and lets nothing out."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from hpo.tables import Column, Table, html, latex, markdown
from hpo.tables import csv as as_csv
from hpo.tables import json as as_json
from hpo.tables.kinds import (
    COUNTS,
    DIFFERENCE,
    DURATION,
    INTERVAL,
    MEAN,
    MOMENT,
    NAME,
    NUMBER,
    P_VALUE,
    PROSE,
    SETTING,
    SHARE,
    TALLY,
    TEXT,
    TRIAL,
    VALUE,
    VERDICT,
    Kind,
)
from hpo.tables.terminal import laid_out

ARMS = Table(
    "Arms",
    (
        Column("arm", NAME),
        Column("n", NUMBER, drop=3),
        Column("failed", TALLY, drop=4),
        Column("val_accuracy", MEAN, ("val_accuracy", "val_accuracy_sd")),
        Column("learning_rate", SETTING, drop=10),
        Column("early_stopping_patience", SETTING, drop=11),
        Column("validation, when chosen", NUMBER, ("chosen",), drop=2),
        Column("verdict", VERDICT, ("decision", "because")),
    ),
    [
        {
            "arm": name,
            "n": 5,
            "failed": failed,
            "val_accuracy": 0.91234,
            "val_accuracy_sd": 0.0123,
            "learning_rate": 0.001,
            "early_stopping_patience": patience,
            "chosen": 0.9,
            "decision": "undecided",
            "because": "12 more seeds would probably decide",
            "units": [64, 32],
        }
        for name, failed, patience in [("SGD", 0, None), ("SGD with momentum and a schedule", 2, 5)]
    ],
)


def shown(table: Table, width: int | None = None) -> tuple[list[str], tuple[str, ...]]:
    """The lines that a terminal shows, and the names of the columns that are left out."""
    laid = laid_out(table, width)
    console = Console(width=max(laid.width, width or 0), file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(laid.grid)
    return capture.get().splitlines(), laid.left_out


# ------------------------------------------------------------------------------------------ kinds


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (TEXT, ["plain"], "plain"),
        (TEXT, [None], ""),
        (VALUE, [[0.25, 1e-05]], "[0.25, 1e-05]"),
        (SETTING, [None], "none"),
        (NUMBER, [0.123456], "0.1235"),
        (TALLY, [0], ""),
        (TALLY, [2], "2"),
        (SHARE, [0.98765], "0.988"),
        (TRIAL, [7], "#7"),
        (MEAN, [0.97162, 0.00123], "0.9716 ± 0.0012"),
        (MEAN, [None, None], ""),
        (DIFFERENCE, [0.0035, 0.0021, 0.0049, False], "+0.0035"),
        (INTERVAL, [0.0035, 0.0021, 0.0049, False], "+0.0021 to +0.0049"),
        (INTERVAL, [1.31, 1.22, 1.4, True], "x 1.310 to x 1.400".replace("1.310", "1.220")),
        (P_VALUE, [2e-5], "< 0.001"),
        (DURATION, [75], "1 min 15 s"),
        (MOMENT, [None], ""),
        (COUNTS, [{"complete": 3, "failed": 0, "waiting": 1}], "3 complete, 1 waiting"),
        (VERDICT, ["undecided", "one seed"], "undecided: one seed"),
        (VERDICT, ["better", ""], "better"),
    ],
)
def test_a_kind_reads_its_values_in_one_way(kind: Kind, values: list[Any], text: str) -> None:
    assert kind.text(*values) == text


def test_a_column_in_which_there_is_nothing_is_shown_to_nobody() -> None:
    table = Table(
        "", (Column("a"), Column("b"), Column("c", NUMBER, ("in.c",))), [{"a": "x", "in": {"c": 1}}]
    )
    assert table.head == ("a", "c")
    assert table.numeric == (False, True)


# ---------------------------------------------------------------------------------------- terminal


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_table_fits_the_terminal_with_whole_words_and_names_what_it_leaves_out(width: int) -> None:
    lines, left_out = shown(ARMS, width)
    assert max(map(cell_len, lines)) <= width
    words = {word for cells in ARMS.body for cell in cells for word in cell.text.split()}
    heads = {word for name in ARMS.head for word in name.split()}
    assert {word for line in lines for word in line.split()} <= words | heads | {"-"}
    kept = [name for name in ARMS.head if name not in left_out]
    assert {"arm", "val_accuracy", "verdict"} <= set(kept)
    # What is left out matters less than anything that is kept.
    drops = {column.name: column.drop for column in ARMS.columns}
    assert not left_out or min(drops[name] for name in left_out) > max(drops[name] for name in kept)


def test_without_a_terminal_a_row_is_a_line_and_nothing_is_left_out() -> None:
    lines, left_out = shown(ARMS)
    assert (len(lines), left_out) == (3, ())
    assert lines[0].split("  ")[0] == "arm"


def test_a_record_goes_down_the_page_and_only_it_breaks_what_is_as_long_as_a_digest() -> None:
    table = Table("", (Column("name"), Column("digest")), [{"name": "x", "digest": "a" * 64}], is_record=True)
    lines, _ = shown(table, 40)
    assert max(map(len, lines)) <= 40
    assert "".join(line[8:].strip() for line in lines[1:]) == "a" * 64


# ------------------------------------------------------------------------------------------- LaTeX

SPECIAL = Table(
    "",
    (
        Column("a_b"),
        Column("number", NUMBER),
        Column("mean", MEAN, ("mean", "sd")),
        Column("interval", INTERVAL, ("d", "low", "high", "is_ratio")),
        Column("p", P_VALUE),
        Column("below", VALUE),
    ),
    [
        {
            "a_b": r"50 % & {x}_1 $ # ~ ^ \ <|> [*" + "\n±",
            "number": number,
            "mean": 1.5,
            "sd": 2e-6,
            "d": 1.3,
            "low": 1.2,
            "high": 1.4,
            "is_ratio": True,
            "p": 1e-5,
            "below": -3,
        }
        for number in (1e-5, None)
    ],
)


def test_latex_sets_texts_as_they_are_and_numbers_as_numbers() -> None:
    lines = latex.rendered(SPECIAL).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrr}"
    assert (lines[1], lines[3], *lines[-2:]) == (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}")
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))] for line in lines[2:]]
    assert rows[0] == [r"a\_b", "number", "mean", "interval", "p", "below"]
    escapes = [r"\$", r"\#", *(rf"\text{name}{{}}" for name in ("asciitilde", "asciicircum", "backslash"))]
    assert rows[2][0] == " ".join(
        [r"50 \% \& \{x\}\_1", *escapes, r"\textless{}\textbar{}\textgreater{}", r"{[}{*} $\pm$"]
    )
    assert rows[2][1:] == [
        r"$1 \times 10^{-5}$",
        r"$1.5 \pm 2 \times 10^{-6}$",
        r"$\times 1.20$ to $\times 1.40$",
        "$< 0.001$",
        "$-3$",
    ]
    assert rows[3][1] == "--"


# ---------------------------------------------------------------------------------- CSV and JSON

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "--x"]


def cells(row: dict[str, Any]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(as_csv.rendered(Table("", (), [row])))))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_runs_no_text_of_a_csv(text: str) -> None:
    same = text.replace("\r", "\n")
    assert cells({text: text, "in": {text: text}}) == [["'" + same, f"in.{same}"], ["'" + same] * 2]


@pytest.mark.parametrize(
    "value", [-1, -0.5, -1e-30, "-0.5", "+1", "-inf", "a=1", "'=1", " =1", "", [-1], None]
)
def test_numbers_and_harmless_texts_stay_as_they_are_in_a_csv(value: Any) -> None:
    (_, (cell, _)) = cells({"a": value, "b": 1})
    assert cell == ("" if value is None else str(value))


def test_programs_get_every_value_and_no_text_of_a_kind() -> None:
    assert json.loads(as_json.rendered(ARMS)) == list(ARMS.rows)
    head, first, _ = csv.reader(io.StringIO(as_csv.rendered(ARMS)))
    row = dict(zip(head, first, strict=True))
    assert (row["val_accuracy"], row["units"], row["early_stopping_patience"]) == ("0.91234", "[64, 32]", "")
    empty = Table("", (), [], keys=("name", "kind"))
    assert (as_csv.rendered(empty), as_json.rendered(empty)) == ("name,kind\n", "[]\n")


def test_a_csv_leaves_out_what_is_too_long_for_it() -> None:
    table = Table("", (), [{"number": 0, "curve": [1.0] * 9}], omitted=frozenset({"curve"}))
    assert as_csv.rendered(table) == "number\n0\n"
    assert "curve" in as_json.rendered(table)


# ------------------------------------------------------------------------------ Markdown and HTML


class Cells(HTMLParser):
    """The texts of a table's cells, and nothing but a table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("table", "thead", "tbody", "tr", "th", "td")
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def of_markdown(text: str) -> list[list[str]]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert {token.type.partition("_")[0] for token in tokens} <= {
        *("table", "thead", "tbody", "tr", "th", "td", "inline")
    }
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=2, max_size=2))
def test_markdown_and_html_show_any_text_as_it_is(texts: list[str]) -> None:
    table = Table(
        "", (Column("a|b", PROSE), Column("<n>", NUMBER, ("n",))), [{"a|b": t, "n": 1} for t in texts]
    )
    expected = [[" ".join(cell.text.split()) for cell in row] for row in table.body]
    found = of_markdown(markdown.rendered(table))
    assert found == [list(table.head), *expected]
    rows = [[" ".join(cell.split()) for cell in row] for row in Cells(html.rendered(table)).rows]
    assert rows == [list(table.head), *expected]


def test_every_form_for_people_has_the_same_cells() -> None:
    texts = [list(ARMS.head), *([cell.text for cell in row] for row in ARMS.body)]
    assert of_markdown(markdown.rendered(ARMS)) == texts
    assert [[cell.strip() for cell in row] for row in Cells(html.rendered(ARMS)).rows] == texts
