"""A table in a terminal, or as a page: its columns, its target, and what makes it doubtful."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.cli.output import Format, show
from hpo.errors import HpoError
from hpo.files import check_new_file, new_file
from hpo.tables import Column, Table
from hpo.tables.console import say
from hpo.tables.kinds import NUMBER, PROSE, TALLY, VALUE, Kind
from hpo.tables.numbers import number

if TYPE_CHECKING:
    from hpo.data import Dataset, Outline
    from hpo.spec import Data, StudySpec

# Levels that a line names, and how long one may be.
NAMED, LONGEST = 4, 24


def _within(low: Any, high: Any, levels: Any) -> str:
    if levels:
        named = ", ".join(f"{_short(name)} {count}" for name, count in levels[:NAMED])
        return f"{named}, ..." if len(levels) > NAMED else named
    return "" if low is None else number(low) if low == high else f"{number(low)} to {number(high)}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


COLUMNS = (
    Column("column", PROSE, of=("name",)),
    Column("kind", drop=1),
    Column("gaps", TALLY),
    Column("distinct", NUMBER, drop=2),
    Column("range or most frequent", Kind(_within, wraps=True), of=("low", "high", "levels")),
    Column("median", VALUE, drop=3),
)
CLASSES = (Column("class"), Column("rows", NUMBER), Column("share"))


def show_table(
    data: Data, *, task: str | None, study: StudySpec | None, page: Path | None, output: Format
) -> None:
    """Print what is in a table, or write its page; its doubts go to standard error.

    `study` is the one that is to be made of it, if one is known.

    Raises:
        HpoError: it cannot be had, no study can be made of it, or the page cannot be written.
    """
    from hpo.data import (
        doubts_about_columns,
        has_target,
        load_columns,
        load_parts,
        outlined,
        outlined_targets,
    )

    if page is not None:
        check_new_file(page, suffix=".html", force=True)
    test = None
    if has_target(data):
        dataset, test = load_parts(data, task=task)
        targets = outlined_targets(dataset)
        doubts = _doubts(dataset, data, study, test)
    else:
        dataset, refused = load_columns(data)
        targets = []
        doubts = [*refused, *doubts_about_columns(dataset)]
    columns = outlined(dataset)
    facts = _facts(dataset, test, data, has_target=bool(targets))
    if page is not None:
        from hpo.pictures import table_page

        with new_file(page, force=True) as draft:
            text = table_page(data.name, facts, targets=targets, columns=columns, doubts=doubts)
            draft.write_text(text, encoding="utf-8")
        say(f"Wrote {page}.")
    else:
        _print(data.name, facts, targets, columns, doubts, output)
    for line in _told(dataset, data, doubts, task=task):
        say(line)
    if not targets:
        say(f"{data.name}: name the column to predict, for its classes or its range: --target COLUMN.")


def said_of(dataset: Dataset, data: Data, *, task: str | None, study: StudySpec | None) -> list[str]:
    """What is to be known of data before a study is made of them, a line each, and why none can be."""
    return _told(dataset, data, _doubts(dataset, data, study, None), task=task)


def _doubts(dataset: Dataset, data: Data, study: StudySpec | None, test: Dataset | None) -> list[str]:
    from hpo.data import doubts_about
    from hpo.registry import scaling_of

    scaling = None if study is None else scaling_of(study)
    return [*_refusal(dataset, data, study), *doubts_about(dataset, data, test=test, scaling=scaling)]


def _told(dataset: Dataset, data: Data, doubts: list[str], *, task: str | None) -> list[str]:
    told = [dataset.said] if dataset.said and task is None else []
    return [line if line.startswith(str(data.name)) else f"{data.name}: {line}" for line in (*told, *doubts)]


def _refusal(dataset: Dataset, data: Data, study: StudySpec | None) -> list[str]:
    """Why the study, or any study, cannot be made of the data as they are split."""
    from hpo.data import check_splits
    from hpo.registry import check_data, settled

    try:
        if study is None:
            check_splits(dataset, data)
        else:
            check_data(study, dataset)
            settled(study, dataset)
    except HpoError as error:
        return error.lines
    return []


def _facts(dataset: Dataset, test: Dataset | None, data: Data, *, has_target: bool) -> dict[str, Any]:
    """What is said of the table as a whole."""
    facts: dict[str, Any] = {"rows": len(dataset), "columns": len(dataset.columns)}
    if has_target:
        facts |= {
            "target": ", ".join(dataset.target),
            "task": dataset.task_name,
            "digest": dataset.digest,
            "test_rows": 0 if test is None else len(test),
            "test_digest": None if test is None else test.digest,
        }
    return facts


def _print(
    name: str,
    facts: dict[str, Any],
    targets: list[Outline],
    columns: list[Outline],
    doubts: list[str],
    output: Format,
) -> None:
    rows = [_row(one) for one in columns]
    tables = [Table("Columns", COLUMNS, rows, omitted=frozenset({"levels", "bars"}), caption=name)]
    for one in targets:
        if not one.levels:
            quantities = [_row(each) for each in targets]
            tables.append(Table("Target", COLUMNS, quantities, caption="Target"))
            break
        total = facts["rows"]
        classes = [
            {"class": level, "rows": count, "share": f"{count / total:.1%}"} for level, count in one.levels
        ]
        if one.further:
            more = {"class": f"{one.distinct - len(one.levels)} more", "rows": one.further}
            classes.append(more | {"share": f"{one.further / total:.1%}"})
        tables.append(Table("Target", CLASSES, classes, caption="Target"))
    record = tuple(Column(key, VALUE) for key in facts)
    tables.append(Table("Table", record, [facts], caption="Table", is_record=True))
    whole = {"name": name, **facts, "targets": [_row(one) for one in targets], "features": rows}
    show(*tables, output=output, whole=whole | {"doubts": doubts})


def _row(outline: Outline) -> dict[str, Any]:
    row = asdict(outline)
    return row | {"levels": [list(level) for level in outline.levels], "bars": list(outline.bars)}
