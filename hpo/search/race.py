"""The race that ends a search: its leaders are trained again on fresh seeds until one is ahead of the others.

The value that made a trial a leader is the best of many, so it is a lucky one: only fresh seeds count. All
that are still in train on the same seeds, two first and then one more in each round. After each round those
drop out that are too far behind the one with the best mean: by Fisher's least significant difference in a
randomized block design (leaders by seeds), whose residuals are pooled over the leaders since each has few
runs of its own. Each run is a trial of the study, which names its leader. Where a search has gone on after a
race, the winner of that is a leader of the next one, whatever has been found since.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hpo.search.marks import OF_TRIALS_ATTRIBUTE, SEARCHED_ATTRIBUTE, confirms, is_valued, searching
from hpo.spec import SearchSpec, directions
from hpo.storage import CONFIRMS_ATTRIBUTE

# Of one side, for each look: what is at stake is a run, and not a claim.
ALPHA = 0.05
# With one seed nothing is known of the spread.
FIRST_SEEDS = 2

Runs = Mapping[int, Mapping[int, float | None]]


@dataclass(frozen=True)
class Race:
    """Where a race stands.

    `leaders` are numbers of trials, the best first by what the search has found. `runs` has the values that
    each has reached by seed, None of a run that failed. `still_in` are the leaders that have not dropped out,
    the best first by their mean over the seeds that all of them have. It `is_over` once one is left, or all
    seeds are trained, or it `is_cut`: no trial is left for its next round. Those that no trial was left for
    are `late`, and no leaders. Nobody drops out for less than `least`, the smallest difference that matters;
    if it `is_ratio`, as a share.
    """

    leaders: tuple[int, ...]
    runs: Runs
    seeds: range
    direction: str
    least: float = 0.0
    is_ratio: bool = False
    is_cut: bool = False
    late: tuple[int, ...] = ()

    @property
    def rounds(self) -> int:
        """On how many of the first seeds every leader that is still in then has been trained."""
        return self._stand[0]

    @property
    def still_in(self) -> tuple[int, ...]:
        """The leaders that have not dropped out, the best first."""
        return self._stand[1]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be trained."""
        rounds, still_in = self._stand
        return self.is_cut or rounds == len(self.seeds) or (len(still_in) <= 1 and rounds >= FIRST_SEEDS)

    def values(self, leader: int) -> list[float]:
        """What a leader has reached on the seeds of the race, as far as it has been trained on them."""
        own = self.runs.get(leader, {})
        return [value for seed in self.seeds if (value := own.get(seed)) is not None]

    @property
    def next_seeds(self) -> Sequence[int]:
        """The seeds that those still in are to be trained on next."""
        if self.is_over:
            return ()
        rounds = self.rounds
        return self.seeds[rounds : max(rounds + 1, FIRST_SEEDS)]

    @cached_property
    def _stand(self) -> tuple[int, tuple[int, ...]]:
        live = [n for n in self.leaders if None not in self.runs.get(n, {}).values()]
        rounds = 0 if live else len(self.seeds)
        if not live:
            return rounds, ()
        for done, seed in enumerate(self.seeds, 1):
            if len(live) <= 1 and rounds >= FIRST_SEEDS:
                break
            if not all(seed in self.runs.get(n, {}) for n in live):
                break
            rounds = done
            if live and rounds >= min(FIRST_SEEDS, len(self.seeds)):
                live = self._kept(live, self.seeds[:rounds])
        return rounds, tuple(live)

    def _kept(self, live: Sequence[int], seeds: Sequence[int]) -> list[int]:
        """Those of them that can still win, the best mean first."""
        found = np.array([[self.runs[n][seed] for seed in seeds] for n in live], np.float64)
        sign = directions.sign(self.direction)
        ahead = behind(sign * found, least=self.least, is_ratio=self.is_ratio)
        order = np.argsort(-sign * found.mean(axis=1), kind="stable")
        return [live[at] for at in order.tolist() if not ahead[at]]


def behind(values: np.ndarray[Any, Any], *, least: float = 0.0, is_ratio: bool = False) -> list[bool]:
    """Which rows of (leaders, seeds) cannot be as good as the row with the greatest mean.

    None that is behind by no more than `least`, the smallest difference that matters, or the smallest share:
    two runs on a small validation set often differ by the same few samples, which is no certainty.

    >>> behind(np.array([[0.90, 0.92, 0.91], [0.91, 0.92, 0.90], [0.80, 0.83, 0.81]]))
    [False, False, True]
    """
    from scipy.stats import t

    leaders, seeds = values.shape
    means = values.mean(axis=1)
    freedom = (leaders - 1) * (seeds - 1)
    if freedom < 1:
        return [False] * leaders
    residuals = values - means[:, None] - values.mean(axis=0) + values.mean()
    spread = math.sqrt(float((residuals**2).sum()) / freedom)
    significant = float(t.ppf(1 - ALPHA, freedom)) * spread * math.sqrt(2 / seeds)
    most = max(significant, least * abs(float(means.max())) if is_ratio else least)
    return [bool(gap > most) for gap in means.max() - means]


def race_of(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> Race | None:
    """Where the race of a search stands with these trials; None if it has none, or no leaders yet."""
    if spec.race is None:
        return None
    runs: dict[int, dict[int, float | None]] = {}
    for trial in trials:
        leader, seed = confirms(trial), trial.user_attrs.get("seed")
        if leader is not None and trial.state.is_finished() and isinstance(seed, int):
            value = trial.value if trial.state == TrialState.COMPLETE else None
            runs.setdefault(leader, {})[seed] = value if value is None or math.isfinite(value) else None
    seeds = range(spec.seeds, spec.seeds + spec.race.seeds)
    metric = spec.metric(spec.objective.metric)
    direction = spec.objective.direction
    leaders = _leaders(spec, trials)
    winner = _winner(runs, seeds, direction)
    if winner is not None and winner not in leaders:
        leaders = (*leaders, winner)
    if not leaders:
        return None
    race = Race(leaders, runs, seeds, direction, metric.min_effect, metric.is_ratio)
    return _within(race, spec.trials - len(trials)) if all(t.state.is_finished() for t in trials) else race


def _within(race: Race, left: int) -> Race:
    """The race as far as the trials that are left go: the worst of those that no run has go without."""
    while not race.is_over and len(_next_runs(race)) > left:
        new = [n for n in race.leaders if not race.runs.get(n)]
        if not new:
            return replace(race, is_cut=True)
        race = replace(
            race, leaders=tuple(n for n in race.leaders if n != new[-1]), late=(new[-1], *race.late)
        )
    return race


def race_runs(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> list[tuple[FrozenTrial, dict[str, Any]]]:
    """The leader of each run to be trained next, and its trial's attributes; none while some are trained.

    Only whole rounds are begun, as far as the study's trials go.
    """
    race = race_of(spec, trials)
    confirming = [trial for trial in trials if confirms(trial) is not None]
    if race is None or race.is_over or not all(trial.state.is_finished() for trial in confirming):
        return []
    left = spec.trials - len(trials)
    searched = len(searching(spec, trials))
    by_number = {trial.number: trial for trial in trials}
    runs = _next_runs(race)
    begun = {SEARCHED_ATTRIBUTE: searched, OF_TRIALS_ATTRIBUTE: spec.trials}
    return [
        (by_number[n], {CONFIRMS_ATTRIBUTE: n, "seed": seed, **begun})
        for n, seed in (runs if len(runs) <= left else ())
    ]


def _next_runs(race: Race) -> list[tuple[int, int]]:
    """Leaders and seeds of the next round that have not been trained."""
    return [(n, seed) for seed in race.next_seeds for n in race.still_in if seed not in race.runs.get(n, {})]


def is_raced(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a race has ended: by its result, or since no trial is left for a further round."""
    return all(trial.state.is_finished() for trial in trials) and not race_runs(spec, trials)


def _winner(runs: Runs, seeds: range, direction: str) -> int | None:
    """The leader that has lasted the longest so far, with the best mean of those; None before that."""
    sign = directions.sign(direction)
    lasted = dict[int, tuple[int, float]]()
    for n, found in runs.items():
        own = [found[seed] for seed in seeds if seed in found]
        values = [value for value in own if value is not None]
        if FIRST_SEEDS <= len(own) == len(values):
            lasted[n] = len(own), sign * statistics.fmean(values)
    return max(lasted, key=lambda n: lasted[n], default=None)


def _leaders(spec: SearchSpec, trials: Iterable[FrozenTrial]) -> tuple[int, ...]:
    """The numbers of the best configurations that differ, the best first."""
    assert spec.race is not None
    sign = directions.sign(spec.objective.direction)
    ranked = sorted(
        (-sign * trial.value, trial.number, trial)
        for trial in trials
        if confirms(trial) is None and is_valued(trial) and trial.value is not None
    )
    found: dict[tuple[tuple[str, Any], ...], int] = {}
    for _, number, trial in ranked:
        found.setdefault(tuple(sorted(trial.params.items())), number)
    return tuple(list(found.values())[: spec.race.top])
