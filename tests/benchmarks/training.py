"""Microseconds a step: compiled epochs on one thread against Keras `fit` with its default threads.

    python -m tests.benchmarks.training [--repeats N] [--only TEXT]

Every figure is measured in a process of its own, since TensorFlow's threads are fixed at import: first
compiled, then `fit`, then the matrix products alone, in turns. Prints a table on stderr, JSON lines on
stdout, the machine and the versions. MNIST and CIFAR-10 at full width and size; the arrays are random,
since the values do not change the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
from rich.console import Console
from rich.table import Table

HIDDEN = (128, 64)
CLASSES = 10
# Steps that a measurement of Keras's fit takes at most: it is slow at batch 1, and its step time is steady.
FIT_STEPS = 1500
PRODUCT_STEPS = 200


@dataclass(frozen=True)
class Case:
    """One network and batch size."""

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
        return self.samples // self.batch


CASES = (
    *(Case("mnist", 784, 48_000, batch) for batch in (1, 32, 64, 128)),
    Case("mnist", 784, 48_000, 64, "dropout"),
    Case("mnist", 784, 48_000, 64, "batch_norm"),
    *(Case("cifar10", 3072, 40_000, 128, extra) for extra in ("plain", "dropout", "batch_norm")),
)
PAIRED = Case("mnist", 784, 48_000, 64)


def main() -> None:
    """Measure every case and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes of each kind for each case")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, name = arguments.measure
        print(MEASURES[kind](next(case for case in CASES if case.name == name)))
        return
    print(json.dumps(_machine()))
    rows = [_compare(case, arguments.repeats) for case in CASES if arguments.only in case.name]
    if arguments.only in PAIRED.name:
        rows.append(_compare_two_workers(arguments.repeats))
    for row in rows:
        print(json.dumps(row))
    _print_table(rows)


def _compare(case: Case, repeats: int) -> dict[str, object]:
    """One case: the three kinds in turns, so that a slow minute of the machine hits them alike."""
    runs: dict[str, list[float]] = {kind: [] for kind in MEASURES}
    for _ in range(repeats):
        for kind, values in runs.items():
            values.append(_in_process(kind, case))
    return _row(case.name, asdict(case), runs, workers=1)


def _compare_two_workers(repeats: int) -> dict[str, object]:
    """Two compiled workers at once against one fit: the time a step of either, halved."""
    runs: dict[str, list[float]] = {kind: [] for kind in MEASURES}
    for _ in range(repeats):
        pair = [_start("compiled", PAIRED) for _ in range(2)]
        runs["compiled"].append(statistics.fmean(_result(process) for process in pair) / 2)
        runs["fit"].append(_in_process("fit", PAIRED))
        runs["products"].append(_in_process("products", PAIRED))
    return _row(f"{PAIRED.name}, two workers", asdict(PAIRED), runs, workers=2)


def _row(
    name: str, case: dict[str, object], runs: dict[str, list[float]], *, workers: int
) -> dict[str, object]:
    median = {kind: statistics.median(values) for kind, values in runs.items()}
    return {
        "case": name,
        **case,
        "workers": workers,
        "n": len(runs["fit"]),
        "us_per_step": {kind: _round(value) for kind, value in median.items()},
        "spread": {kind: [_round(min(values)), _round(max(values))] for kind, values in runs.items()},
        "fit_over_compiled": round(median["fit"] / median["compiled"], 2),
        "compiled_over_products": round(median["compiled"] / median["products"], 2),
    }


def _in_process(kind: str, case: Case) -> float:
    return _result(_start(kind, case))


def _start(kind: str, case: Case) -> subprocess.Popen[str]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if kind != "fit":
        for name in (
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
        ):
            environment[name] = "1"
    command = [sys.executable, "-m", "tests.benchmarks.training", "--measure", kind, case.name]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )


def _result(process: subprocess.Popen[str]) -> float:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a measurement ended with code {process.returncode}: {process.args}")
    return float(output)


def _arrays(case: Case, samples: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (samples, case.features), dtype=np.uint8)
    return x, generator.integers(0, CLASSES, samples)


def _measure_compiled(case: Case) -> float:
    """Median over three epochs, after the one that compiles."""
    from hpo.models.mlp import build
    from hpo.spec import Hyperparameters
    from hpo.training.runs import Run
    from hpo.training.samples import Samples

    hyperparameters = Hyperparameters(
        hidden_units=HIDDEN,
        batch_size=case.batch,
        dropout=0.2 if case.extra == "dropout" else 0.0,
        batch_norm=case.extra == "batch_norm",
    )
    samples = Samples.of(*_arrays(case, case.steps * case.batch))
    network = build(hyperparameters, sample_shape=(case.features,), classes=CLASSES, scale=1 / 255)
    network.trainer.build(samples)
    state = network.initial_state(hyperparameters, seed=0, steps=1)
    run = Run(network.trainer, samples, batch_size=case.batch, epochs=4, initial_state=state)
    seconds = []
    while not run.finished:
        before = run.train_seconds
        run.advance()
        seconds.append(run.train_seconds - before)
    return statistics.median(seconds[1:]) / case.steps * 1e6


def _measure_fit(case: Case) -> float:
    """Keras as people use it: float32 inputs scaled beforehand, `fit` with its own shuffling."""
    import keras

    steps = min(case.steps, FIT_STEPS)
    x, y = _arrays(case, steps * case.batch)
    layers = [keras.layers.Input((case.features,))]
    for units in HIDDEN:
        layers.append(keras.layers.Dense(units))
        if case.extra == "batch_norm":
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation("relu"))
        if case.extra == "dropout":
            layers.append(keras.layers.Dropout(0.2))
    model = keras.Sequential([*layers, keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    inputs = x.astype(np.float32) / 255
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        model.fit(inputs, y, batch_size=case.batch, verbose=0)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]) / steps * 1e6


def _measure_products(case: Case) -> float:
    """The matrix products of one step alone, forward and both gradients, in NumPy's BLAS on one thread."""
    generator = np.random.default_rng(0)
    widths = (case.features, *HIDDEN, CLASSES)
    layers = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        x = generator.random((case.batch, inputs), dtype=np.float32)
        w = generator.random((inputs, outputs), dtype=np.float32)
        dy = generator.random((case.batch, outputs), dtype=np.float32)
        layers.append((index > 0, x, w, dy))
    seconds = []
    for _ in range(PRODUCT_STEPS):
        started = time.perf_counter()
        for needs_input_gradient, x, w, dy in layers:
            x @ w
            x.T @ dy
            if needs_input_gradient:
                dy @ w.T
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e6


MEASURES = {"compiled": _measure_compiled, "fit": _measure_fit, "products": _measure_products}


def _machine() -> dict[str, object]:
    names = ("tensorflow", "keras", "numpy", "hpo-studies")
    return {
        "machine": platform.processor() or platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown"


def _round(value: float) -> float:
    return round(value, 1)


def _print_table(rows: list[dict[str, object]]) -> None:
    table = Table(title="µs a step, medians (least to most)")
    for column in (
        "case",
        "n",
        "compiled, 1 thread",
        "fit",
        "fit / compiled",
        "products alone",
        "compiled / products",
    ):
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        middle, spread = row["us_per_step"], row["spread"]
        assert isinstance(middle, dict)
        assert isinstance(spread, dict)
        shown = {kind: f"{middle[kind]:.0f} ({spread[kind][0]:.0f}-{spread[kind][1]:.0f})" for kind in middle}
        table.add_row(
            str(row["case"]),
            str(row["n"]),
            shown["compiled"],
            shown["fit"],
            str(row["fit_over_compiled"]),
            shown["products"],
            str(row["compiled_over_products"]),
        )
    Console(stderr=True, width=140).print(table)


if __name__ == "__main__":
    main()
