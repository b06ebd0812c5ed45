"""Search by a model: where it expects the greatest improvement, the next trial goes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_limits

from hpo.search.by_points import PointSampler
from hpo.search.configurations import sobol
from hpo.search.cube import Cube
from hpo.search.distributions import drawn_of
from hpo.search.encoding import encode
from hpo.search.feasible import Taken
from hpo.search.marks import is_valued
from hpo.search.surrogates import Surrogate
from hpo.spec import SearchSpec, directions

Floats = npt.NDArray[np.float64]

# Before a model says anything: a quarter of the trials, within these bounds.
LEAST_START, MOST_START = 4, 12
# Configurations that a trial may begin with, should others have some of them; points that are looked at for
# those that meet the constraints.
FIRST_POINTS, MOST_POINTS = 32, 4096
# Points that the model is asked about: at random, and near to each of the best.
RANDOM, NEAR, BEST = 600, 40, 10


class ModelSampler(PointSampler):
    """Draws the point of the greatest expected improvement (Jones et al. 1998) by a model of all results.

    Values are taken by rank, as normal scores: one that diverged says no more than that it was bad. What runs
    is taken for what the model expects of it (kriging believer, Ginsbourger et al. 2010), so that workers at
    the same time do not draw the same: eight find what one does, and with an average in its place (constant
    liar) 1.3 times the regret. No configuration is drawn twice.
    """

    def __init__(self, spec: SearchSpec, number: int, model: Callable[[], Surrogate]) -> None:
        super().__init__(spec, number)
        self._model = model

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The active values of the next configuration."""
        cube, held = Cube(self._spec), study.get_trials(deepcopy=False)
        known, values, running = self._results(held, trial)
        if len(known) < min(MOST_START, max(LEAST_START, self._spec.searched // 4)):
            ranked: Iterable[dict[str, Any]] = self._first
        else:
            # Of matrices this small two threads take three times as long as one, beside another worker's two.
            with threadpool_limits(1, user_api="blas"):
                ranked = map(cube.drawn, self._ranked(cube, known, values, running))
        # Of an endless space too: what is moved to the ends of its ranges may be there already.
        taken = Taken(self._spec, [] if self._spec.repeats else held, trial.number)
        for found in filter(self._spec.allows, ranked):
            stored = {name: encode(value) for name, value in found.items()}
            if stored not in taken:
                return stored
        return {}

    @cached_property
    def _first(self) -> list[dict[str, Any]]:
        """Configurations before a model says anything, for each number others: of a Sobol sequence.

        Of those that meet the constraints, the one of the trial's number and some after it. Were it the first
        from its number on that does, trials of neighbouring numbers would draw the same.
        """
        cube, seed, number = Cube(self._spec), self._spec.sampler.seed, self._number
        if not self._spec.constraints_of("drawn"):
            return [cube.drawn(point) for point in sobol(cube.width, seed, number, FIRST_POINTS)]
        allowed = filter(self._spec.allows, map(cube.drawn, sobol(cube.width, seed, 0, MOST_POINTS)))
        return list(itertools.islice(allowed, number, number + FIRST_POINTS))

    def _results(
        self, held: Sequence[FrozenTrial], own: FrozenTrial
    ) -> tuple[list[FrozenTrial], list[float], list[FrozenTrial]]:
        """Trials that have ended, their values as more is better, and trials that have not.

        One that was pruned has what it reported last, and no more than the median of the complete; one
        without a result is worse than all.
        """
        sign = directions.sign(self._spec.objective.direction)
        known, values, running, pruned = list[FrozenTrial](), list[float](), list[FrozenTrial](), list[int]()
        for trial in held:
            if not trial.params or trial.number == own.number:
                continue
            value = -math.inf
            if is_valued(trial):
                value = sign * trial.values[0]
            elif not trial.state.is_finished():
                running.append(trial)
                continue
            elif trial.state == TrialState.PRUNED:
                pruned.append(len(known))
            known.append(trial)
            values.append(value)
        complete = [value for value in values if value > -math.inf]
        middle = float(np.median(complete)) if complete else -math.inf
        for at in pruned:
            if reported := known[at].intermediate_values:
                values[at] = min(middle, sign * reported[max(reported)])
        return known, values, running

    def _ranked(
        self,
        cube: Cube,
        known: Sequence[FrozenTrial],
        values: Sequence[float],
        running: Sequence[FrozenTrial],
    ) -> Floats:
        """Candidate points, that of the greatest expected improvement first."""
        from scipy.stats import norm

        model, generator = self._model(), self._generator
        scores = _scores(np.asarray(values))
        kept = _kept(scores, model.most, generator)
        points = cube.points([drawn_of(known[at]) for at in kept.tolist()])
        columns = cube.columns(points)
        model.fit(columns, scores[kept], int(generator.integers(2**31)))
        if running:
            model.suppose(cube.columns(cube.points([drawn_of(trial) for trial in running])))
        expected, _ = model.predict(columns)
        near = points[np.argsort(-expected, kind="stable")[:BEST]]
        candidates = np.vstack(
            [generator.random((RANDOM, cube.width)), cube.moved(np.repeat(near, NEAR, axis=0), generator)]
        )
        mean, spread = model.predict(cube.columns(candidates))
        spread = np.maximum(spread, 1e-9)
        # Of what is expected, not of what was seen: the best of many noisy values is a lucky one.
        ahead = (mean - float(expected.max())) / spread
        improvement = spread * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
        return np.asarray(candidates[np.argsort(-improvement, kind="stable")])


def _scores(values: Floats) -> Floats:
    """Normal scores of values by their ranks, of mean 0 and deviation 1; NaN and infinities are the worst.

    >>> _scores(np.array([0.1, 0.9, -np.inf])).round(2).tolist()
    [0.0, 1.22, -1.22]
    """
    from scipy.stats import norm, rankdata

    finite = np.where(np.isfinite(values), values, -np.inf)
    found = np.asarray(norm.ppf((rankdata(finite) - 0.5) / len(values)), np.float64)
    return np.asarray((found - found.mean()) / (float(found.std()) or 1.0))


def _kept(scores: Floats, most: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The trials to learn from: the best ones, and some of the others at random."""
    order = np.argsort(-scores, kind="stable")
    if len(order) <= most:
        return order
    best = order[: 2 * most // 3]
    others = generator.choice(order[len(best) :], most - len(best), replace=False)
    return np.concatenate([best, np.sort(others)])
