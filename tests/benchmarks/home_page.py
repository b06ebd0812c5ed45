"""How long the home page of `hpo dashboard` takes: `python -m tests.benchmarks.home_page`.

200 studies of 50 trials in SQLite, every other one a comparison of five arms. Prints a line of JSON with the
machine and one for each figure: seconds, median, least and most of n runs.

- `first`: the first page of a server that has just begun to listen; what studies have shown is computed
  beside it.
- `page`: the whole page, once that is computed, more than a second apart.
- `fragment`: what its script asks for every five seconds.
- `crowd`: the 95th percentile of 20 clients that ask for it at once.
- `lines`: from the first page until all studies have their lines.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.trial import TrialState

import hpo
from hpo.spec import MlpHyperparameters
from hpo.storage import Storage
from tests.benchmarks.dashboard import FINAL_METRICS, HPO, _crowd, _get, _seconds, _serving
from tests.benchmarks.machine import machine
from tests.recorded import comparison

STUDIES, TRIALS, ARMS, POLLS = 200, 50, 5, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=3, help="Runs.")
    runs = parser.parse_args().n
    about = {"studies": STUDIES, "trials": TRIALS, "n": runs}
    print(json.dumps(about | machine("optuna", "optuna-dashboard", "waitress")), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/hpo.db"
        record(url)
        found = [_measure(url, Path(folder)) for _ in range(runs)]
    for figure in found[0]:
        values = [run[figure] for run in found]
        row = [round(of(values), 3) for of in (statistics.median, min, max)]
        print(json.dumps({"figure": figure, "seconds": row}), flush=True)


def _measure(url: str, folder: Path) -> dict[str, float]:
    command = [*HPO, "dashboard", "--port", "0", "--no-browser", "--storage", url]
    with _serving(command, folder) as (_, port, headers):
        plain = {name: value for name, value in headers.items() if name != "Accept-Encoding"}
        begun = time.perf_counter()
        first = _seconds(port, "/", headers)
        while _get(port, "/home", plain).count(b'class="result"') < STUDIES:
            time.sleep(1.1)
        lines = time.perf_counter() - begun
        timed = {path: [_apart(port, path, headers) for _ in range(POLLS)] for path in ("/", "/home")}
        return {
            "first": first,
            "page": statistics.median(timed["/"]),
            "fragment": statistics.median(timed["/home"]),
            "crowd": _crowd(port, "/home", headers),
            "lines": lines,
        }


def _apart(port: int, path: str, headers: dict[str, str]) -> float:
    time.sleep(1.1)
    return _seconds(port, path, headers)


def record(url: str) -> None:
    """The studies, their trials written as workers would have."""
    storage, draw = Storage(url, create=True), random.Random(0)
    for number in range(STUDIES):
        study = hpo.create_study(_spec(number), storage=storage)
        with storage.engine.begin() as connection:
            _end(connection, study, draw)


def _spec(number: int) -> hpo.StudySpec:
    if number % 2:
        return comparison([f"arm {n}" for n in range(ARMS)], name=f"study-{number}", seeds=TRIALS // ARMS)
    return hpo.StudySpec(
        name=f"study-{number}",
        kind="search",
        data={"name": "digits"},
        trials=TRIALS,
        sampler={"name": "random", "seed": number},
        params={"hidden_units": [8], "epochs": 3},
        space={"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "batch_size": [32, 64, 128]},
    )


def _end(connection: sa.Connection, study: hpo.Study, draw: random.Random) -> None:
    start, attributes, values = datetime(2026, 1, 1), [], []
    for frozen in study.frozen_trials:
        key = frozen._trial_id
        metrics = {name: draw.uniform(0.8, 0.98) for name in FINAL_METRICS}
        replicates = [{"seed": frozen.user_attrs.get("seed", 0), "fold": None} | metrics]
        own: dict[str, Any] = {"worker": f"host-{key % 4}", **metrics, "replicates": replicates}
        own["hyperparameters"] = MlpHyperparameters().model_dump(mode="json")
        attributes += [{"trial_id": key, "key": k, "value_json": json.dumps(v)} for k, v in own.items()]
        row = {"trial_id": key, "objective": 0, "value": metrics["val_accuracy"], "value_type": "FINITE"}
        values.append(row)
    trial = models.TrialModel
    ended = {
        trial.state: TrialState.COMPLETE,
        trial._datetime_start_utc: start,
        trial._datetime_complete_utc: start + timedelta(seconds=9),
    }
    connection.execute(sa.insert(models.TrialValueModel), values)
    connection.execute(sa.insert(models.TrialUserAttributeModel), attributes)
    connection.execute(sa.update(trial).where(trial.study_id == study.id).values(ended))


if __name__ == "__main__":
    main()
