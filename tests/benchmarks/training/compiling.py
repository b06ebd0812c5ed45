"""`compiling`: what one compile key costs a worker that has no kept programs, seconds of compiling."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.training.commands import Checkout
from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import ROOT

GROUP = "compiling"
NAME = "digits 128-64, a key"
STUDY = """
name = "key"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 1
sampler = { name = "random", seed = 0 }
pruner = { name = "none" }
[params]
hidden_units = [128, 64]
optimizer = "adam"
dropout = 0.2
batch_size = 32
epochs = 50
[space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
"""


def names() -> Iterator[str]:
    """Of the one row."""
    yield NAME


def row(name: str, repeats: int, *, against: Path | None) -> Row:
    """Measure one trial of one worker, and the same by another checkout. Raises MeasurementError."""
    measures = {"cold": partial(_compile_seconds, Checkout(ROOT))}
    if against is not None:
        measures["earlier, cold"] = partial(_compile_seconds, Checkout(against))
    figures = in_turns(repeats, measures)
    other = None if against is None else "earlier, cold"
    details = {"against": None if against is None else str(against)}
    return Row(GROUP, name, "seconds", figures, [("cold", other)], details)


def _compile_seconds(checkout: Checkout, turn: int) -> float:
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-caches-") as cache:
        return checkout.run(STUDY, cache=Path(cache), workers=1).compiling
