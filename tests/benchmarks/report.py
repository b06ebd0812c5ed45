"""How long a comparison and its report take: `python -m tests.benchmarks.report`.

Seven arms of 30 seeds and 50 epochs, recorded as a worker records them; and each figure of a search of 5,000
trials and six hyperparameters, a third of them pruned. Prints a line of JSON with the machine and one for
each step: seconds after imports, median, least and most of n runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hpo
from hpo import plots
from hpo.analysis.importance import importances
from hpo.analysis.pruning import pruning
from hpo.analysis.surface import surface
from hpo.report import compose
from hpo.spec import SearchSpec
from hpo.trials.record import Trial
from tests.benchmarks.machine import machine
from tests.recorded import comparison, created, ended_trial, record

ARMS, SEEDS, EPOCHS = 7, 30, 50
TRIALS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=5, help="Runs of each step.")
    runs = parser.parse_args().n
    print(
        json.dumps(
            {"arms": ARMS, "seeds": SEEDS, "epochs": EPOCHS, "trials": TRIALS, "n": runs, **machine("plotly")}
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        study = _recorded(Path(folder))
        out = Path(folder, "report")
        steps: dict[str, Callable[[], object]] = {
            "compare": lambda: hpo.open_study(study.name, storage=study.storage).compare(),
            "report": lambda: compose([hpo.open_study(study.name, storage=study.storage)]).write(out),
        }
        for name, step in (steps | _figures()).items():
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


def _figures() -> dict[str, Callable[[], object]]:
    """How each figure of a search is made of its trials."""
    spec, trials = _search()
    found, (metric, direction) = importances(spec, trials), ("val_accuracy", "maximize")

    def contours() -> object:
        expected = surface(spec, trials, found)
        return expected and plots.contours(spec, expected)

    def stopped() -> object:
        seen = pruning(trials, direction)
        return seen and plots.pruning(seen, metric, direction)

    return {
        "history": lambda: plots.history(trials, metric, direction),
        "pruning": stopped,
        "importance": lambda: importances(spec, trials),
        "contours": contours,
        "parallel": lambda: plots.parallel_coordinates(spec, trials),
        "slices": lambda: plots.slices(spec, trials),
    }


def _search() -> tuple[SearchSpec, list[Trial]]:
    choices: dict[str, list[Any]] = {"batch_size": [16, 32, 64, 128], "optimizer": ["sgd", "adam", "rmsprop"]}
    choices["hidden_units"] = [[32], [64], [64, 32], [128, 64]]
    ranges = {"dropout": (0.0, 0.5), "learning_rate": (1e-4, 1.0), "l2": (1e-6, 1e-2)}
    space: dict[str, Any] = choices | {
        name: {"low": low, "high": high} for name, (low, high) in ranges.items()
    }
    random, trials = np.random.default_rng(0), []
    for number in range(TRIALS):
        params: dict[str, Any] = {name: own[random.integers(len(own))] for name, own in choices.items()}
        params |= {name: float(random.uniform(*ends)) for name, ends in ranges.items()}
        value = 0.9 - (params["learning_rate"] - 0.3) ** 2 - params["dropout"] + random.normal(0, 0.01)
        is_pruned = bool(random.uniform() < 1 / 3)
        curve = [float(value * (1 - 0.8**epoch)) for epoch in range(1, 6 if is_pruned else EPOCHS)]
        runs = [(len(curve), 0.1 * len(curve))]
        own_value = None if is_pruned else float(value)
        trials.append(ended_trial(number, own_value, params, reported=curve, runs=runs))
    basic: dict[str, Any] = {"name": "s", "kind": "search", "data": {"name": "digits"}}
    return SearchSpec(**basic, trials=TRIALS, space=space), trials


def _seconds(step: Callable[[], object], runs: int) -> dict[str, float]:
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}


if __name__ == "__main__":
    main()
