"""Tables on a terminal of so many columns: what does not fit is left out and named, and no word is broken."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.table import Table as Grid
from rich.text import Text

from hpo.tables.table import Table

MISSING = "-"
GAP = 2
# A column of prose is made so narrow before others are left out for it.
READABLE = 20
# Of the values of a record.
NARROWEST = 10


@dataclass
class _Strip:
    """A column as wide as it is to be: `natural` on one line, `least` with prose and heads on several."""

    index: int
    name: str
    drop: int
    natural: int
    least: int
    narrowest: int
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = self.least


@dataclass(frozen=True)
class Laid:
    """A table as rich prints it, how wide it is, and the names of the columns for which there is no room."""

    grid: Grid
    width: int
    left_out: tuple[str, ...]


def laid_out(table: Table, width: int | None = None) -> Laid:
    """A table in so many columns of text, as many as it takes if that is None.

    Columns are left out by their `drop`, as far as they must. If that is not enough, texts take several
    lines, broken between words; what even so is too wide stays so, and is for the terminal to wrap.
    """
    strips, left_out = _strips(table), list[_Strip]()
    if width is None:
        width = _total([strip.natural for strip in strips])
    while _total([strip.least for strip in strips]) > width:
        least = max(strips, key=lambda strip: (strip.drop, strip.index), default=None)
        if least is None or not least.drop:
            break
        strips.remove(least)
        left_out.append(least)
    if _total([strip.least for strip in strips]) > width:
        for strip in strips:
            strip.width = strip.narrowest
        if table.is_record:
            # What is as long as a digest is broken after all.
            strips[1].width = max(NARROWEST, min(strips[1].width, width - strips[0].width - GAP))
    _share_out(strips, width)
    names = [strip.name for strip in sorted(left_out, key=lambda strip: strip.index)]
    return Laid(_grid(table, strips), _total([strip.width for strip in strips]), tuple(names))


def _strips(table: Table) -> list[_Strip]:
    found = []
    for index, name in enumerate(table.head):
        texts = [cells[index].text or MISSING for cells in table.body]
        # A record has no head, and its values are its second column.
        column = None if table.is_record else table.shown[index]
        head = 0 if table.is_record else cell_len(name)
        head_word = 0 if table.is_record else _longest_word(name)
        cells = max(map(cell_len, texts), default=0)
        word = max(head_word, *map(_longest_word, texts), 0)
        natural = max(head, cells)
        if column is None:
            least = cells if index == 0 else min(cells, max(word, READABLE))
        elif column.kind.wraps:
            least = min(natural, max(word, READABLE))
        else:
            least = max(cells, head_word)
        is_number = table.numeric[index] if table.numeric else False
        narrowest = least if is_number else min(least, word)
        found.append(_Strip(index, name, column.drop if column else 0, natural, least, narrowest))
    return found


def _share_out(strips: list[_Strip], width: int) -> None:
    """Give what is left of the width to those that are near to one line first."""
    left = width - _total([strip.width for strip in strips])
    for strip in sorted(strips, key=lambda strip: strip.natural - strip.width):
        more = max(0, min(left, strip.natural - strip.width))
        strip.width += more
        left -= more


def _grid(table: Table, strips: list[_Strip]) -> Grid:
    grid = Grid(box=None, pad_edge=False, show_header=not table.is_record, header_style="bold")
    for strip in strips:
        is_right = not table.is_record and table.numeric[strip.index]
        grid.add_column(
            Text(strip.name), justify="right" if is_right else "left", overflow="fold", width=strip.width
        )
    for cells in table.body:
        grid.add_row(*(Text(cells[strip.index].text or MISSING) for strip in strips))
    return grid


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * max(0, len(widths) - 1)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
