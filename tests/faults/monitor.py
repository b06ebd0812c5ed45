"""Somebody who reads the studies while they run, and remembers what must never change again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.storage import Storage
from hpo.studies import Study, open_study
from tests.faults.planner import OF_THE_STORAGE
from tests.faults.studies import STUDIES

POLL_SECONDS = 1.0
Content = dict[str, Any]


@dataclass
class Seen:
    """By trial id: finished trials as first seen; parameters and reports of all that were begun."""

    finished: dict[int, Content] = field(default_factory=dict)
    params: dict[int, Content] = field(default_factory=dict)
    reports: dict[int, dict[int, float]] = field(default_factory=dict)

    def add(self, trial: FrozenTrial) -> None:
        """Remember what a trial holds; what has been seen before stays."""
        if trial.state == TrialState.WAITING and trial.datetime_start is None:
            return  # it may be withdrawn
        key = trial._trial_id
        self.params[key] = dict(trial.params) | self.params.get(key, {})
        self.reports[key] = dict(trial.intermediate_values) | self.reports.get(key, {})
        if trial.state.is_finished():
            self.finished.setdefault(key, content(trial))


def content(trial: FrozenTrial) -> Content:
    """What a finished trial is."""
    return {
        "state": trial.state.name,
        "value": trial.value,
        "params": dict(trial.params),
        "reports": dict(trial.intermediate_values),
        "user attributes": dict(trial.user_attrs),
        "system attributes": dict(trial.system_attrs),
        "began": trial.datetime_start,
        "ended": trial.datetime_complete,
    }


class Monitor:
    """Reads all studies every second, in a thread."""

    def __init__(self, storage: Storage) -> None:
        self.seen, self.polls = Seen(), 0
        self._storage, self._done = storage, threading.Event()
        self._studies: dict[str, Study] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            try:
                self._look()
            except OF_THE_STORAGE:
                continue

    def _look(self) -> None:
        for name in STUDIES:
            if name not in self._studies:
                self._studies[name] = open_study(name, storage=self._storage)
            for trial in self._studies[name].frozen_trials:
                self.seen.add(trial)
        self.polls += 1
