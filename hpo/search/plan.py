"""What a study still has to train: its specification against the trials that the database holds.

A comparison wants every arm with every seed. A grid or random search wants configurations 0 to N - 1, each
of which follows from the sampler's seed and its index alone. An adaptive search wants N trials, whose
parameters the sampler draws when a worker claims them. Failed and pruned trials count: they are results.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.configurations import configurations
from hpo.search.distributions import distributions, encode
from hpo.spec import ComparisonSpec, SearchSpec, StudySpec


def plan(spec: StudySpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The WAITING trials to add to `trials` so that the study has all that `spec` asks for."""
    if isinstance(spec, ComparisonSpec):
        return _plan_comparison(spec, trials)
    assert isinstance(spec, SearchSpec)
    if spec.sampler.name == "tpe":
        return [_waiting() for _ in range(spec.trials - len(trials))]
    return _plan_configurations(spec, trials)


def _plan_comparison(spec: ComparisonSpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    held = {(trial.user_attrs.get("arm"), trial.user_attrs.get("seed")) for trial in trials}
    # By seed first: an interrupted comparison has compared every arm, on fewer seeds.
    wanted = itertools.product(spec.seed_range, (arm.name for arm in spec.arms))
    return [_waiting({"arm": arm, "seed": seed}) for seed, arm in wanted if (arm, seed) not in held]


def _plan_configurations(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    held = {trial.user_attrs.get("index") for trial in trials}
    if held.issuperset(range(spec.trials)):
        return []
    space = distributions(spec)
    return [
        _waiting({"index": index}, {name: encode(value) for name, value in values.items()}, space)
        for index, values in enumerate(itertools.islice(configurations(spec), spec.trials))
        if index not in held
    ]


def _waiting(
    attributes: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params=dict(params or {}),
        distributions=dict(space or {}),
        user_attrs=dict(attributes or {}),
    )
