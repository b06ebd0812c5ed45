"""The summary that a study's page shows: computed while trials end, and written nowhere."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from hpo.dashboard.notes import Summary, show
from hpo.errors import HpoError
from hpo.registry import SPEC_ATTRIBUTE, is_ours
from hpo.storage import Storage, StudyRow
from hpo.studies import open_study

logger = logging.getLogger(__name__)

# A study whose trials end all the time is summarised so often at the most.
SECONDS = 20.0
# What fails again and again is tried ever less often, up to this.
LONGEST_SECONDS = 640.0
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Attempt:
    """When a summary was last begun, of which state of the study, and how many failed in a row; why."""

    state: str
    begun: float
    failures: int = 0
    error: str = ""

    def wait(self, state: str, seconds: float) -> float:
        """Seconds from its beginning until the next one, of a study that is now in `state`.

        A study that has changed gets one after `seconds`, and at once if the last one failed. What failed
        is tried again though nothing has changed: a file may be back.

        >>> well, failed = Attempt("3 complete", 0.0), Attempt("3 complete", 0.0, failures=1)
        >>> [attempt.wait("4 complete", 20.0) for attempt in (well, failed)]
        [20.0, 0.0]
        >>> [attempt.wait("3 complete", 20.0) for attempt in (well, failed)]
        [inf, 20.0]
        >>> [Attempt("3 complete", 0.0, failures=n).wait("3 complete", 20.0) for n in (2, 3, 4, 99)]
        [40.0, 80.0, 160.0, 640.0]
        """
        if state != self.state:
            return 0.0 if self.failures == 1 else seconds
        if self.failures == 0:
            return math.inf
        return min(seconds * 2.0 ** min(self.failures - 1, 32), LONGEST_SECONDS)


class LiveSummaries:
    """The summaries of the studies that somebody looks at, made one after the other beside the requests.

    Until one has been made, and if none can be, a page shows the one that is stored with the study.
    """

    def __init__(self, storage: Storage, *, seconds: float = SECONDS) -> None:
        self._storage, self._seconds = storage, seconds
        self._lock = threading.Lock()
        self._made: dict[int, Summary] = {}
        self._attempts: dict[int, Attempt] = {}
        self._making: set[int] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="summaries")

    def put_on(self, page: dict[str, Any], study_id: int, attributes: Mapping[str, Any]) -> None:
        """Put a study's last summary on what its page gets, and have the next one made if it is time.

        `page` is the API's JSON of the study, `attributes` are its system attributes.
        """
        rows = {row.study_id: row for row in self._storage.overview() if is_ours(row.attributes)}
        if study_id not in rows:
            return
        row = rows[study_id]
        self._make_when_due(row, _state(row, rows.values()))
        with self._lock:
            summary = self._made.get(study_id)
        if summary is not None:
            show(summary, page, attributes)

    def close(self) -> None:
        """Begin no more of them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_when_due(self, row: StudyRow, state: str) -> None:
        with self._lock:
            last = self._attempts.get(row.study_id)
            is_due = last is None or time.monotonic() >= last.begun + last.wait(state, self._seconds)
            if is_due and row.study_id not in self._making:
                self._making.add(row.study_id)
                self._pool.submit(self._make, row.study_id, row.name, state)

    def _make(self, study_id: int, name: str, state: str) -> None:
        attempt, made = Attempt(state, time.monotonic()), None
        try:
            # Pandas, SciPy and plotly take a second, which the first page need not wait for.
            from hpo.dashboard.publishing import summarize

            made = summarize(open_study(name, storage=self._storage))
        except Exception as error:
            attempt = self._failed(attempt, study_id, name, error)
        with self._lock:
            if made is not None:
                self._made[study_id] = made
            self._attempts[study_id] = attempt
            self._making.discard(study_id)

    def _failed(self, attempt: Attempt, study_id: int, name: str, error: Exception) -> Attempt:
        """The attempt with what it failed of, which is logged unless it was the last time too."""
        last = self._attempts.get(study_id)
        text = f"{type(error).__name__}: {error}"
        if last is None or last.error != text:
            told = error if isinstance(error, HpoError) else text
            trace = None if isinstance(error, HpoError) else error
            logger.error("study %r cannot be summarised now: %s", name, told, exc_info=trace)
        failures = 1 if last is None else last.failures + 1
        return Attempt(attempt.state, attempt.begun, failures, text)


def _state(row: StudyRow, rows: Iterable[StudyRow]) -> str:
    """What a summary depends on: the specification, the trials that have ended, and those of its finals."""
    texts = [json.dumps(row.attributes[SPEC_ATTRIBUTE])]
    for other in rows:
        if other is row or row.name in _sources(other):
            texts.append(f"{other.name} {[other.counts.get(state, 0) for state in FINISHED]}")
    return "\n".join(texts)


def _sources(row: StudyRow) -> list[Any]:
    """The studies that a final is of; a specification that cannot be read has none."""
    spec = row.attributes[SPEC_ATTRIBUTE]
    sources = spec.get("sources") if isinstance(spec, dict) else None
    return sources if isinstance(sources, list) else []
