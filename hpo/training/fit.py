"""`hpo.fit`: any compiled Keras model trained on compiled epochs, called as `model.fit` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from hpo.training.choice import AUTO, check_loop, choose
from hpo.training.kept import release, trainer_for
from hpo.training.runs import BatchSize, Run, check_compiled
from hpo.training.samples import Samples


def fit(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    validation_data: tuple[Any, Any] | None = None,
    batch_size: BatchSize = 32,
    epochs: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 0,
    loop: str = AUTO,
) -> keras.callbacks.History:
    """Train a compiled Keras model as `model.fit` does, with every epoch one compiled program.

    A model keeps its programs: to fit it again, on data of the same shapes, compiles nothing.

    Args:
        model: a compiled model; its weights are trained in place.
        x, y: arrays of equal length, or what the model takes (a dict or list of arrays).
        validation_data: `(x, y)` to evaluate after each epoch.
        batch_size: samples a step; `"full"` is batch gradient descent.
        epochs: passes over the data.
        callbacks: Keras callbacks, called for the run and each epoch, not for each batch.
        seed: fixes the order of samples in each epoch.
        loop: what runs an epoch: "xla", "graph" or "fit"; "auto" chooses by the model and the steps to train.

    Returns:
        The Keras `History`, with one value an epoch for each metric.

    Raises:
        ValueError: the model is not compiled, the arrays are not of one length or hold no sample, or
            `batch_size`, `epochs` or `seed` is out of its range.
    """
    if batch_size != "full" and not _is_integer(batch_size, at_least=1):
        raise ValueError(f"batch_size must be an integer of at least 1 or 'full', but got {batch_size!r}")
    if not _is_integer(epochs, at_least=1):
        raise ValueError(f"epochs must be an integer of at least 1, but got {epochs!r}")
    if not _is_integer(seed, at_least=0):
        raise ValueError(f"seed must be an integer of at least 0, but got {seed!r}")
    if validation_data is not None and len(validation_data) != 2:
        raise ValueError(f"validation_data must be (x, y), but got {len(validation_data)} parts")
    check_loop(loop)
    check_compiled(model)
    samples = Samples.of(x, y)
    validation = None if validation_data is None else Samples.of(*validation_data)
    batch = len(samples) if batch_size == "full" else min(batch_size, len(samples))
    chosen = choose(model, epochs * -(-len(samples) // batch)) if loop == AUTO else loop
    trainer = trainer_for(model, samples, chosen, fixed=loop != AUTO)
    try:
        run = Run(
            trainer,
            samples,
            validation=validation,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=callbacks,
            seed=seed,
        )
        while not run.finished:
            run.advance()
    finally:
        release(trainer)
    return run.history


def _is_integer(value: object, *, at_least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= at_least
