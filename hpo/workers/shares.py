"""Which waiting trials a worker leaves to others, so that one compile key is compiled by one worker.

A worker shares a compiled program among its own trials alone. So two that claim by number alone compile every
key twice. Here the trials whose key another live worker has begun, and this one has not, come last; they are
taken once nothing else waits. It is thrift, no promise: workers that look at the same moment may begin the
same key, and which trials run, and their results, do not depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Sequence
from datetime import UTC, datetime, timedelta

from optuna.trial import FrozenTrial

from hpo.errors import SpecError
from hpo.search import hyperparameters_of, is_drawn
from hpo.spec import SearchSpec, StudySpec
from hpo.storage import BegunTrial, Storage, trial_id

# A worker that joins others learns what they have begun since then.
FIRST_LOOK = timedelta(hours=1)
# A worker between two trials holds no lease, and clocks differ a little.
RECENT = timedelta(seconds=5)
# What all workers together read of it a second: 0.1 s of a server's processor. Up to 30 workers look before
# every trial, a thousand every 20 s.
ROWS_A_SECOND = 50_000
# Waiting trials that are read at once, and at the most for one claim: 20 ms and 160 ms.
WINDOW, LONGEST_SEARCH = 256, 2048


class Shares:
    """What one worker knows of the keys that it and others have begun, in the study that it claims from.

    A look is one query, and one or two more where there is something new to read: parameters of a trial are
    read once.
    """

    _study: int | None

    def __init__(self, storage: Storage, worker: str) -> None:
        self._storage, self._worker = storage, worker
        self._next_look = 0.0
        self._left: list[int] = []
        self._forget()

    def left_to_others(self, studies: Sequence[int], spec_of: Callable[[int], StudySpec]) -> list[int]:
        """Ids of the waiting trials that this worker should claim last, of the first of these studies."""
        if all(_is_adaptive(spec_of(study)) for study in studies):
            return []
        if time.monotonic() >= self._next_look:
            self._left = self._look(studies, spec_of)
        return self._left

    def _look(self, studies: Sequence[int], spec_of: Callable[[int], StudySpec]) -> list[int]:
        begun = self._storage.begun(studies, since=self._since)
        # Each of as many workers reads as many rows.
        self._next_look = time.monotonic() + len(begun) ** 2 / ROWS_A_SECOND
        if not begun or _is_adaptive(spec := spec_of(begun[0].study_id)):
            return []
        study = begun[0].study_id
        if self._study not in (None, study):
            self._forget()
            begun = self._storage.begun([study], since=self._since)
        self._study = study
        self._note(begun)
        others = _alive(begun) - {self._worker}
        return self._left_to(others, study, spec) if others else []

    def _forget(self) -> None:
        """Know nothing, of no study."""
        self._study = None
        self._since = datetime.now(UTC) - FIRST_LOOK
        # Of trials that have been read; None for one whose key nobody can say.
        self._keys: dict[int, Hashable | None] = {}
        self._begun: dict[str, set[int]] = {}
        # Those that have been read and still wait, in their order, and the last that was read.
        self._waiting: dict[int, None] = {}
        self._read_to = -1

    def _note(self, begun: Sequence[BegunTrial]) -> None:
        for trial in begun:
            self._begun.setdefault(trial.worker, set()).add(trial.trial_id)
            self._waiting.pop(trial.trial_id, None)
        ends = [trial.ended for trial in begun if trial.ended is not None]
        self._since = max([self._since, *(end - RECENT for end in ends)])

    def _left_to(self, others: Collection[str], study: int, spec: StudySpec) -> list[int]:
        """The waiting trials whose keys others have begun and this worker has not.

        As far as they come before one with another key. If somebody else claims that one meanwhile, this
        worker takes the first trial that has not been read.
        """
        if not self._waiting:
            # First: what has been read while it waits need not be read once it has begun.
            self._read_on(study, spec)
        keys = self._keys_of(others, spec) - self._keys_of({self._worker}, spec)
        found = [trial for trial in self._waiting if self._keys[trial] in keys]
        searched = 0
        while len(found) == len(self._waiting) and searched < LONGEST_SEARCH:
            window = self._read_on(study, spec)
            if not window:
                return []
            searched += len(window)
            found += [trial for trial in window if self._keys[trial] in keys]
        return found

    def _keys_of(self, workers: Collection[str], spec: StudySpec) -> set[Hashable]:
        """The keys that workers have begun."""
        trials = set[int]().union(*(self._begun.get(worker, ()) for worker in workers))
        unknown = sorted(trials - self._keys.keys())
        for first in range(0, len(unknown), WINDOW):
            piece = unknown[first : first + WINDOW]
            self._keys.update(dict.fromkeys(piece))  # nothing is found of a study that has been deleted
            self._learn(self._storage.configurations(piece), spec)
        return {self._keys[trial] for trial in trials} - {None}

    def _read_on(self, study: int, spec: StudySpec) -> list[int]:
        """Read the next waiting trials; returns their ids."""
        window = self._storage.waiting(study, after=self._read_to, limit=WINDOW)
        self._learn(window, spec)
        ids = [trial_id(trial) for trial in window]
        self._waiting.update(dict.fromkeys(ids))
        self._read_to = max([self._read_to, *ids])
        return ids

    def _learn(self, trials: Sequence[FrozenTrial], spec: StudySpec) -> None:
        self._keys.update((trial_id(trial), _key(spec, trial)) for trial in trials)


def _alive(begun: Sequence[BegunTrial]) -> set[str]:
    """The workers that hold a trial, or have just ended one, and have lost none."""
    now = datetime.now(UTC)
    active = {trial.worker for trial in begun if trial.held or (trial.ended and now - trial.ended < RECENT)}
    return active - {trial.worker for trial in begun if trial.ended is None and not trial.held}


def _is_adaptive(spec: StudySpec) -> bool:
    """Whether nobody can say what its waiting trials train."""
    return isinstance(spec, SearchSpec) and spec.is_adaptive


def _key(spec: StudySpec, trial: FrozenTrial) -> Hashable | None:
    if isinstance(spec, SearchSpec) and not is_drawn(spec, trial.params):
        return None  # somebody enqueued it: it gets its parameters when it is claimed
    try:
        return hyperparameters_of(spec, trial).compile_key
    except (KeyError, SpecError):
        return None
