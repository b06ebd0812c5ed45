"""Keras's callbacks of a run: which of them need each batch, and how they are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from hpo.training.samples import Logs

callbacks = keras.callbacks

TRAIN_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
TEST_HOOKS = ("on_test_batch_begin", "on_test_batch_end")


def _each_epoch(callback: Any) -> bool:
    return bool(callback.save_freq == "epoch")


def _no_batches_written(callback: Any) -> bool:
    return callback.update_freq == "epoch" and not callback._should_trace


# Keras's own hooks that do nothing as the callback is set, so that an epoch need not stop for each batch.
IDLE: dict[Any, Callable[[Any], bool]] = {
    callbacks.ModelCheckpoint.on_train_batch_end: _each_epoch,
    callbacks.BackupAndRestore.on_train_batch_end: _each_epoch,
    callbacks.TensorBoard.on_train_batch_begin: _no_batches_written,
    callbacks.TensorBoard.on_train_batch_end: _no_batches_written,
    callbacks.TensorBoard.on_test_batch_begin: _no_batches_written,
    # An epoch's line is drawn at its end; to draw a bar costs more than a batch.
    callbacks.ProgbarLogger.on_train_batch_end: lambda _: True,
    # Within `fit` it is a bar of `evaluate` alone.
    callbacks.ProgbarLogger.on_test_batch_end: lambda _: True,
}
if hasattr(callbacks, "OrbaxCheckpoint"):
    IDLE[callbacks.OrbaxCheckpoint.on_train_batch_end] = _each_epoch


def need_batches(given: Iterable[keras.callbacks.Callback], hooks: Iterable[str]) -> bool:
    """Whether one of the callbacks does something in one of these hooks."""
    return any(_acts(callback, hook) for callback in given for hook in hooks)


def _acts(callback: keras.callbacks.Callback, hook: str) -> bool:
    method = getattr(callback, hook)
    if getattr(method, "_is_default", False):
        return False
    idle = IDLE.get(getattr(method, "__func__", method))
    return idle is None or not idle(callback)


# What of Keras's own a checkpoint keeps, whose state is a few numbers, strings and arrays.
KEPT: dict[type, tuple[str, ...]] = {
    callbacks.EarlyStopping: ("wait", "best", "best_epoch", "best_weights", "stopped_epoch"),
    callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    callbacks.ModelCheckpoint: ("best", "_current_epoch"),
}
# These have none: what they do follows from the epoch.
STATELESS = (
    callbacks.History,
    callbacks.LearningRateScheduler,
    callbacks.ProgbarLogger,
    callbacks.TerminateOnNaN,
)


def keeps_state(callback: keras.callbacks.Callback) -> bool:
    """Whether a checkpoint can keep the state of a callback."""
    return _says_state(callback) or isinstance(callback, tuple(KEPT))


def begins_anew(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback may have state, which no checkpoint can keep."""
    return not keeps_state(callback) and type(callback) not in STATELESS


def state_of(callback: Any) -> Any:
    """What `set_state_of` needs for a callback that `keeps_state` to go on from here."""
    if _says_state(callback):
        return callback.get_state()
    return {name: getattr(callback, name, None) for name in _kept_of(callback)}


def set_state_of(callback: Any, state: Any) -> None:
    """Let a callback go on from there."""
    if _says_state(callback):
        callback.set_state(state)
        return
    for name in _kept_of(callback):
        setattr(callback, name, state[name])


def _says_state(callback: Any) -> bool:
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _kept_of(callback: Any) -> tuple[str, ...]:
    return next(names for kind, names in KEPT.items() if isinstance(callback, kind))


def flat_callbacks(given: Any) -> list[keras.callbacks.Callback]:
    """What `model.fit` takes as callbacks, as a list.

    Raises:
        TypeError: one of them is no Keras callback.
    """
    if isinstance(given, callbacks.CallbackList):
        return list(given.callbacks)
    flat = [callback for callback in keras.tree.flatten(given) if callback is not None]
    for callback in flat:
        if not isinstance(callback, callbacks.Callback):
            rule = "must be Keras callbacks"
            raise TypeError(
                f"callbacks: {rule}, but got {callback!r}. Derive it from keras.callbacks.Callback."
            )
    return flat


class TrainWatch:
    """Tells callbacks of each batch that is trained on, and ends the epoch where one stops the training."""

    def __init__(self, model: keras.Model, told: keras.callbacks.CallbackList) -> None:
        self._model, self._told = model, told
        # Keras's `fit`, as a loop, sets it anew.
        self._stopped = model.stop_training

    def begin(self, step: int) -> None:
        """See `BatchWatch`."""
        self._told.on_train_batch_begin(step)

    def end(self, step: int, logs: Logs) -> bool:
        """See `BatchWatch`."""
        self._told.on_train_batch_end(step, logs)
        self._stopped |= self._model.stop_training
        return not self._stopped


class TestWatch:
    """Tells callbacks of each batch that is evaluated, and ends it where one stops the evaluation."""

    def __init__(self, model: keras.Model, told: keras.callbacks.CallbackList) -> None:
        self._model, self._told = model, told

    def begin(self, step: int) -> None:
        """See `BatchWatch`."""
        self._told.on_test_batch_begin(step)

    def end(self, step: int, logs: Logs) -> bool:
        """See `BatchWatch`."""
        self._told.on_test_batch_end(step, logs)
        return not self._model.stop_evaluating
