"""`steps`: the reference networks on random arrays of MNIST's and CIFAR-10's size, µs a step.

By hpo on one thread, by Keras's `fit` with its default threads, and the matrix products of a step alone, in
NumPy's BLAS on one thread, which is as far as a core goes. The values of the arrays do not change the time.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import measured

GROUP = "steps"


@dataclass(frozen=True)
class Case:
    """One network, 128-64-10 on so many features, and batch size."""

    data: str
    features: int
    samples: int
    batch: int
    extra: str = "plain"

    @property
    def name(self) -> str:
        return f"{self.data} batch {self.batch} {self.extra}"

    @property
    def steps(self) -> int:
        """An epoch."""
        return self.samples // self.batch


CASES = (
    *(Case("mnist", 784, 48_000, batch) for batch in (1, 32, 64, 128)),
    Case("mnist", 784, 48_000, 64, "dropout"),
    Case("mnist", 784, 48_000, 64, "batch_norm"),
    *(Case("cifar10", 3072, 40_000, 128, extra) for extra in ("plain", "dropout", "batch_norm")),
)
PAIRED = CASES[2]
_PAIRED_NAME = f"{PAIRED.name}, two workers"


def names() -> Iterator[str]:
    """Of the rows, in their order."""
    yield from (case.name for case in CASES)
    yield _PAIRED_NAME


def row(name: str, repeats: int) -> Row:
    """Measure one row; of two workers at once the time a step of either, halved."""
    workers = 2 if name == _PAIRED_NAME else 1
    case = PAIRED if workers == 2 else next(case for case in CASES if case.name == name)
    ours = "two at once" if workers == 2 else "1 thread"
    measures = {
        ours: partial(_step, "hpo", case, threads=1, processes=workers),
        "fit": partial(_step, "fit", case, threads=None),
        "products": partial(_step, "products", case, threads=1),
    }
    figures = in_turns(repeats, measures)
    return Row(GROUP, name, "µs a step", figures, [(ours, "fit"), (ours, "products")], asdict(case))


def _step(kind: str, case: Case, turn: int, *, threads: int | None, processes: int = 1) -> float:
    found = measured("step_time", kind, case.name, threads=threads, processes=processes)
    return statistics.fmean(one["microseconds"] for one in found) / processes
