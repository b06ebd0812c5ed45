"""What tells the program of one Keras model from that of another: equal keys, the same program.

Two models that a person's function has built are alike if they differ in their strengths and in the values of
their variables alone. Whatever this cannot see through counts as another program: better to compile once
more than to train a model by another one's program.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.utils.tracking import Tracker

from hpo.models.strengths import DROPOUTS, PENALTIES, SCHEDULES

SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
DEEPEST = 12
OF_DROPOUT = frozenset(kind.__name__ for kind in DROPOUTS)
OF_PENALTY = frozenset(kind.__name__ for kind in PENALTIES)
OF_SCHEDULE = {kind.__name__: names for kind, names in SCHEDULES.items()}
# Of an optimizer: what holds variables or is one.
OF_OPTIMIZER = ("learning_rate", "weight_decay", "name")


class _Itself:
    """Something that nothing is known of: equal to nothing. Held, so that its identity stays its own."""

    def __init__(self, held: object) -> None:
        self.held = held


def program_key(model: keras.Model) -> Hashable:
    """The key of a compiled and built model, to be taken before its strengths are lifted."""
    compiled = {name: value for name, value in model._compile_config.config.items() if name != "optimizer"}
    shapes = tuple((tuple(variable.shape), str(variable.dtype)) for variable in model.variables)
    trained = tuple(variable.shape for variable in model.trainable_variables)
    return (
        _layers(model),
        shapes,
        trained,
        _optimizer(model.optimizer),
        _described(compiled, 0),
    )


def _layers(model: keras.Model) -> Hashable:
    parts = model._flatten_layers()
    own = tuple(_of_own(part) for part in parts if not _is_keras(type(part)))
    try:
        return own, _walked(keras.saving.serialize_keras_object(model))
    except Exception:  # a layer of somebody's own that says nothing of itself
        return own, tuple(_config(part) for part in parts if part is not model)


def _config(layer: keras.Layer) -> Hashable:
    kind: tuple[Any, ...] = (type(layer),)
    try:
        return kind, _walked(keras.saving.serialize_keras_object(layer))
    except Exception:
        # Its class and its attributes are described already, and what it is made of for itself.
        return kind


def _walked(config: Any) -> Hashable:
    """A configuration without what is a strength or a value of a variable."""
    if isinstance(config, Mapping):
        module, name = str(config.get("module")), config.get("class_name")
        values = config.get("config")
        if isinstance(values, Mapping):
            if module == "keras.initializers":
                return "initializer"
            if module == "keras.regularizers" and name in OF_PENALTY:
                return name, values.get("l1", 0) > 0, values.get("l2", 0) > 0
            if module == "keras.layers" and name in OF_DROPOUT and 0 < values.get("rate", 0) < 1:
                config = {**config, "config": {**values, "rate": "some"}}
            if module.startswith("keras.optimizers") and name in OF_SCHEDULE:
                numbers = dict.fromkeys(OF_SCHEDULE[name], "some")
                config = {**config, "config": {**values, **numbers}}
        dropped = {"compile_config", "seed"}
        return tuple((key, _walked(value)) for key, value in config.items() if key not in dropped)
    if isinstance(config, list | tuple):
        return tuple(map(_walked, config))
    if isinstance(config, np.ndarray):
        return config.shape, config.tobytes()
    return (type(config), config) if isinstance(config, SCALARS) else _Itself(config)


def _optimizer(optimizer: keras.optimizers.Optimizer) -> Hashable:
    if not _is_keras(type(optimizer)):
        return type(optimizer), _of_own(optimizer)
    config = optimizer.get_config()
    schedule = optimizer._learning_rate
    rest = {name: value for name, value in config.items() if name not in OF_OPTIMIZER}
    is_scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    return (
        type(optimizer),
        bool(config.get("weight_decay")),
        (type(schedule), _walked(keras.saving.serialize_keras_object(schedule))) if is_scheduled else None,
        _walked(keras.saving.serialize_keras_object(rest)),
    )


def _is_keras(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "keras"


def _of_own(part: Any) -> Hashable:
    """The class and the attributes of a layer, model or optimizer that is not of Keras."""
    plain = vars(keras.Model() if isinstance(part, keras.Model) else keras.layers.Layer())
    held = {name: value for name, value in vars(part).items() if name not in plain}
    return type(part), _described(held, 1)


def _described(value: Any, depth: int) -> Hashable:
    """What a value is, down to the numbers in it; an object of unknown kind is equal to nothing."""
    if isinstance(value, SCALARS):
        return type(value), value
    if isinstance(value, type):
        return value
    if depth > DEEPEST:
        return _Itself(value)
    for kind, describe in KINDS:
        if isinstance(value, kind):
            return describe(value, depth)
    if callable(value) and (code := _code(value, depth)) is not None:
        return code
    if hasattr(value, "__dict__") and (_is_keras(type(value)) or hasattr(value, "get_config")):
        return type(value), _described(vars(value), depth + 1)
    return _Itself(value)


def _items(values: Any, depth: int) -> Hashable:
    return "items", tuple(_described(item, depth + 1) for item in values)


# Layers and generators are described for themselves, and what tracks them for Keras says nothing more.
KINDS: tuple[tuple[Any, Callable[[Any, int], Hashable]], ...] = (
    (np.ndarray, lambda array, depth: (array.dtype.str, array.shape, array.tobytes())),
    (Mapping, lambda mapping, depth: ("mapping", _items(mapping.items(), depth))),
    ((list, tuple, set, frozenset), _items),
    (keras.Variable, lambda variable, depth: ("variable", tuple(variable.shape), str(variable.dtype))),
    ((keras.Layer, keras.random.SeedGenerator, Tracker), lambda part, depth: ("part", type(part))),
)


def _code(function: Any, depth: int) -> Hashable | None:
    """A function by what it does: its code, defaults and what it has closed over; None if it is none."""
    if isinstance(function, functools.partial):
        parts = (function.func, function.args, function.keywords)
        return "partial", tuple(_described(part, depth + 1) for part in parts)
    if isinstance(function, types.MethodType):
        return "method", _described(function.__func__, depth + 1), type(function.__self__)
    if isinstance(function, types.BuiltinFunctionType):
        return "builtin", function.__module__, function.__qualname__
    if not isinstance(function, types.FunctionType):
        return None
    if function.__module__.split(".")[0] in ("keras", "tensorflow"):
        return "function", function.__module__, function.__qualname__
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    return (
        "function",
        function.__module__,
        function.__qualname__,
        # Equal for the same text at the same line.
        function.__code__,
        _described((function.__defaults__, function.__kwdefaults__, cells), depth + 1),
    )
