"""`hpo.fit` takes what `model.fit` takes, or says in one line why not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import hpo
from tests.training.models import (
    HELD_OUT,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    mlp,
)

# Bad arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"batch_size": 2.5}, "batch_size must be"),
        ({"batch_size": "half"}, "batch_size must be"),
        ({"batch_size": None}, "batch_size must be"),
        ({"batch_size": True}, "batch_size must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"epochs": None}, "epochs must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"x": X_TRAIN[:0], "y": Y_TRAIN[:0]}, "equal length"),
        ({"y": Y_TRAIN[:-1]}, "equal length"),
        ({"y": 1}, "equal length"),
        ({"y": None}, "None"),
        ({"x": X_TRAIN.tolist()}, "equal length"),
        ({"validation_data": (X_HELD[:0], Y_HELD[:0])}, "equal length"),
        ({"validation_data": (X_HELD, Y_HELD[:-1])}, "equal length"),
        ({"validation_data": (X_HELD, Y_HELD, np.ones(HELD_OUT))}, "validation_data must be"),
        ({"model": keras.Sequential([keras.layers.Dense(2)])}, "must be compiled"),
    ],
)
def test_bad_arguments_are_refused_and_the_model_is_left_alone(
    arguments: dict[str, Any], message: str
) -> None:
    model = mlp()
    before = model.get_weights()
    given = {"model": model, "x": X_TRAIN, "y": Y_TRAIN} | arguments
    with pytest.raises(ValueError, match=message):
        hpo.fit(**given)
    for weights, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, kept)
