"""`hpo.fit`: any compiled Keras model trained by the fastest loop for it, called as `model.fit` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hpo.training.callbacks import flat_callbacks
from hpo.training.choice import AUTO, check_loop, choose
from hpo.training.inputs import inputs_of
from hpo.training.kept import release, trainer_for
from hpo.training.labels import check_lookups
from hpo.training.runs import BatchSize, Run, check_compiled

VERBOSE = ("auto", 0, 1, 2)


def fit(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    batch_size: BatchSize | None = None,
    epochs: int = 1,
    verbose: int | str = 0,
    callbacks: Any = (),
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: None = None,
    validation_steps: None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] = 1,
    seed: int = 0,
    loop: str = AUTO,
) -> keras.callbacks.History:
    """Train a compiled Keras model as `model.fit` does, with every epoch one program.

    A model keeps its programs: to fit it again, on data of the same shapes, compiles nothing. Whatever is
    refused is refused before a weight has changed.

    >>> import keras, numpy as np, hpo
    >>> x = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> history = hpo.fit(model, x, 3 * x + 1, validation_split=0.25, epochs=30, batch_size=16)
    >>> len(history.history["val_loss"]), bool(history.history["loss"][-1] < 0.01)
    (30, True)

    Args:
        model: a compiled model; its weights are trained in place.
        x: an array of shape (samples, ...), or a list, tuple or dict of such as the model takes them: of
            NumPy, tensors, pandas, or whatever has `__array__`; or a `tf.data.Dataset` or a
            `keras.utils.PyDataset` that gives batches of (x, y) or (x, y, sample_weight). A data set is read
            once and kept in memory, and what it draws at random is drawn this once. Of a generator the end
            cannot be known: refused; so are sparse and ragged arrays, which no loop can cut into batches.
        y: targets of shape (samples, ...), nested as the model's outputs; None for a data set, and for a
            model that has its loss inside.
        batch_size: samples a step, 32 if nothing is said; `"full"` is batch gradient descent. A data set has
            its own.
        epochs: the epoch to end with, counted from 1.
        verbose: 0 is silent, 1 or "auto" Keras's line for each epoch, 2 the same without a bar. The bar is
            drawn at an epoch's end, since to draw it costs more than a batch.
        callbacks: Keras callbacks. If one acts on batches, an epoch is run batch by batch, which takes
            longer.
        validation_split: the share of samples, the last ones as they come, to evaluate instead.
        validation_data: (x, y), (x, y, sample_weight) or a data set to evaluate after each epoch. It goes
            before `validation_split`.
        shuffle: draw a new order for each epoch, of a data set's samples too; if not, it is that of the data.
        class_weight: weights by class, for targets of shape (samples,), (samples, 1) or, one-hot, (samples,
            classes); validation is not weighted by them.
        sample_weight: shape (samples,), or one such array for each output; for sequences (samples, steps).
        initial_epoch: how many epochs there have been: the first to train, counted from 0.
        steps_per_epoch: refused unless None: an epoch is every sample once.
        validation_steps: refused unless None: as above.
        validation_batch_size: samples evaluated at a time; says nothing of the total loss.
        validation_freq: evaluate after every so many epochs, or after those in a list, counted from 1.
        seed: fixes the order of samples in each epoch.
        loop: what runs an epoch: "xla", one program of XLA's, the fastest for small layers and many steps;
            "graph", one TensorFlow graph, soon prepared and fast for convolutions; "fit", Keras's own. "auto"
            chooses by the model and the number of steps, and goes on with the next one where one cannot.

    Returns:
        The Keras `History`, with one value an epoch for each metric.

    Raises:
        TypeError: the data or the callbacks are not of a kind that is taken.
        ValueError: the model is not compiled, the data do not go together or do not fit into memory, labels
            are outside of the model's outputs, an argument is out of its range, or the loop that was asked
            for cannot train the model.
    """
    _check_numbers(batch_size, epochs, initial_epoch, validation_batch_size, seed)
    _check_choices(verbose, validation_freq, shuffle)
    for name, steps in (("steps_per_epoch", steps_per_epoch), ("validation_steps", validation_steps)):
        if steps is not None:
            rule = "must be None, as an epoch is every sample once"
            raise ValueError(f"{name}: {rule}, but got {steps!r}. Give fewer samples, e.g. by .take(n).")
    check_loop(loop)
    check_compiled(model)
    told = flat_callbacks(callbacks)
    inputs = inputs_of(
        x,
        y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        validation_data=validation_data,
        validation_split=validation_split,
    )
    if inputs.batch is not None and batch_size is not None:
        rule = "must be left out where x is a data set, which has batches"
        raise ValueError(f"batch_size: {rule}, but got {batch_size!r}. Use .unbatch().batch(n).")
    _check_targets(model, inputs.samples.y)
    count = len(inputs.samples)
    batch = count if batch_size == "full" else min(batch_size or inputs.batch or 32, count)
    chosen = choose(model, (epochs - initial_epoch) * -(-count // batch)) if loop == AUTO else loop
    trainer = trainer_for(model, inputs.samples, chosen, fixed=loop != AUTO)
    try:
        check_lookups(model, inputs.samples)
        if inputs.validation is not None:
            check_lookups(model, inputs.validation, "validation ")
        run = Run(
            trainer,
            inputs.samples,
            validation=inputs.validation,
            batch_size=batch,
            epochs=epochs,
            callbacks=told,
            seed=seed,
            shuffle=shuffle,
            verbose=verbose,
            initial_epoch=initial_epoch,
            validation_freq=validation_freq,
            validation_batch_size=validation_batch_size,
        )
        while not run.finished:
            run.advance()
    finally:
        release(trainer)
    return run.history


def _check_numbers(
    batch_size: Any, epochs: Any, initial_epoch: Any, validation_batch: Any, seed: Any
) -> None:
    whole = "must be an integer of at least"
    if batch_size not in (None, "full") and not _is_integer(batch_size, at_least=1):
        raise ValueError(f"batch_size: {whole} 1, 'full' or None, but got {batch_size!r}.")
    if validation_batch is not None and not _is_integer(validation_batch, at_least=1):
        raise ValueError(f"validation_batch_size: {whole} 1 or None, but got {validation_batch!r}.")
    if not _is_integer(epochs, at_least=1):
        raise ValueError(f"epochs: {whole} 1, but got {epochs!r}.")
    if not _is_integer(initial_epoch, at_least=0) or initial_epoch >= epochs:
        raise ValueError(f"initial_epoch: {whole} 0 and below epochs={epochs}, but got {initial_epoch!r}.")
    if not _is_integer(seed, at_least=0):
        raise ValueError(f"seed: {whole} 0, but got {seed!r}.")


def _check_choices(verbose: Any, validation_freq: Any, shuffle: Any) -> None:
    if not any(verbose is choice or verbose == choice for choice in VERBOSE):
        raise ValueError(f"verbose: must be one of {VERBOSE}, but got {verbose!r}.")
    if not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle: must be True or False, but got {shuffle!r}.")
    listed = list(validation_freq) if isinstance(validation_freq, list | tuple | set) else [validation_freq]
    if not listed or not all(_is_integer(epoch, at_least=1) for epoch in listed):
        rule = "must be an integer of at least 1 or a list of such"
        raise ValueError(f"validation_freq: {rule}, but got {validation_freq!r}.")


def _check_targets(model: keras.Model, y: Any) -> None:
    """Raises ValueError where Keras would compare outputs with targets that there are not."""
    own = any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("train_step", "compute_loss", "_compute_loss")
    )
    if y is None and model.loss is not None and not own:
        raise ValueError("y: must be given, as the model has a loss that compares with it, but got None.")


def _is_integer(value: object, *, at_least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= at_least
