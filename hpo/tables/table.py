"""A table: rows of values, and columns that say how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from hpo.tables.kinds import TEXT, Kind

Row = Mapping[str, Any]
# In place of the value of a key that is not in a row: None may mean something.
ABSENT = object()


class Cell(NamedTuple):
    """What stands in a cell; empty if there is nothing."""

    text: str
    is_number: bool


@dataclass(frozen=True)
class Column:
    """A column that people see.

    `of` are the keys of a row whose values its kind puts together, by default its name; a key with dots leads
    into mappings of the row. A row that lacks the first has an empty cell. `drop` says which columns a narrow
    terminal does without: the highest first, 0 never. One in which there is nothing is shown to nobody.
    """

    name: str
    kind: Kind = TEXT
    of: tuple[str, ...] = ()
    drop: int = 0

    def cell(self, row: Row) -> Cell:
        """The cell of this column in a row."""
        first, *others = (_value(row, key) for key in self.of or (self.name,))
        if first is ABSENT:
            return Cell("", self.kind.holds_number(None))
        values = [first, *(None if value is ABSENT else value for value in others)]
        return Cell(self.kind.text(*values), self.kind.holds_number(values[0]))


@dataclass(frozen=True)
class Table:
    """Rows of values under columns.

    `rows` are JSON values: programs get all of them, people what the columns make of them. A CSV leaves out
    the `omitted` keys, whose values are too long for it, and has a head of `keys` without any row. `title`
    names the table to those who cannot see it, a terminal prints `caption` above it. A record (`is_record`)
    has one row, and goes down the page, a line a column.

    >>> from hpo.tables.kinds import MEAN
    >>> arms = Table("Arms", (Column("arm"), Column("f1", MEAN, of=("f1", "f1_sd"))),
    ...              ({"arm": "plain", "f1": 0.97162, "f1_sd": 0.00123},))
    >>> [[cell.text for cell in cells] for cells in arms.body]
    [['plain', '0.9716 ± 0.0012']]
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    keys: tuple[str, ...] = ()
    omitted: frozenset[str] = frozenset()
    caption: str = ""
    is_record: bool = False

    @cached_property
    def shown(self) -> tuple[Column, ...]:
        """The columns in which there is something."""
        return tuple(column for column, found in zip(self.columns, self._by_column, strict=True) if found)

    @cached_property
    def head(self) -> tuple[str, ...]:
        """The names above the columns of `body`."""
        return ("field", "value") if self.is_record else tuple(column.name for column in self.shown)

    @cached_property
    def body(self) -> list[list[Cell]]:
        """The cells by rows, without empty columns; of a record, a name and a value in each row."""
        filled = [found for found in self._by_column if found]
        if self.is_record:
            return [[Cell(c.name, False), *cells] for c, cells in zip(self.shown, filled, strict=True)]
        return [list(cells) for cells in zip(*filled, strict=True)]

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns of `body` hold nothing but numbers."""
        return tuple(
            all(cell.is_number or not cell.text for cell in cells) for cells in zip(*self.body, strict=True)
        )

    @cached_property
    def _by_column(self) -> list[list[Cell]]:
        """The cells of each column; none of one in which there is nothing."""
        found = [[column.cell(row) for row in self.rows] for column in self.columns]
        return [cells if any(cell.text for cell in cells) else [] for cells in found]


def _value(row: Row, key: str) -> Any:
    if key in row:
        return row[key]
    first, _, rest = key.partition(".")
    inner = row.get(first)
    return _value(inner, rest) if rest and isinstance(inner, Mapping) else ABSENT
