"""What a search's sampler sees of it: the trials that search, by the space as it is now.

Races say nothing of where to search. What a trial has outside the space, or of what is not active, is not
shown; trials of the study that a search started from are.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.distributions import active, distributions, drawn_of
from hpo.search.encoding import encode
from hpo.search.marks import confirms
from hpo.spec import SearchSpec


class ShownStudy(optuna.Study):
    """An Optuna study of which `get_trials` gives these trials."""

    def __init__(self, study: optuna.Study, spec: SearchSpec, earlier: Sequence[FrozenTrial]) -> None:
        # A new one would ask the database for its key by its name.
        self.__dict__.update(study.__dict__)
        self._of, self._shown_spec, self._earlier = study, spec, earlier

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        own = self._of._get_trials(deepcopy=deepcopy, states=states, use_cache=use_cache)
        spec, whole = self._shown_spec, distributions(self._shown_spec)
        # Of several objectives a pruned trial has no values.
        several = len(spec.objectives) > 1
        # Without conditions nearly all are as the space is: 5,000 of them take 20 ms.
        found = [
            trial if trial.distributions == whole else _by_space(spec, trial)
            for trial in own
            if confirms(trial) is None and not (several and trial.state == TrialState.PRUNED)
        ]
        return [*found, *(trial for trial in self._earlier if states is None or trial.state in states)]

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See Optuna."""
        return self._get_trials(deepcopy, states)


class ShowingSampler(optuna.samplers.BaseSampler):
    """A sampler that sees a study as `shown` gives it."""

    def __init__(
        self, sampler: optuna.samplers.BaseSampler, spec: SearchSpec, earlier: Sequence[FrozenTrial]
    ) -> None:
        self._sampler, self._spec, self._earlier = sampler, spec, earlier

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def _shown(self, study: optuna.Study) -> optuna.Study:
        return shown(study, self._spec, self._earlier)


def shown(study: optuna.Study, spec: SearchSpec, earlier: Sequence[FrozenTrial] = ()) -> optuna.Study:
    """A study as its sampler is to see it, beside trials of an `earlier` one."""
    return ShownStudy(study, spec, earlier)


def _by_space(spec: SearchSpec, trial: FrozenTrial) -> FrozenTrial:
    """A trial with what is active of the space as it is now; the same one if that is all that it has."""
    space = active(spec, drawn_of(trial))
    kept = {name: one for name, one in space.items() if _has(one, trial.params[name])}
    if kept == trial.distributions:
        return trial
    return create_again(trial, {name: trial.params[name] for name in kept}, kept)


def _has(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:  # no choice of these
        return False


def create_again(
    trial: FrozenTrial, params: dict[str, Any], space: dict[str, BaseDistribution]
) -> FrozenTrial:
    """The same trial with other parameters."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=params,
        distributions=space,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
        trial_id=trial._trial_id,
    )


def known(spec: SearchSpec, rows: Sequence[Sequence[Any]]) -> list[FrozenTrial]:
    """Trials of an earlier study of its `rows`: drawn values, whether it was complete, value and last epoch.

    Those that lie in the space as it is now.
    """
    found = []
    for number, (values, is_complete, value, epoch) in enumerate(rows):
        space = active(spec, values)
        params = {name: encode(values[name]) for name in space}
        if not all(_has(one, params[name]) for name, one in space.items()):
            continue
        trial = create_trial(
            state=TrialState.COMPLETE if is_complete else TrialState.PRUNED,
            value=value,
            params=params,
            distributions=space,
            intermediate_values={epoch: value} if epoch else {},
        )
        trial.number = -1 - number  # of no trial of the study
        found.append(trial)
    return found
