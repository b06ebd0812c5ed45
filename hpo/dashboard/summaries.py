"""A study's summary as its page shows it: computed while trials end, and written nowhere."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from hpo.dashboard.notes import is_people_s
from hpo.registry import SPEC_ATTRIBUTE, is_ours
from hpo.storage import Storage, StudyRow
from hpo.studies import open_study

logger = logging.getLogger(__name__)

# A study whose trials end all the time is summarised so often at the most.
SECONDS = 20.0
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Summary:
    """A note in Markdown, and graphs by their ids as plotly's JSON; `of` is what of the database it shows."""

    of: str
    begun: float
    note: str
    graphs: dict[str, str]


class Summaries:
    """The summaries of the studies that somebody looks at, made one after the other beside the requests."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._found: dict[int, Summary] = {}
        self._making: set[int] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="summaries")

    def put_on(self, study_id: int, attributes: Mapping[str, Any], shown: dict[str, Any]) -> None:
        """Put a study's last summary on what its page gets, and have the next one made if that is old.

        `attributes` are its system attributes, `shown` the page's JSON.
        """
        rows = {row.study_id: row for row in self._storage.overview() if is_ours(row.attributes)}
        if study_id not in rows:
            return
        found = self._last(rows[study_id], _state(rows[study_id], rows.values()))
        if found is None:
            return
        if not is_people_s(attributes):
            shown["note"]["body"] = found.note
        others = [graph for graph in shown["plotly_graph_objects"] if graph["id"] not in found.graphs]
        ours = [{"id": key, "graph_object": graph} for key, graph in found.graphs.items()]
        shown["plotly_graph_objects"] = [*ours, *others]

    def _last(self, row: StudyRow, state: str) -> Summary | None:
        with self._lock:
            found = self._found.get(row.study_id)
            is_old = found is None or (found.of != state and time.monotonic() - found.begun > SECONDS)
            if is_old and row.study_id not in self._making:
                self._making.add(row.study_id)
                self._pool.submit(self._make, row.study_id, row.name, state)
        return found

    def _make(self, study_id: int, name: str, state: str) -> None:
        begun = time.monotonic()
        try:
            # Pandas, SciPy and plotly take a second, which the first page need not wait for.
            from hpo.dashboard.publishing import summary_of

            note, graphs = summary_of(open_study(name, storage=self._storage))
        except Exception:
            logger.exception("study %r cannot be summarised", name)
            note, graphs = "", {}
        with self._lock:
            self._found[study_id] = Summary(state, begun, note, graphs)
            self._making.discard(study_id)


def _state(row: StudyRow, rows: Iterable[StudyRow]) -> str:
    """What a summary depends on: the specification, the trials that have ended, and those of its finals."""
    texts = [json.dumps(row.attributes[SPEC_ATTRIBUTE])]
    for other in rows:
        spec = other.attributes[SPEC_ATTRIBUTE]
        if other is row or row.name in spec.get("sources", ()):
            texts.append(f"{other.name} {[other.counts.get(state, 0) for state in FINISHED]}")
    return "\n".join(texts)
