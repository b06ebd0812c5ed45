"""What people see: tables, progress and pictures in a terminal; JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from hpo.tables.cells import defused
from hpo.tables.latex import tabular
from hpo.tables.numbers import number

if TYPE_CHECKING:
    import numpy as np
    from optuna.trial import FrozenTrial
    from PIL.Image import Image

    from hpo.spec import StudySpec

# Without a terminal there is nothing to fit into: long rows stay on one line.
WIDE = 400
PICTURE_WIDTH = 100
SHOWN_RUNNING = 4

Row = Mapping[str, Any]


class Format(StrEnum):
    """How a reading command prints."""

    table = "table"
    json = "json"
    csv = "csv"
    latex = "latex"


def stdout() -> Console:
    """The console for data."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """The console for progress and messages."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def show(
    rows: Sequence[Row],
    kind: Format,
    *,
    records: Sequence[Row] | None = None,
    full: Any = None,
    columns: Sequence[str] = (),
    empty: str = "",
) -> None:
    """Print rows that share their keys.

    Programs get `records` where people get `rows`, and JSON gets `full`. Without any, a CSV still has a head
    of `columns`, and people are told that it is `empty`.
    """
    records = rows if records is None else records
    if kind == Format.json:
        print(json.dumps(records if full is None else full, indent=2))
    elif kind == Format.csv:
        _write_csv(records, columns)
    elif rows and kind == Format.latex:
        print(_latex(rows))
    elif rows:
        _print(_table(rows))
    else:
        print(empty, file=sys.stderr)


def show_fields(fields: Row, title: str) -> None:
    """Print one record, a line a field."""
    stdout().print(Text(title, style="bold"))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(Text(name), Text(text_of(value)))
    stdout().print(table)


def show_picture(picture: Callable[[], Image]) -> None:
    """Print a small picture, if standard output is a terminal with colours."""
    import numpy as np

    console = stdout()
    if not console.is_terminal or console.color_system is None or console.no_color:
        return
    small = picture().convert("RGB")
    small.thumbnail((min(console.width, PICTURE_WIDTH), PICTURE_WIDTH))
    console.print(_half_blocks(np.asarray(small)))


def text_of(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={text_of(item)}" for key, item in value.items())
    return number(value)


def states_of(counts: Mapping[str, int]) -> str:
    """How many trials are in which state: `3 complete, 1 waiting`."""
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no trials"


def _table(rows: Sequence[Row]) -> Table:
    """The rows as a table, without columns in which there is nothing. Only the last column is folded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = _filled(rows)
    for name in names:
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        width = max(cell_len(text) for text in (name, *(text_of(row[name]) for row in rows)))
        table.add_column(
            Text(name),
            justify="right" if numeric else "left",
            overflow="fold",
            width=None if name == names[-1] else width,
        )
    for row in rows:
        table.add_row(*(Text(text_of(row[name])) for name in names))
    return table


def _filled(rows: Sequence[Row]) -> list[str]:
    """The names of the columns in which there is something."""
    return [name for name in rows[0] if any(row[name] is not None for row in rows)]


def _latex(rows: Sequence[Row]) -> str:
    """The rows as LaTeX; one record with tables in it goes down the page, a line a field."""
    if len(rows) == 1 and any(isinstance(value, Mapping) for value in rows[0].values()):
        rows = [{"field": name, "value": value} for name, value in _flat(rows[0]) if value is not None]
    names = _filled(rows)
    return tabular(names, [[text_of(row[name]) for name in names] for row in rows])


def _print(table: Table) -> None:
    console = stdout()
    if Console(width=WIDE).measure(table).minimum > console.width:
        # A row that the terminal wraps can be read; words split over narrow columns cannot.
        console = Console(width=WIDE)
    console.print(table)


def _write_csv(records: Sequence[Row], columns: Sequence[str]) -> None:
    rows = [dict(_flat(record)) for record in records]
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(defused(name) for name in names)
    writer.writerows([defused(row.get(name, "")) for name in names] for row in rows)


def _flat(record: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a record; those of its tables by names with dots, lists as JSON."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value


def _half_blocks(pixels: np.ndarray[Any, Any]) -> Text:
    """Pixels of shape (height, width, 3), uint8, as half blocks: two rows of pixels a line of text."""
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=False):
        for (r, g, b), (r2, g2, b2) in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text


def _progress(*columns: ProgressColumn) -> Progress:
    """Bars on a terminal; nothing but lines elsewhere."""
    console = stderr()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def downloads() -> Iterator[Any]:
    """A progress bar for `hpo.data.fetch`."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with _progress(*columns) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield report


class StudyProgress:
    """A study's trials and epochs as they are trained, with the time left; a line for each finished trial."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._seen: set[int] = set()
        self._begun = False
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[trials]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = _progress(*columns)
        self._task = self._progress.add_task(spec.name, total=None, trials="", left="")

    def __enter__(self) -> StudyProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def log(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(line))

    def watch(self, trials: Sequence[FrozenTrial]) -> None:
        """Show how far the trials are."""
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._seen:
                self._seen.add(trial.number)
                if self._begun:
                    self.log(self._line(trial))
        done = sum(self._share(trial) for trial in trials)
        if not self._begun:
            self._begun, self._done_before = True, done
        self._update(trials, done)

    def _update(self, trials: Sequence[FrozenTrial], done: float) -> None:
        running = [trial for trial in trials if trial.state.name == "RUNNING"]
        epochs = ", ".join(f"#{t.number} epoch {len(t.intermediate_values)}" for t in running[:SHOWN_RUNNING])
        if len(running) > SHOWN_RUNNING:
            epochs += f" and {len(running) - SHOWN_RUNNING} more"
        task = self._progress.tasks[0]
        fresh, elapsed = done - self._done_before, task.elapsed or 0.0
        left = f"{_duration(elapsed * (len(trials) - done) / fresh)} left" if fresh > 0 else "starting"
        self._progress.update(
            self._task,
            completed=done,
            total=len(trials),
            trials=f"{len(self._seen)}/{len(trials)} trials {epochs}",
            left=left,
        )

    def _share(self, trial: FrozenTrial) -> float:
        if trial.state.is_finished():
            return 1.0
        epochs = trial.user_attrs.get("hyperparameters", {}).get("epochs")
        return len(trial.intermediate_values) / epochs if epochs else 0.0

    def _line(self, trial: FrozenTrial) -> str:
        attributes = trial.user_attrs
        what = attributes.get("arm") and f"{attributes['arm']}, seed {attributes['seed']}"
        metric = self._spec.objective.metric
        value = f" {metric} {text_of(trial.value)}" if trial.state.name == "COMPLETE" else ""
        reason = f": {attributes['reason']}" if trial.state.name == "FAIL" else ""
        seconds = attributes.get("train_seconds")
        spent = (
            f" in {len(trial.intermediate_values)} epochs, {_duration(seconds)}"
            if seconds is not None
            else ""
        )
        state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
        return f"#{trial.number} {what or text_of(trial.params)}: {state}{value}{reason}{spent}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )
