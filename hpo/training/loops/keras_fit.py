"""The loop that is Keras's own `fit`: for models that no program runs, and the tests' oracle."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from hpo.training.loops.contract import EVALUATION_BATCH, BatchWatch, Loop, numbers
from hpo.training.loops.replacing import replaced
from hpo.training.samples import Array, Logs, Samples, gather


class FitLoop(Loop):
    """Calls `fit` for each epoch, `evaluate` and `predict`."""

    compilations = 0

    def train(self, samples: Samples, order: Array, batch: int, watch: BatchWatch | None = None) -> Logs:
        """See `Loop`."""
        x, y, weight = _of(samples, order)
        stop = self.model.stop_training
        # Each fit would end by averaging the weights, if the optimizer does; that is for the run's end.
        with replaced(self.model.optimizer, "finalize_variable_values", lambda variables: None):
            history = self.model.fit(
                x,
                y,
                sample_weight=weight,
                batch_size=batch,
                shuffle=False,
                verbose=0,
                callbacks=None if watch is None else [_Told(watch)],
            )
        self.model.stop_training |= stop
        return numbers({name: values[-1] for name, values in history.history.items()})

    def evaluate(
        self, samples: Samples, watch: BatchWatch | None = None, batch: int = EVALUATION_BATCH
    ) -> Logs:
        """See `Loop`."""
        x, y, weight = _of(samples, samples.rows)
        logs = self.model.evaluate(
            x,
            y,
            sample_weight=weight,
            batch_size=batch,
            verbose=0,
            return_dict=True,
            callbacks=None if watch is None else [_Told(watch)],
        )
        return numbers(logs)

    def predict(self, samples: Samples) -> Any:
        """See `Loop`."""
        x, *_ = _of(samples, samples.rows)
        return self.model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)


class _Told(keras.callbacks.Callback):  # type: ignore[misc]
    """Hands on what Keras says of each batch."""

    def __init__(self, watch: BatchWatch) -> None:
        super().__init__()
        self._watch = watch

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._watch.begin(batch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._watch.end(batch, numbers(logs or {})):
            self.model.stop_training = True

    on_test_batch_begin = on_train_batch_begin

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._watch.end(batch, numbers(logs or {}))


def _of(samples: Samples, rows: Array) -> tuple[Any, Any, Any]:
    x, y, weight = gather((samples.x, samples.y, samples.weight), tf.constant(rows))
    return x, y, weight
