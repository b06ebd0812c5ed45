"""Arm, seed and what differs between arms as parameters of trials, in what is served, not in the database.

A comparison's trials have no parameters of Optuna's: without these, optuna-dashboard's slices, parallel
coordinates and importances of it are empty.
"""

from __future__ import annotations

import copy
import statistics
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import SpecError
from hpo.registry import SPEC_ATTRIBUTE, is_ours, place_of
from hpo.search import encode, is_valued
from hpo.spec import ComparisonSpec, Hyperparameters, from_json
from hpo.storage import TrialCache, trial_id

# Values that are so many times apart are shown on a logarithmic axis.
LOG_RATIO = 20.0


class ArmSpace:
    """The parameters that trials of a comparison, or of a final, are shown with."""

    def __init__(self, spec: ComparisonSpec) -> None:
        effective = {arm.name: _plain(spec.hyperparameters_for(arm.params)) for arm in spec.arms}
        names = [
            name
            for name in spec.vocabulary.names
            if len({repr(values[name]) for values in effective.values()}) > 1
        ]
        # Of a person's own model one may be named so too.
        shown = {name: f"params.{name}" if name in ("arm", "seed") else name for name in names}
        self._values = {
            arm: {shown[name]: values[name] for name in names} for arm, values in effective.items()
        }
        seeds = spec.seed_range
        self.distributions: dict[str, BaseDistribution] = {
            "arm": CategoricalDistribution(list(effective)),
            "seed": IntDistribution(seeds.start, seeds.stop - 1),
            **{shown[name]: _distribution([values[name] for values in effective.values()]) for name in names},
        }

    def shown(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with its parameters; as it is if it is none of the study's own."""
        arm, seed = trial.user_attrs.get("arm"), trial.user_attrs.get("seed")
        if trial.params or arm not in self._values or not isinstance(seed, int):
            return trial
        params = {"arm": arm, "seed": seed, **self._values[arm]}
        has = {name: _has(self.distributions[name], value) for name, value in params.items()}
        shown = copy.copy(trial)
        shown._params = {name: value for name, value in params.items() if has[name]}
        shown._distributions = {name: self.distributions[name] for name in shown._params}
        return shown


class ShownTrials(TrialCache):
    """Optuna's cached storage, whose trials of comparisons have the parameters of `ArmSpace`."""

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._spaces: dict[int, tuple[Any, ArmSpace | None]] = {}
        # Of each trial what it is shown as: new only if the trial or the study's arms are.
        self._shown: dict[int, tuple[FrozenTrial, ArmSpace, FrozenTrial]] = {}
        self._shown_lock = threading.Lock()

    def space(self, study_id: int) -> ArmSpace | None:
        """The parameters that a study's trials are shown with; None if they have their own."""
        attributes = self.get_study_user_attrs(study_id)
        given = attributes.get(SPEC_ATTRIBUTE) if is_ours(attributes) else None
        self.read_by(study_id, given)
        with self._shown_lock:
            known = self._spaces.get(study_id)
        if known is not None and known[0] == given:
            return known[1]
        space = _space(given)
        with self._shown_lock:
            self._spaces[study_id] = given, space
        return space

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """See Optuna."""
        space = self.space(study_id)
        trials = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return trials if space is None else [self._as_shown(trial, space) for trial in trials]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """See Optuna."""
        trial, space = super().get_best_trial(study_id), self.space(study_id)
        return trial if space is None else space.shown(trial)

    def _as_shown(self, trial: FrozenTrial, space: ArmSpace) -> FrozenTrial:
        key = trial_id(trial)
        with self._shown_lock:
            known = self._shown.get(key)
        if known is not None and known[0] is trial and known[1] is space:
            return known[2]
        shown = space.shown(trial)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            with self._shown_lock:
                self._shown[key] = trial, space, shown
        return shown


def importances(trials: Sequence[FrozenTrial], space: ArmSpace) -> list[dict[str, Any]]:
    """How much of the spread of a comparison's values each parameter explains, as the API shows importances.

    The sum of squares between its groups of trials by the sum of all (correlation ratio). So those of arm and
    seed add up to 1 at the most, and a hyperparameter that goes with the arm has what the arm has. Optuna's
    estimator takes parameters for drawn independently.
    """
    complete = [(trial.params, trial.values[0]) for trial in trials if is_valued(trial)]
    if len(complete) < 2:
        return []
    mean = statistics.fmean(value for _, value in complete)
    whole = sum((value - mean) ** 2 for _, value in complete)
    found = {}
    for name in space.distributions:
        groups: dict[str, list[float]] = {}
        for params, value in complete:
            groups.setdefault(repr(params.get(name)), []).append(value)
        found[name] = sum(len(own) * (statistics.fmean(own) - mean) ** 2 for own in groups.values())
    return [
        {
            "name": name,
            "importance": share / whole,
            "distribution": type(space.distributions[name]).__name__,
        }
        for name, share in sorted(found.items(), key=lambda one: -one[1])
        if whole > 0
    ]


def _space(given: Any) -> ArmSpace | None:
    if not isinstance(given, Mapping):
        return None
    try:
        spec = from_json(given, source=place_of(str(given.get("name"))))
    except SpecError:
        return None
    return ArmSpace(spec) if isinstance(spec, ComparisonSpec) else None


def _plain(hyperparameters: Hyperparameters) -> dict[str, Any]:
    return {name: encode(value) for name, value in hyperparameters.model_dump(mode="json").items()}


def _distribution(values: list[Any]) -> BaseDistribution:
    """The distribution over the values of all arms: of numbers a range, of all else a choice."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= LOG_RATIO
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def _has(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of a distribution's: a trial may be of a seed that the study no longer has."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return distribution._contains(distribution.to_internal_repr(value))
