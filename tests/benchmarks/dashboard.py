"""How long the dashboard takes with a large study: `python -m tests.benchmarks.dashboard [-n RUNS]`.

A search of 5,000 trials of 50 epochs in SQLite. *hpo* is `hpo dashboard`, *plain* is `optuna-dashboard` on
the same storage, cached, behind the same server without our guard; in turns, each a process of its own.
Prints a line of JSON with the machine and one for each figure: median, least and most of n runs.

- `first`: seconds from the start of the process to the whole study, as its first page gets it.
- `poll`: seconds of a request for what is new, one client, more than a second apart.
- `crowd`, `crowd_poll`: the 95th percentile of the seconds of 20 clients that ask at once, for the whole
  study and for what is new.
- `mib`: the memory of the process after all that.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import json
import math
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

import hpo
from hpo.spec import METRICS, MlpHyperparameters
from tests.benchmarks.machine import machine
from tests.command import HPO, environment

FINAL_METRICS = [name for name, metric in METRICS.items() if not metric.is_test]

TRIALS, EPOCHS, CLIENTS, POLLS = 5000, 50, 20, 5
SPEC: dict[str, Any] = {
    "name": "large",
    "kind": "search",
    "data": {"name": "digits"},
    "trials": TRIALS,
    "sampler": {"name": "random", "seed": 0},
    "params": {"hidden_units": [8], "epochs": EPOCHS},
    "space": {
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "batch_size": [32, 64, 128],
    },
}
PLAIN = """
import optuna, optuna_dashboard, sys, waitress
application = optuna_dashboard.wsgi(optuna.storages.get_storage(sys.argv[1]))
server = waitress.create_server(application, host="127.0.0.1", port=0, threads=8)
print(f"http://127.0.0.1:{server.effective_port}/", file=sys.stderr, flush=True)
server.run()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=3, help="Runs of each kind.")
    runs = parser.parse_args().n
    about = {"trials": TRIALS, "epochs": EPOCHS, "clients": CLIENTS, "n": runs}
    print(json.dumps(about | machine("optuna", "optuna-dashboard", "waitress")), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/hpo.db"
        study = _recorded(url)
        commands = {
            "hpo": [*HPO, "dashboard", "--port", "0", "--no-browser", "--storage", url],
            "plain": [sys.executable, "-c", PLAIN, url],
        }
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in commands}
        for _ in range(runs):
            for kind, command in commands.items():
                found[kind].append(_measure(command, Path(folder), study))
    for figure in found["hpo"][0]:
        row: dict[str, Any] = {"figure": figure}
        for kind, of_kind in found.items():
            values = [run[figure] for run in of_kind]
            row[kind] = [round(of(values), 3) for of in (statistics.median, min, max)]
        print(json.dumps(row), flush=True)


def _measure(command: list[str], folder: Path, study: int) -> dict[str, float]:
    begun = time.perf_counter()
    with _serving(command, folder) as (process, port, headers):
        whole, new = f"/api/studies/{study}?after=0", f"/api/studies/{study}?after={TRIALS}"
        body = _get(port, whole, headers)
        first = time.perf_counter() - begun
        text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        assert len(json.loads(text)["trials"]) == TRIALS
        time.sleep(15)  # a summary is made beside the first requests
        polls = []
        for _ in range(POLLS):
            time.sleep(1.1)
            polls.append(_seconds(port, new, headers))
        crowd = [_crowd(port, path, headers) for path in (whole, new)]
        memory = process.memory_info().rss / 2**20
    return {
        "first": first,
        "poll": statistics.median(polls),
        "crowd": crowd[0],
        "crowd_poll": crowd[1],
        "mib": memory,
    }


@contextlib.contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[tuple[psutil.Process, int, dict[str, str]]]:
    process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        link = re.search(r"http://127\.0\.0\.1:(\d+)/(?:\?token=(\S+))?", line)
        assert link is not None, line
        headers = {"Accept-Encoding": "gzip"}
        if link[2]:
            headers["Authorization"] = f"Bearer {link[2]}"
        yield psutil.Process(process.pid), int(link[1]), headers
    finally:
        process.kill()
        process.communicate()


def _get(port: int, path: str, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (path, response.status)
        return body
    finally:
        connection.close()


def _seconds(port: int, path: str, headers: dict[str, str]) -> float:
    begun = time.perf_counter()
    _get(port, path, headers)
    return time.perf_counter() - begun


def _crowd(port: int, path: str, headers: dict[str, str]) -> float:
    """The 95th percentile over clients that ask at the same moment."""
    time.sleep(1.1)
    seconds: list[float] = []
    barrier = threading.Barrier(CLIENTS)

    def ask() -> None:
        barrier.wait()
        seconds.append(_seconds(port, path, headers))

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(seconds) == CLIENTS
    return sorted(seconds)[math.ceil(0.95 * CLIENTS) - 1]


def _recorded(url: str) -> int:
    """The study, its trials written as workers would have; returns its id."""
    study = hpo.create_study(hpo.StudySpec(**SPEC), storage=url)
    draw, start = random.Random(0), datetime(2026, 1, 1)
    steps, values, attributes = [], [], []
    for frozen in study.frozen_trials:
        key, top = frozen._trial_id, draw.uniform(0.3, 0.98)
        curve = [top * (1 - math.exp(-e / 8)) + draw.gauss(0, 0.01) for e in range(1, EPOCHS + 1)]
        kind = {"intermediate_value_type": "FINITE"}
        steps += [
            {"trial_id": key, "step": e, "intermediate_value": v, **kind} for e, v in enumerate(curve, 1)
        ]
        values.append({"trial_id": key, "objective": 0, "value": curve[-1], "value_type": "FINITE"})
        metrics = {name: draw.random() for name in FINAL_METRICS}
        own = {
            "worker": "host-1",
            "threads": 1,
            "hyperparameters": MlpHyperparameters().model_dump(mode="json"),
        }
        own |= metrics | {"replicates": [{"seed": 0, "fold": None} | metrics]}
        attributes += [{"trial_id": key, "key": k, "value_json": json.dumps(v)} for k, v in own.items()]
    trial = models.TrialModel
    ended = {
        trial.state: TrialState.COMPLETE,
        trial._datetime_start_utc: start,
        trial._datetime_complete_utc: start + timedelta(seconds=9),
    }
    with study.storage.engine.begin() as connection:
        connection.execute(sa.insert(models.TrialIntermediateValueModel), steps)
        connection.execute(sa.insert(models.TrialValueModel), values)
        connection.execute(sa.insert(models.TrialUserAttributeModel), attributes)
        connection.execute(sa.update(trial).values(ended))
    return study.id


if __name__ == "__main__":
    main()
