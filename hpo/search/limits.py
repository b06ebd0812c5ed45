"""How many trials of a search may begin: what its budget and its limits leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from hpo.search.marks import OF_TRIALS_ATTRIBUTE, SEARCHED_ATTRIBUTE, confirms, is_valued, searching
from hpo.search.race import is_raced
from hpo.search.repeats import is_answered
from hpo.search.spent import epochs_spent, runs_of
from hpo.spec import SearchSpec, directions
from hpo.tables.numbers import counted, number


@dataclass(frozen=True)
class Room:
    """How many trials search in all, those that have begun included, and what keeps more from it."""

    trials: int
    why: str | None = None


def room(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> Room:
    """How many of these trials and further ones may search.

    >>> data, space = {"name": "digits"}, {"dropout": {"low": 0.0, "high": 0.5}}
    >>> room(SearchSpec(name="s", kind="search", data=data, space=space, trials=20), [])
    Room(trials=14, why=None)
    """
    search = [trial for trial in trials if confirms(trial) is None]
    begun = sum(_has_begun(trial) for trial in search)
    wanted = _searched(spec, trials)
    if wanted <= begun:
        return Room(wanted)
    if (why := _reached(spec, search) or _stagnates(spec, search)) is not None:
        return Room(begun, why)
    if spec.max_epochs_total is None:
        return Room(wanted)
    per_trial = spec.replicates * spec.hyperparameter_table().epochs
    spent = sum(_epochs(spec, trial) for trial in trials if _has_begun(trial) or confirms(trial) is not None)
    # What searches after a race is raced too.
    more = max(0, spec.max_epochs_total - spent - spec.race_epochs) // per_trial
    if begun + more >= wanted:
        return Room(wanted)
    limit = counted(spec.max_epochs_total, "epoch")
    return Room(begun + more, f"max_epochs_total: of {limit} too few are left")


def _searched(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> int:
    """How many trials are to search, whatever its limits.

    Once a race has begun, no more until it is over. Then, if `trials` has been raised, those search on that
    leave the leaders among them their race; if nothing has come of that, what is left is parted anew, so that
    all of it is used. Of the `trials` that a search began with, a race may spare some.
    """
    race = spec.race
    runs = [trial for trial in trials if confirms(trial) is not None]
    if race is None or not runs:
        return spec.trials - len(runs) if race is None else spec.searched
    wanted = max(int(run.user_attrs.get(SEARCHED_ATTRIBUTE, 0)) for run in runs)
    held = len(searching(spec, trials))
    left = spec.trials - len(runs) - wanted
    # Runs that an earlier version stored do not say of how many trials their race was.
    first, last = (run.user_attrs.get(OF_TRIALS_ATTRIBUTE, wanted + race.runs) for run in (runs[0], runs[-1]))
    if last == spec.trials:
        if held <= wanted and not is_raced(spec, trials):
            return wanted
        if first == spec.trials:
            left -= max(0, race.runs - len(runs))
        if left <= race.seeds:
            return wanted
    while left > 0:
        more = left - race.runs if left >= race.top + race.runs else left // (1 + race.seeds) or left
        wanted, left = wanted + more, left - more
        if held < wanted or (held == wanted and not is_raced(spec, trials)):
            break
    return wanted


def _has_begun(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.WAITING or trial.datetime_start is not None


def _epochs(spec: SearchSpec, trial: FrozenTrial) -> int:
    """Epochs over its training runs: those of a trial that has ended, else the most that it may train."""
    if is_answered(trial):
        return 0
    runs = runs_of(spec, trial)
    if trial.state.is_finished():
        replicates = trial.user_attrs.get("replicates") or ()
        return epochs_spent(replicates, len(trial.intermediate_values), runs=runs)
    return runs * spec.hyperparameter_table().epochs


def _reached(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> str | None:
    if spec.stop_at is None:
        return None
    sign = directions.sign(spec.objective.direction)
    for trial in trials:
        if is_valued(trial) and sign * trial.value >= sign * spec.stop_at:  # type: ignore[operator]
            return f"stop_at: #{trial.number} has reached {number(trial.value)}"
    return None


def _stagnates(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> str | None:
    if spec.patience_trials is None:
        return None
    sign, best, since = directions.sign(spec.objective.direction), -math.inf, 0
    ended = (trial for trial in trials if trial.state.is_finished())
    for trial in sorted(ended, key=lambda trial: (trial.datetime_complete or datetime.min, trial.number)):
        value = sign * trial.value if is_valued(trial) else -math.inf  # type: ignore[operator]
        best, since = (value, 0) if value > best else (best, since + 1)
    if since < spec.patience_trials:
        return None
    return f"patience_trials: {counted(since, 'trial')} without a better value"
