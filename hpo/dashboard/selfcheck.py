"""Does the dashboard answer? Every GET route of ours and optuna-dashboard's, asked over HTTP for a study."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import optuna
from optuna.trial import TrialState

from hpo.dashboard.server import Server, Settings
from hpo.registry import summaries
from hpo.storage import Storage, trial_id
from hpo.storage.artifacts import artifacts_of

# What `plot` is asked for; the API does not say which there are.
PLOTS = ("contour", "edf", "parallel_coordinate", "rank", "slice", "timeline")
TIMEOUT_SECONDS = 120.0
PAGES = ("", "/studies/{study}", "/studies/{study}/trials", "/studies/{study}/analytics", "/compare-studies")
STATIC = ("bundle.js", "plotly.js")
# Beside "/", which is a route of optuna-dashboard's too.
OURS = ("/home", "/studies/<name>", "/compare?<studies>")
VARIABLE = re.compile(r"<(\w*)(?::(?:[^<>]|\(/\.\*\)\?)*)?>")


Known = dict[str, Sequence[str]]


@dataclass(frozen=True)
class Checked:
    """A path that was asked for, the status (0: no answer), the bytes and the milliseconds of its answer."""

    path: str
    status: int
    size: int
    milliseconds: float

    @property
    def is_well(self) -> bool:
        """Whether it was answered; 4xx says that there is nothing of the kind, as importances."""
        return 0 < self.status < 500


def check(storage: Storage, settings: Settings) -> list[Checked]:
    """Start a dashboard, ask it for every GET route of a study, and end it.

    The study is the newest with a complete trial, else the newest. Without any, what is about one is not.
    """
    # Plots of what a study has none of are warned about.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    server = Server(storage, settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        known = _known(storage)
        rules = [route.rule for route in server.dashboard.routes if route.method == "GET"]
        paths = [path for rule in (*rules, *OURS) for path in _filled(rule, known)]
        return [_asked(server, path) for path in paths]
    finally:
        server.stop()
        thread.join(TIMEOUT_SECONDS)


def _known(storage: Storage) -> Known:
    """What stands for the variables of routes."""
    known: Known = {"plot_type": PLOTS, "filename": STATIC, "": [""]}
    rows = storage.overview()
    if not rows:
        return known
    study = max(rows, key=lambda row: (bool(row.counts.get(TrialState.COMPLETE)), row.study_id)).study_id
    known |= {"study_id": [str(study)], "": [page.format(study=study) for page in PAGES]}
    known["study's artifact_id"] = list(artifacts_of(storage.rdb.get_study_system_attrs(study)))
    trials = storage.rdb.get_all_trials(study, deepcopy=False)
    readable = [row for row in summaries(storage) if row.problem is None]
    newest = next((row.name for row in rows if row.study_id == study), "")
    if newest in (names := [summary.name for summary in readable]):
        other = next((name for name in reversed(names) if name != newest), None)
        known["name"] = [quote(newest, safe="")]
        known["studies"] = [urlencode([("study", name) for name in (newest, other) if name])]
    if trials:
        shown = max(trials, key=lambda trial: len(artifacts_of(trial.system_attrs)))
        known["trial_id"] = [str(trial_id(shown))]
        known["artifact_id"] = list(artifacts_of(shown.system_attrs))
    return known


def _filled(rule: str, known: Known) -> list[str]:
    """A route's paths: none if it is about what this storage has none of."""
    names = VARIABLE.findall(rule)
    keys = ["study's artifact_id" if n == "artifact_id" and "trial_id" not in names else n for n in names]
    paths = [rule]
    for key in keys:
        paths = [_set_first(path, value) for path in paths for value in known.get(key, ())]
    return paths


def _set_first(path: str, value: str) -> str:
    # By a function: a value is no pattern.
    return VARIABLE.sub(lambda _: value, path, count=1)


def _asked(server: Server, path: str) -> Checked:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(*server.reachable, timeout=TIMEOUT_SECONDS)
    headers = {"Accept-Encoding": "gzip"}
    if server.token is not None:
        headers["Authorization"] = f"Bearer {server.token.text}"
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        status, size = response.status, len(response.read())
    except (OSError, http.client.HTTPException):
        status, size = 0, 0
    finally:
        connection.close()
    return Checked(path, status, size, 1000 * (time.monotonic() - begun))
