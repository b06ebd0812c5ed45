"""Optuna's samplers, told the space.

They look for it in all trials of the study, each time: of 5,000 that is most of what a decision takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState

from hpo.search.distributions import distributions
from hpo.search.shown import ShownStudy
from hpo.spec import SearchSpec

# Trials that the estimator learns from, and of them the best, which it draws near to: those of all trials.
MOST, BEST = 500, 50
RESULTS = (TrialState.COMPLETE, TrialState.PRUNED)


class TreeSampler(optuna.samplers.TPESampler):
    """The tree-structured Parzen estimator as Optuna has it: multivariate, with a constant liar.

    It is of one trial. Where what it draws is taken it is asked again, by the same results: so an estimator
    is made once (a finite space may take 20 drafts). Of thousands of trials it learns from `MOST`: it looks
    through all for each hyperparameter on a condition, and with several objectives for each; of 5,000 that
    took 0.12 and 1.1 s, and takes 0.05 and 0.14.
    """

    def __init__(self, spec: SearchSpec, number: int) -> None:
        super().__init__(seed=_seed(spec, number))
        self._spec = spec
        self._estimators = dict[tuple[Any, ...], Any]()
        self._some: ShownStudy | None = None

    def _build_parzen_estimator(
        self,
        study: optuna.Study,
        search_space: dict[str, BaseDistribution],
        trials: list[FrozenTrial],
        handle_below: bool,
    ) -> Any:
        key = handle_below, len(trials), *search_space
        if key not in self._estimators:
            self._estimators[key] = super()._build_parzen_estimator(study, search_space, trials, handle_below)
        return self._estimators[key]

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return _common(self._spec, self._seen(study)) if self._is_multivariate(study) else {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        return super().sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        return super().sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: optuna.Study) -> optuna.Study:
        if self._some is None:
            self._some = ShownStudy(study, partial(_some, study))
        return self._some


class GeneticSampler(optuna.samplers.NSGAIISampler):
    """The genetic algorithm NSGA-II as Optuna has it, with generations of an eighth of the trials."""

    def __init__(self, spec: SearchSpec, number: int) -> None:
        # A generation of Optuna's 50 would be all of a short search.
        population = max(4, min(50, spec.searched // 8))
        super().__init__(seed=_seed(spec, number), population_size=population)
        self._spec = spec

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return _common(self._spec, study)


def _some(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """What runs, the best, and of the others some that are as old as all are: it weighs them by age."""
    known = [trial for trial in trials if trial.state in RESULTS]
    if len(known) <= MOST:
        return list(trials)
    best, others = _split_trials(study, known, BEST)
    some = [others[at] for at in np.linspace(0, len(others) - 1, MOST - BEST, dtype=int).tolist()]
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    return sorted([*best, *some, *running], key=lambda trial: trial.number)


def _seed(spec: SearchSpec, number: int) -> int:
    """Of one trial: a sampler with one seed for all would draw the same in every worker, and on a resume."""
    return int(np.random.SeedSequence([spec.sampler.seed, number]).generate_state(1)[0])


def _common(spec: SearchSpec, study: optuna.Study) -> dict[str, BaseDistribution]:
    """What all results have in common; nothing without any. In Optuna's order, in which it draws."""
    results: list[dict[str, Any]] = [
        trial.params for trial in study.get_trials(deepcopy=False, states=RESULTS)
    ]
    found = {
        name: one
        for name, one in distributions(spec).items()
        if not one.single() and not spec.drawn[name].when
    }
    for params in results:
        if not found.keys() <= params.keys():
            found = {name: one for name, one in found.items() if name in params}
    return dict(sorted(found.items())) if results else {}
