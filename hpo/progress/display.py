"""A study as it is trained: a bar on a terminal, a line for each trial that has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from hpo.progress.estimate import Estimate, epochs_of
from hpo.progress.lines import ended, running
from hpo.progress.notebook import NotebookBar
from hpo.search import confirms, is_valued, losses_of, on_front, race_of
from hpo.spec import SearchSpec, StudySpec, directions
from hpo.tables.console import stderr
from hpo.tables.numbers import duration, number

LEAST_BAR, MOST_BAR, LEAST_NAME, GAP = 8, 28, 8, 2
REFRESH_PER_SECOND = 4
# Characters of a line in a notebook.
WIDE = 100


class StudyProgress:
    """A study's trials and epochs as they are trained, with the time left; a line for each finished trial.

    To be used as a context, and told of the trials by `watch`. Without a terminal, or a notebook, there are
    lines alone.
    """

    def __init__(self, spec: StudySpec, *, console: Console | None = None) -> None:
        self._state = State(spec)
        self._spec, self._seen = spec, set[int]()
        self._begun = False
        console = console or stderr()
        self._console = console
        # Rich's own needs widgets in a notebook, and says so with every line.
        self._notebook = NotebookBar() if console.is_jupyter else None
        self._live = (
            Live(self._state, console=console, transient=True, refresh_per_second=REFRESH_PER_SECOND)
            if console.is_terminal and not console.is_jupyter
            else None
        )

    def __enter__(self) -> StudyProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def log(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(Text(line))

    def watch(self, trials: Sequence[FrozenTrial]) -> None:
        """Show how far the trials are."""
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._seen:
                self._seen.add(trial.number)
                # What had ended before is no news.
                if self._begun:
                    self.log(ended(self._spec, trial))
        self._begun = True
        self._state.look(trials)
        if self._notebook is not None:
            state = self._state
            self._notebook.show(state.name, state.share, state.figures, state.running)


class State:
    """How far a study is, as rich shows it: in two lines as wide as the terminal."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._estimate = spec, Estimate(spec)
        self._trials: Sequence[FrozenTrial] = ()
        self._left: float | None = None
        self._looked = self._begun = time.monotonic()

    def look(self, trials: Sequence[FrozenTrial]) -> None:
        """Take the trials as they are now."""
        self._trials, self._looked = trials, time.monotonic()
        self._left = self._estimate.left(trials, self._looked)

    def __rich__(self) -> RenderableType:
        return Group(Bar(self), Running(self._spec, self._trials))

    @property
    def name(self) -> str:
        """The study's."""
        return self._spec.name

    @property
    def figures(self) -> list[str]:
        """How many trials have ended, the time passed and left, the best value."""
        finished = sum(trial.state.is_finished() for trial in self._trials)
        return [text for text in (f"{finished}/{self._planned} trials", self._time(), self._best()) if text]

    @property
    def running(self) -> str:
        """The trials that are being trained."""
        return fitting([running(self._spec, t) for t in self._trials if t.state.name == "RUNNING"], WIDE)

    @property
    def share(self) -> float:
        """How much of the study is done, from 0 to 1."""
        return sum(map(self._share, self._trials)) / self._planned if self._trials else 0.0

    @property
    def _planned(self) -> int:
        """How many trials there will be; a search may have come to its end with fewer."""
        held, is_over = len(self._trials), all(trial.state.is_finished() for trial in self._trials)
        return held if is_over else max(held, self._spec.planned)

    def _share(self, trial: FrozenTrial) -> float:
        if trial.state.is_finished():
            return 1.0
        if not trial.intermediate_values:
            return 0.0
        most = epochs_of(self._spec, trial)
        return min(1.0, len(trial.intermediate_values) / most) if most else 0.0

    def _best(self) -> str:
        valued = [trial for trial in self._trials if confirms(trial) is None and is_valued(trial)]
        race = race_of(self._spec, self._trials) if isinstance(self._spec, SearchSpec) else None
        if race is not None and race.runs and not race.is_over:
            return f"{len(race.still_in)} of {len(race.leaders)} leaders still in"
        if not valued:
            return ""
        if len(self._spec.judged_by) > 1:
            losses = [losses_of(self._spec.judged_by, trial.values) for trial in valued]
            return f"{sum(on_front(losses))} on the front"
        choose = directions.best(self._spec.objective.direction)
        best = choose(valued, key=lambda trial: trial.value or 0.0)
        return f"best #{best.number} {number(best.value)}"

    def _time(self) -> str:
        passed = f"{duration(round(time.monotonic() - self._begun))}"
        if self._left is None or all(trial.state.is_finished() for trial in self._trials):
            return passed
        # Between two looks it goes down by itself.
        left = max(0.0, self._left - (time.monotonic() - self._looked))
        return f"{passed}, {rounded(left)} left"


class Bar:
    """A line of a study's name, a bar, and its figures, which have their room first."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __rich_console__(self, console: Console, options: object) -> list[RenderableType]:
        figures = self._state.figures
        room = console.width - sum(len(text) + GAP for text in figures) - GAP
        name = self._state.name
        if len(name) > (most := max(LEAST_NAME, room - LEAST_BAR)):
            name = f"{name[: most - 1]}…"
        grid = Grid.grid(padding=(0, GAP, 0, 0))
        width = max(LEAST_BAR, min(MOST_BAR, room - len(name)))
        bar = ProgressBar(total=1.0, completed=self._state.share, width=width)
        for _ in (name, bar, *figures):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(Text(name, style="bold"), bar, *figures)
        return [grid]


class Running:
    """The trials that are being trained, as many as a line has room for."""

    def __init__(self, spec: StudySpec, trials: Sequence[FrozenTrial]) -> None:
        self._shown = [running(spec, trial) for trial in trials if trial.state.name == "RUNNING"]

    def __rich_console__(self, console: Console, options: object) -> list[RenderableType]:
        return [Text(fitting(self._shown, console.width), no_wrap=True, overflow="ellipsis")]


def fitting(items: Sequence[str], width: int) -> str:
    """As many items as fit into a line, and how many more there are.

    >>> fitting(["#1 epoch 3 of 50", "#2 compiling", "#3 epoch 1 of 50"], 40)
    '#1 epoch 3 of 50, #2 compiling, 1 more'
    """
    for count in range(len(items), 0, -1):
        more = [f"{len(items) - count} more"] if count < len(items) else []
        text = ", ".join([*items[:count], *more])
        if len(text) <= width or count == 1:
            return text
    return ""


def rounded(seconds: float) -> str:
    """A time that is not known to the second.

    >>> rounded(8.2), rounded(101), rounded(4000)
    ('8 s', '1 min 40 s', '1 h 07 min')
    """
    step = 1 if seconds < 60 else 10 if seconds < 600 else 60
    whole = round(seconds / step) * step
    return f"{whole} s" if whole < 60 else duration(whole)
