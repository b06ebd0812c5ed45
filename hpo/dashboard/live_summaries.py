"""The summary that a study's page shows: computed while trials end, and written nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.dashboard.live import SECONDS, Live, states
from hpo.dashboard.notes import Summary, show
from hpo.storage import Storage
from hpo.studies import open_study


class LiveSummaries:
    """The summaries of the studies that somebody looks at, made one after the other beside the requests.

    Until one has been made, and if none can be, a page shows the one that is stored with the study.
    """

    def __init__(self, storage: Storage, *, seconds: float = SECONDS) -> None:
        self._storage = storage
        self._live = Live(self._make, "summarised", seconds=seconds)

    def put_on(self, page: dict[str, Any], study_id: int, attributes: Mapping[str, Any]) -> None:
        """Put a study's last summary on what its page gets, and have the next one made if it is time.

        `page` is the API's JSON of the study, `attributes` are its system attributes.
        """
        rows = self._storage.overview()
        state_of = states(rows)
        name = next((row.name for row in rows if row.study_id == study_id), None)
        if name is None or name not in state_of:
            return
        summary = self._live.get(name, state_of[name])
        if summary is not None:
            show(summary, page, attributes)

    def close(self) -> None:
        """Begin no more of them."""
        self._live.close()

    def _make(self, name: str) -> Summary:
        # Pandas, SciPy and plotly take a second, which the first page need not wait for.
        from hpo.dashboard.publishing import summarize

        return summarize(open_study(name, storage=self._storage))
