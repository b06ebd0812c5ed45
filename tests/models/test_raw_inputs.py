"""The exported model of a table: raw columns in, the numbers of the training network out."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo.data import fitted
from hpo.data.columns import Column, columns_of, encoded, raw
from hpo.models.families import Fit, Network, Signature
from hpo.models.mlp import build
from hpo.models.preparation import Form, Preparation, input_names, raw_inputs
from hpo.spec import MlpHyperparameters
from hpo.tasks import TASKS

LEVELS = [f"level {index}" for index in range(14)]
# What a person's file may call its columns.
NAMES = ("km/h", "km_h", "größe (cm)", " ", "", "class", "inputs", "a.b", "日", "x" * 300)
TASK_NAMES = {"multi-class": 3, "binary": 2, "multi-label": 2, "regression": 2}
KERAS_ALONE = """
import sys
sys.modules["hpo"] = None
import keras, numpy as np, tensorflow as tf
with np.load("rows.npz", allow_pickle=True) as held:
    given = {key: tf.constant(held[key]) if held[key].dtype == object else held[key] for key in held}
for name in sys.argv[1:]:
    np.save(f"{name}.npy", keras.saving.load_model(f"{name}.keras", safe_mode=True).predict(given, verbose=0))
assert not [name for name in sys.modules if name.startswith("hpo.")]
"""


def frame(count: int, seed: int, *, levels: list[str] | None = None) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    hours = pd.to_timedelta(draws.integers(0, 90_000, count), unit="h")
    return pd.DataFrame(
        {
            "km/h": np.where(draws.random(count) < 0.2, np.nan, draws.normal(50, 9, count)),
            "km_h": draws.integers(0, 9, count),
            "": draws.random(count),
            "few": draws.choice(np.array(["a", "[UNK]", "é\n", None], dtype=object), count),
            "many": draws.choice(np.array(levels or LEVELS, dtype=object), count),
            "day": (pd.Timestamp("1960-01-01") + hours).floor("D"),
            "hour": (pd.Timestamp("2020-01-01") + hours).where(draws.random(count) > 0.1),
        }
    )


def network(columns: tuple[Column, ...], x: np.ndarray, scaling: str, task: str, **more: Any) -> Network:
    h = MlpHyperparameters(hidden_units=[8], scaling=scaling, optimizer="adam", **more)
    made = build(h, Signature(x.shape[1:], TASK_NAMES[task], 1.0, TASKS[task], columns))
    statistics = fitted(x, columns, scaling=scaling, min_level_count=2)
    names = TASK_NAMES[task]
    fit = Fit(statistics, np.linspace(1e5, 2, names), np.linspace(1e4, 3, names))
    made.trainer.state = made.initial_state(h, seed=1, steps=3, fit=fit)
    return made


def given_to(model: keras.Model, rows: pd.DataFrame, columns: tuple[Column, ...]) -> np.ndarray:
    values = raw(rows, columns, place="rows")
    by_name = zip(input_names(columns), values, strict=True)
    outputs: np.ndarray = model.predict({name: tf.constant(v) for name, v in by_name}, verbose=0)
    return outputs


def unseen() -> pd.DataFrame:
    """Rows with levels that no training row has, and with nothing."""
    rows = frame(40, seed=7, levels=[*LEVELS, "new"])
    rows.loc[0, ["few", "many"]] = "never seen"
    rows["day"] = rows["day"].where(rows.index != 1)
    rows.loc[2, ["km_h", ""]] = np.nan
    rows.loc[3, "many"] = None
    # What another column has is as new as anything.
    rows.loc[4, ["few", "many"]] = ["level 3", "a"]
    return rows


@pytest.mark.long
def test_keras_without_hpo_repeats_the_training_network(tmp_path: Path) -> None:
    train, rows = frame(80, seed=0), unseen()
    columns = columns_of(train, place="train")
    x = encoded(train, columns, place="train")
    tasks = {"standard": "multi-label", "robust": "binary", "quantile": "multi-class", "none": "regression"}
    expected = {}
    for scaling, task in tasks.items():
        made = network(columns, x, scaling, task)
        h = MlpHyperparameters(hidden_units=[8], scaling=scaling, optimizer="adam")
        made.exported(h, by_column=True).save(tmp_path / f"{scaling}.keras")
        outputs = made.trainer.model.predict(encoded(rows, columns, place="rows"), verbose=0)
        assert np.isfinite(outputs).all()
        assert np.ptp(outputs, axis=0).min() > 0
        expected[scaling] = outputs
    values = dict(zip(input_names(columns), raw(rows, columns, place="rows"), strict=True))
    # NumPy's archives have no names with all that columns may have: pickled, and by position.
    np.savez(tmp_path / "rows.npz", **values)  # type: ignore[arg-type]
    subprocess.run([sys.executable, "-c", KERAS_ALONE, *tasks], check=True, cwd=tmp_path)
    for scaling, outputs in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{scaling}.npy"), outputs, rtol=1e-6, atol=1e-7)


def test_names_that_keras_does_not_take_become_others_that_differ() -> None:
    columns = tuple(Column(name, "number") for name in NAMES)
    names = input_names(columns)
    assert len(set(names)) == len(names)
    assert names[1:4] == NAMES[1:4]
    x = np.random.default_rng(0).normal(size=(20, len(NAMES))).astype(np.float32)
    made = network(columns, x, "standard", "binary")
    h = MlpHyperparameters(hidden_units=[8], scaling="standard", optimizer="adam")
    model = made.exported(h, by_column=True)
    outputs = given_to(model, pd.DataFrame(x, columns=list(NAMES)), columns)
    np.testing.assert_allclose(outputs, made.trainer.model.predict(x, verbose=0), rtol=1e-6)


def test_rows_of_numbers_that_are_scaled_stay_one_array(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, 2, (30, 4)).astype(np.float32)
    columns = tuple(Column(str(index), "number") for index in range(4))
    made = network(columns, x, "robust", "multi-class")
    h = MlpHyperparameters(hidden_units=[8], scaling="robust", optimizer="adam")
    made.exported(h).save(tmp_path / "m.keras")
    model = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert model.input_shape == (None, 4)
    expected = made.trainer.model.predict(x, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


def raw_model(rows: pd.DataFrame) -> tuple[keras.Model, Preparation, tuple[Column, ...]]:
    """Rows' raw columns as inputs, and the layer that prepares them in training."""
    columns = columns_of(rows, place="rows")
    form = Form.of(columns, MlpHyperparameters(hidden_units=[4], one_hot_levels=100))
    layer, x = Preparation(form), encoded(rows, columns, place="rows")
    layer.build(x.shape)
    layer.fit(fitted(x, columns, scaling="standard", min_level_count=1))
    made = raw_inputs(form, layer.fitted, layer.embedding_values)
    return keras.Model(made.inputs, made.outputs), layer, columns


def test_a_model_has_as_many_operations_for_many_columns_as_for_few() -> None:
    def operations(times: int) -> int:
        rows = pd.concat([frame(20, 0).add_suffix(str(index)) for index in range(times)], axis=1)
        model, layer, columns = raw_model(rows)
        values = zip(input_names(columns), raw(rows, columns, place="rows"), strict=True)
        found = model({name: tf.constant(value) for name, value in values})
        np.testing.assert_allclose(found, layer(encoded(rows, columns, place="rows")), rtol=1e-6, atol=1e-6)
        return len(model.operations) - len(model.inputs)

    assert operations(1) == operations(8)


@pytest.mark.parametrize("most", [0, 30, 10_000])
def test_categories_are_looked_up_alike_alone_and_together(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.models.preparation.MOST_CELLS", most)
    draws = np.random.default_rng(0)
    levels = {
        f"c{i}": [f"only {i}", "all", *(f"{'ab'[i % 2]}{j}" for j in range(3 * i + 1))] for i in range(6)
    }
    rows = pd.DataFrame({name: draws.choice(own, 60) for name, own in levels.items()})
    model, layer, columns = raw_model(rows)
    every = [level for own in levels.values() for level in own]
    new = pd.DataFrame({name: draws.choice([*every, "new"], 60) for name in levels})
    for table in (rows, new):
        values = zip(input_names(columns), raw(table, columns, place="rows"), strict=True)
        found = model({name: tf.constant(value) for name, value in values})
        np.testing.assert_array_equal(found, layer(encoded(table, columns, place="rows")))


# Nothing near to 1e-38, where float32 ends: quantiles that are as close to each other divide by zero.
FLOATS = st.floats(-1e6, 1e6, width=32).filter(lambda number: number == 0 or abs(number) > 1e-30)
NUMBERS = st.one_of(st.none(), FLOATS, st.integers(-5, 5).map(float))
# Without what is no text in a file, and at the end of one is lost in NumPy.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "[UNK]", " "]), st.text(CHARACTERS, max_size=3))
# Of seconds, some of them without hours.
DATES = st.one_of(
    st.none(), st.integers(-(10**9), 2 * 10**9), st.integers(-9000, 20_000).map(lambda d: d * 86_400)
)


@given(
    rows=st.lists(st.tuples(NUMBERS, TEXTS, DATES), min_size=4, max_size=12),
    new=st.lists(st.tuples(NUMBERS, TEXTS, DATES), min_size=1, max_size=6),
    scaling=st.sampled_from(["standard", "robust", "quantile", "none"]),
    one_hot_levels=st.integers(0, 4),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_small_table_is_prepared_as_in_training(
    rows: list[Any], new: list[Any], scaling: str, one_hot_levels: int
) -> None:
    def table(values: list[Any]) -> pd.DataFrame:
        numbers, texts, dates = zip(*values, strict=True)
        known = pd.to_datetime(pd.Series([math.nan if d is None else d for d in dates]), unit="s")
        return pd.DataFrame(
            {"n": pd.Series(numbers, dtype=float), "t": pd.Series(texts, dtype=object), "d": known}
        )

    train, later = table(rows), table(new)
    columns = columns_of(train, categories=["t"], place="train")
    h = MlpHyperparameters(
        hidden_units=[4], scaling=scaling, one_hot_levels=one_hot_levels, embedding_width=2
    )
    form = Form.of(columns, h)
    layer = Preparation(form)
    x = encoded(train, columns, place="train")
    layer.build(x.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        layer.fit(fitted(x, columns, scaling=scaling, min_level_count=1))
    if layer.embeddings is not None:
        layer.embeddings.assign(np.random.default_rng(0).normal(size=layer.embeddings.shape))
    made = raw_inputs(form, layer.fitted, layer.embedding_values)
    model = keras.Model(made.inputs, made.outputs)
    for table_ in (train, later):
        values = raw(table_, columns, place="new")
        by_name = zip(input_names(columns), values, strict=True)
        found = model({name: tf.constant(value) for name, value in by_name})
        expected = layer(encoded(table_, columns, place="new"))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
