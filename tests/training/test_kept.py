"""A model that is fitted again compiles nothing, unless something of its step has changed."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

import hpo
from hpo.training.loops.programs import ProgramLoop
from tests.training.models import (
    BATCH,
    CASES,
    CLASSES,
    FEATURES,
    HELD,
    OPTIMIZERS,
    SAMPLES,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    X,
    Y,
    assert_same_logs,
    assert_same_weights,
    fit_by_hand,
    mlp,
    noisy,
    order_of,
    rows_of,
)

# Fitting again


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kind of each program that is traced."""
    made: list[str] = []
    traced = ProgramLoop._traced

    def noted(loop: ProgramLoop, kind: str, *arguments: Any) -> Any:
        made.append(kind)
        return traced(loop, kind, *arguments)

    monkeypatch.setattr(ProgramLoop, "_traced", noted)
    return made


def fit_once(model: keras.Model, **options: Any) -> keras.callbacks.History:
    return hpo.fit(
        model, X_TRAIN, Y_TRAIN, **{"validation_data": (X_HELD, Y_HELD), "batch_size": BATCH} | options
    )


def test_fitting_again_compiles_nothing_and_trains_as_keras_does(compilations: list[str]) -> None:
    model, expected = CASES["nadam"](), CASES["nadam"]()
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02)
    logs = [rows_of(fit_once(model, seed=seed, callbacks=[schedule]))[0] for seed in (1, 2, 3)]
    assert compilations == ["train", "test"]
    expected.optimizer.learning_rate = 0.02
    wanted = fit_by_hand(expected, [order_of(0, seed=seed) for seed in (1, 2, 3)], held=HELD)
    for row in logs:
        row.pop("learning_rate")
    assert_same_logs(logs, wanted)
    assert_same_weights(model, expected)
    assert int(model.optimizer.iterations) == int(expected.optimizer.iterations) == 6


def test_fitting_a_model_with_dropout_again_compiles_nothing(compilations: list[str]) -> None:
    model = noisy()
    for _ in range(3):
        fit_once(model)
    assert compilations == ["train", "test"]


def test_weights_that_are_set_between_two_fits_are_trained_from(compilations: list[str]) -> None:
    model = CASES["sgd"]()
    start = model.get_weights()
    first = rows_of(fit_once(model))
    model.set_weights(start)
    assert_same_logs(rows_of(fit_once(model)), first)
    assert compilations == ["train", "test"]


@pytest.mark.parametrize(("loop", "programs"), [("graph", 1), ("xla", 3)])
def test_another_number_of_samples_is_compiled_once_and_by_xla_alone(loop: str, programs: int) -> None:
    model = CASES["sgd"]()
    for count in (SAMPLES, 30, SAMPLES, 30):
        hpo.fit(model, X[:count], Y[:count], batch_size=10, loop=loop)
    # One trace; 46 in tens are four batches and a graph of six, 30 are three batches.
    assert vars(model)["_hpo_trainer"].trainer.loop.compilations == programs


def _set(path: str, value: Any) -> Callable[[keras.Model], None]:
    def change(model: keras.Model) -> None:
        *owners, name = path.split(".")
        target: Any = model
        for owner in owners:
            target = target.layers[int(owner)] if owner.isdigit() else getattr(target, owner)
        setattr(target, name, value)

    return change


CHANGES: dict[str, Callable[[keras.Model], None]] = {
    "compiled again": lambda model: model.compile(OPTIMIZERS.SGD(0.5), "sparse_categorical_crossentropy"),
    "compiled again with the same optimizer": lambda model: model.compile(
        model.optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ),
    "another activation": _set("0.activation", keras.activations.relu),
    "a layer that is frozen": _set("0.trainable", False),
    "a number of a layer": _set("1.negative_slope", 0.9),
    "a number of a layer's regularizer": lambda model: model.layers[0].kernel_regularizer.__init__(9.0),
    "a number of the optimizer": _set("optimizer.momentum", 0.0),
    "a schedule for a learning rate": _set(
        "optimizer.learning_rate", OPTIMIZERS.schedules.ExponentialDecay(0.9, 1, 0.5)
    ),
    "a call of one's own": _set("2.call", lambda inputs: inputs * 0),
}


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_model_is_compiled_anew(change: Any, compilations: list[str]) -> None:
    def make() -> keras.Model:
        regularized = {"kernel_regularizer": keras.regularizers.L2(0.1), "activation": "tanh"}
        return mlp(OPTIMIZERS.SGD(0.1, momentum=0.9), keras.layers.LeakyReLU(0.1), dense=regularized)

    def run(model: keras.Model) -> list[dict[str, float]]:
        return rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH, epochs=2))

    model = make()
    run(model)
    assert compilations == ["train"]
    change(model)
    trained, weights = run(model), model.get_weights()
    assert compilations == ["train", "train"]
    run(model)
    assert compilations == ["train", "train"]
    # What a model does that forgets its programs.
    expected = make()
    run(expected)
    change(expected)
    del vars(expected)["_hpo_trainer"]
    assert_same_logs(trained, run(expected))
    model.set_weights(weights)
    assert_same_weights(model, expected)


def test_a_model_with_another_layer_is_compiled_anew(compilations: list[str]) -> None:
    model = mlp()
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    hpo.fit(model, X_TRAIN, Y_TRAIN, batch_size=BATCH)
    assert len(model.get_weights()) == 6
    assert compilations == ["train"] * 2


def test_an_attribute_of_a_person_s_own_model_counts(compilations: list[str]) -> None:
    class Scaled(keras.Sequential):
        _scale = 1.0

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return self._scale * super().compute_loss(*args, **kwargs)

    keras.utils.set_random_seed(0)
    model = Scaled([keras.layers.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation="softmax")])
    model.compile(OPTIMIZERS.SGD(0.0), "sparse_categorical_crossentropy")
    (once,) = rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN))
    model._scale = 2.0
    (twice,) = rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN))
    assert twice["loss"] == pytest.approx(2 * once["loss"], rel=1e-5)
    assert len(compilations) == 2


@pytest.mark.slow
def test_a_model_keeps_neither_data_nor_too_many_programs(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.training.kept.MOST_PROGRAMS", 3)
    model = mlp(metrics=())
    for kind in ("int8", "int16", "int32", "int64", "uint8"):
        hpo.fit(model, X[:4], Y[:4].astype(kind))
    kept = vars(model)["_hpo_trainer"].trainer
    assert len(compilations) == 5
    assert kept.loop.compilations <= 3
    assert kept._occupant is None


@pytest.mark.slow
def test_a_model_that_was_fitted_is_garbage_like_any_other() -> None:
    model = noisy()
    fit_once(model)
    fit_once(model)
    trainer, gone = weakref.ref(vars(model)["_hpo_trainer"].trainer), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert trainer() is None


@pytest.mark.long
def test_a_model_that_was_fitted_is_copied_and_saved_like_any_other(tmp_path: Path) -> None:
    model = noisy()
    fit_once(model)
    copied = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "model.keras")
    for other in (copied, keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert "_hpo_trainer" not in vars(other)
    assert_same_weights(copied, model)


def test_a_model_that_keras_trains_keeps_nothing() -> None:
    model = mlp("sgd", run_eagerly=True)
    hpo.fit(model, X[:4], Y[:4])
    assert "_hpo_trainer" not in vars(model)
