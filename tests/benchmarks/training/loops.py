"""`loops`: the same model by XLA and as a graph, on one thread: from how many steps on compiling pays.

What `hpo.training.choice` has its numbers from. The first epoch has the compiling in it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.models import BATCH, SAMPLES
from tests.benchmarks.training.processes import measured

GROUP = "loops"
NAMES = ("cnn", "lstm", "gru", "attention", "embedding", "mlp with batch_norm", "mlp", "mlp, small")
LOOPS = ("xla", "graph")


def names() -> Iterator[str]:
    """Of the rows, in their order."""
    yield from NAMES


def row(name: str, repeats: int) -> Row:
    """Measure one row."""
    found = in_turns(repeats, {loop: partial(_measured, name, loop) for loop in LOOPS})
    epoch = {loop: statistics.median(turn["epoch"] for turn in found[loop]) for loop in LOOPS}
    prepared = {
        loop: statistics.median(turn["first"] for turn in found[loop]) - epoch[loop] for loop in LOOPS
    }
    saved = (epoch["graph"] - epoch["xla"]) / (SAMPLES / BATCH)
    longer = prepared["xla"] - prepared["graph"]
    return Row(
        GROUP,
        name,
        "seconds an epoch",
        {loop: [turn["epoch"] for turn in turns] for loop, turns in found.items()},
        [("xla", "graph")],
        {
            "seconds_to_prepare": {loop: round(seconds, 3) for loop, seconds in prepared.items()},
            "steps_that_pay": None if saved <= 0 else round(longer / saved),
        },
    )


def _measured(name: str, loop: str, turn: int) -> dict[str, float]:
    (found,) = measured("epoch_time", "hpo", name, loop, threads=1)
    return found
