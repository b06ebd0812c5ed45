"""`hpo.fit` takes what `model.fit` takes, or says in one line why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import hpo
from tests.marks import often
from tests.training.models import (
    BATCH,
    CLASSES,
    FEATURES,
    HELD,
    HELD_OUT,
    OFTEN,
    SAMPLES,
    TRAIN,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    X,
    Y,
    from_start,
    mlp,
)

WEIGHTS = np.random.default_rng(3).random(SAMPLES + HELD_OUT)
ONE_HOT = keras.utils.to_categorical(Y, CLASSES)
Options = dict[str, Any]


def assert_equal_to_keras(model: str, loop: str, x: Any, y: Any = None, **options: Any) -> None:
    """The logs and weights of `model.fit` with the same arguments, in the order of the data."""
    options = {"epochs": 2, "batch_size": BATCH, "shuffle": False} | options
    ours, kerass = from_start(model, loop), from_start(model, "keras")
    history = hpo.fit(ours, x, y, loop=loop, **options).history
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        options.pop("batch_size")
    wanted = kerass.fit(x, y, verbose=0, **options).history
    assert sorted(history) == sorted(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(history[name], values, atol=1e-5, rtol=1e-5, err_msg=name)
    for index, pair in enumerate(zip(ours.get_weights(), kerass.get_weights(), strict=True)):
        np.testing.assert_allclose(*pair, atol=1e-5, rtol=0, err_msg=f"weights {index}")


def nested(rows: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    x, y = X[rows], Y[rows]
    return {"left": x[:, :2], "right": x[:, 2:]}, {"label": y, "sum": x.sum(axis=1, keepdims=True)}


# Weights, and a part to validate with

WEIGHTED: dict[str, tuple[str, Callable[[], Options]]] = {
    "samples": ("weighted", lambda: {"x": X_TRAIN, "y": Y_TRAIN, "sample_weight": WEIGHTS[TRAIN]}),
    "samples, split": (
        "weighted",
        lambda: {"x": X, "y": Y, "sample_weight": WEIGHTS, "validation_split": 0.3},
    ),
    "validation": (
        "weighted",
        lambda: {"x": X_TRAIN, "y": Y_TRAIN, "validation_data": (X_HELD, Y_HELD, WEIGHTS[HELD])},
    ),
    "classes, split": (
        "column",
        lambda: {"x": X, "y": Y[:, None], "class_weight": {0: 3.0, 2: 0.2}, "validation_split": 0.3},
    ),
    "classes, one-hot": ("one-hot", lambda: {"x": X, "y": ONE_HOT, "class_weight": {0: 3.0, 1: 0.2}}),
    "each output": (
        "two outputs",
        lambda: (
            dict(zip("xy", nested(TRAIN), strict=True))
            | {"sample_weight": {"label": WEIGHTS[TRAIN], "sum": WEIGHTS[TRAIN] ** 2}}
        ),
    ),
    "all outputs, split": (
        "two outputs",
        lambda: (
            dict(zip("xy", nested(np.arange(len(X))), strict=True))
            | {"sample_weight": WEIGHTS, "validation_split": 0.3, "validation_batch_size": 7}
        ),
    ),
}


@pytest.mark.parametrize("loop", OFTEN)
@pytest.mark.parametrize(
    "case", often({"samples, split", "classes, split", "validation", "each output"}, WEIGHTED)
)
def test_weighted_losses_and_metrics_are_kerass(case: str, loop: str) -> None:
    model, options = WEIGHTED[case]
    assert_equal_to_keras(model, loop, **options())


@pytest.mark.long
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    weighted=st.sampled_from([None, "samples", "classes"]),
    split=st.sampled_from([0.0, 0.1, 0.34, 0.5, 0.9]),
    held=st.booleans(),
    batch=st.integers(1, 70),
    frequency=st.sampled_from([1, 2, [2], [1, 3]]),
    begin=st.integers(0, 1),
    count=st.integers(12, len(X)),
)
def test_any_arguments_together_do_what_they_do_in_keras(
    weighted: str | None, split: float, held: bool, batch: int, frequency: Any, begin: int, count: int
) -> None:
    options: Options = {"validation_split": split, "batch_size": batch, "validation_freq": frequency}
    options |= {"initial_epoch": begin, "epochs": 3}
    if weighted == "samples":
        options["sample_weight"] = WEIGHTS[:count]
    elif weighted == "classes":
        options["class_weight"] = {0: 0.5, 1: 2}
    if held:
        options["validation_data"] = (X_HELD, Y_HELD)
    assert_equal_to_keras("weighted", "graph", X[:count], Y[:count], **options)


def test_the_seed_shuffles_what_is_trained_on_and_not_what_is_validated_with() -> None:
    first, second = (
        hpo.fit(from_start("plain", "graph"), X, Y, validation_split=0.3, batch_size=7, seed=seed).history
        for seed in (1, 2)
    )
    assert first["loss"] != second["loss"]


# Kinds of data


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays: Any, size: int = BATCH) -> None:
        super().__init__()
        self.arrays, self.size = arrays, size

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index: int) -> Any:
        return tuple(array[index * self.size : (index + 1) * self.size] for array in self.arrays)


class Endless(Batches):
    @property
    def num_batches(self) -> None:
        return None


FRAME = pd.DataFrame(X_TRAIN, columns=list("abcdef"))
MIXED = FRAME.assign(a=np.arange(SAMPLES) % 7, b=FRAME["b"] > 0, c=FRAME["c"].astype("float64"))
SLICES = tf.data.Dataset.from_tensor_slices
TAKEN: dict[str, Callable[[], Options]] = {
    "float64": lambda: {"x": X_TRAIN.astype("float64"), "y": Y_TRAIN},
    "lists of arrays": lambda: {"x": [X_TRAIN], "y": [Y_TRAIN]},
    "tensors": lambda: {"x": tf.constant(X_TRAIN), "y": tf.constant(Y_TRAIN)},
    "frame and series": lambda: {"x": FRAME, "y": pd.Series(Y_TRAIN)},
    "frame of float64": lambda: {"x": FRAME.astype("float64"), "y": Y_TRAIN},
    "data set": lambda: {"x": SLICES((X_TRAIN, Y_TRAIN)).batch(10)},
    "data set of unknown size": lambda: {"x": SLICES((X_TRAIN, Y_TRAIN)).batch(10).filter(lambda *_: True)},
    "weighted data sets": lambda: {
        "x": SLICES((X_TRAIN, Y_TRAIN, WEIGHTS[TRAIN].astype("float32"))).batch(10),
        "validation_data": SLICES((X_HELD, Y_HELD)).batch(7),
    },
    "data set, weighted classes": lambda: {
        "x": SLICES((X_TRAIN, Y_TRAIN)).batch(10),
        "class_weight": {0: 2.0, 1: 1.0, 2: 0.5},
    },
    "PyDataset": lambda: {"x": Batches(X_TRAIN, Y_TRAIN), "validation_data": Batches(X_HELD, Y_HELD)},
    "PyDataset, weighted classes": lambda: {"x": Batches(X_TRAIN, Y_TRAIN), "class_weight": {1: 3.0}},
}


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.filterwarnings("ignore:.*shuffle=True")
def test_data_of_any_kind_are_trained_on_as_keras_trains(kind: str) -> None:
    options = TAKEN[kind]()
    batched = isinstance(options["x"], tf.data.Dataset | keras.utils.PyDataset)
    model = "column" if "series" in kind or "list" in kind else "plain"
    assert_equal_to_keras(model, "graph", **options, **({"batch_size": None} if batched else {}))


def test_columns_of_numbers_and_truths_become_one_array_of_floats() -> None:
    """Keras has none of it: to it they are objects."""
    left, right = from_start("plain", "graph"), from_start("plain", "fit")
    columns = np.column_stack([MIXED[name].to_numpy("float32") for name in MIXED])
    missing = MIXED.astype({"a": "Int64", "b": "boolean"})
    for frame in (MIXED, missing):
        left = from_start("plain", "graph")
        got = hpo.fit(left, frame, Y_TRAIN, loop="graph").history
        assert got["loss"] == pytest.approx(
            hpo.fit(from_start("plain", "fit"), columns, Y_TRAIN).history["loss"]
        )
    missing.iloc[3, 0] = pd.NA
    assert np.isnan(hpo.fit(right, missing, Y_TRAIN).history["loss"]).all()


def test_anything_that_says_it_is_an_array() -> None:
    class Own:
        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            return X_TRAIN.astype("float64")

    assert hpo.fit(from_start("plain", "graph"), Own(), Y_TRAIN).history["loss"][0] > 0


def test_a_data_set_is_read_once_and_shuffled_anew_each_epoch() -> None:
    read: list[int] = []

    def elements() -> Iterator[Any]:
        read.append(1)
        yield from zip(X_TRAIN, Y_TRAIN, strict=True)

    signature = tf.TensorSpec((FEATURES,)), tf.TensorSpec((), tf.int64)
    data = tf.data.Dataset.from_generator(elements, output_signature=signature).batch(BATCH)
    model = from_start("plain", "graph")
    losses = hpo.fit(model, data, epochs=3).history["loss"]
    wanted = hpo.fit(from_start("plain", "graph"), X_TRAIN, Y_TRAIN, batch_size=BATCH, epochs=3).history[
        "loss"
    ]
    assert losses == wanted
    assert len(read) == 1


@pytest.mark.parametrize("loop", OFTEN)
def test_a_model_with_its_loss_inside_needs_no_targets(loop: str) -> None:
    class Norm(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(keras.ops.mean(inputs**2))
            return inputs

    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Input((FEATURES,)), keras.layers.Dense(2), Norm()])
        model.compile("sgd")
        return model

    losses = hpo.fit(make(), X_TRAIN, loop=loop, shuffle=False, epochs=2, validation_split=0.2).history
    wanted = make().fit(X_TRAIN, shuffle=False, epochs=2, validation_split=0.2, verbose=0).history
    assert losses["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert losses["val_loss"] == pytest.approx(wanted["val_loss"], rel=1e-5)


# What is looked up


def labelled(label: float, *, at: int = 30) -> np.ndarray:
    labels = Y_TRAIN.astype(np.asarray(label).dtype)
    labels[at] = label
    return labels


def wrong_label(**arguments: Any) -> Options:
    return {"x": X_TRAIN, "y": Y_TRAIN, "validation_data": (X_HELD, Y_HELD)} | arguments


@pytest.mark.parametrize("loop", OFTEN)
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (wrong_label(y=labelled(3)), "y: labels must be from 0 to 2, as .* but got 3"),
        (wrong_label(y=labelled(-1)[:, None], validation_data=None), "y: labels must .* but got -1"),
        (wrong_label(y=labelled(np.nan)), "y: labels must .* but got"),
        (wrong_label(validation_data=(X_HELD, Y_HELD + 1)), "validation y: labels must .* but got 3"),
        (wrong_label(validation_data=None, y=labelled(7), validation_split=0.5), "validation y: .* got 7"),
    ],
)
def test_a_label_outside_of_the_outputs_is_refused(arguments: Options, line: str, loop: str) -> None:
    name = "plain" if arguments["y"].ndim == 1 else "column"
    model = from_start(name, loop)
    before = model.get_weights()
    with pytest.raises(ValueError, match=line):
        hpo.fit(model, loop=loop, **arguments)
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
    with pytest.raises(Exception, match=r"label value|Label values"):
        from_start(name, "keras").fit(verbose=0, **arguments)


@pytest.mark.parametrize("logits", [False, True])
def test_the_label_that_a_loss_ignores_is_none_of_them(logits: bool) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits, ignore_class=-1)
    model = mlp(loss=loss)
    assert np.isfinite(hpo.fit(model, X_TRAIN, labelled(-1)).history["loss"][0])
    with pytest.raises(ValueError, match=r"y: labels must .* but got -2"):
        hpo.fit(model, X_TRAIN, labelled(-2))
    with pytest.raises(ValueError, match=r"y: labels must .* but got 3"):
        hpo.fit(model, X_TRAIN, labelled(3))


def test_a_label_of_one_of_several_outputs() -> None:
    x, y = nested(TRAIN)
    with pytest.raises(ValueError, match=r"y: labels must be from 0 to 2, .* but got 3"):
        hpo.fit(from_start("two outputs", "graph"), x, y | {"label": labelled(3)})
    # As large a number is fine where it is no label.
    assert hpo.fit(from_start("two outputs", "graph"), x, y | {"sum": y["sum"] + 9}).history["loss"]


@pytest.mark.parametrize("loop", OFTEN)
def test_an_index_outside_of_an_embedding_is_refused(loop: str) -> None:
    x, y = np.arange(12).reshape(4, 3) % 5, np.ones((4, 1))
    model = from_start("embedded", loop)
    losses = [hpo.fit(model, x, y, loop=loop).history["loss"]]
    for bad in (5, -6):
        wrong = x.copy()
        wrong[1, 1] = bad
        with pytest.raises(ValueError, match=rf"x: must be below 5, .*embed.* but got {bad}\."):
            hpo.fit(model, wrong, y, loop=loop)
        with pytest.raises(ValueError, match="validation x: must be below 5"):
            hpo.fit(model, x, y, validation_data=(wrong, y), loop=loop)
        with pytest.raises(tf.errors.InvalidArgumentError):
            from_start("embedded", "keras").fit(wrong, y, verbose=0)
    # Counted from the end, as Keras does.
    x[x == 4] = -1
    losses.append(hpo.fit(from_start("embedded", loop), x, y, loop=loop).history["loss"])
    assert losses[0] == losses[1]


# What is refused


def endless() -> Iterator[Any]:
    while True:
        yield X_TRAIN, Y_TRAIN


def uneven() -> tf.data.Dataset:
    tens = SLICES((X_TRAIN, Y_TRAIN)).batch(10)
    return tens.concatenate(tens)


ONES = np.ones(SAMPLES)
REFUSED: dict[str, tuple[Options | Callable[[], Options], str]] = {
    "batch of none": ({"batch_size": 0}, "batch_size: must be"),
    "half a batch": ({"batch_size": 2.5}, "batch_size: must be"),
    "a batch of a name": ({"batch_size": "half"}, "batch_size: must be"),
    "true as a batch": ({"batch_size": True}, "batch_size: must be"),
    "no epochs": ({"epochs": 0}, "epochs: must be .* but got 0"),
    "half an epoch": ({"epochs": 1.5}, "epochs: must be"),
    "epochs are none": ({"epochs": None}, "epochs: must be"),
    "all epochs done": (
        {"epochs": 3, "initial_epoch": 3},
        "initial_epoch: must be .* below epochs=3",
    ),
    "epochs before": ({"initial_epoch": -1}, "initial_epoch: must be"),
    "no seed": ({"seed": None}, "seed: must be"),
    "a seed below": ({"seed": -1}, "seed: must be"),
    "verbose": ({"verbose": 3}, "verbose: must be one of .* but got 3"),
    "shuffle": ({"shuffle": "batch"}, "shuffle: must be True or False, but got 'batch'"),
    "validation_freq": ({"validation_freq": 0}, "validation_freq: must be .* but got 0"),
    "no validation_freq": ({"validation_freq": []}, "validation_freq: must be"),
    "validation_batch_size": ({"validation_batch_size": 0}, "validation_batch_size: must be"),
    "steps_per_epoch": ({"steps_per_epoch": 3}, "steps_per_epoch: must be None, as an epoch is every sample"),
    "validation_steps": ({"validation_steps": 3}, "validation_steps: must be None"),
    "loop": ({"loop": "nonsense"}, "loop must be one of .* but got 'nonsense'"),
    "callback": ({"callbacks": [print]}, "callbacks: must be Keras callbacks, but got <built-in"),
    "not compiled": ({"model": keras.Sequential([keras.layers.Dense(2)])}, "must be compiled"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, "x: must have as many rows .* and at least 1"),
    "other length": ({"y": Y[:-1]}, f"x: must have as many rows as y .* but got x {SAMPLES}, y {len(Y) - 1}"),
    "no x": ({"x": None}, "x: must be arrays or a data set, but got None"),
    "no y": ({"y": None}, "y: must be given, as the model has a loss"),
    "a number": ({"y": 1}, "y: must be an array, .* but got 1"),
    "a scalar": ({"y": np.array(1)}, "x: must have as many rows"),
    "a list of numbers": ({"x": X_TRAIN.tolist()}, r"x: must be an array, .* Use numpy.asarray\(x\)"),
    "other width of one-hot": ({"y": np.eye(5)[Y_TRAIN]}, "must have rank"),
    "text as labels": ({"y": np.array(["a"] * SAMPLES)}, "y: must hold numbers, but got text"),
    "objects": ({"x": np.array([{}] * SAMPLES)}, "x: must hold numbers or text, but got an array of objects"),
    "dates": ({"x": np.array(["2026-01-01"] * SAMPLES, "M8[D]")}, "x: must be an array of numbers that Tens"),
    "a column of text": ({"x": FRAME.assign(a="b")}, "x: columns must hold numbers, but got .* in 'a'"),
    "a column of dates": ({"x": FRAME.assign(a=pd.Timestamp(0))}, "x: columns must .* datetime.* in 'a'"),
    "scipy sparse": ({"x": scipy.sparse.csr_matrix(X_TRAIN)}, "x: must be dense, .* Use .toarray()"),
    "ragged": ({"x": tf.ragged.constant([[1], [2, 3]])}, "x: must be dense, .* Use .to_tensor()"),
    "sparse": ({"x": tf.sparse.from_dense(X_TRAIN)}, "x: must be dense, but got a SparseTensor"),
    "validation lengths": (
        {"validation_data": (X_HELD, Y_HELD[:-1])},
        "validation_data's x: must have",
    ),
    "validation parts": ({"validation_data": (1, 2, 3, 4)}, "validation_data: must be .* but got 4 parts"),
    "empty validation": ({"validation_data": (X[:0], Y[:0])}, "validation_data's x: must have"),
    "no split": (
        {"validation_split": 1.0},
        "validation_split: must be a number between 0 and 1",
    ),
    "all split off": (
        {"validation_split": 0.99},
        "validation_split: must leave .* got 0.99 of 46",
    ),
    "weights of another length": ({"sample_weight": ONES[:-1]}, "x: must have as many .* sample_weight 45"),
    "weights of nothing": ({"sample_weight": "balanced"}, "sample_weight: must be an array"),
    "both weights": ({"sample_weight": ONES, "class_weight": {0: 1}}, "class_weight: must be None where"),
    "nested weights": ({"sample_weight": {"a": ONES}}, "sample_weight: must be one array, as y is"),
    "a class that is not there": (
        {"class_weight": {0: 1.0, 5: 2.0}},
        r"class_weight: must name classes that y has \(0, 1, 2\), but got 5",
    ),
    "balanced classes": ({"class_weight": "balanced"}, "class_weight: must be a dict .* but got 'balanced'"),
    "a class of no weight": ({"class_weight": {0: np.nan}}, "class_weight: must be a dict of .* finite"),
    "a class by name": ({"class_weight": {"cat": 1.0}}, "class_weight: must be a dict of classes, which are"),
    "a generator": (
        lambda: {"x": endless(), "y": None},
        "x: must be .* a data set whose end is known",
    ),
    "endless data set": (
        lambda: {"x": SLICES((X_TRAIN, Y_TRAIN)).batch(8).repeat(), "y": None},
        r"x: must have an end, .* use .take\(n\)",
    ),
    "endless PyDataset": (
        lambda: {"x": Endless(X_TRAIN, Y_TRAIN), "y": None},
        "x: must have an end, but got",
    ),
    "endless validation": (
        lambda: {"validation_data": SLICES((X_HELD, Y_HELD)).batch(8).repeat()},
        "validation_data: must have an end",
    ),
    "data set without batches": (
        lambda: {"x": SLICES((X_TRAIN, Y_TRAIN)), "y": None},
        r"x: must give batches, but got single samples. Use .batch\(32\)",
    ),
    "uneven batches": (
        lambda: {"x": uneven(), "y": None},
        "x: batches must be of one .* got 10 and 6",
    ),
    "empty data set": (
        lambda: {"x": SLICES((X_TRAIN, Y_TRAIN)).take(0).batch(2), "y": None},
        "x: must hold a sample, but got an empty data set",
    ),
    "data set and y": (lambda: {"x": Batches(X_TRAIN, Y_TRAIN)}, "y: must be left out where x is a data set"),
    "data set and a batch": (
        lambda: {"x": Batches(X_TRAIN, Y_TRAIN), "y": None, "batch_size": 8},
        "batch_size: must be left out where x is a data set",
    ),
    "data set and a split": (
        lambda: {"x": Batches(X_TRAIN, Y_TRAIN), "y": None, "validation_split": 0.5},
        "validation_split: must be left out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_in_a_line_and_changes_nothing(case: str) -> None:
    given, line = REFUSED[case]
    model = from_start("plain", "refusing")
    before = model.get_weights()
    arguments = {"model": model, "x": X_TRAIN, "y": Y_TRAIN} | (given() if callable(given) else given)
    with pytest.raises((TypeError, ValueError)) as caught:
        hpo.fit(**arguments)
    assert re.search(line, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert model.optimizer.iterations.numpy() == 0
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)


@pytest.mark.slow
def test_several_outputs_have_no_class_weights() -> None:
    x, y = nested(TRAIN)
    model = from_start("two outputs", "graph")
    with pytest.raises(ValueError, match="class_weight: must go with targets of one class a"):
        hpo.fit(model, x, y, class_weight={0: 1.0})
    with pytest.raises(ValueError, match="sample_weight: must be nested as y is, but got dict of"):
        hpo.fit(model, x, y, sample_weight={"label": ONES})
    with pytest.raises(ValueError, match=r"sample_weight: must have one value for each sample, .* got shape"):
        hpo.fit(model, x, y, sample_weight=np.ones((SAMPLES, 2)))


@pytest.mark.slow
def test_a_data_set_of_unknown_end_is_read_as_far_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 3 * 2**20

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    signature = tf.TensorSpec((None, FEATURES)), tf.TensorSpec((None,), tf.int64)
    data = tf.data.Dataset.from_generator(endless, output_signature=signature)
    with pytest.raises(ValueError, match=r"x: must fit into 1 MiB, a third of the free memory, .* model.fit"):
        hpo.fit(from_start("plain", "refusing"), data)
