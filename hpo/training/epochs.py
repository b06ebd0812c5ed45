"""One epoch of any compiled Keras model: as a compiled program, or by Keras's own `fit`.

Keras's `fit` spends most of a small model's step outside arithmetic. Here an epoch is one XLA program: a loop
over the rows of a shuffled index matrix that gathers each batch from the data on the device and calls the
model's own `train_step`. So optimizers, losses and metrics stay Keras's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.training.program_cache import CACHE

Array = np.ndarray[Any, Any]
Logs = dict[str, float]

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
        """A program that has been compiled, or loaded from those that are kept.

        XLA's error does not tell whether a kept program is damaged or the model cannot be compiled. A second
        attempt does: its program has another name, by which no kept one is found.
        """
        started = time.perf_counter()
        try:
            try:
                return self._compiled(kind, *arguments)
            except tf.errors.OpError:
                if not CACHE.is_open:
                    raise
            program = self._compiled(kind, *arguments)
            CACHE.note()
            if not CACHE.discard_damaged():
                CACHE.discard()
            return program
        except Exception as error:
            raise CompilationError(_reason(error)) from error
        finally:
            CACHE.note()
            self.compile_seconds += time.perf_counter() - started

    def _compiled(self, kind: str, *arguments: Any) -> Callable[..., Any]:
        """A new program that has been called once, which compiles it."""
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
        with _loop_friendly_dropout(model):
            program(*arguments)
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
