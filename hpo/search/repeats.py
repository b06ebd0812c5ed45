"""Trials of a search that have the configuration of another one: their result is known, and nobody trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.race import confirms
from hpo.spec import Hyperparameters, SearchSpec

# Of a trial whose result is that of another one: the number of that.
AS_ATTRIBUTE = "as"


def is_answered(trial: FrozenTrial) -> bool:
    """Whether it has the result of another trial, and has cost nothing."""
    return AS_ATTRIBUTE in trial.user_attrs


def known_result(
    spec: SearchSpec,
    trials: Sequence[FrozenTrial],
    trial: FrozenTrial | optuna.trial.Trial,
    hyperparameters: Hyperparameters,
) -> FrozenTrial | None:
    """The first complete trial that was trained with these hyperparameters and as many seeds; None if none was.

    Those that failed or were pruned are no answer: by now they may go further. Nor is the race: its trials have
    other seeds, and train what others have found by intent.
    """
    if confirms(trial) is not None:
        return None
    asked: dict[str, Any] = hyperparameters.model_dump(mode="json")
    for other in trials:
        if (
            other.state == TrialState.COMPLETE
            and other.number != trial.number
            and confirms(other) is None
            and not is_answered(other)
            and other.user_attrs.get("hyperparameters") == asked
            and len(other.user_attrs.get("replicates") or ()) == spec.replicates
        ):
            return other
    return None
