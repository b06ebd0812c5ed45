"""Progress as bars on a terminal, and as lines elsewhere: of downloads, and of a study's trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from hpo.cli.console import stderr
from hpo.tables.numbers import duration, number, settings

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpo.spec import StudySpec

SHOWN_RUNNING = 4


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
        left = f"{duration(elapsed * (len(trials) - done) / fresh)} left" if fresh > 0 else "starting"
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
        value = f" {metric} {number(trial.value)}" if trial.state.name == "COMPLETE" else ""
        reason = f": {attributes['reason']}" if trial.state.name == "FAIL" else ""
        seconds = attributes.get("train_seconds")
        spent = (
            f" in {len(trial.intermediate_values)} epochs, {duration(seconds)}" if seconds is not None else ""
        )
        state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
        return f"#{trial.number} {what or settings(trial.params)}: {state}{value}{reason}{spent}"
