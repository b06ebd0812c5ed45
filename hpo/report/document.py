"""What a report consists of, before it is Markdown or HTML: blocks of plain text, tables and pictures."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from hpo.tables import Column
from hpo.tables import Table as Table
from hpo.tables.kinds import NUMBER, SHARE


@dataclass(frozen=True)
class Heading:
    """A heading; level 2 opens a study, 3 a part of it."""

    kind: ClassVar[str] = "heading"
    text: str
    level: int = 3


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Bullets:
    """A list, an item a line."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command to type."""

    kind: ClassVar[str] = "command"
    line: str


@dataclass(frozen=True)
class Code:
    """The text of a file, folded away."""

    kind: ClassVar[str] = "code"
    title: str
    text: str

    @property
    def fence(self) -> str:
        """What encloses it in Markdown: longer than any such run of its own."""
        return "`" * max([3, *(len(run) + 1 for run in re.findall("`+", self.text))])


@dataclass(frozen=True)
class Picture:
    """A plotly figure.

    `key` is its name in optuna-dashboard, where it is not shown without one. `small` stands for it there.
    `name` is what Python asks for it by.
    """

    kind: ClassVar[str] = "picture"
    figure: Any
    caption: str
    key: str = ""
    small: Any = None
    name: str = ""


@dataclass(frozen=True)
class Bar:
    """The probability of a class."""

    label: str
    share: float
    is_true: bool
    is_predicted: bool


@dataclass(frozen=True)
class Example:
    """One sample of the test set: its image as a data URI (empty if it is none), and what was predicted."""

    image: str
    index: int
    true: str
    predicted: str
    probability: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Examples:
    """Samples side by side."""

    kind: ClassVar[str] = "examples"
    title: str
    examples: tuple[Example, ...]

    @property
    def table(self) -> Table:
        """The same without pictures."""
        columns = (
            Column("sample", NUMBER, ("index",)),
            Column("true"),
            Column("predicted"),
            Column("probability", SHARE),
        )
        return Table(self.title, columns, [asdict(example) for example in self.examples])


Block = Heading | Paragraph | Bullets | Command | Code | Table | Picture | Examples


def tables(*found: Table) -> list[Block]:
    """Those of the tables that have rows."""
    return [table for table in found if table.rows]
