"""`models`: models of people's own, of Keras's layers, by `hpo.fit` and by Keras's `fit`, seconds an epoch.

The same model, data (6,400 samples), optimizer (Adam) and batch (64) for both, without validation. The first
epoch, which traces or compiles, is not in the figure; the JSON line has it as `first_epoch_seconds`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import measured

GROUP = "models"
SAMPLES = 6400
BATCH = 64
NAMES = (
    "cnn",
    "cnn with dropout",
    "lstm",
    "embedding",
    "mlp with batch_norm",
)


def names() -> Iterator[str]:
    """Of the rows, in their order."""
    yield from NAMES


def row(name: str, repeats: int, *, loop: str | None) -> Row:
    """Measure one row; `loop` is that of `hpo.fit`, or its own choice."""
    kind = ("hpo", name) if loop is None else ("hpo", name, loop)
    one, two = "1 thread", "two at once"
    fit_one, fit_two = "fit, 1 thread", "fit, 2 threads"
    measures = {
        one: partial(_epoch, kind, threads=1),
        fit_one: partial(_epoch, ("fit", name), threads=1),
        two: partial(_epoch, kind, threads=1, processes=2),
        fit_two: partial(_epoch, ("fit", name), threads=2),
    }
    found = in_turns(repeats, measures)
    first = {label: round(statistics.median(f["first"] for f in each), 3) for label, each in found.items()}
    return Row(
        GROUP,
        name,
        "seconds an epoch",
        {label: [turn["epoch"] for turn in turns] for label, turns in found.items()},
        [(one, fit_one), (one, fit_two), (two, fit_two)],
        {"loop": loop, "first_epoch_seconds": first},
    )


def _epoch(arguments: tuple[str, ...], turn: int, *, threads: int, processes: int = 1) -> dict[str, float]:
    found = measured("epoch_time", *arguments, threads=threads, processes=processes)
    return {
        "epoch": statistics.fmean(one["epoch"] for one in found) / processes,
        "first": statistics.fmean(one["first"] for one in found),
    }
