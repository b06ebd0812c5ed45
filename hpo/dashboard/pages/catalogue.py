"""What the home page says of every study, from a few queries over all of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from optuna.trial import TrialState

from hpo.dashboard.pages.results import Result
from hpo.registry import (
    SPEC_ATTRIBUTE,
    STOPPED_ATTRIBUTE,
    StudySummary,
    is_ours,
    sources_of,
    summarise,
)
from hpo.spec import directions
from hpo.storage import CONFIRMS_ATTRIBUTE, Storage, StudyRow, TrialResult

# States of a trial that has ended, in the order in which a bar shows them.
ENDED = ("complete", "pruned", "failed")
ATTRIBUTES = ("arm", "worker", CONFIRMS_ATTRIBUTE)
SHOWN_WORKERS = 4


@dataclass(frozen=True)
class Activity:
    """What the trials of a study that have begun say together.

    `values` are number, arm (None in a search) and value of those that are complete and finite; `workers`
    had trials of it, that of the last one first.
    """

    values: tuple[tuple[int, str | None, float], ...] = ()
    last: datetime | None = None
    workers: tuple[str, ...] = ()

    @classmethod
    def of(cls, trials: Sequence[TrialResult]) -> Activity:
        """The activity of these trials."""
        values = [
            (trial.number, None if trial.attributes[0] is None else str(trial.attributes[0]), trial.value)
            for trial in trials
            if trial.value is not None and math.isfinite(trial.value) and trial.attributes[2] is None
        ]
        moments = [moment for trial in trials for moment in (trial.started, trial.ended) if moment]
        workers = dict.fromkeys(str(trial.attributes[1]) for trial in reversed(trials) if trial.attributes[1])
        return cls(tuple(values), max(moments, default=None), tuple(workers))


@dataclass(frozen=True)
class Entry:
    """A study on the home page; `finals` are its final evaluations, `result` is what it has shown.

    `summary` is None of a study that hpo did not create. `at_work` are the workers that train it now.
    """

    row: StudyRow
    summary: StudySummary | None
    activity: Activity
    at_work: tuple[str, ...]
    result: Result | None = None
    finals: tuple[Entry, ...] = ()

    @property
    def name(self) -> str:
        """The study's name."""
        return self.row.name

    @property
    def is_readable(self) -> bool:
        """Whether this version of hpo can report on it."""
        return self.summary is not None and self.summary.problem is None

    @property
    def description(self) -> str:
        """What the study is for, in the words of its file."""
        spec = self.row.attributes.get(SPEC_ATTRIBUTE)
        found = spec.get("description") if isinstance(spec, Mapping) else None
        return found if isinstance(found, str) else ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The studies that it is a final evaluation of."""
        return sources_of(self.row.attributes)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials there are in each state."""
        if self.summary is not None:
            return self.summary.counts
        return {state.name.lower(): count for state, count in self.row.counts.items()}

    @property
    def ended(self) -> int:
        """How many trials have ended, in whichever way."""
        return sum(self.counts.get(state, 0) for state in ENDED)

    @property
    def planned(self) -> int:
        """How many trials it will have."""
        asked = (self.summary.planned if self.summary is not None else None) or 0
        return max(asked, sum(self.row.counts.values()))

    @property
    def status(self) -> str:
        """What goes on in it, in a word."""
        if self.at_work or (self.summary is None and self.row.counts.get(TrialState.RUNNING)):
            return "running"
        if self.row.attributes.get(STOPPED_ATTRIBUTE) is not None and self._left:
            return "stopped"
        if not self.planned:
            return "empty"
        # A search may have come to its end with fewer trials than it was given.
        is_over = self.ended >= self.planned or (self.ended > 0 and not self._left)
        return "done" if is_over else "waiting"

    @property
    def _left(self) -> int:
        return sum(self.row.counts.values()) - self.ended

    def called(self, state: str) -> str:
        """A state of trials, as people call it: who runs without a worker waits for the next one."""
        if state != "running":
            return state
        return "in training" if self.status == "running" else "lost by their workers"

    @cached_property
    def best(self) -> tuple[int, float] | None:
        """Number and value of the best trial; None without one, or if better and worse are not known."""
        if self.summary is None or self.summary.direction is None or not self.activity.values:
            return None
        sign = directions.sign(self.summary.direction)
        number, _, value = min(self.activity.values, key=lambda one: (-sign * one[2], one[0]))
        return number, value


class Catalogue:
    """The studies of a storage, again and again: of each is read anew only what has changed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._known: dict[int, tuple[StudyRow, StudySummary | None, Activity]] = {}

    def entries(self, rows: Sequence[StudyRow], results: Mapping[str, Result]) -> list[Entry]:
        """An entry a study, the newest first, finals inside those that they are of."""
        at_work = self._storage.holders()
        known = self._read(rows)
        found = [
            Entry(row, summary, activity, tuple(at_work.get(row.study_id, ())), results.get(row.name))
            for row, summary, activity in (known[row.study_id] for row in rows)
        ]
        # What others have created comes last.
        return nested(sorted(found, key=lambda entry: (entry.summary is None, -entry.row.study_id)))

    def _read(self, rows: Sequence[StudyRow]) -> dict[int, tuple[StudyRow, StudySummary | None, Activity]]:
        with self._lock:
            before = self._known
        changed = [row for row in rows if row.study_id not in before or before[row.study_id][0] != row]
        results = self._storage.results([row.study_id for row in changed], ATTRIBUTES) if changed else {}
        known = {row.study_id: before[row.study_id] for row in rows if row.study_id in before}
        for row in changed:
            summary = summarise(row, self._storage) if is_ours(row.attributes) else None
            known[row.study_id] = row, summary, Activity.of(results.get(row.study_id, []))
        with self._lock:
            self._known = known
        return known


def nested(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries, finals inside the first study that they are of, in the order of their evaluation."""
    names = {entry.name for entry in entries if not entry.sources}
    finals: dict[str, list[Entry]] = {}
    for entry in entries:
        host = next((source for source in entry.sources if source in names), None)
        if host is not None:
            finals.setdefault(host, []).insert(0, entry)
    inside = {id(entry) for found in finals.values() for entry in found}
    return [
        _with(entry, finals.get(entry.name, [])) if entry.name in finals else entry
        for entry in entries
        if id(entry) not in inside
    ]


def _with(entry: Entry, finals: Sequence[Entry]) -> Entry:
    return Entry(entry.row, entry.summary, entry.activity, entry.at_work, entry.result, tuple(finals))


def arms_of(entry: Entry) -> list[str]:
    """The arms of a comparison or a final, in the order of its specification; none of any other study."""
    spec: Any = entry.row.attributes.get(SPEC_ATTRIBUTE)
    arms = spec.get("arms") if isinstance(spec, Mapping) else None
    if not isinstance(arms, list | tuple):
        return []
    return [str(arm["name"]) for arm in arms if isinstance(arm, Mapping) and "name" in arm]
