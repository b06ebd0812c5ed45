"""What a study still has to train: its specification against the trials that the database holds.

A comparison wants every arm with every seed. A grid or random search wants configurations 0 to N - 1, each
of which follows from the sampler's seed and its index alone. An adaptive search wants N trials, whose
parameters the sampler draws when a worker claims them. What it starts with comes first. Failed and pruned
trials count: they are results.
Once a search has ended, its leaders are raced. What a study no longer asks for, since its trials or seeds
were lowered or a limit has been reached, is withdrawn as far as it only waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.limits import room
from hpo.search.marks import START_ATTRIBUTE, confirms, searching
from hpo.search.race import race_runs
from hpo.search.starts import missing_configurations, missing_starts
from hpo.spec import ComparisonSpec, SearchSpec, StudySpec


def plan(spec: StudySpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The WAITING trials to add to `trials` so that the study has all that `spec` asks for.

    >>> data, space = {"name": "digits"}, {"dropout": [0.1, 0.2, 0.3]}
    >>> grid = SearchSpec(name="g", kind="search", data=data, space=space, sampler={"name": "grid"})
    >>> planned = plan(grid, [])
    >>> [trial.params for trial in planned]
    [{'dropout': 0.1}, {'dropout': 0.2}, {'dropout': 0.3}]
    >>> plan(grid, planned)
    []
    """
    if isinstance(spec, ComparisonSpec):
        return _plan_comparison(spec, trials)
    assert isinstance(spec, SearchSpec)
    held, wanted = [trial for trial in trials if confirms(trial) is None], room(spec, trials).trials
    left = max(0, wanted - len(searching(spec, held)))
    missing = missing_starts(spec, held)[:left] if left else []
    left -= len(missing)
    if spec.is_adaptive:
        missing += [_waiting() for _ in range(left)]
    else:
        missing += missing_configurations(spec, [*held, *missing], left)
    if missing or not all(trial.state.is_finished() for trial in held):
        return missing
    return [
        _waiting(attributes, leader.params, leader.distributions)
        for leader, attributes in race_runs(spec, trials)
    ]


def first_withdrawn(spec: StudySpec, trials: Sequence[FrozenTrial]) -> int | None:
    """The number from which on trials are to go so that no trial only waits that `spec` does not ask for.

    None if there is none. Numbers have no gaps, so only the last trials can go; what `spec` asks for among
    them is planned anew.
    """
    tail = list(itertools.takewhile(_is_untouched, reversed(trials)))[::-1]
    if isinstance(spec, SearchSpec):
        surplus = _surplus(spec, trials, tail)
    else:
        assert isinstance(spec, ComparisonSpec)
        surplus = [trial for trial in tail if not _is_wanted(spec, trial)]
    return surplus[0].number if surplus else None


def _surplus(
    spec: SearchSpec, trials: Sequence[FrozenTrial], tail: Sequence[FrozenTrial]
) -> list[FrozenTrial]:
    wanted = room(spec, trials).trials
    racing = [trial for trial in tail if confirms(trial) is not None]
    search = [trial for trial in tail if confirms(trial) is None]
    held = [trial for trial in trials if confirms(trial) is None]
    planned = searching(spec, held)
    # What a search is to start with from now on is trained before what only waits.
    if not missing_starts(spec, held) or not any(map(_may_follow, search)):
        search = search[max(0, wanted - len(planned) + len(search)) :]
    # A race that is no longer asked for, or beyond its trials.
    beyond = len(trials) - spec.trials if spec.race is not None else len(racing)
    racing = racing[max(0, len(racing) - max(0, beyond)) :]
    return sorted([*search, *racing], key=lambda trial: trial.number)


def _may_follow(trial: FrozenTrial) -> bool:
    return START_ATTRIBUTE not in trial.user_attrs


def _is_untouched(trial: FrozenTrial) -> bool:
    """Whether it has only been planned: nobody has begun it, and no person has enqueued it."""
    return trial.state == TrialState.WAITING and trial.datetime_start is None and not trial.system_attrs


def _is_wanted(spec: ComparisonSpec, trial: FrozenTrial) -> bool:
    attributes = trial.user_attrs
    return attributes.get("seed") in spec.seed_range or "arm" not in attributes


def _plan_comparison(spec: ComparisonSpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    held = {(trial.user_attrs.get("arm"), trial.user_attrs.get("seed")) for trial in trials}
    # By seed first: an interrupted comparison has compared every arm, on fewer seeds.
    wanted = itertools.product(spec.seed_range, (arm.name for arm in spec.arms))
    return [_waiting({"arm": arm, "seed": seed}) for seed, arm in wanted if (arm, seed) not in held]


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
