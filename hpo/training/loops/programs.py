"""What the loops have in common that run a model's steps as programs, without coming back to Python."""

from __future__ import annotations

import contextlib
import json
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from hpo.training.loops.contract import EVALUATION_BATCH, BatchWatch, CompilationError, Loop, numbers
from hpo.training.loops.naming import traced_as
from hpo.training.samples import Array, Logs, Samples, gather

# Called with the data, an index matrix of (steps, batch), and the first of its rows to use and the one after
# the last; a prediction's with the inputs and the rows. Returns metrics since they were reset, or outputs.
Program = Callable[..., Any]
Prepared = TypeVar("Prepared")
# With these inside, a step is not run operation by operation.
CONTROL_FLOW = re.compile("If|While|Case|For|Call|PyFunc")
FUSED_OUTSIDE = re.compile("Conv|Pool")
IN_ONE_THREAD = "SINGLE_THREADED_EXECUTOR"


class Graph:
    """A step of a model that is traced, and run operation by operation where that can be.

    To schedule the 400 operations of a small step over threads costs as much as they do: an epoch of a
    64-128-64-10 network takes 4.6 ms in place of 9.8 with SGD, 10.6 in place of 20.3 with Adam and dropout.
    An operation itself still takes all threads that it may. Not so a step with a branch inside, as
    accumulated gradients and an LSTM have: that executor would wait for a thread that it holds itself. Nor
    one with convolutions: TensorFlow rewrites them for oneDNN only in loops that are taken apart for its
    threads (12.7 ms a step of a network of two, in place of 25).
    """

    def __init__(self, identity: str, trace: Callable[[], Any]) -> None:
        def traced(executor: str) -> Any:
            # A loop is built for its executor.
            with context.function_executor_type(executor):
                return trace()

        self._executor = IN_ONE_THREAD
        self.traced = traced_as(identity, lambda: traced(self._executor))
        if not _is_plain(self.traced):
            self._executor = ""
            self.traced = traced_as(f"{identity} over threads", lambda: traced(self._executor))

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        with context.function_executor_type(self._executor):
            return self.traced(*arguments)


def _is_plain(traced: Any) -> bool:
    """Whether the loop of a function has neither loops, branches or functions inside nor convolutions."""
    steps = traced.graph.as_graph_def().library.function
    operations = {node.op for step in steps for node in step.node_def}
    return not any(CONTROL_FLOW.search(name) or FUSED_OUTSIDE.search(name) for name in operations)


class ProgramLoop(Loop):
    """Cuts an epoch into batches, traces a model's steps, and runs what has been made of them.

    A step is traced once for batches of any size, unless the model takes only those of one.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        self._graphs: dict[tuple[Any, ...], Graph | None] = {}
        self._blank_metrics: list[tuple[keras.Variable, tf.Tensor]] = []

    @property
    def compilations(self) -> int:
        """See `Loop`."""
        return sum(graph is not None for graph in self._graphs.values())

    @abstractmethod
    def _epoch_program(self, samples: Samples, batches: tf.Tensor) -> Program:
        """What trains on an epoch's whole batches."""

    def train(self, samples: Samples, order: Array, batch: int, watch: BatchWatch | None = None) -> Logs:
        """See `Loop`."""
        whole, *rest = _matrices(order, batch)
        pieces = [(self._epoch_program(samples, whole), whole)]
        pieces += [(self._graph("train", samples, matrix), matrix) for matrix in rest]
        return self._run(pieces, samples, watch)

    def evaluate(
        self, samples: Samples, watch: BatchWatch | None = None, batch: int = EVALUATION_BATCH
    ) -> Logs:
        """See `Loop`."""
        matrices = _matrices(samples.rows, batch)
        return self._run(
            [(self._graph("test", samples, matrix), matrix) for matrix in matrices], samples, watch
        )

    def predict(self, samples: Samples) -> Any:
        """See `Loop`."""
        parts = []
        for start in range(0, len(samples), EVALUATION_BATCH):
            rows = tf.constant(samples.rows[start : start + EVALUATION_BATCH])
            outputs = self._graph("predict", samples, rows)(samples.data, rows)
            parts.append(tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs))
        return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)

    def _run(
        self, pieces: Sequence[tuple[Program, tf.Tensor]], samples: Samples, watch: BatchWatch | None
    ) -> Logs:
        self._reset_metrics()
        data, logs = samples.data, Logs()
        step = 0
        for program, batches in pieces:
            count = int(batches.shape[0])
            if watch is None:
                logs = program(data, batches, tf.constant(0), tf.constant(count))
                continue
            for row in range(count):
                watch.begin(step)
                logs = numbers(program(data, batches, tf.constant(row), tf.constant(row + 1)))
                if not watch.end(step, logs):
                    return logs
                step += 1
        return numbers(logs)

    def _reset_metrics(self) -> None:
        """What the model's own does, which takes a tenth of a small network's epoch."""
        variables = self.model.metrics_variables
        if not all(type(metric).__module__.startswith("keras.") for metric in self.model.metrics):
            self.model.reset_metrics()
        elif [id(variable) for variable in variables] != [
            id(variable) for variable, _ in self._blank_metrics
        ]:
            self.model.reset_metrics()
            self._blank_metrics = [(variable, tf.constant(variable.numpy())) for variable in variables]
        else:
            for variable, value in self._blank_metrics:
                variable.value.assign(value, read_value=False)

    def _graph(self, kind: str, samples: Samples, rows: tf.Tensor) -> Graph:
        """The graph of a step, "train", "test" or "predict", for samples like these.

        Raises:
            CompilationError: it cannot be traced; nothing has been run.
        """
        any_size = kind, samples.kind
        if any_size not in self._graphs:
            specs = samples.specs, tf.TensorSpec((None,) * rows.shape.rank, rows.dtype)
            try:
                self._graphs[any_size] = self._prepared(lambda: self._traced(kind, specs))
            except CompilationError:
                # Its batches are of one size, or it reads their size in Python, or nothing can be traced.
                self._graphs[any_size] = None
        if (graph := self._graphs[any_size]) is not None:
            return graph
        return self._graph_of_one_size(kind, samples, rows)

    def _graph_of_one_size(self, kind: str, samples: Samples, rows: tf.Tensor) -> Graph:
        """As `_graph`, with the number of steps and the size of a batch known as it is traced."""
        one_size = kind, samples.kind, tuple(rows.shape)
        if one_size not in self._graphs:
            specs = samples.specs, tf.TensorSpec(rows.shape, rows.dtype)
            self._graphs[one_size] = self._prepared(lambda: self._traced(kind, specs))
        graph = self._graphs[one_size]
        assert graph is not None
        return graph

    def _prepared(self, prepare: Callable[[], Prepared]) -> Prepared:
        """What `prepare` makes, timed as compiling, whatever goes wrong a CompilationError."""
        started = time.perf_counter()
        try:
            return prepare()
        except Exception as error:
            raise CompilationError(_reason(error)) from error
        finally:
            self.compile_seconds += time.perf_counter() - started

    def _traced(self, kind: str, specs: tuple[Any, ...]) -> Graph:
        if kind != "predict":
            specs = (*specs, _NUMBER, _NUMBER)

        def trace() -> Any:
            with self._tracing(kind):
                return tf.function(self._body(kind), autograph=False).get_concrete_function(*specs)

        return Graph(f"{kind} {specs} {_identity(self.model)}", trace)

    def _tracing(self, kind: str) -> AbstractContextManager[None]:
        """What holds while a step of this kind is traced."""
        return contextlib.nullcontext()

    def _body(self, kind: str) -> Program:
        model = self.model
        if kind == "predict":
            return lambda data, rows: model.predict_step((gather(data[0], rows),))
        step = model.train_step if kind == "train" else model.test_step

        def epoch(data: Any, batches: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Any:
            def one_step(row: tf.Tensor) -> tuple[tf.Tensor]:
                # What a step of the user's own returns besides the metrics' results is lost in the loop.
                if set(step(gather(data, batches[row]))) != set(model.get_metrics_result()):
                    raise ValueError("the model's step must return the results of its metrics")
                return (row + 1,)

            tf.while_loop(lambda row: row < stop, one_step, (start,), parallel_iterations=1)
            return model.get_metrics_result()

        return epoch


_NUMBER = tf.TensorSpec((), tf.int32)


def _matrices(rows: Array, batch: int) -> list[tf.Tensor]:
    """Cut rows into an index matrix of (steps, batch) and, for a short last batch, one of (1, rest)."""
    batch = min(batch, len(rows))
    whole = rows[: len(rows) // batch * batch]
    rest = rows[len(whole) :]
    parts = [whole.reshape(-1, batch), *([rest.reshape(1, -1)] if rest.size else [])]
    return [tf.constant(part) for part in parts]


def _identity(model: keras.Model) -> str:
    """What tells a model's programs from another one's, as far as it can be told without tracing.

    How it was compiled is left out: a learning rate is a variable.
    """
    try:
        described = json.loads(model.to_json())
        described.pop("compile_config", None)
        return f"{type(model.optimizer).__name__} {json.dumps(described)}"
    except Exception:  # a model of somebody's own, which says nothing of itself
        shapes = [(variable.path, *variable.shape) for variable in model.variables]
        return json.dumps([type(model).__qualname__, shapes])


def _reason(error: Exception) -> str:
    """The line of TensorFlow's message that tells most: where the model's own code raised, that error."""
    lines = str(error).strip().splitlines() or [""]
    raised = f"{type(error.__cause__ or error).__name__}: "
    return next((line.strip() for line in lines if line.strip().startswith(raised)), lines[0])
