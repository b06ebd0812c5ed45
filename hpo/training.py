"""Whole epochs compiled into one program, for any compiled Keras model.

Keras's `fit` spends most of a small model's step outside arithmetic. Here an epoch is one XLA program: a loop
over the rows of a shuffled index matrix that gathers each batch from the data on the device and calls the
model's own `train_step`. So optimizers, losses and metrics stay Keras's, and callbacks run between epochs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import keras
import numpy as np
import tensorflow as tf

from hpo import program_cache

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]
Result = TypeVar("Result")
Logs = dict[str, float]
BatchSize = int | Literal["full"]

EVALUATION_BATCH = 256
EVALUATION_STEPS = 16


class CompilationError(Exception):
    """XLA cannot compile a model's step; nothing has been run."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows of arrays that are on the device: `x[rows]` are the inputs, `y[rows]` the targets.

    `x` and `y` may be nested (dicts, lists) as Keras models take them; `rows` is int32, one index a sample.
    """

    x: Any
    y: Any
    rows: Array

    @classmethod
    def of(cls, x: Any, y: Any) -> Samples:
        """Put arrays on the device, all their rows.

        Raises:
            ValueError: they are not arrays of one length, or hold no sample.
        """
        x, y = tf.nest.map_structure(tf.convert_to_tensor, (x, y))
        lengths = {int(tensor.shape[0]) if tensor.shape.rank else 0 for tensor in tf.nest.flatten((x, y))}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"x and y must be arrays of equal length, at least 1, but got {sorted(lengths)}")
        return cls(x, y, np.arange(lengths.pop(), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.rows)


class CompiledEpochs:
    """Runs a model's epochs and evaluations as XLA programs, one for each shape of data and batch."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.compile_seconds = 0.0
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    @property
    def compilations(self) -> int:
        """How many programs have been compiled."""
        return len(self._programs)

    def train(self, samples: Samples, order: Array, batch: int) -> Logs:
        """One epoch over `samples` in `order` (int32 rows of the data), the last batch short as in Keras."""
        steps = max(1, len(order) // batch)
        return self._over("train", samples, _batches(order, batch, steps))

    def evaluate(self, samples: Samples) -> Logs:
        """Metrics of the model as it is, without training."""
        batch = _even_batch(len(samples))
        return self._over("test", samples, _batches(samples.rows, batch, EVALUATION_STEPS))

    def predict(self, samples: Samples) -> Array:
        """The model's outputs, shape (samples, *output shape)."""
        batch = _even_batch(len(samples))
        parts = [samples.rows[start : start + batch] for start in range(0, len(samples), batch)]
        inputs = [(_gather(samples.x, tf.constant(part)),) for part in parts]
        return np.concatenate([self._program("predict", data)(data).numpy() for data in inputs])

    def _over(self, kind: str, samples: Samples, pieces: Sequence[tuple[Array, int]]) -> Logs:
        calls = [(samples.x, samples.y, tf.constant(rows), tf.constant(count)) for rows, count in pieces]
        programs = [self._program(kind, *arguments) for arguments in calls]
        self.model.reset_metrics()
        for program, arguments in zip(programs, calls, strict=True):
            logs = program(*arguments)
        return _numbers(logs)

    def _program(self, kind: str, *arguments: Any) -> Callable[..., Any]:
        tensors = tf.nest.flatten(arguments)
        key = (kind, *((tuple(tensor.shape), tensor.dtype) for tensor in tensors))
        if key not in self._programs:
            # XLA would end the process.
            if any(tensor.dtype == tf.string for tensor in tensors):
                raise CompilationError("strings are no data for it")
            self._programs[key] = self._compile(kind, *arguments)
        return self._programs[key]

    def _compile(self, kind: str, *arguments: Any) -> Callable[..., Any]:
        model = self.model
        if kind == "predict":
            program = tf.function(lambda data: model.predict_step(data), jit_compile=True)
        else:
            step = model.train_step if kind == "train" else model.test_step
            program = tf.function(_looped(step, model.get_metrics_result), jit_compile=True)
            # No step is run, so compiling is timed apart and, should it fail, has changed nothing.
            arguments = (*arguments[:-1], tf.constant(0))
        # Each program is traced once, on purpose; TensorFlow counts all of this line's as one function.
        program._omit_frequent_tracing_warning = True
        started = time.perf_counter()
        try:
            with _loop_friendly_dropout(model):
                program(*arguments)
        except Exception as error:
            if program_cache.discard():
                return self._compile(kind, *arguments)
            raise CompilationError(_reason(error)) from error
        finally:
            self.compile_seconds += time.perf_counter() - started
        return program  # type: ignore[no-any-return]


class PlainEpochs:
    """The same contract by Keras's own `fit`: for models that XLA cannot compile, and the tests' oracle."""

    compilations = 0

    def __init__(self, model: keras.Model, *, compile_seconds: float = 0.0) -> None:
        self.model = model
        self.compile_seconds = compile_seconds

    def train(self, samples: Samples, order: Array, batch: int) -> Logs:
        """One epoch over `samples` in `order`."""
        rows = tf.constant(order)
        x, y = _gather(samples.x, rows), _gather(samples.y, rows)
        stop = self.model.stop_training
        # Each fit would end by averaging the weights, if the optimizer does; that is for the run's end.
        with _replaced(self.model.optimizer, "finalize_variable_values", lambda variables: None):
            history = self.model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        self.model.stop_training = stop
        return _numbers({name: values[-1] for name, values in history.history.items()})

    def evaluate(self, samples: Samples) -> Logs:
        """Metrics of the model as it is, without training."""
        rows = tf.constant(samples.rows)
        x, y = _gather(samples.x, rows), _gather(samples.y, rows)
        logs = self.model.evaluate(x, y, batch_size=_even_batch(len(samples)), verbose=0, return_dict=True)
        return _numbers(logs)

    def predict(self, samples: Samples) -> Array:
        """The model's outputs, shape (samples, *output shape)."""
        x = _gather(samples.x, tf.constant(samples.rows))
        outputs: Array = self.model.predict(x, batch_size=_even_batch(len(samples)), verbose=0)
        return outputs


class Trainer:
    """One compiled Keras model with its compiled programs, shared by any number of runs.

    Everything that training changes is in `state`, so several runs can take turns on one trainer. A model
    that XLA cannot compile is trained by plain `fit`, and a warning says so.
    """

    def __init__(self, model: keras.Model, *, compiled: bool = True) -> None:
        if not model.compiled:
            raise ValueError("model must be compiled: call model.compile(optimizer, loss, metrics) first")
        self.model = model
        compiled = compiled and not model.run_eagerly
        self.epochs: CompiledEpochs | PlainEpochs = CompiledEpochs(model) if compiled else PlainEpochs(model)
        self._occupant: Run | None = None

    @property
    def variables(self) -> list[keras.Variable]:
        """All that training changes: weights, moving averages, random counters, optimizer slots."""
        return variables_of(self.model)

    @property
    def state(self) -> list[Array]:
        """A copy of the values of `variables`, in their order."""
        return [np.array(variable.numpy()) for variable in self.variables]

    @state.setter
    def state(self, values: Sequence[Array]) -> None:
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling so far."""
        return self.epochs.compile_seconds

    def build(self, samples: Samples) -> None:
        """Create every variable of model, metrics and optimizer, since a program cannot create any."""

        def batch(tensor: tf.Tensor) -> keras.KerasTensor:
            return keras.KerasTensor((None, *tensor.shape[1:]), tensor.dtype.name)

        self.model._symbolic_build(data_batch=tf.nest.map_structure(batch, (samples.x, samples.y)))
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)

    def train(self, samples: Samples, order: Array, batch: int) -> Logs:
        """One epoch; see `CompiledEpochs.train`."""
        return self._attempt(lambda: self.epochs.train(samples, order, batch))

    def evaluate(self, samples: Samples) -> Logs:
        """Loss and metrics of the present weights."""
        return self._attempt(lambda: self.epochs.evaluate(samples))

    def predict(self, samples: Samples) -> Array:
        """The present model's outputs, shape (samples, *output shape)."""
        return self._attempt(lambda: self.epochs.predict(samples))

    def average(self) -> None:
        """Replace the weights by their averages over the steps, if the optimizer keeps such."""
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def vacate(self) -> None:
        """Free the model for another use: the run whose state it holds keeps its state aside."""
        if self._occupant is not None:
            self._occupant.state = self.state
            self._occupant = None

    def seat(self, run: Run) -> None:
        """Make `run` the one whose state the model holds."""
        if self._occupant is run:
            return
        self.vacate()
        if run.state is not None:
            self.state = run.state
            run.state = None
        self._occupant = run

    def _attempt(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except CompilationError as error:
            logger.warning("XLA cannot compile this model, so plain fit trains it: %s", error)
            self.epochs = PlainEpochs(self.model, compile_seconds=self.compile_seconds)
            return action()


class Run:
    """One training run on a trainer, advanced an epoch at a time, so that runs can go in lockstep.

    `callbacks` are Keras callbacks; those of a batch are not called. Each epoch's order is drawn from
    (`seed`, epoch). With `initial_state` the run starts there, else from the state the trainer holds.
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
    ) -> None:
        self.trainer, self.samples, self.validation = trainer, samples, validation
        self.batch = len(samples) if batch_size == "full" else min(batch_size, len(samples))
        self.epochs, self.seed = epochs, seed
        self.epoch = 0
        self.finished = False
        self.train_seconds = 0.0
        self.state: Sequence[Array] | None = initial_state
        self._logs: Logs = {}
        self._enter()
        self.history = keras.callbacks.History()
        self._callbacks = keras.callbacks.CallbackList(
            [*callbacks, self.history],
            model=trainer.model,
            epochs=epochs,
            steps=-(-len(samples) // self.batch),
            verbose=0,
        )
        trainer.model.stop_training = False
        self._callbacks.on_train_begin()

    def advance(self) -> Logs:
        """Train one epoch, evaluate, call the callbacks; returns the epoch's logs (`val_` for validation)."""
        if self.finished:
            raise RuntimeError(f"the run has finished after {self.epoch} epochs")
        self._enter()
        model = self.trainer.model
        model.stop_training = False
        self._callbacks.on_epoch_begin(self.epoch)
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.samples.rows)
        compiling = self.trainer.compile_seconds
        started = time.perf_counter()
        logs = self.trainer.train(self.samples, order, self.batch)
        elapsed = time.perf_counter() - started
        self.train_seconds += elapsed - (self.trainer.compile_seconds - compiling)
        if self.validation is not None:
            validation = self.trainer.evaluate(self.validation)
            logs |= {f"val_{name}": value for name, value in validation.items()}
        self._callbacks.on_epoch_end(self.epoch, dict(logs))
        self.epoch += 1
        self._logs = logs
        if model.stop_training or self.epoch >= self.epochs:
            self.stop()
        return logs

    def stop(self) -> None:
        """End the run as early stopping would: the callbacks end their training."""
        if not self.finished:
            self._enter()
            self.trainer.average()
            self._callbacks.on_train_end(dict(self._logs))
            self.finished = True

    def evaluate(self, samples: Samples) -> Logs:
        """Loss and metrics of this run's present weights."""
        self._enter()
        return self.trainer.evaluate(samples)

    def predict(self, samples: Samples) -> Array:
        """Outputs of this run's present weights, shape (samples, *output shape)."""
        self._enter()
        return self.trainer.predict(samples)

    def _enter(self) -> None:
        self.trainer.seat(self)


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
) -> keras.callbacks.History:
    """Train a compiled Keras model as `model.fit` does, with every epoch one compiled program.

    Args:
        model: a compiled model; its weights are trained in place.
        x, y: arrays of equal length, or what the model takes (a dict or list of arrays).
        validation_data: `(x, y)` to evaluate after each epoch.
        batch_size: samples a step; `"full"` is batch gradient descent.
        epochs: passes over the data.
        callbacks: Keras callbacks, called for the run and each epoch, not for each batch.
        seed: fixes the order of samples in each epoch.

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
    trainer = Trainer(model)
    samples = Samples.of(x, y)
    validation = None if validation_data is None else Samples.of(*validation_data)
    trainer.build(samples)
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
    return run.history


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """Every variable that training a compiled and built model changes, except its metrics'."""
    listed = [*model.variables, *model.optimizer.variables]
    known = {id(variable) for variable in listed}
    # Nadam keeps a running product in a variable that it does not list.
    unlisted = [value for value in vars(model.optimizer).values() if isinstance(value, keras.Variable)]
    return listed + [variable for variable in unlisted if id(variable) not in known]


def _is_integer(value: object, *, at_least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= at_least


def _numbers(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs as Python numbers; a metric of several values, such as F1 of each class, stays an array."""
    return {name: np.asarray(value) if np.ndim(value) else float(value) for name, value in logs.items()}


def _reason(error: Exception) -> str:
    """The line of TensorFlow's message that tells most: where the model's own code raised, that error."""
    lines = str(error).strip().splitlines() or [""]
    raised = f"{type(error.__cause__ or error).__name__}: "
    return next((line.strip() for line in lines if line.strip().startswith(raised)), lines[0])


def _gather(data: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda array: tf.gather(array, rows), data)


def _even_batch(count: int) -> int:
    """The largest fair batch that leaves no short one, so that evaluation needs one program."""
    even = next(size for size in range(min(count, EVALUATION_BATCH), 0, -1) if count % size == 0)
    return even if even >= EVALUATION_BATCH // 8 else min(count, EVALUATION_BATCH)


def _looped(step: Callable[[Any], Any], result: Callable[[], Any]) -> Callable[..., Any]:
    def checked_step(batch: Any) -> None:
        # What a step of the user's own returns besides the metrics' results is lost in the loop.
        if set(step(batch)) != set(result()):
            raise ValueError("the model's step must return the results of its metrics")

    def loop(x: Any, y: Any, batches: tf.Tensor, count: tf.Tensor) -> Any:
        # Not tf.range(count): XLA takes its end for a constant and compiles again for each value.
        i = tf.constant(0)
        while i < count:
            checked_step((_gather(x, batches[i]), _gather(y, batches[i])))
            i += 1
        return result()

    return loop


def _batches(rows: Array, batch: int, steps: int) -> list[tuple[Array, int]]:
    """Cut rows into index matrices of (steps, batch) and, for a short last batch, one of (1, rest).

    The second of each pair is how many of the matrix's rows to use: the last matrix is padded, so that one
    program serves any number of batches.
    """
    whole = rows[: len(rows) // batch * batch].reshape(-1, batch)
    rest = rows[whole.size :].reshape(1, -1)
    pieces = []
    for start in range(0, len(whole), steps):
        matrix = whole[start : start + steps]
        pieces.append((np.pad(matrix, ((0, steps - len(matrix)), (0, 0))), len(matrix)))
    return [*pieces, (rest, 1)] if rest.size else pieces


@contextlib.contextmanager
def _replaced(target: object, name: str, value: Callable[..., Any]) -> Iterator[None]:
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)


@contextlib.contextmanager
def _loop_friendly_dropout(model: keras.Model) -> Iterator[None]:
    """Let Keras's own Dropout draw by threefry while it is traced.

    Its default generator makes a step inside an XLA loop on a CPU ten times slower.
    """
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if type(layer) is keras.layers.Dropout and 0 < layer.rate < 1:
                stack.enter_context(_replaced(layer, "call", _threefry_dropout(layer)))
        yield


def _threefry_dropout(layer: keras.layers.Dropout) -> Callable[..., Any]:
    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        shape = [
            given or actual
            for given, actual in zip(layer.noise_shape or inputs.shape, inputs.shape, strict=True)
        ]
        seed = tf.cast(tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1), tf.int32)
        draws = tf.random.stateless_uniform(shape, seed, dtype=inputs.dtype, alg="threefry")
        return tf.where(draws >= layer.rate, inputs / (1 - layer.rate), tf.zeros_like(inputs))

    return call
