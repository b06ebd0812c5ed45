"""What people see: tables, progress and pictures in a terminal; JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    from optuna.trial import FrozenTrial

    from hpo.spec import StudySpec

# Without a terminal there is nothing to fit into: long rows stay on one line.
WIDE = 400

Row = Mapping[str, Any]


class Format(StrEnum):
    """How a reading command prints."""

    table = "table"
    json = "json"
    csv = "csv"


def stdout() -> Console:
    """The console for data."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """The console for progress and messages."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def show(rows: Sequence[Row], kind: Format, *, full: Any = None, title: str | None = None) -> None:
    """Print rows that share their keys; JSON prints `full` instead where it is given."""
    if kind == Format.json:
        print(json.dumps(rows if full is None else full, indent=2))
    elif kind == Format.csv:
        _write_csv(rows)
    else:
        stdout().print(_table(rows, title))


def show_fields(fields: Row, title: str) -> None:
    """Print one record, a line a field."""
    stdout().print(Text(title, style="bold"))
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in fields.items():
        table.add_row(name, text_of(value))
    stdout().print(table)


def text_of(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if value.is_integer():
            return f"{value:.0f}"
        return f"{value:.4f}" if 0.1 <= abs(value) < 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={text_of(item)}" for key, item in value.items())
    return str(value)


def _table(rows: Sequence[Row], title: str | None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text_of(value)) for value in row.values()))
    return table


def _write_csv(rows: Sequence[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(json.dumps(v) if isinstance(v, dict | list) else v for v in row.values())


def picture(pixels: np.ndarray[Any, Any]) -> Text:
    """Pixels of shape (height, width, 3), uint8, as half blocks: two rows of pixels a line of text."""
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=False):
        for (r, g, b), (r2, g2, b2) in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text


@contextmanager
def downloads() -> Iterator[Any]:
    """A progress bar for `hpo.data.fetch`."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
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
        self._progress = Progress(*columns, console=stderr(), transient=True)
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
        epochs = ", ".join(f"#{t.number} epoch {len(t.intermediate_values)}" for t in running)
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
