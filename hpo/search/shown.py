"""What a sampler sees of a study: the trials that search, and none that train a leader again."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.race import confirms


class _ShownStudy(optuna.Study):
    """A study as samplers read it; they ask by either of these."""

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._get_trials(deepcopy=deepcopy, states=states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = super()._get_trials(deepcopy=deepcopy, states=states, use_cache=use_cache)
        return [trial for trial in found if confirms(trial) is None]


def shown(study: optuna.Study) -> optuna.Study:
    """The study as its sampler sees it."""
    found: Any = copy.copy(study)
    found.__class__ = _ShownStudy
    return found  # type: ignore[no-any-return]


class ShownTo(optuna.samplers.BaseSampler):
    """A sampler that is shown what samplers are to see."""

    def __init__(self, sampler: optuna.samplers.BaseSampler) -> None:
        self.inner = sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """See Optuna."""
        return self.inner.infer_relative_search_space(shown(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        """See Optuna."""
        return self.inner.sample_relative(shown(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """See Optuna."""
        return self.inner.sample_independent(shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self.inner.before_trial(shown(study), trial)
