"""What of a study that was disturbed differs from the same one undisturbed: nothing may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hpo import Study, Trial
from hpo.errors import HpoError
from tests.tiny_studies import EPOCH_METRICS, leases

# Depends on when and where it was trained.
TIMED = {"train_seconds", "compile_seconds"}


def differences(disturbed: Study, undisturbed: Study) -> list[str]:
    """What is not as it must be, a line each."""
    return [*_budget(disturbed, undisturbed), *_trials(disturbed, undisturbed), *_left(disturbed)]


def _name(trial: Trial) -> str:
    return f"{trial.arm}, seed {trial.seed}"


def _budget(disturbed: Study, undisturbed: Study) -> Iterator[str]:
    held, wanted = (Counter(map(_name, study.all_trials)) for study in (disturbed, undisturbed))
    for name in held | wanted:
        if held[name] != wanted[name]:
            yield f"budget: {name} is there {held[name]} times, not {wanted[name]}"


def _trials(disturbed: Study, undisturbed: Study) -> Iterator[str]:
    expected = {_name(trial): trial for trial in undisturbed.all_trials}
    for trial in disturbed.all_trials:
        if (other := expected.get(_name(trial))) is not None:
            before = _content(undisturbed, other)
            for what, value in _content(disturbed, trial).items():
                if value != before[what]:
                    yield f"{what}: {_name(trial)} has {value}, not {before[what]}"


def _content(study: Study, trial: Trial) -> dict[str, Any]:
    return {
        "state": trial.state,
        "value": trial.value,
        "metrics": {name: value for name, value in trial.metrics.items() if name not in TIMED},
        "reports": trial.reported,
        "curve": _curve(study, trial),
    }


def _curve(study: Study, trial: Trial) -> Any:
    if trial.state != "complete":
        return None
    try:
        return study.curves(trial.number)[EPOCH_METRICS].to_numpy().tolist()
    except (HpoError, OSError) as error:
        return f"none: {error}"


def _left(study: Study) -> Iterator[str]:
    if count := leases(study.storage):
        yield f"left: {count} leases"
