"""`cnn`: a grid over a convolutional network of two blocks on images, by hpo and by KerasTuner."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.training.commands import Checkout, data_folder
from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import ROOT, MeasurementError, environment, timed

WORKERS = THREADS = 2
HOUR = 3600


@dataclass(frozen=True)
class Grid:
    """What both train: every combination of the lists, on a bundled or fetched data set."""

    data: str
    epochs: int
    filters: tuple[tuple[int, int], ...]
    block_dropout: tuple[float, ...]
    learning_rate: tuple[float, ...]
    hidden_units: int = 64
    batch_size: int = 64
    validation: float = 0.2

    @property
    def size(self) -> int:
        """Configurations."""
        return math.prod(map(len, (self.filters, self.block_dropout, self.learning_rate)))

    @property
    def study(self) -> str:
        """The study file that hpo runs."""
        return f"""
name = "cnn"
kind = "search"
model = "cnn"
data = {{ name = "{self.data}", validation = {self.validation} }}
objective = {{ metric = "val_accuracy", at = "last" }}
sampler = {{ name = "grid" }}
[params]
hidden_units = {self.hidden_units}
optimizer = "adam"
batch_size = {self.batch_size}
epochs = {self.epochs}
[space]
filters = {json.dumps(self.filters)}
block_dropout = {json.dumps(self.block_dropout)}
learning_rate = {json.dumps(self.learning_rate)}
"""


FULL = Grid("fashion_mnist", 5, ((16, 32), (32, 64)), (0.1, 0.3), (0.001, 0.003))
SMALL = Grid("digits", 2, ((4, 8),), (0.1, 0.3), (0.001, 0.003))


def row(repeats: int, *, small: bool) -> Row:
    """Measure both in turns. Raises MeasurementError."""
    grid = SMALL if small else FULL
    if not small and not (data_folder() / f"{grid.data}.npz").exists():
        raise MeasurementError(f"{grid.data} is not in {data_folder()}. hpo data fetch {grid.data}")
    found = in_turns(repeats, {"hpo": lambda turn: _hpo(grid), "KerasTuner": lambda turn: _tuner(grid)})
    figures = {label: [grid.size * HOUR / seconds for seconds in turns] for label, turns in found.items()}
    details: dict[str, Any] = {"configurations": grid.size, "seconds": found, "workers": WORKERS}
    times = sum(found["KerasTuner"]) / sum(found["hpo"])
    details["times_as_many"] = round(times, 3)
    # In the table: how many times as long KerasTuner takes, which is how many times as many hpo trains.
    seconds = {f"{label}, seconds": turns for label, turns in found.items()}
    pairs = [("hpo, seconds", "KerasTuner, seconds"), ("hpo", None), ("KerasTuner", None)]
    return Row("peers", f"cnn, {grid.data}", "configurations an hour", figures | seconds, pairs, details)


def _hpo(grid: Grid) -> float:
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as cache:
        searched = Checkout(ROOT).run(grid.study, cache=Path(cache), workers=WORKERS)
    if searched.trials != grid.size:
        raise MeasurementError(f"hpo trained {searched.trials} configurations of {grid.size}")
    return searched.wall


def _tuner(grid: Grid) -> float:
    command = [sys.executable, "-m", f"{__package__}.kerastuner_cnn", json.dumps(asdict(grid))]
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        env = environment(threads=THREADS, HPO_DATA_DIR=str(data_folder()))
        return timed(command, folder=Path(folder), env=env)[0]
