"""µs a step of one case of `steps`, measured in this process: `hpo`, `fit` or `products`."""

from __future__ import annotations

import itertools
import statistics
import sys
import time

import numpy as np

from tests.benchmarks.training.processes import begin, say
from tests.benchmarks.training.steps import CASES, Case

HIDDEN = (128, 64)
CLASSES = 10
# Epochs that are measured, after one that compiles.
EPOCHS = 3
# Steps that a measurement of Keras's fit takes at most: it is slow at batch 1, and its step time is steady.
FIT_STEPS = 1500
PRODUCT_STEPS = 200


def main() -> None:
    """Measure what the arguments name."""
    kind, name = sys.argv[1:]
    say(microseconds=MEASURES[kind](next(case for case in CASES if case.name == name)) * 1e6)


def _arrays(case: Case, samples: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (samples, case.features), dtype=np.uint8)
    return x, generator.integers(0, CLASSES, samples)


def _hpo(case: Case) -> float:
    """The network of a study, as a worker trains it."""
    from hpo.models.families import Signature
    from hpo.models.mlp import build
    from hpo.spec import MlpHyperparameters
    from hpo.training.runs import Run
    from hpo.training.samples import Samples

    hyperparameters = MlpHyperparameters(
        hidden_units=HIDDEN,
        batch_size=case.batch,
        dropout=0.2 if case.extra == "dropout" else 0.0,
        batch_norm=case.extra == "batch_norm",
    )
    samples = Samples.of(*_arrays(case, case.steps * case.batch))
    network = build(hyperparameters, Signature((case.features,), CLASSES, 1 / 255))
    network.trainer.build(samples)
    state = network.initial_state(hyperparameters, seed=0, steps=1)
    run = Run(network.trainer, samples, batch_size=case.batch, epochs=1 + EPOCHS, initial_state=state)
    run.advance()
    begin()
    seconds = []
    while not run.finished:
        before = run.train_seconds
        run.advance()
        seconds.append(run.train_seconds - before)
    return statistics.median(seconds) / case.steps


def _fit(case: Case) -> float:
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
    model.fit(inputs, y, batch_size=case.batch, verbose=0)
    begin()
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        model.fit(inputs, y, batch_size=case.batch, verbose=0)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / steps


def _products(case: Case) -> float:
    """The matrix products of one step alone, forward and both gradients."""
    generator = np.random.default_rng(0)
    widths = (case.features, *HIDDEN, CLASSES)
    layers = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        x = generator.random((case.batch, inputs), dtype=np.float32)
        w = generator.random((inputs, outputs), dtype=np.float32)
        dy = generator.random((case.batch, outputs), dtype=np.float32)
        layers.append((index > 0, x, w, dy))
    begin()
    seconds = []
    for _ in range(PRODUCT_STEPS):
        started = time.perf_counter()
        for needs_input_gradient, x, w, dy in layers:
            x @ w
            x.T @ dy
            if needs_input_gradient:
                dy @ w.T
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


MEASURES = {"hpo": _hpo, "fit": _fit, "products": _products}


if __name__ == "__main__":
    main()
