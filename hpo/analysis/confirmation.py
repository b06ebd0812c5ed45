"""What the race of a search's leaders has shown: the winner on fresh seeds, or who cannot be told apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.search import Race
from hpo.spec import StudySpec
from hpo.tables import Column, Table
from hpo.tables.kinds import LIMITS, NUMBER, TRIAL
from hpo.tables.numbers import counted, number
from hpo.trials.record import Trial

ALPHA = 0.05


@dataclass(frozen=True)
class Leader:
    """A leader of a search on the fresh seeds of its race.

    `number` is its trial's, `value` what made it a leader; `low` and `high` are the 95 % interval of its
    `mean` over `n` runs, one for all leaders at once. `seconds` are those of training, on average. One that
    is not `still_in` has dropped out, or `failed`.
    """

    number: int
    value: float | None
    n: int
    mean: float | None
    low: float | None
    high: float | None
    seconds: float | None
    still_in: bool
    failed: bool = False


@dataclass(frozen=True)
class Confirmation:
    """The race of a search's leaders, those still in first, by their means. It `is_over`, or goes on.

    `late` are trials that would be leaders, were any trials left to train them again.
    """

    leaders: tuple[Leader, ...]
    is_over: bool
    late: tuple[int, ...] = ()

    @property
    def winner(self) -> Leader | None:
        """The leader with the best mean on fresh seeds; None before the race is over, or if all failed."""
        first = next(iter(self.leaders), None)
        return first if self.is_over and first is not None and first.still_in and first.n else None

    @property
    def tied(self) -> tuple[Leader, ...]:
        """The leaders that cannot be told apart, the winner first."""
        return tuple(leader for leader in self.leaders if leader.still_in)

    def sentences(self, metric: str) -> list[str]:
        """The result in words."""
        if not self.is_over:
            of = f"{len(self.tied)} of {counted(len(self.leaders), 'leader')}"
            return [f"Confirming on fresh seeds: {of} still in."]
        return [self._result(metric), *self._missing()]

    def _result(self, metric: str) -> str:
        winner = self.winner
        if winner is None or winner.mean is None:
            return "Nothing is confirmed: every leader failed on fresh seeds."
        seeds = counted(winner.n, "fresh seed")
        reached = f"{metric} {number(winner.mean)} on {seeds}{_interval(winner)}"
        if len(self.leaders) == 1:
            return f"#{winner.number}, which no other leader stood against, reaches {reached}."
        if len(self.tied) == 1:
            dropped = sum(not leader.failed for leader in self.leaders) - 1
            against = f"; {counted(dropped, 'other leader')} dropped out" if dropped else ""
            return f"#{winner.number} is confirmed: {reached}{against}."
        names = [f"#{leader.number}" for leader in self.tied]
        said = f"{', '.join(names[:-1])} and {names[-1]} cannot be told apart on {seeds}"
        timed = [leader for leader in self.tied if leader.seconds is not None]
        cheapest = min(timed, key=lambda leader: leader.seconds or 0.0, default=winner)
        which = "the best mean"
        if cheapest is not winner:
            which += f", #{cheapest.number} is the cheapest"
        return f"{said}: #{winner.number} has {which}. #{winner.number} reaches {reached}."

    def _missing(self) -> list[str]:
        """Whom the result says nothing of."""
        said = [
            f"#{one.number} failed on a fresh seed." for one in self.leaders if one.failed and self.winner
        ]
        for late in self.late:
            said.append(f"#{late} came later, and no trial is left to confirm it: raise trials.")
        return said


def confirmation(race: Race | None, trials: Sequence[Trial], *, is_over: bool) -> Confirmation | None:
    """What a race has shown; None before it begins. `trials` are all of the study."""
    if race is None or not any(trial.confirms in race.leaders for trial in trials):
        return None
    if not is_over and any(t.confirms is None and t.state in ("waiting", "running") for t in trials):
        return None  # the search goes on, and its leaders may be others
    ended = [trial for trial in trials if trial.confirms is not None and trial.state == "complete"]
    seconds = {
        n: [t.metrics["train_seconds"] for t in ended if t.confirms == n and "train_seconds" in t.metrics]
        for n in race.leaders
    }
    by_number = {trial.number: trial for trial in trials}
    floor = 0.0 if race.is_ratio else race.least / math.sqrt(6)
    half = _half_width([race.values(n) for n in race.leaders], floor, of=len(race.leaders))

    def leader(n: int, *, still_in: bool) -> Leader:
        values = race.values(n)
        mean = statistics.fmean(values) if values else None
        apart = None if half is None or len(values) < 2 else half / math.sqrt(len(values))
        return Leader(
            number=n,
            value=by_number[n].value,
            n=len(values),
            mean=mean,
            low=None if mean is None or apart is None else mean - apart,
            high=None if mean is None or apart is None else mean + apart,
            seconds=statistics.fmean(seconds[n]) if seconds[n] else None,
            still_in=still_in,
            failed=None in race.runs.get(n, {}).values(),
        )

    kept = race.still_in
    gone = [n for n in race.leaders if n not in kept]
    leaders = (*(leader(n, still_in=True) for n in kept), *(leader(n, still_in=False) for n in gone))
    return Confirmation(leaders, is_over, race.late)


def _half_width(runs: Sequence[Sequence[float]], floor: float, *, of: int) -> float | None:
    """Half of the interval of the mean of one run, by the spread of all leaders' runs together.

    Each alone has too few: with two runs an accuracy may be said to lie above 1. The spread is at least that
    of two values which are rounded to the smallest difference that matters. The same runs choose the winner,
    so the interval is one for all `of` leaders at once (Bonferroni): of 5 equal ones on 5 seeds the winner's
    holds its true mean in 96 % of races, and in 86 % were it the interval of one.
    """
    from scipy.stats import t

    several = [values for values in runs if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if not freedom:
        return None
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return float(t.ppf(1 - ALPHA / (2 * of), freedom)) * max(math.sqrt(squares / freedom), floor)


def leaders_table(found: Confirmation, spec: StudySpec) -> Table:
    """A row a leader: what made it one, and what it reaches on fresh seeds."""
    metric = spec.objective.metric
    columns = (
        Column("leader", TRIAL, ("trial",)),
        Column("when found", NUMBER, ("value",)),
        Column(f"{metric} on fresh seeds", NUMBER, ("mean",)),
        Column("95 % interval", LIMITS, ("low", "high")),
        Column("seeds", NUMBER, ("n",)),
        Column("train_seconds", NUMBER, ("seconds",), drop=1),
        Column("still in", of=("still_in",)),
    )
    rows = [
        {
            "trial": leader.number,
            "value": leader.value,
            "mean": leader.mean,
            "low": leader.low,
            "high": leader.high,
            "n": leader.n,
            "seconds": leader.seconds,
            "still_in": "yes" if leader.still_in else "no",
        }
        for leader in found.leaders
    ]
    return Table("Leaders on fresh seeds", columns, rows)


def _interval(leader: Leader) -> str:
    if leader.low is None or leader.high is None:
        return ""
    return f", 95 % interval {number(leader.low)} to {number(leader.high)}"
