"""Keys and attributes of Optuna's studies and trials that have no public name there: asked for here alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial


def study_id(study: optuna.Study) -> int:
    """The key of a study in its storage."""
    return study._study_id


def trial_id(trial: FrozenTrial | optuna.trial.Trial) -> int:
    """The key of a trial in its storage."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that a study was opened in."""
    return study._storage


def system_attributes(study: optuna.Study) -> dict[str, Any]:
    """What programs keep with a study, beside what people do."""
    return storage_of(study).get_study_system_attrs(study_id(study))


def set_system_attribute(study: optuna.Study, key: str, value: Any) -> None:
    """Keep a JSON value with a study, for programs."""
    storage_of(study).set_study_system_attr(study_id(study), key, value)


def last_step(trial: optuna.trial.Trial) -> int:
    """The last epoch that was reported before this object of the trial was made; 0 without any.

    To ask the database again could fail.
    """
    return max(trial._cached_frozen_trial.intermediate_values, default=0)


class _Verbosity:
    """How many threads want Optuna to be quiet, and how it was before the first of them."""

    lock, depth, before = threading.Lock(), 0, optuna.logging.WARNING


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, Optuna tells only of what is amiss; its verbosity is the caller's, and so again afterwards."""
    with _Verbosity.lock:
        if not _Verbosity.depth:
            _Verbosity.before = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(max(_Verbosity.before, optuna.logging.WARNING))
        _Verbosity.depth += 1
    try:
        yield
    finally:
        with _Verbosity.lock:
            _Verbosity.depth -= 1
            if not _Verbosity.depth:
                optuna.logging.set_verbosity(_Verbosity.before)
