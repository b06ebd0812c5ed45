"""What a search takes over from an earlier study: its best configuration, and what its sampler learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.errors import SpecError
from hpo.search.distributions import hyperparameters_of
from hpo.search.marks import confirms, is_feasible, is_valued
from hpo.search.race import race_of
from hpo.spec import SearchSpec, directions
from hpo.spec.base import RuleError, plain
from hpo.spec.starts import drawn_start

Row = tuple[dict[str, Any], bool, float, int]


def best_of(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial that an earlier search has found: the winner of its race, else that of the best value."""
    race = race_of(spec, trials)
    if race is not None and race.is_over and race.still_in:
        return next(trial for trial in trials if trial.number == race.still_in[0])
    sign = directions.sign(spec.objective.direction)
    valued = [trial for trial in _ended(trials) if is_valued(trial)]
    return max(valued, key=lambda trial: sign * (trial.value or 0.0), default=None)


def values_in(spec: SearchSpec, trial: FrozenTrial, *, of: SearchSpec) -> dict[str, Any] | None:
    """The drawn values of an earlier study's trial in the space of `spec`; None if it lies outside."""
    try:
        every = hyperparameters_of(of, trial).model_dump()
    except SpecError:
        return None
    start = {name: plain(every[name]) for name in spec.space if every.get(name) is not None}
    # What has a value there and is not active here is left out.
    start = spec.joined(spec.active(spec.apart(start)))
    try:
        found = drawn_start(spec.space, spec.drawn, start)
    except RuleError:
        return None
    return found if spec.allows(found) else None


def rows(spec: SearchSpec, trials: Sequence[FrozenTrial], *, of: SearchSpec) -> list[Row]:
    """What a sampler of `spec` may know of trials of an earlier study, `of`; see `hpo.search.shown`."""
    found: list[Row] = []
    for trial in _ended(trials):
        values = values_in(spec, trial, of=of)
        if values is not None and trial.value is not None:
            epoch = max(trial.intermediate_values, default=0)
            found.append((plain(values), trial.state == TrialState.COMPLETE, trial.value, epoch))
    return found


def _ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that searched and have a value that says something: of those that broke no constraint.

    What broke one there may break none here, and its value is none that it was chosen by.
    """
    return [
        trial
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        and confirms(trial) is None
        and is_feasible(trial)
        and trial.value is not None
        and math.isfinite(trial.value)
    ]
