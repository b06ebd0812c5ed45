"""Training runs of any compiled Keras model.

A trainer holds the model and the loop that trains it; runs take turns on it, an epoch at a time, with Keras
callbacks between epochs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import keras
import numpy as np
import tensorflow as tf

from hpo.training.callbacks import (
    TEST_HOOKS,
    TRAIN_HOOKS,
    TestWatch,
    TrainWatch,
    keeps_state,
    need_batches,
    set_state_of,
    state_of,
)
from hpo.training.exchange import Exchange, Values
from hpo.training.loops import LOOPS, BatchWatch, CompilationError, Loop
from hpo.training.loops.contract import EVALUATION_BATCH
from hpo.training.samples import Array, Logs, Samples, over_arrays

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
BatchSize = int | Literal["full"]


class LoopError(ValueError):
    """The loop that was asked for cannot train a model."""


class Trainer:
    """One compiled Keras model with the loop that trains it, shared by any number of runs.

    Everything that training changes is in `state`, so several runs can take turns on one trainer. A model
    that the loop cannot train is trained by the next one that can, and a warning says so; not if the loop is
    `fixed`: then LoopError says why. Trainers that share what is `told` say it once.
    """

    def __init__(
        self, model: keras.Model, loop: str = "xla", *, fixed: bool = False, told: set[str] | None = None
    ) -> None:
        check_compiled(model)
        self.model, self._fixed = model, fixed
        self.loop: Loop = LOOPS[loop](model)
        self._compile_seconds_before = 0.0
        self._occupant: Run | None = None
        self._exchange: Exchange | None = None
        self._told = set[str]() if told is None else told

    @property
    def loop_name(self) -> str:
        """The name of the loop that trains it now."""
        return next(name for name, loop in LOOPS.items() if type(self.loop) is loop)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that training changes: weights, moving averages, random counters, optimizer slots."""
        return variables_of(self.model)

    @property
    def state(self) -> list[Array]:
        """A copy of the values of `variables`, in their order."""
        return [np.array(variable.numpy()) for variable in self.variables]

    @state.setter
    def state(self, values: Values) -> None:
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    @property
    def weights(self) -> list[Array]:
        """A copy of the part of `state` that outputs depend on: without the optimizer's slots."""
        return [np.array(variable.numpy()) for variable in self.model.variables]

    @weights.setter
    def weights(self, values: Sequence[Array]) -> None:
        for variable, value in zip(self.model.variables, values, strict=True):
            variable.assign(value)

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling so far."""
        return self._compile_seconds_before + self.loop.compile_seconds

    def build(self, samples: Samples) -> None:
        """Create every variable of model, metrics and optimizer, since a program cannot create any."""

        def batch(tensor: tf.Tensor) -> keras.KerasTensor:
            return keras.KerasTensor((None, *tensor.shape[1:]), tensor.dtype.name)

        x, y = over_arrays(batch, (samples.x, samples.y))
        # Weighted metrics have variables too.
        weight = over_arrays(batch, samples.weight)
        self.model._symbolic_build(data_batch=keras.utils.pack_x_y_sample_weight(x, y, weight))
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)

    def train(self, samples: Samples, order: Array, batch: int, watch: BatchWatch | None = None) -> Logs:
        """One epoch; see `Loop.train`."""
        return self._attempt(lambda: self.loop.train(samples, order, batch, watch))

    def evaluate(
        self, samples: Samples, watch: BatchWatch | None = None, batch: int = EVALUATION_BATCH
    ) -> Logs:
        """Loss and metrics of the present weights."""
        return self._attempt(lambda: self.loop.evaluate(samples, watch, batch))

    def predict(self, samples: Samples) -> Any:
        """The present model's outputs, shape (samples, *output shape)."""
        return self._attempt(lambda: self.loop.predict(samples))

    def average(self) -> None:
        """Replace the weights by their averages over the steps, if the optimizer keeps such."""
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def vacate(self) -> None:
        """Free the model for another use: the run whose state it holds keeps its state aside."""
        if self._occupant is not None:
            self._occupant.state = self.state
            self._occupant = None

    def forget(self) -> None:
        """Let the run that has been trained go, and its data; its state stays in the model."""
        self._occupant = None

    def seat(self, run: Run) -> None:
        """Make `run` the one whose state the model holds."""
        if self._occupant is run:
            return
        if self._occupant is not None and run.state is not None:
            self._occupant.state = self._exchanged(run.state)
        else:
            self.vacate()
            if run.state is not None:
                self.state = run.state
        run.state, self._occupant = None, run

    def _exchanged(self, values: Values) -> Values:
        variables = self.variables
        if self._exchange is None or not self._exchange.is_of(variables):
            self._exchange = Exchange(variables)
        return self._exchange(values)

    def _attempt(self, action: Callable[[], Result]) -> Result:
        while True:
            try:
                return action()
            except CompilationError as error:
                names, name = list(LOOPS), self.loop_name
                if self._fixed:
                    rule = "must be one that can train this model"
                    raise LoopError(f"loop: {rule}, but got {name!r}: {error}. Use 'auto'.") from error
                after = names[names.index(name) + 1]
                if name not in self._told:
                    self._told.add(name)
                    logger.warning("loop %r cannot train this model, so %r does: %s", name, after, error)
                self._compile_seconds_before = self.compile_seconds
                self.loop = LOOPS[after](self.model)


class Run:
    """One training run on a trainer, advanced an epoch at a time, so that runs can go in lockstep.

    `callbacks` are Keras callbacks, called as `model.fit` calls them; an epoch is run batch by batch only if
    one of them acts on batches. Each epoch's order is drawn from (`seed`, epoch), or is the samples' own
    without `shuffle`. With `initial_state` the run starts there, else from the state the trainer holds. It
    begins with `initial_epoch`, counted from 0, or where a callback has set the model back to. It validates
    after every `validation_freq` epochs or, if that is a list, after those, counted from 1.
    """

    def __init__(
        self,
        trainer: Trainer,
        samples: Samples,
        *,
        validation: Samples | None = None,
        batch_size: BatchSize = 32,
        epochs: int = 1,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        seed: int = 0,
        initial_state: Sequence[Array] | None = None,
        shuffle: bool = True,
        verbose: int | str = 0,
        initial_epoch: int = 0,
        validation_freq: int | Sequence[int] = 1,
        validation_batch_size: int | None = None,
    ) -> None:
        self.trainer, self.samples, self.validation = trainer, samples, validation
        self.batch = len(samples) if batch_size == "full" else min(batch_size, len(samples))
        self.epochs, self.seed = epochs, seed
        self.finished = False
        self.train_seconds = 0.0
        self.state: Values | None = initial_state
        self.kept: Sequence[Array] | None = None
        self._logs: Logs = {}
        self._shuffle, self._validation_freq = shuffle, validation_freq
        self._enter()
        model = trainer.model
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=epochs,
            steps=-(-len(samples) // self.batch),
        )
        self.history: keras.callbacks.History = self._callbacks._history
        self._train_batches = need_batches(self._callbacks.callbacks, TRAIN_HOOKS)
        self._test_batches = need_batches(self._callbacks.callbacks, TEST_HOOKS)
        self._evaluation_batch = validation_batch_size or (
            self.batch if self._test_batches else EVALUATION_BATCH
        )
        model.stop_training = False
        model._initial_epoch = None
        self._callbacks.on_train_begin()
        # Set by BackupAndRestore. Keras would begin the next fit there, too.
        self.epoch = model._initial_epoch or initial_epoch
        model._initial_epoch = None
        self._stopping: bool = model.stop_training
        if self.epoch >= epochs:
            self.stop()

    def advance(self) -> Logs:
        """Train one epoch, evaluate, call the callbacks; returns the epoch's logs (`val_` for validation)."""
        if self.finished:
            raise RuntimeError(f"the run has finished after {self.epoch} epochs")
        self._enter()
        model = self.trainer.model
        model.stop_training = self._stopping
        self._callbacks.on_epoch_begin(self.epoch)
        logs = self._train()
        if self.validation is not None and self._is_validated():
            logs |= {f"val_{name}": value for name, value in self._validate(self.validation).items()}
        # Keras's fit, as a loop, has made one of its own.
        model.history = self.history
        self._callbacks.on_epoch_end(self.epoch, dict(logs))
        self.epoch += 1
        self._logs = logs
        if model.stop_training or self.epoch >= self.epochs:
            self.stop()
        return logs

    def _train(self) -> Logs:
        order = self.samples.rows
        if self._shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        model = self.trainer.model
        # Where training has been stopped already, Keras trains one batch.
        watched = self._train_batches or model.stop_training
        watch = TrainWatch(model, self._callbacks) if watched else None
        compiling = self.trainer.compile_seconds
        started = time.perf_counter()
        logs = self.trainer.train(self.samples, order, self.batch, watch)
        elapsed = time.perf_counter() - started
        self.train_seconds += elapsed - (self.trainer.compile_seconds - compiling)
        return logs

    def _is_validated(self) -> bool:
        number, every = self.epoch + 1, self._validation_freq
        return number % every == 0 if isinstance(every, int) else number in every

    def _validate(self, validation: Samples) -> Logs:
        model = self.trainer.model
        model.stop_evaluating = False
        watch = TestWatch(model, self._callbacks) if self._test_batches else None
        self._callbacks.on_test_begin()
        logs = self.trainer.evaluate(validation, watch, self._evaluation_batch)
        self._callbacks.on_test_end(dict(logs))
        return logs

    def stop(self) -> None:
        """End the run as early stopping would: the callbacks end their training."""
        if not self.finished:
            self._enter()
            self.trainer.average()
            self._callbacks.on_train_end(dict(self._logs))
            self.finished = True

    def keep(self) -> None:
        """Keep the present weights, which training changes in place, to go back to."""
        # `variables_of` has the weights first.
        aside, count = self.state, len(self.trainer.model.variables)
        self.kept = self.trainer.weights if aside is None else [np.array(value) for value in aside[:count]]

    def go_back(self) -> None:
        """Take up the weights that were kept last, if any were."""
        if self.kept is not None:
            self._enter()
            self.trainer.weights = self.kept

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs to go on from here: a tree of numbers, strings and arrays.

        Of the callbacks, those that have `get_state` and `set_state` are kept, and some of Keras's.
        """
        self._enter()
        return {
            "epoch": self.epoch,
            "finished": self.finished,
            "train_seconds": self.train_seconds,
            "state": self.trainer.state,
            "kept": self.kept,
            "logs": self._logs,
            "history": self.history.history,
            "callbacks": [state_of(callback) for callback in self._resumable],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of a run that was made in the same way; the callbacks have begun already."""
        self._enter()
        self.epoch, self.finished = snapshot["epoch"], snapshot["finished"]
        self.train_seconds = snapshot["train_seconds"]
        self.trainer.state = snapshot["state"]
        # Version 0.1 kept none.
        self.kept = snapshot.get("kept")
        self._logs = snapshot["logs"]
        self.history.history = snapshot["history"]
        self.history.epoch = list(range(self.epoch))
        for callback, state in zip(self._resumable, snapshot["callbacks"], strict=True):
            set_state_of(callback, state)

    @property
    def _resumable(self) -> list[Any]:
        return [callback for callback in self._callbacks.callbacks if keeps_state(callback)]

    @property
    def model(self) -> keras.Model:
        """The trainer's model with this run's present weights; another run may take its turn in it."""
        self._enter()
        return self.trainer.model

    def evaluate(self, samples: Samples) -> Logs:
        """Loss and metrics of this run's present weights."""
        self._enter()
        return self.trainer.evaluate(samples)

    def predict(self, samples: Samples) -> Any:
        """Outputs of this run's present weights, shape (samples, *output shape)."""
        self._enter()
        return self.trainer.predict(samples)

    def _enter(self) -> None:
        self.trainer.seat(self)


def check_compiled(model: keras.Model) -> None:
    """Raises ValueError unless Keras knows how the model is to be trained."""
    if not model.compiled:
        raise ValueError("model must be compiled: call model.compile(optimizer, loss, metrics) first")


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """Every variable that training a compiled and built model changes, except its metrics'."""
    return [*model.variables, *model.optimizer.variables]
