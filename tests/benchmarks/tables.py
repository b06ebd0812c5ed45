"""A table of a million rows: how soon a study trains on it, with what memory, and how fast beside Keras.

    python -m tests.benchmarks.tables [--rows N] [--repeats N]

Writes a CSV of 40 numbers, some of them missing, and 10 categories of 5 to 500 levels. Measures `hpo run` of
one trial from the command to the claim of the trial, and the most memory that its processes hold together;
then the rows a second of a network on the prepared table at batch 256: in a study, by one thread, and by
Keras's fit of the same network on columns that have been prepared beforehand, by all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.benchmarks.machine import machine

NUMBERS, CATEGORIES = 40, 10
BATCH, HIDDEN, EPOCHS = 256, [128, 64], 3
# Of Keras's fit, whose speed is steady.
FIT_ROWS = 200_000
STUDY = """
name = "table"
kind = "search"
data = {{ name = "{table}", target = "y" }}
trials = 1
sampler = {{ name = "random" }}
params = {{ batch_size = {batch}, epochs = 1, hidden_units = {hidden} }}
space = {{ learning_rate = [0.01] }}
"""


def main() -> None:
    """Measure, or do one of the things that are measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tables", description="See the module.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, file = options.measure
        print(json.dumps({"rows_a_second": {"hpo": rows_by_hpo, "fit": rows_by_fit}[kind](Path(file))}))
        return
    print(json.dumps(machine("tensorflow", "keras", "pandas", "pyarrow")), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        write(file, options.rows)
        size = file.stat().st_size / 2**20
        print(f"{options.rows:,} rows x {NUMBERS + CATEGORIES + 1} columns, {size:,.0f} MiB")
        starts = [started(Path(folder), file, turn) for turn in range(options.repeats)]
        _say("seconds from the command to the first trial", [seconds for seconds, _ in starts])
        _say("MiB that all processes hold together, at most", [memory / 2**20 for _, memory in starts])
        speeds: dict[str, list[float]] = {"hpo": [], "fit": []}
        for _ in range(options.repeats):
            for kind, found in speeds.items():
                found.append(_measured(kind, file))
        for kind, found in speeds.items():
            _say(f"rows a second, {kind}", found)
        _say("ratio", [a / b for a, b in zip(speeds["hpo"], speeds["fit"], strict=True)])


def write(file: Path, rows: int) -> None:
    """The table, whose target follows from some of its columns."""
    import pyarrow as pa
    from pyarrow import csv

    random = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    score = np.zeros(rows)
    for index in range(NUMBERS):
        values = random.normal(10.0 ** (index % 5), 1 + index, rows)
        score += (values - values.mean()) / values.std() * (index % 3 == 0)
        columns[f"number_{index}"] = pa.array(values.round(4), mask=random.random(rows) < 0.02 * (index % 2))
    for index in range(CATEGORIES):
        levels = np.array([f"level {number}" for number in range(5 if index < 5 else 50 * (index - 4))])
        chosen = random.integers(0, len(levels), rows)
        score += chosen % 3
        columns[f"category_{index}"] = pa.array(levels).take(pa.array(chosen))
    columns["y"] = pa.array(np.where(score > np.median(score), "yes", "no"))
    csv.write_csv(pa.table(columns), file)


def started(folder: Path, table: Path, turn: int) -> tuple[float, float]:
    """Seconds until `hpo run` trains its trial, and the most bytes that its processes have held together."""
    import sqlalchemy as sa

    database = folder / f"{turn}.db"
    study = folder / "study.toml"
    study.write_text(STUDY.format(table=table, batch=BATCH, hidden=HIDDEN))
    environment = os.environ | {
        "HPO_STORAGE": f"sqlite:///{database}",
        "HPO_ARTIFACT_DIR": str(folder / "kept"),
    }
    begun, most, seconds = time.time(), 0.0, 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", "run", str(study), "--workers", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    engine = sa.create_engine(f"sqlite:///{database}")
    while process.poll() is None:
        most = max(most, _memory(process.pid))
        if not seconds and database.exists():
            try:
                with engine.connect() as connection:
                    if connection.execute(
                        sa.text("SELECT count(*) FROM trials WHERE state = 'RUNNING'")
                    ).scalar():
                        seconds = time.time() - begun
            except sa.exc.OperationalError:
                pass
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"hpo run ended with {process.returncode}")
    return seconds, most


def rows_by_hpo(file: Path) -> float:
    """Of a run in a study, by one thread."""
    from hpo.training.device import prepare_tensorflow

    prepare_tensorflow(1)
    run, count = _run(file)
    run.advance()
    seconds = []
    while not run.finished:
        before = run.train_seconds
        run.advance()
        seconds.append(run.train_seconds - before)
    return count / statistics.median(seconds)


def rows_by_fit(file: Path) -> float:
    """Of Keras's fit on the prepared columns, by as many threads as it takes."""
    import keras

    run, _ = _run(file)
    prepared = run.model.get_layer("preparation")
    rows = run.samples.rows[:FIT_ROWS]
    x = np.concatenate([prepared(run.samples.x.numpy()[part]).numpy() for part in np.array_split(rows, 20)])
    y = run.samples.y.numpy()[rows]
    layers = [keras.Input((x.shape[1],)), *(keras.layers.Dense(units, activation="relu") for units in HIDDEN)]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, verbose=0)
    begun = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, verbose=0)
    return len(rows) / (time.perf_counter() - begun)


def _run(file: Path) -> tuple[Any, int]:
    """The run of the trial, as a worker would train it, and how many rows an epoch has."""
    from hpo.data import load_train
    from hpo.spec import Data, MlpHyperparameters, StudySpec
    from hpo.trials.runner import TrialRunner

    h = MlpHyperparameters(batch_size=BATCH, epochs=1 + EPOCHS, hidden_units=HIDDEN)
    data = Data(name=str(file), target=("y",))
    spec = StudySpec(name="t", kind="search", data=data, trials=1, space={"learning_rate": [0.01]})
    runner = TrialRunner(spec, load_train(data))
    network = runner._network(h, runner.loop_of(h))
    (replicate,) = runner._replicates(network, h, [(0, None)])
    return replicate.run, len(replicate.run.samples)


def _measured(kind: str, file: Path) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.tables", "--measure", kind, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    speed: float = json.loads(done.stdout.splitlines()[-1])["rows_a_second"]
    return speed


def _memory(pid: int) -> float:
    """Bytes that a process and its children hold, what they share counted once."""
    total = 0.0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().uss
    except psutil.NoSuchProcess:
        pass
    return total


def _say(what: str, values: list[float]) -> None:
    shown = f"{statistics.median(values):,.3g}" if max(values) < 1000 else f"{statistics.median(values):,.0f}"
    print(f"{what}: {shown} (n {len(values)}, {min(values):,.4g} to {max(values):,.4g})", flush=True)


if __name__ == "__main__":
    main()
