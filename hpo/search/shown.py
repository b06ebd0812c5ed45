"""What a search's sampler, or pruner, sees of it: the trials that search; samplers by the space as it is now.

Races say nothing of where to search. What a trial has outside the space, or of what is not active, is not
shown; trials of the study that a search started from are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.distributions import active, distributions, drawn_of
from hpo.search.encoding import encode
from hpo.search.marks import confirms
from hpo.spec import SearchSpec

# When trials of an earlier study ended, for a sampler: Optuna would date them now.
LONG_AGO = datetime(1970, 1, 1)


class Views:
    """Trials by the space as it is now, beside `earlier` ones of another study.

    Those that have ended are looked at once: they stay what they are.
    """

    def __init__(self, spec: SearchSpec, earlier: Sequence[FrozenTrial] = ()) -> None:
        self._spec, self._whole, self._earlier = spec, distributions(spec), earlier
        self._ended: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}
        # Distributions come from few objects, and to compare two takes Optuna ten times as long as all else.
        self._same: dict[tuple[str, int], tuple[BaseDistribution, bool]] = {}

    def of(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The views of those that search, and the earlier ones."""
        found, ended = list[FrozenTrial](), self._ended
        # Of several objectives a pruned trial has no values.
        several = len(self._spec.objectives) > 1
        for trial in trials:
            if several and trial.state == TrialState.PRUNED:
                continue
            known = ended.get(trial._trial_id)
            if known is not None and known[0] is trial:
                found.append(known[1])
            elif confirms(trial) is None:
                found.append(view := self._view(trial))
                if trial.state.is_finished():
                    ended[trial._trial_id] = trial, view
        return [*found, *self._earlier]

    def _view(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial with what is active of the space; the same one if that is all that it has."""
        held = trial.distributions
        values = drawn_of(trial)
        names = self._spec.active(values).keys()
        if names == held.keys() and all(self._is_same(name, one) for name, one in held.items()):
            return trial
        kept = {name: self._whole[name] for name in names if _has(self._whole[name], trial.params[name])}
        return create_again(trial, {name: trial.params[name] for name in kept}, kept)

    def _is_same(self, name: str, one: BaseDistribution) -> bool:
        found = self._same.get((name, id(one)))
        if found is None:
            found = self._same[name, id(one)] = (one, one == self._whole[name])
        return found[1]


class ShownStudy(optuna.Study):
    """An Optuna study of which `get_trials` gives what is to be seen of its trials.

    They are as at its first call: a draw takes a tenth of a second, and asks for them up to ten times.
    """

    def __init__(
        self, study: optuna.Study, seen_of: Callable[[Sequence[FrozenTrial]], list[FrozenTrial]]
    ) -> None:
        # A new one would ask the database for its key by its name.
        self.__dict__.update(study.__dict__)
        self._of, self._seen_of = study, seen_of
        self._seen: list[FrozenTrial] | None = None

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        if self._seen is None:
            self._seen = self._seen_of(self._of.get_trials(deepcopy=False))
        found = [trial for trial in self._seen if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See Optuna."""
        return self._get_trials(deepcopy, states)


class ShowingSampler(optuna.samplers.BaseSampler):
    """A sampler, for the draw of one trial, that sees a study as its views show it."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, views: Views) -> None:
        self._sampler, self._views = sampler, views
        self._study: ShownStudy | None = None

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
        if self._study is None:
            self._study = ShownStudy(study, self._views.of)
        return self._study


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

    Those that lie in the space as it is now. All of them are older than any of the study, whichever worker
    asks and whenever.
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
        trial.number = number - len(rows)  # of no trial of the study
        trial.datetime_start = trial.datetime_complete = LONG_AGO
        found.append(trial)
    return found
