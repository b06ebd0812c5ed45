"""`searches`: whole commands, from the first import to the result, seconds.

hpo's programs once cold, in a new cache folder, and once warm, in the one that the cold run has filled; the
database is new each time. `digits` against scikit-learn, which chooses its threads, CIFAR-10 against
KerasTuner with two, each in a process of its own; `quickstart` stands alone.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.training.commands import Checkout, Searched, data_folder
from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import ROOT, MeasurementError, environment, timed

GROUP = "searches"
WORKERS = 2

# Twelve compile keys: 3 x 2 x 2. The peer's space is in sklearn_search, with the same numbers; what L2 means
# differs by a factor, which changes no time.
DIGITS = """
name = "digits"
kind = "search"
data = {{ name = "digits", validation = 0.2 }}
objective = {{ metric = "val_accuracy", at = "last" }}
trials = {trials}
sampler = {{ name = "random", seed = 0 }}
pruner = {{ name = "none" }}
[params]
optimizer = "adam"
epochs = 50
[space]
hidden_units = [[64], [128], [128, 64]]
batch_size = [16, 32]
activation = ["relu", "tanh"]
learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
l2 = {{ low = 1e-6, high = 1e-2, log = true }}
"""

# All six configurations that there are, so that both train the same ones, in whatever order.
CIFAR10 = """
name = "cifar10"
kind = "search"
data = { name = "cifar10", validation = 0.2 }
objective = { metric = "val_accuracy", at = "last" }
trials = 6
sampler = { name = "random", seed = 0 }
pruner = { name = "none" }
[params]
hidden_units = [128, 64]
optimizer = "sgd"
learning_rate = 0.01
epochs = 10
[space]
batch_size = [32, 64, 128]
dropout = [0.2, 0.5]
"""


@dataclass(frozen=True)
class Search:
    """A study file, its workers, and the peer: its name, the packages it needs, the module that runs it."""

    name: str
    study: str
    workers: int | None = None
    peer: str = ""
    packages: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    threads: int | None = None
    data: str = ""
    long: bool = False


def _digits(trials: int) -> Search:
    return Search(
        f"digits, {trials} x 50 epochs",
        DIGITS.format(trials=trials),
        WORKERS,
        "scikit-learn",
        ("sklearn",),
        ("sklearn_search", str(trials)),
        long=trials > 100,
    )


SEARCHES = (
    _digits(40),
    Search(
        "cifar10, 6 x 10 epochs",
        CIFAR10,
        WORKERS,
        "KerasTuner",
        ("keras_tuner", "tensorboard"),
        ("kerastuner_search",),
        threads=2,
        data="cifar10",
    ),
    Search("quickstart", (ROOT / "studies" / "quickstart.toml").read_text()),
    _digits(400),
)


def names(*, long: bool) -> Iterator[str]:
    """Of the rows, in their order; with those that take long, or without."""
    yield from (search.name for search in SEARCHES if long or not search.long)


def row(name: str, repeats: int, *, against: Path | None) -> Row:
    """Measure one row, and the same study by another checkout. Raises MeasurementError."""
    search = next(search for search in SEARCHES if search.name == name)
    if search.data and not (data_folder() / f"{search.data}.npz").exists():
        raise MeasurementError(f"{search.data} is not in {data_folder()}. hpo data fetch {search.data}")
    if any(find_spec(package) is None for package in search.packages):
        print(f"{name}: {search.peer} is not installed. pip install -e '.[bench]'", file=sys.stderr)
        search = replace(search, peer="")
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-caches-") as caches:
        measures, versions = _measures(search, Path(caches), against)
        found = in_turns(repeats, measures)
    return _row(search, found, versions, against)


def _measures(
    search: Search, caches: Path, against: Path | None
) -> tuple[dict[str, Callable[[int], Searched]], list[str]]:
    """What is measured, by its label, and the labels' beginnings for the versions of hpo."""
    versions = {"": ROOT} | ({} if against is None else {"earlier, ": against})
    measures: dict[str, Callable[[int], Searched]] = {}
    for version, root in versions.items():
        for state in ("cold", "warm"):
            measures[f"{version}{state}"] = partial(
                _hpo, search, Checkout(root), caches / (version or "this")
            )
        if search.peer and not version:
            measures[search.peer] = partial(_peer, search)
    return measures, list(versions)


def _hpo(search: Search, checkout: Checkout, caches: Path, turn: int) -> Searched:
    return checkout.run(search.study, cache=caches / str(turn), workers=search.workers)


def _peer(search: Search, turn: int) -> Searched:
    module, *arguments = search.command
    command = [sys.executable, "-m", f"{__package__}.{module}", *arguments]
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-") as folder:
        env = environment(threads=search.threads, HPO_DATA_DIR=str(data_folder()))
        wall, _ = timed(command, folder=Path(folder), env=env)
    return Searched(wall, 0, 0.0, 0.0, 0.0)


def _row(search: Search, found: dict[str, list[Searched]], versions: list[str], against: Path | None) -> Row:
    figures = {label: [turn.wall for turn in turns] for label, turns in found.items()}
    pairs: list[tuple[str, str | None]] = [
        (ours, other)
        for ours in ("cold", "warm")
        for other in (search.peer, *(f"{version}{ours}" for version in versions if version))
        if other
    ] or [("cold", None), ("warm", None)]
    cold = found["cold"]
    # What the trials say of themselves, summed over the workers; of a warm run compiling is loading.
    inside = {
        "cold, in trials": [turn.in_trials for turn in cold],
        "cold, training": [turn.training for turn in cold],
        "cold, compiling": [turn.compiling for turn in cold],
        "warm, compiling": [turn.compiling for turn in found["warm"]],
    }
    details = {
        "trials": cold[0].trials,
        "workers": search.workers or os.cpu_count(),
        "share_of_training": round(
            statistics.median(turn.training / max(turn.in_trials, 1.0) for turn in cold), 3
        ),
        "against": None if against is None else str(against),
    }
    return Row(
        GROUP, search.name, "seconds", figures | inside, [*pairs, *((one, None) for one in inside)], details
    )
