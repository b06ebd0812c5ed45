"""What tells the program of one Keras model from that of another: equal keys, the same program.

Two models that a person's function has built are alike if they differ in their strengths and in the values of
their variables alone. A key is made of the objects themselves and not of what they say in `get_config`: that
is missing for many, and names a function without what it has closed over. Whatever this cannot see through
counts as another program: better to compile once more than to train a model by another one's program.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import sys
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.ops.node import Node
from keras.src.utils.tracking import Tracker

from hpo.models.strengths import PENALTIES, SCHEDULES, is_rate

SCALARS = (bool, int, float, complex, str, bytes, type(None), type(...), np.generic, np.dtype, tf.DType)
# Whose classes nobody changes, and what a function's globals name and do not change by.
LIBRARIES = frozenset(("hpo", "keras", "numpy", "tensorflow", *sys.stdlib_module_names))
SAME = (types.ModuleType, logging.Logger)
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
# What of that which Keras notes in every layer and model shapes the program.
SHAPING = frozenset(
    (
        "_dtype_policy", "activity_regularizer", "autocast", "_convert_input_args", "_remat_mode",
        "_supports_masking", "_trainable", "_allow_non_tensor_positional_args",
    )
)  # fmt: skip
# What it notes in models alone; their graphs are described for themselves.
OF_GRAPH = frozenset(
    (
        "_compile_config", "_compiled_trainable_state", "_functional", "_inputs", "_inputs_struct", "_nodes",
        "_nodes_by_depth", "_operations", "_operations_by_depth", "_outputs", "_outputs_struct", "optimizer",
        "output_names", "seed", "stop_training",
    )
)  # fmt: skip
# And of what it notes in every optimizer.
SHAPING_OPTIMIZERS = frozenset(
    (
        "clipnorm", "clipvalue", "ema_momentum", "ema_overwrite_frequency", "global_clipnorm",
        "gradient_accumulation_steps", "loss_scale_factor", "use_ema",
    )
)  # fmt: skip
# Of a class: what Python notes in every one.
OF_CLASS = ("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__")


# Not as this is imported: a model's variables would begin TensorFlow's devices before they are set up.
@functools.cache
def _dropped() -> frozenset[str]:
    """What Keras notes in a layer or a model that says nothing of its program."""
    noted = frozenset(vars(keras.layers.Layer())) | frozenset(vars(keras.Model()))
    return (noted - SHAPING) | OF_GRAPH


@functools.cache
def _noted_in_optimizers() -> frozenset[str]:
    return frozenset(vars(keras.optimizers.Optimizer(1.0)))


def program_key(model: keras.Model) -> Hashable:
    """The key of a compiled and built model, to be taken before its strengths are lifted."""
    description, parts = _Description(), model._flatten_layers()
    compiled = {name: value for name, value in model._compile_config.config.items() if name != "optimizer"}
    return (
        description.numbered(model.variables, description.variable),
        tuple(map(description.of, model.trainable_variables)),
        description.numbered(parts, description.layer),
        tuple(description.graph(part) for part in parts if _is_graph(part)),
        description.optimizer(model.optimizer, model.trainable_variables),
        description.of(compiled),
    )


class _Itself:
    """Something that nothing is known of: equal to nothing. Held, so that its identity stays its own."""

    def __init__(self, held: object) -> None:
        self.held = held


class _Description:
    """Of everything that one model holds; of what it holds in several places once, and then by its number."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        # Or another object would come to have the identity of one that is gone.
        self._held: list[object] = []
        self._penalties: set[int] = set()

    def numbered(self, things: list[Any], describe: Callable[[Any], Hashable]) -> Hashable:
        """Each of them in full; all have their numbers before the first one is described."""
        for thing in things:
            self._number(thing)
        return tuple(map(describe, things))

    def of(self, value: Any) -> Hashable:
        """What a value is, down to the numbers in it; an object of unknown kind is equal to nothing."""
        if isinstance(value, SCALARS):
            # Each has a type of its own: 1, 1.0 and True are equal to Python. So are 0.0 and -0.0.
            return type(value), repr(value) if isinstance(value, float) else value
        if isinstance(value, np.ndarray):
            return value.dtype.str, value.shape, _Itself(value) if value.dtype.hasobject else value.tobytes()
        if isinstance(value, tuple):
            return type(value), tuple(map(self.of, value))
        if id(value) in self._numbers:
            return "again", self._numbers[id(value)]
        self._number(value)
        for kind, describe in KINDS:
            if isinstance(value, kind):
                return describe(self, value)
        return self._object(value)

    def variable(self, variable: Any) -> Hashable:
        """A variable of Keras's, without its value."""
        regularizer = getattr(variable, "regularizer", None)
        penalty: Hashable
        if type(regularizer) in PENALTIES:
            self._penalties.add(id(regularizer))
            strengths = (float(getattr(regularizer, name, 0.0)) for name in ("l1", "l2"))
            penalty = (type(regularizer), *(strength > 0 for strength in strengths))
        else:
            penalty = self.of(regularizer)
        rest = self.of((variable.trainable, getattr(variable, "constraint", None)))
        return "variable", tuple(variable.shape), str(variable.dtype), penalty, rest

    def layer(self, layer: Any) -> Hashable:
        """A layer, a model, or another operation of a graph."""
        is_kerass, rate = _is_keras(type(layer)), is_rate(layer)
        held = []
        for name, value in _attributes(layer).items():
            if name in _dropped() and not (name == "seed" and not is_kerass):
                continue
            of_weights = name.endswith("regularizer") and not name.endswith("activity_regularizer")
            if of_weights and (is_kerass or id(value) in self._penalties):
                continue  # the variables say it
            held.append((name, "some" if rate and name == "rate" else self.of(value)))
        return self.of(type(layer)), tuple(held)

    def graph(self, model: Any) -> Hashable:
        """What is called with what in a functional model."""
        graph = getattr(model, "_functional", None) or model
        places = {id(operation): place for place, operation in enumerate(graph.operations)}

        def tensor(value: Any) -> Hashable:
            operation, node, index = value._keras_history
            return "tensor", places.get(id(operation), -1), node, index

        def argument(value: Any) -> Hashable:
            return tensor(value) if isinstance(value, keras.KerasTensor) else self.of(value)

        def call(node: Node) -> Hashable:
            given = node.arguments.args, node.arguments.kwargs
            return repr(tf.nest.map_structure(lambda _: 0, given)), tuple(
                map(argument, tf.nest.flatten(given))
            )

        return (
            tuple(
                (self.of(operation), tuple(call(node) for node in operation._inbound_nodes))
                for operation in graph.operations
            ),
            *(
                (repr(tf.nest.map_structure(lambda _: 0, ends)), tuple(map(tensor, tf.nest.flatten(ends))))
                for ends in (graph._inputs_struct, graph._outputs_struct)
            ),
        )

    def optimizer(self, optimizer: Any, trained: list[Any]) -> Hashable:
        """An optimizer without its learning rate and the strength of its weight decay."""
        schedule, decay = getattr(optimizer, "_learning_rate", None), getattr(optimizer, "weight_decay", None)
        held = {
            name: value
            for name, value in _attributes(optimizer).items()
            if name not in _noted_in_optimizers() - SHAPING_OPTIMIZERS
            and not name.startswith("_exclude_from_weight_decay")
        }
        decays = isinstance(decay, int | float) and decay > 0
        return (
            self.of(type(optimizer)),
            "some" if decays else self.of(decay),
            tuple(map(optimizer._use_weight_decay, trained)) if decays else None,
            None if isinstance(schedule, keras.Variable) else self.of(schedule),
            self.of(held),
        )

    def schedule(self, schedule: Any) -> Hashable:
        """A learning rate's schedule, without the numbers of it that are strengths."""
        lifted = SCHEDULES.get(type(schedule), ())
        held = {name: "some" if name in lifted else value for name, value in _attributes(schedule).items()}
        return self.of(type(schedule)), self.of(held)

    def function(self, function: Any) -> Hashable:
        """A function by what it does: its code, its defaults, what it has closed over, and what is global."""
        if isinstance(function, types.BuiltinFunctionType):
            known = function.__self__ is None or isinstance(function.__self__, types.ModuleType)
            return "builtin", function.__module__, function.__qualname__, None if known else _Itself(function)
        named = function.__module__, function.__qualname__
        cells = tuple(map(_content, function.__closure__ or ()))
        if str(function.__module__).split(".")[0] in ("keras", "tensorflow"):
            return "function", named, self.of(cells)
        known = function.__globals__
        used = [(name, known[name]) for name in sorted(_names(function.__code__)) if name in known]
        globals_ = tuple((name, self.of(v)) for name, v in used if not isinstance(v, SAME))
        # Code is equal for the same text at the same line.
        held = function.__defaults__, function.__kwdefaults__, cells, vars(function)
        return "function", named, function.__code__, globals_, self.of(held)

    def type(self, kind: type) -> Hashable:
        """A class; one of a person's own by what it is made of, as its attributes may be set anew."""
        is_local = "<locals>" in kind.__qualname__
        if not is_local and kind.__module__.split(".")[0] in LIBRARIES:
            return kind
        held = tuple((name, self.of(value)) for name, value in vars(kind).items() if name not in OF_CLASS)
        bases = tuple(map(self.of, kind.__bases__))
        return "class", kind.__module__, kind.__qualname__, None if is_local else kind, bases, held

    def mapping(self, mapping: Mapping[Any, Any]) -> Hashable:
        """Its keys and values, in their order."""
        return "mapping", tuple((self.of(key), self.of(value)) for key, value in mapping.items())

    def tensor(self, tensor: Any) -> Hashable:
        """A constant."""
        return ("constant", self.of(tensor.numpy())) if hasattr(tensor, "numpy") else _Itself(tensor)

    def _object(self, value: Any) -> Hashable:
        kind = type(value)
        if dataclasses.is_dataclass(value):
            held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self.of(kind), self.of(held)
        # What an object of a class of Python's does follows from its attributes.
        if hasattr(value, "__dict__") and not any(map(_is_opaque, kind.__mro__)):
            return self.of(kind), self.of(_attributes(value))
        return _Itself(value)

    def _number(self, thing: object) -> None:
        self._numbers[id(thing)] = len(self._numbers)
        self._held.append(thing)


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code, and that of functions inside it, may look up globally."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


KINDS: tuple[tuple[Any, Callable[[_Description, Any], Hashable]], ...] = (
    (type, _Description.type),
    (keras.Variable, _Description.variable),
    (keras.Operation, _Description.layer),
    (keras.optimizers.Optimizer, lambda d, inner: d.optimizer(inner, inner._trainable_variables)),
    (keras.KerasTensor, lambda _, tensor: ("symbol", tuple(tensor.shape), str(tensor.dtype))),
    # What they begin with is a value of a variable.
    (keras.initializers.Initializer, lambda _, initializer: "initializer"),
    (keras.random.SeedGenerator, lambda _, generator: "generator"),
    (Tracker, lambda _, tracker: "tracker"),
    (keras.optimizers.schedules.LearningRateSchedule, _Description.schedule),
    (Mapping, _Description.mapping),
    (list, lambda description, values: ("list", tuple(map(description.of, values)))),
    ((set, frozenset), lambda description, values: ("set", frozenset(map(description.of, values)))),
    (FUNCTIONS, _Description.function),
    (types.MethodType, lambda d, method: ("method", d.of(method.__func__), d.of(method.__self__))),
    (functools.partial, lambda d, part: ("partial", *map(d.of, (part.func, part.args, part.keywords)))),
    (property, lambda d, value: ("property", *map(d.of, (value.fget, value.fset, value.fdel)))),
    ((staticmethod, classmethod), lambda d, value: (type(value), d.of(value.__func__))),
    (types.ModuleType, lambda _, module: ("module", module.__name__)),
    (tf.TensorShape, lambda _, shape: ("shape", str(shape))),
    (tf.Tensor, _Description.tensor),
)


def _is_keras(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "keras"


def _attributes(thing: object) -> dict[str, Any]:
    """What an object holds, without what TensorFlow notes in it to save it."""
    return {name: value for name, value in vars(thing).items() if not name.startswith("_self_")}


def _is_graph(part: Any) -> bool:
    graph = getattr(part, "_functional", None) or part
    return isinstance(part, keras.Model) and hasattr(graph, "_outputs_struct")


def _is_opaque(kind: type) -> bool:
    """Whether objects of a class, or of one below it, hold more than their attributes."""
    is_heap_type = bool(kind.__flags__ & (1 << 9))
    return kind is not object and (not is_heap_type or bool(vars(kind).get("__slots__")))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return "empty"
