"""How long a comparison and its report take: `python -m tests.benchmarks.report`.

Seven arms of 30 seeds and 50 epochs, recorded as a worker records them. Prints a line of JSON with the
machine and one for each step: seconds after imports, median, least and most of n runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hpo
from hpo.report import compose
from tests.benchmarks.machine import machine
from tests.recorded import comparison, created, record

ARMS, SEEDS, EPOCHS = 7, 30, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=5, help="Runs of each step.")
    runs = parser.parse_args().n
    print(json.dumps({"arms": ARMS, "seeds": SEEDS, "epochs": EPOCHS, "n": runs, **machine("plotly")}))
    with tempfile.TemporaryDirectory() as folder:
        study = _recorded(Path(folder))
        out = Path(folder, "report")
        steps: dict[str, Callable[[], object]] = {
            "compare": lambda: hpo.open_study(study.name, storage=study.storage).compare(),
            "report": lambda: compose([hpo.open_study(study.name, storage=study.storage)]).write(out),
        }
        for name, step in steps.items():
            step()  # imports what it needs
            print(json.dumps({"step": name, **_seconds(step, runs)}))


def _recorded(folder: Path) -> hpo.Study:
    random = np.random.default_rng(0)

    def outcome(_arm: str | None, _seed: int) -> dict[str, float]:
        accuracy = float(random.normal(0.97, 0.002))
        return {
            "val_accuracy": accuracy,
            "val_loss": 1 - accuracy,
            "train_seconds": float(random.uniform(8, 9)),
        }

    study = created(comparison([f"arm {index}" for index in range(ARMS)], seeds=SEEDS), folder)
    record(study, outcome, epochs=EPOCHS)
    return study


def _seconds(step: Callable[[], object], runs: int) -> dict[str, float]:
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}


if __name__ == "__main__":
    main()
