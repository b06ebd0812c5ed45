"""The race that ends a search: its leaders are trained again on fresh seeds until one is ahead of the others.

The value that made a trial a leader is the best of many, so it is a lucky one: only fresh seeds count. All
that are still in train on the same seeds, two first and then one more in each round. After each round those
drop out that are too far behind the one with the best mean: by Fisher's least significant difference in a
randomized block design (leaders by seeds), whose residuals are pooled over the leaders since each has few
runs of its own. Each run is a trial of the study, which names its leader.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hpo.search.marks import SEARCHED_ATTRIBUTE, confirms, is_listed, is_valued
from hpo.spec import SearchSpec
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
    seeds are trained. Nobody drops out for less than `least`, the smallest difference that matters; if it
    `is_ratio`, as a share.
    """

    leaders: tuple[int, ...]
    runs: Runs
    seeds: range
    maximize: bool
    least: float = 0.0
    is_ratio: bool = False

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
        return rounds == len(self.seeds) or (len(still_in) <= 1 and rounds >= FIRST_SEEDS)

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

    @property
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
        sign = 1.0 if self.maximize else -1.0
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
    leaders = _leaders(spec, trials)
    if not leaders:
        return None
    runs: dict[int, dict[int, float | None]] = {}
    for trial in trials:
        leader, seed = confirms(trial), trial.user_attrs.get("seed")
        if leader is not None and trial.state.is_finished() and isinstance(seed, int):
            value = trial.value if trial.state == TrialState.COMPLETE else None
            runs.setdefault(leader, {})[seed] = value if value is None or math.isfinite(value) else None
    seeds = range(spec.seeds, spec.seeds + spec.race.seeds)
    metric = spec.metric(spec.objective.metric)
    maximize = spec.objective.direction == "maximize"
    return Race(leaders, runs, seeds, maximize, metric.min_effect, metric.is_ratio)


def race_runs(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> list[tuple[FrozenTrial, dict[str, Any]]]:
    """The leader of each run to be trained next, and its trial's attributes; none while some are trained.

    Only whole rounds are begun, as far as the study's trials go.
    """
    race = race_of(spec, trials)
    confirming = [trial for trial in trials if confirms(trial) is not None]
    if race is None or race.is_over or not all(trial.state.is_finished() for trial in confirming):
        return []
    left = spec.trials - len(trials)
    # What somebody has enqueued is none of a list's.
    searched = sum(confirms(trial) is None and (spec.is_adaptive or is_listed(trial)) for trial in trials)
    by_number = {trial.number: trial for trial in trials}
    found: list[tuple[FrozenTrial, dict[str, Any]]] = []
    for seed in race.next_seeds:
        runs = [n for n in race.still_in if seed not in race.runs.get(n, {})]
        if len(found) + len(runs) > left:
            break
        found += [
            (by_number[n], {CONFIRMS_ATTRIBUTE: n, "seed": seed, SEARCHED_ATTRIBUTE: searched}) for n in runs
        ]
    return found


def is_raced(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a race has ended: by its result, or since no trial is left for a further round."""
    return all(trial.state.is_finished() for trial in trials) and not race_runs(spec, trials)


def _leaders(spec: SearchSpec, trials: Iterable[FrozenTrial]) -> tuple[int, ...]:
    """The numbers of the best configurations that differ, the best first."""
    assert spec.race is not None
    sign = -1.0 if spec.objective.direction == "maximize" else 1.0
    ranked = sorted(
        (sign * trial.value, trial.number, trial)
        for trial in trials
        if confirms(trial) is None and is_valued(trial) and trial.value is not None
    )
    found: dict[tuple[tuple[str, Any], ...], int] = {}
    for _, number, trial in ranked:
        found.setdefault(tuple(sorted(trial.params.items())), number)
    return tuple(list(found.values())[: spec.race.top])
