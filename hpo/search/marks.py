"""What a trial's user attributes say of why it is there."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial

from hpo.storage import CONFIRMS_ATTRIBUTE

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


def is_listed(trial: FrozenTrial) -> bool:
    """Whether it has been planned with its configuration, and not enqueued by somebody."""
    return START_ATTRIBUTE in trial.user_attrs or INDEX_ATTRIBUTE in trial.user_attrs
