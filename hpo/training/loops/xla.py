"""The loop that is one XLA program an epoch: the least time a step for small steps, the most to compile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from hpo.training.loops.contract import CompilationError
from hpo.training.loops.naming import traced_as
from hpo.training.loops.programs import Graph, Program, ProgramLoop
from hpo.training.loops.replacing import replaced
from hpo.training.program_cache import CACHE
from hpo.training.randomness import for_xla, uniform
from hpo.training.samples import Samples


class XlaLoop(ProgramLoop):
    """Compiles an epoch's whole batches, once for each shape of data and batch.

    A short last batch, evaluation and prediction are graphs: they take a small part of the time, and each
    would be another program to compile.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        self._compiled: dict[tuple[Any, ...], Program] = {}

    @property
    def compilations(self) -> int:
        """See `Loop`."""
        return super().compilations + len(self._compiled)

    def _epoch_program(self, samples: Samples, batches: tf.Tensor) -> Program:
        key = samples.kind, samples.stored, *batches.shape
        if key not in self._compiled:
            graph = self._graph("train", samples, batches)
            try:
                program = self._prepared(lambda: self._compile(graph, samples, batches))
            except CompilationError:
                # XLA must know some sizes: how long the lists are that an LSTM's gradient is taken from.
                sized = self._graph_of_one_size("train", samples, batches)
                program = self._prepared(lambda: self._compile(sized, samples, batches))
            self._compiled[key] = program
        return self._compiled[key]

    def _compile(self, graph: Graph, samples: Samples, batches: tf.Tensor) -> Program:
        """A program that has been compiled, or loaded from those that are kept, by running no step of it.

        XLA's error does not tell whether a kept program is damaged or the model cannot be compiled. A second
        attempt does: its program has another name, by which no kept one is found.
        """
        if any(spec.dtype == tf.string for spec in tf.nest.flatten(samples.specs) if spec is not None):
            # XLA would end the process.
            raise TypeError("strings are no data for it")

        def epoch(*arguments: Any) -> Any:
            return graph.traced(*arguments)

        function = tf.function(epoch, autograph=False, jit_compile=True)
        arguments = samples.data, batches, tf.constant(0), tf.constant(0)

        def trace() -> Any:
            return function.get_concrete_function(*arguments)

        def compiled(program: Any) -> Program:
            program(*arguments)
            return program  # type: ignore[no-any-return]

        try:
            try:
                return compiled(traced_as(f"{graph.traced.name} {samples.stored} {batches.shape}", trace))
            except tf.errors.OpError:
                if not CACHE.is_open:
                    raise
            program = compiled(trace())
            CACHE.note()
            if not CACHE.discard_damaged():
                CACHE.discard()
            return program
        finally:
            CACHE.note()

    @contextlib.contextmanager
    def _tracing(self, kind: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if kind == "train":
                stack.enter_context(for_xla())
                stack.enter_context(_fused_dropout(self.model))
            yield


@contextlib.contextmanager
def _fused_dropout(model: keras.Model) -> Iterator[None]:
    """Let Keras's own Dropout draw as is best in a program of XLA's while it is traced.

    Its own generator makes a step inside an XLA loop on a CPU ten times slower.
    """
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            is_own = "call" in vars(layer)  # which has its rate in a variable, and draws so already
            if type(layer) is keras.layers.Dropout and 0 < layer.rate < 1 and not is_own:
                stack.enter_context(replaced(layer, "call", _dropout_call(layer)))
        yield


def _dropout_call(layer: keras.layers.Dropout) -> Callable[..., Any]:
    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        shape, given = tf.shape(inputs), layer.noise_shape or (None,) * inputs.shape.rank
        shape = [shape[axis] if size is None else size for axis, size in enumerate(given)]
        seed = tf.cast(tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1), tf.int32)
        draws = uniform(shape, seed, inputs.dtype)
        return tf.where(draws >= layer.rate, inputs / (1 - layer.rate), tf.zeros_like(inputs))

    return call
