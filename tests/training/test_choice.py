"""Which loop trains which model, by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import keras
import numpy as np
import pytest

import hpo
from hpo.spec import StudySpec
from hpo.training.choice import AUTO, STEPS_THAT_PAY, choose
from hpo.training.loops import LOOPS

layers = keras.layers
MANY = 10 * STEPS_THAT_PAY


def model_of(*parts: keras.layers.Layer, shape: tuple[int, ...], **compiling: bool) -> keras.Model:
    model = keras.Sequential([layers.Input(shape), *parts, layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse", **compiling)
    return model


MODELS: dict[str, tuple[Callable[[], keras.Model], int, str]] = {
    "dense, little work": (lambda: model_of(layers.Dense(3), shape=(4,)), STEPS_THAT_PAY - 1, "graph"),
    "dense, enough work": (lambda: model_of(layers.Dense(3), shape=(4,)), STEPS_THAT_PAY, "xla"),
    "recurrent, some work": (lambda: model_of(layers.LSTM(2), shape=(4, 2)), 1_000, "xla"),
    "recurrent, little work": (lambda: model_of(layers.LSTM(2), shape=(4, 2)), 500, "graph"),
    "convolution": (lambda: model_of(layers.Conv2D(2, 2), shape=(4, 4, 1)), MANY, "graph"),
    "convolution beside an LSTM": (
        lambda: model_of(layers.LSTM(2, return_sequences=True), layers.Conv1D(2, 2), shape=(4, 2)),
        MANY,
        "graph",
    ),
    "convolution in a model inside": (
        lambda: model_of(
            keras.Sequential([layers.Input((4, 4, 1)), layers.DepthwiseConv2D(2)]), shape=(4, 4, 1)
        ),
        MANY,
        "graph",
    ),
    "noise": (lambda: model_of(layers.GaussianNoise(0.1), shape=(4,)), MANY, "graph"),
    "pictures that are turned": (
        lambda: model_of(layers.RandomRotation(0.1), shape=(4, 4, 1)),
        MANY,
        "graph",
    ),
    "dropout": (lambda: model_of(layers.Dropout(0.1), shape=(4,)), MANY, "xla"),
    "eager": (lambda: model_of(layers.Dense(3), shape=(4,), run_eagerly=True), MANY, "fit"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_loop_follows_from_the_layers_and_the_planned_steps(name: str) -> None:
    make, steps, loop = MODELS[name]
    assert choose(make(), steps) == loop


def test_a_study_file_may_name_every_loop() -> None:
    assert get_args(StudySpec.model_fields["loop"].annotation) == (AUTO, *LOOPS)


@pytest.mark.parametrize("loop", LOOPS)
def test_fit_takes_the_loop_that_it_is_told_to(loop: str) -> None:
    model = model_of(layers.Dense(3), shape=(4,))
    hpo.fit(model, np.ones((6, 4)), np.ones((6, 2)), loop=loop)
    kept = vars(model).get("_hpo_trainer")
    assert (None if kept is None else kept.trainer.loop_name) == (None if loop == "fit" else loop)
