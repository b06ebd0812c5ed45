"""A study as it is trained by whomever: in any terminal that reaches its database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from hpo.progress.display import Bar, State
from hpo.progress.lines import ended, latest, running, sparkline, what
from hpo.spec import StudySpec
from hpo.tables.numbers import number

LOOK_SECONDS = 1.0
# Lines below those of the running trials.
LATEST_ENDED = 6
CURVE_WIDTH = 20


def watch(
    spec: StudySpec,
    trials: Callable[[], Sequence[FrozenTrial]],
    *,
    is_over: Callable[[], bool],
    console: Console,
) -> None:
    """Show a study until `is_over`, looking at its `trials` once a second.

    A terminal shows its progress, the curves of running trials and what has ended last; elsewhere there is a
    line for each trial that ends.
    """
    seen: set[int] | None = None
    screen = Screen(spec)
    live = Live(screen, console=console, refresh_per_second=4) if console.is_terminal else None
    try:
        if live is not None:
            live.start()
        while True:
            over, found = is_over(), trials()
            finished = {trial.number: trial for trial in found if trial.state.is_finished()}
            if live is None and seen is not None:
                for number_ in sorted(finished.keys() - seen):
                    console.print(Text(ended(spec, finished[number_])))
            seen = set(finished)
            screen.look(found)
            if over:
                break
            time.sleep(LOOK_SECONDS)
    finally:
        if live is not None:
            live.stop()


class Screen:
    """What a terminal shows of a study."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._state = spec, State(spec)
        self._trials: Sequence[FrozenTrial] = ()

    def look(self, trials: Sequence[FrozenTrial]) -> None:
        """Take the trials as they are now."""
        self._trials = trials
        self._state.look(trials)

    def __rich__(self) -> RenderableType:
        return Group(Bar(self._state), self._running(), self._ended())

    def _running(self) -> Group:
        """A line a trial: how far, its last value, its curve, and what it trains as far as there is room."""
        rows = []
        for trial in self._trials:
            if trial.state.name == "RUNNING":
                curve = list(trial.intermediate_values.values())
                value = f"{self._spec.reported} {number(latest(trial))}" if curve else ""
                rows.append(
                    (
                        running(self._spec, trial),
                        value,
                        sparkline(curve, CURVE_WIDTH),
                        what(self._spec, trial),
                    )
                )
        widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
        lines = ("  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def _ended(self) -> Group:
        finished = [t for t in self._trials if t.state.is_finished() and t.datetime_complete is not None]
        finished.sort(key=lambda trial: trial.datetime_complete or trial.datetime_start)  # type: ignore[arg-type, return-value]
        return Group(
            *(
                Text(ended(self._spec, trial), style="dim", no_wrap=True, overflow="ellipsis")
                for trial in finished[-LATEST_ENDED:]
            )
        )
