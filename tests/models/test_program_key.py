"""Program keys: equal for models that differ in strengths alone, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.models.fresh import seeded
from hpo.models.program_key import program_key
from hpo.models.strengths import strengths_of

layers, optimizers, regularizers = keras.layers, keras.optimizers, keras.regularizers


def key_of(build: Callable[..., keras.Model], *arguments: Any, seed: int = 0) -> Any:
    with seeded(seed):
        model = build(*arguments)
        if not model.compiled:
            model.compile("adam", "mse", metrics=[keras.metrics.MeanAbsoluteError(name="error")])
        model.optimizer.build(model.trainable_variables)
    return program_key(model)


def of(*parts: keras.Layer, shape: tuple[int, ...] = (4,)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts, layers.Flatten(), layers.Dense(2)])


def compiled(optimizer: Any = "adam", loss: Any = "mse", **more: Any) -> keras.Model:
    model = of()
    model.compile(optimizer, loss, **more)
    return model


# Layers of people's own


class Scaled(layers.Layer):
    """Says nothing of its factor in a configuration, as most people's layers."""

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


class Weighted(layers.Layer):
    def __init__(self, **of_weight: Any) -> None:
        super().__init__()
        self.made = lambda: self.add_weight(shape=(4,), **of_weight)

    def build(self, _shape: Any) -> None:
        self.weight = self.made()
        del self.made

    def call(self, inputs: Any) -> Any:
        return inputs * self.weight


class Held:
    def __init__(self, number: float) -> None:
        self.number = number

    def loss(self, y: Any, outputs: Any) -> Any:
        return self.number * keras.ops.mean(keras.ops.square(y - outputs))


class Untold(regularizers.Regularizer):
    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, weight: Any) -> Any:
        return self.strength * keras.ops.sum(weight)


class Falling(optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, step: Any) -> Any:
        return self.rate / (1 + keras.ops.cast(step, "float32"))


class Stepper(optimizers.SGD):
    def __init__(self, factor: float) -> None:
        super().__init__(0.1)
        self.factor = factor


class Subclassed(keras.Model):
    def __init__(self, factor: float = 1.0, rate: float = 0.5) -> None:
        super().__init__()
        self.factor, self.inner = factor, [layers.Dense(4), layers.Dropout(rate)]
        self.last = {"dense": layers.Dense(2)}

    def call(self, inputs: Any, training: bool = False) -> Any:
        for layer in self.inner:
            inputs = layer(inputs, training=training) if isinstance(layer, layers.Dropout) else layer(inputs)
        return self.last["dense"](inputs) * self.factor


def subclassed(*arguments: float) -> keras.Model:
    model = Subclassed(*arguments)
    model(np.zeros((1, 4), np.float32))
    return model


def scaling(factor: float) -> Callable[[Any], Any]:
    def scaled(inputs: Any) -> Any:
        return inputs * factor

    return scaled


def local(factor: float) -> keras.Model:
    class Local(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * factor

    return of(Local())


def joined(is_crossed: bool) -> keras.Model:
    inputs = keras.Input((4,))
    # Which says no configuration, so that Keras's own of the graph is not there.
    left, right = layers.Dense(4)(Scaled(2.0)(inputs)), layers.Dense(4)(inputs)
    return keras.Model(inputs, layers.Subtract()([right, left] if is_crossed else [left, right]))


def shared(is_shared: bool) -> keras.Model:
    inputs, one, other = keras.Input((4,)), layers.Dense(4), layers.Dense(4)
    return keras.Model(inputs, other(one(one(inputs) if is_shared else other(inputs))))


def frozen(which: int) -> keras.Model:
    model = of(layers.Dense(4), layers.Dense(4))
    model.layers[which].trainable = False
    return model


def excluded(names: list[str]) -> keras.Model:
    model = compiled(optimizers.AdamW(0.1, weight_decay=0.1))
    model.optimizer.exclude_from_weight_decay(var_names=names)
    return model


def by_operations(factor: float) -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(inputs * factor))


def adapted(mean: float) -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(np.full((3, 4), mean, np.float32) + np.arange(3, dtype=np.float32)[:, None])
    return of(normalization)


HELD = {"factor": 1.0}


def helper(inputs: Any) -> Any:
    return inputs * HELD["factor"]


class OfItsClass(layers.Layer):
    factor = 1.0

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


def by_a_global(factor: float, layer: Callable[[], layers.Layer]) -> keras.Model:
    HELD["factor"] = OfItsClass.factor = factor
    return of(layer())


OTHER_PROGRAMS: dict[str, tuple[Callable[..., keras.Model], Any, Any]] = {
    "units": (lambda units: of(layers.Dense(units)), 3, 4),
    "activation": (lambda name: of(layers.Dense(3, name)), "relu", "tanh"),
    "a function as activation": (lambda factor: of(layers.Dense(3, scaling(factor))), 1.0, 2.0),
    "a function with a default": (
        lambda factor: of(layers.Lambda(lambda inputs, by=factor: inputs * by)),
        1.0,
        2.0,
    ),
    "a named function of a Lambda": (lambda factor: of(layers.Lambda(scaling(factor))), 1.0, 2.0),
    "an integer for a float": (lambda factor: of(Scaled(factor)), 1, 1.0),
    "an attribute": (lambda factor: of(Scaled(factor)), 1.0, 2.0),
    "a class inside a function": (local, 1.0, 2.0),
    "a global in a list": (lambda f: by_a_global(f, lambda: layers.Lambda(helper)), 1.0, 2.0),
    "a function that is global": (
        lambda f: by_a_global(f, lambda: layers.Lambda(lambda inputs: (lambda one: helper(one))(inputs))),
        1.0,
        2.0,
    ),
    "an attribute of a class": (lambda f: by_a_global(f, OfItsClass), 1.0, 2.0),
    "an attribute of a model": (subclassed, 1.0, 2.0),
    "the order of a graph": (joined, True, False),
    "a layer that is shared": (shared, True, False),
    "what is frozen": (frozen, 0, 1),
    "an operation's number": (by_operations, 1.0, 2.0),
    "what was adapted to": (adapted, 1.0, 2.0),
    "a penalty at all": (lambda s: of(layers.Dense(3, kernel_regularizer=regularizers.L2(s))), 0.0, 0.1),
    "L1 and L2": (
        lambda kind: of(layers.Dense(3, kernel_regularizer=kind(0.1))),
        regularizers.L1,
        regularizers.L2,
    ),
    "a penalty on activities": (
        lambda s: of(layers.Dense(3, activity_regularizer=regularizers.L2(s))),
        0.1,
        0.2,
    ),
    "the same of a layer of one's own": (
        lambda s: of(Scaled(1.0, activity_regularizer=regularizers.L2(s))),
        0.1,
        0.2,
    ),
    "a penalty of one's own": (lambda s: of(layers.Dense(3, kernel_regularizer=Untold(s))), 0.1, 0.2),
    "beside one, the activation": (
        lambda name: of(layers.Dense(3, name, kernel_regularizer=Untold(0.1))),
        "relu",
        "tanh",
    ),
    "a weight's constraint": (
        lambda most: of(Weighted(constraint=keras.constraints.MaxNorm(most))),
        1.0,
        2.0,
    ),
    "a weight's penalty of one's own": (lambda s: of(Weighted(regularizer=Untold(s))), 0.1, 0.2),
    "dropout at all": (lambda rate: of(layers.Dropout(rate)), 0.0, 0.1),
    "whole maps": (lambda kind: of(kind(0.5), shape=(3, 4)), layers.Dropout, layers.SpatialDropout1D),
    "the shape of noise": (
        lambda shape: of(layers.Dropout(0.5, noise_shape=shape), shape=(3, 4)),
        None,
        (None, 1, 4),
    ),
    "noise": (lambda spread: of(layers.GaussianNoise(spread)), 0.1, 0.2),
    "dropout inside an LSTM": (lambda rate: of(layers.LSTM(3, dropout=rate), shape=(3, 4)), 0.1, 0.2),
    "an axis": (lambda axis: of(layers.BatchNormalization(axis=axis), shape=(4, 4)), 1, 2),
    "a precision": (lambda kind: of(layers.Dense(3, dtype=kind)), "float32", "bfloat16"),
    "an optimizer": (compiled, "sgd", "adam"),
    "an optimizer's number": (lambda beta: compiled(optimizers.Adam(0.1, beta_1=beta)), 0.8, 0.9),
    "an optimizer of one's own": (lambda factor: compiled(Stepper(factor)), 1.0, 2.0),
    "clipping": (lambda norm: compiled(optimizers.Adam(0.1, clipnorm=norm)), 1.0, 2.0),
    "a schedule": (
        lambda kind: compiled(optimizers.SGD(kind(0.1, 10, 0.5))),
        optimizers.schedules.ExponentialDecay,
        optimizers.schedules.InverseTimeDecay,
    ),
    "a schedule's stairs": (
        lambda stairs: compiled(
            optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 10, 0.5, staircase=stairs))
        ),
        True,
        False,
    ),
    "a schedule of one's own": (lambda rate: compiled(optimizers.SGD(Falling(rate))), 0.1, 0.2),
    "a rate that is a function": (lambda rate: compiled(optimizers.SGD(lambda: rate)), 0.1, 0.2),
    "weight decay at all": (lambda decay: compiled(optimizers.AdamW(0.1, weight_decay=decay)), 0.0, 0.1),
    "what does not decay": (excluded, ["bias"], ["kernel"]),
    "a loss": (lambda loss: compiled(loss=loss), "mse", "mae"),
    "a loss's number": (lambda delta: compiled(loss=keras.losses.Huber(delta)), 1.0, 2.0),
    "a method as loss": (lambda number: compiled(loss=Held(number).loss), 1.0, 2.0),
    "a metric": (lambda name: compiled(metrics=[name]), "mse", "mae"),
    "a function as metric": (
        lambda number: compiled(metrics=[lambda y, outputs: keras.ops.mean(y) * number]),
        1.0,
        2.0,
    ),
}

STRENGTHS: dict[str, tuple[Callable[..., keras.Model], Any, Any]] = {
    "dropout": (lambda rate: of(layers.Dense(3), layers.Dropout(rate)), 0.1, 0.9),
    "spatial dropout": (lambda rate: of(layers.SpatialDropout1D(rate), shape=(3, 4)), 0.1, 0.9),
    "L1 and L2": (
        lambda strength: of(layers.Dense(3, kernel_regularizer=regularizers.L1L2(strength, 2 * strength))),
        0.1,
        0.2,
    ),
    "L2 of a layer of one's own": (
        lambda strength: of(Weighted(regularizer=regularizers.L2(strength))),
        0.1,
        0.2,
    ),
    "learning rate": (lambda rate: compiled(optimizers.Adam(rate)), 0.1, 0.2),
    "weight decay": (lambda decay: compiled(optimizers.AdamW(0.1, weight_decay=decay)), 0.1, 0.2),
    "cosine": (
        lambda steps: compiled(optimizers.SGD(optimizers.schedules.CosineDecay(1 / steps, steps))),
        10,
        20,
    ),
    "dropout inside a model of one's own": (partial(subclassed, 1.0), 0.1, 0.2),
    "beside a class inside a function": (
        lambda rate: keras.Sequential([local(2.0), layers.Dropout(rate)]),
        0.1,
        0.2,
    ),
}  # fmt: skip

STILL_ONE: dict[str, Callable[[], keras.Model]] = {
    "convolution": lambda: of(
        layers.SeparableConv2D(3, 2), layers.GroupNormalization(3), layers.MaxPooling2D(), shape=(8, 8, 3)
    ),
    "augmentation": lambda: of(layers.RandomFlip(), layers.Resizing(4, 4), shape=(8, 8, 3)),
    "recurrent": lambda: of(
        layers.Bidirectional(layers.LSTM(3, dropout=0.1, return_sequences=True)),
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
        shape=(3, 4),
    ),
    "embedding": lambda: of(layers.Embedding(7, 3, mask_zero=True), layers.GRU(3)),
    "wrapped": lambda: of(layers.SpectralNormalization(layers.Dense(3)), layers.PReLU()),
    "by operations": lambda: by_operations(2.0),
    "Muon": lambda: compiled(optimizers.Muon(0.1)),
    "objects": lambda: compiled(
        "nadam", keras.losses.Huber(0.3), metrics=["mae", keras.metrics.F1Score(average="macro")]
    ),
    "subclassed": subclassed,
    "local": lambda: local(2.0),
}


@pytest.mark.parametrize("case", OTHER_PROGRAMS)
def test_what_changes_a_program_changes_its_key(case: str) -> None:
    build, one, other = OTHER_PROGRAMS[case]
    assert key_of(build, one) != key_of(build, other)


@pytest.mark.parametrize("case", STRENGTHS)
def test_strengths_do_not_change_a_key_and_are_found(case: str) -> None:
    build, one, other = STRENGTHS[case]
    first, second = key_of(build, one), key_of(build, other, seed=1)
    assert first == second
    assert hash(first) == hash(second)
    if case != "learning rate":  # which is a variable already
        models = []
        for value in (one, other):
            with seeded(0):
                model = build(value)
                if not model.compiled:
                    model.compile("adam", "mse")
            models.append([strength.value for strength in strengths_of(model)])
        assert models[0] != models[1]
        assert len(models[0]) == len(models[1]) > 0


@pytest.mark.parametrize("case", STILL_ONE)
def test_a_model_that_is_built_again_has_the_same_key(case: str) -> None:
    assert key_of(STILL_ONE[case]) == key_of(STILL_ONE[case], seed=1)


# Networks drawn at random: what each part is made of, and which number of it is a strength.
STRUCTURE = st.one_of(
    st.tuples(st.just("dense"), st.integers(1, 3), st.sampled_from(["relu", "tanh"]), st.booleans()),
    st.tuples(st.just("dropout"), st.just(0), st.just(""), st.just(False)),
    st.tuples(st.just("scaled"), st.integers(1, 2), st.just(""), st.booleans()),
    st.tuples(st.just("norm"), st.just(0), st.just(""), st.booleans()),
)
MODELS = st.tuples(st.lists(STRUCTURE, max_size=3), st.sampled_from(["sgd", "adam"]))


def drawn(model: Any, strength: float) -> keras.Model:
    parts, optimizer = model
    made: list[keras.Layer] = []
    for kind, number, name, flag in parts:
        if kind == "dense":
            penalty = regularizers.L2(strength) if flag else None
            made.append(layers.Dense(number, name, kernel_regularizer=penalty))
        elif kind == "dropout":
            made.append(layers.Dropout(strength))
        elif kind == "scaled":
            made.append(layers.Lambda(scaling(number)) if flag else Scaled(number))
        else:
            made.append(layers.BatchNormalization(center=flag))
    network = of(*made)
    network.compile(optimizer, "mse")
    network.optimizer.learning_rate = strength
    return network


@settings(max_examples=12, deadline=None)
@given(one=MODELS, other=MODELS, strengths=st.tuples(*[st.floats(0.01, 0.99)] * 2))
def test_keys_are_equal_exactly_if_the_structure_is(one: Any, other: Any, strengths: Any) -> None:
    first = key_of(drawn, one, strengths[0])
    assert first == key_of(drawn, one, strengths[1], seed=1)
    assert (first == key_of(drawn, other, strengths[0])) == (one == other)
