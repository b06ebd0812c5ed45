"""What a trial's user attributes say of why it is there, and whether its result counts."""

from __future__ import annotations

import math
from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.spec import SearchSpec
from hpo.storage import CONFIRMS_ATTRIBUTE, INFEASIBLE_ATTRIBUTE

# Of one that is listed: its place in `start_with`, or its number among the strategy's configurations.
START_ATTRIBUTE = "start"
INDEX_ATTRIBUTE = "index"
# Of one that confirms: how many trials had searched when the race began, and of how many in all.
SEARCHED_ATTRIBUTE = "searched"
OF_TRIALS_ATTRIBUTE = "of_trials"


def confirms(trial: FrozenTrial | optuna.trial.Trial) -> int | None:
    """The number of the leader that a trial trains again; None of one that searches."""
    leader = trial.user_attrs.get(CONFIRMS_ATTRIBUTE)
    return leader if isinstance(leader, int) else None


def searching(spec: SearchSpec, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that search and count among those asked for: of a list none that somebody has enqueued."""
    return [one for one in trials if confirms(one) is None and (spec.is_adaptive or is_listed(one))]


def is_listed(trial: FrozenTrial) -> bool:
    """Whether it has been planned with its configuration, and not enqueued by somebody."""
    return START_ATTRIBUTE in trial.user_attrs or INDEX_ATTRIBUTE in trial.user_attrs


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether it breaks no constraint, as far as it has got."""
    return not trial.user_attrs.get(INFEASIBLE_ATTRIBUTE, False)


def is_valued(trial: FrozenTrial) -> bool:
    """Whether it has values that it could be chosen by: complete, of a feasible one, and finite."""
    if trial.state != TrialState.COMPLETE or not is_feasible(trial):
        return False
    return bool(trial.values) and all(map(math.isfinite, trial.values))
