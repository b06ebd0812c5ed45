"""What a report consists of, before it is Markdown or HTML: blocks of plain text, tables and pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

_NUMBER = re.compile(r"^([-+x<#]?\s?\d.*|)$")


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
class Table:
    """Rows of text under a head; `title` names it to those who cannot see it."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold nothing but numbers."""
        return tuple(
            all(_NUMBER.match(row[index]) for row in self.rows) and any(row[index] for row in self.rows)
            for index in range(len(self.columns))
        )


@dataclass(frozen=True)
class Picture:
    """A plotly figure.

    `key` is its name in optuna-dashboard, where it is not shown without one. `small` stands for it there.
    """

    kind: ClassVar[str] = "picture"
    figure: Any
    caption: str
    key: str = ""
    small: Any = None


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


Block = Heading | Paragraph | Bullets | Command | Table | Picture | Examples


def table(title: str, rows: Sequence[dict[str, str]], *, kept: Sequence[str] = ()) -> list[Block]:
    """A table of rows that share their keys, without columns that are empty; nothing without rows."""
    if not rows:
        return []
    columns = [name for name in rows[0] if name in kept or any(row[name] for row in rows)]
    return [Table(title, tuple(columns), tuple(tuple(row[name] for name in columns) for row in rows))]
