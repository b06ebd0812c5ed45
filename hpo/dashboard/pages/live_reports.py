"""Live reports: what `hpo report` writes, of the database as it is, made anew when studies have changed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hpo.dashboard.live import SECONDS, Live
from hpo.dashboard.pages.renderer import moment, report_path
from hpo.storage import Storage
from hpo.studies import open_study

# So long a first request waits; if the report takes longer, the page says so and asks again by itself.
WAIT_SECONDS = 8.0
# So many requests wait at the same time: the others find threads that answer them.
MOST_WAITING = 3
KEPT = 60
PLOTLY = "/static/plotly.js"

Names = tuple[str, ...]


@dataclass(frozen=True)
class LiveReport:
    """A rendered report, and the nonce of its scripts."""

    text: str
    nonce: str


class LiveReports:
    """The reports that somebody looks at, of one study or of several; `root` is before every address."""

    def __init__(self, storage: Storage, *, root: str, seconds: float = SECONDS) -> None:
        self._storage, self._root = storage, root
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._live = Live(self._make, "reported on", seconds=seconds, most=KEPT)

    def get(self, names: Names, states: Mapping[str, str]) -> LiveReport | None:
        """The report on these studies, which are in these states.

        None while the first one is being made, and if it cannot be: then `error` says why.
        """
        state = "\n\n".join(states[name] for name in names)
        may_wait = self._waiting.acquire(blocking=False)
        try:
            return self._live.get(names, state, within=WAIT_SECONDS if may_wait else 0.0)
        finally:
            if may_wait:
                self._waiting.release()

    def error(self, names: Names) -> Exception | None:
        """Why the last report on these could not be made; None if it could."""
        return self._live.error(names)

    def close(self) -> None:
        """Begin no more of them."""
        self._live.close()

    def _make(self, names: Names) -> LiveReport:
        # Pandas, SciPy and plotly take a second, which the first page need not wait for.
        from hpo.report import compose
        from hpo.report.renderers import Served, as_html

        studies = [open_study(name, storage=self._storage) for name in names]
        report = compose(studies)
        title = report.title if len(names) == 1 else f"Side by side: {', '.join(names)}"
        nonce = secrets.token_urlsafe(16)
        links = [("Home", f"{self._root}/")]
        if len(names) == 1:
            links.append(("in optuna-dashboard", f"{self._root}/dashboard/studies/{studies[0].id}"))
        else:
            links += [(f"report of {name}", f"{self._root}{report_path(name)}") for name in names]
        served = Served(tuple(links), f"{self._root}{PLOTLY}", nonce)
        return LiveReport(as_html(title, report.blocks, made=moment(datetime.now(UTC)), served=served), nonce)
