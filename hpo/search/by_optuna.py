"""Optuna's samplers, told the space.

They look for it in all trials of the study, each time: of 5,000 that is most of what a decision takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.search.distributions import distributions
from hpo.spec import SearchSpec

RESULTS = (TrialState.COMPLETE, TrialState.PRUNED)


class TreeSampler(optuna.samplers.TPESampler):
    """The tree-structured Parzen estimator as Optuna has it: multivariate, with a constant liar.

    It is of one trial. Where what it draws is taken it is asked again, by the same results: so an estimator
    is made once (of 5,000 trials in 30 ms, of which a finite space may take 20 drafts).
    """

    def __init__(self, spec: SearchSpec, number: int) -> None:
        super().__init__(seed=_seed(spec, number))
        self._spec = spec
        self._estimators = dict[tuple[Any, ...], Any]()

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
        return _common(self._spec, study) if self._is_multivariate(study) else {}


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
