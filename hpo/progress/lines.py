"""A trial in one line, and its curve in a few characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from hpo.progress.estimate import epochs_of
from hpo.search import confirms
from hpo.spec import StudySpec
from hpo.storage import INFEASIBLE_ATTRIBUTE
from hpo.tables.numbers import counted, duration, number, settings
from hpo.trials import COMPILED_ATTRIBUTE, STATES, params_of

BARS = "▁▂▃▄▅▆▇█"


def ended(spec: StudySpec, trial: FrozenTrial) -> str:
    """What has become of a trial that has ended, in how many epochs and seconds.

    Its seconds are those of training and, if they count for anything, those of compiling.
    """
    attributes = trial.user_attrs
    said = f"#{trial.number} {what(spec, trial)}: {STATES[trial.state]}"
    if trial.state == TrialState.COMPLETE:
        reached = zip(spec.judged_by, trial.values, strict=True)
        said += "".join(f" {objective.metric} {number(value)}" for objective, value in reached)
        said += f", but {attributes['reason']}" if attributes.get(INFEASIBLE_ATTRIBUTE) else ""
    elif trial.state == TrialState.FAIL:
        said += f": {attributes.get('reason', 'no reason is known')}"
    elif trial.intermediate_values:
        said += f" at {spec.reported} {number(latest(trial))}"
    elif attributes.get("reason"):
        # It breaks a constraint that was known before it trained.
        said += f": {attributes['reason']}"
    seconds, compiling = attributes.get("train_seconds"), attributes.get("compile_seconds", 0.0)
    if seconds is None:
        return said
    said += f" in {counted(len(trial.intermediate_values), 'epoch')}, {duration(seconds)}"
    return f"{said} + {duration(compiling)} compiling" if compiling >= 0.1 else said


def running(spec: StudySpec, trial: FrozenTrial) -> str:
    """How far a trial that runs is: `#3 epoch 7 of 50`, `#4 compiling`."""
    reported = len(trial.intermediate_values)
    if not trial.user_attrs.get("worker"):
        return f"#{trial.number} starting"
    if not reported and trial.user_attrs.get(COMPILED_ATTRIBUTE):
        return f"#{trial.number} compiling"
    most = epochs_of(spec, trial)
    # The epoch that it is in.
    now = reported + 1 if most is None else min(reported + 1, most)
    return f"#{trial.number} epoch {now}{f' of {most}' if most else ''}"


def what(spec: StudySpec, trial: FrozenTrial) -> str:
    """What a trial trains: its arm and seed, or its hyperparameters."""
    if (arm := trial.user_attrs.get("arm")) is not None:
        return f"{arm}, seed {trial.user_attrs.get('seed')}"
    of_race = "" if (leader := confirms(trial)) is None else f"confirms #{leader}: "
    return of_race + settings(params_of(spec, trial))


def latest(trial: FrozenTrial) -> float:
    """What a trial has reported last."""
    return trial.intermediate_values[max(trial.intermediate_values)]


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve, the last value of each stretch of it; what is not finite is a space.

    >>> sparkline([0.1, 0.5, 0.9], 20), sparkline(range(100), 5), sparkline([1.0, float("nan")], 9)
    ('▁▅█', '▁▃▅▇█', '▅ ')
    """
    count = min(width, len(values))
    shown = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    low, high = min(finite), max(finite)
    return "".join(_bar(value, low, high) for value in shown)


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    # Halves: the distance of two finite numbers may be infinite.
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5
    return BARS[min(len(BARS) - 1, int(share * len(BARS)))]
