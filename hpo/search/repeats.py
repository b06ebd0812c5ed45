"""Trials of a search with the configuration of another one: its result is known, and nobody trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.marks import confirms
from hpo.spec import Hyperparameters, SearchSpec

# Of a trial whose result is that of another one: the number of that.
AS_ATTRIBUTE = "as"
# Of a trial that repeats earlier ones on seeds of its own: how many they are.
REPEAT_ATTRIBUTE = "repeat"
# Far from those of the race, which follow on the study's own.
FIRST_SEED_OF_REPEATS = 10_000


def is_answered(trial: FrozenTrial) -> bool:
    """Whether it has the result of another trial, and has cost nothing."""
    return AS_ATTRIBUTE in trial.user_attrs


def repeats(trials: Sequence[FrozenTrial], trial: FrozenTrial | optuna.trial.Trial) -> int:
    """How many times others that search have been given its parameters before, whatever their numbers.

    To be asked in turn. What has begun to train and does not say how many has the first seeds: nobody asked
    for repeats then.
    """
    given = (
        other.user_attrs.get(REPEAT_ATTRIBUTE, 0)
        for other in trials
        if other.number != trial.number
        and confirms(other) is None
        and (REPEAT_ATTRIBUTE in other.user_attrs or _has_begun(other))
        and other.params == trial.params
    )
    return max(given, default=-1) + 1


def _has_begun(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() or "hyperparameters" in trial.user_attrs


def seeds_of(spec_seeds: int, repeat: int) -> range:
    """The seeds of a search's trial which repeats so many others.

    >>> seeds_of(2, 0), seeds_of(2, 1), seeds_of(2, 2)
    (range(0, 2), range(10002, 10004), range(10004, 10006))
    """
    first = FIRST_SEED_OF_REPEATS + repeat * spec_seeds if repeat else 0
    return range(first, first + spec_seeds)


def known_result(
    spec: SearchSpec,
    trials: Sequence[FrozenTrial],
    trial: FrozenTrial | optuna.trial.Trial,
    hyperparameters: Hyperparameters,
) -> FrozenTrial | None:
    """The first complete trial with these hyperparameters and as many seeds; None if there is none.

    Those that failed or were pruned are no answer: by now they may go further. Nor is the race: its trials
    have other seeds, and train by intent what others have found.
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
