"""What is fitted to training rows: against scikit-learn, and against every leak from the other rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from hpo.data import Column, Layout, Statistics, fitted
from hpo.data.columns import GAP, UNKNOWN, columns_of, encoded
from hpo.data.preparation import QUANTILES

NUMBERS = (Column("a", "number", has_gaps=True), Column("b", "number"), Column("c", "number"))


def rows(count: int = 200, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.normal([0.0, 50.0, 1e6], [1.0, 10.0, 1e4], (count, 3))
    x[random.random(count) < 0.2, 0] = np.nan
    return x.astype(np.float32)


def of(x: np.ndarray, scaling: str, columns: tuple[Column, ...] = NUMBERS, least: int = 2) -> Statistics:
    return fitted(x, columns, scaling=scaling, min_level_count=least)


def test_standard_is_scikit_learns() -> None:
    x = rows()
    scaler, found = StandardScaler().fit(x), of(x, "standard")
    assert found.centre == pytest.approx(scaler.mean_, rel=1e-5)
    assert 1 / found.scale == pytest.approx(scaler.scale_, rel=1e-4)
    assert found.fill == pytest.approx(scaler.mean_, rel=1e-5)


def test_robust_is_scikit_learns_scale_without_its_gaps() -> None:
    x = rows()
    scaler, found = RobustScaler().fit(x), of(x, "robust")
    assert found.centre == pytest.approx(scaler.center_, rel=1e-5)
    assert 1 / found.scale == pytest.approx(scaler.scale_, rel=1e-4)


def test_a_number_that_is_mostly_one_value_is_scaled_by_half_of_its_range() -> None:
    x = np.zeros((100, 1), np.float32)
    x[:5] = 8.0
    assert 1 / of(x, "robust", NUMBERS[1:2]).scale == pytest.approx(4.0)


def test_quantile_is_scikit_learns_at_its_reference_points() -> None:
    x = rows()[:, 1:]
    found = of(x, "quantile", NUMBERS[1:])
    transformer = QuantileTransformer(n_quantiles=QUANTILES, output_distribution="normal", subsample=None)
    assert pytest.approx(transformer.fit(x).quantiles_, rel=1e-5) == found.knots.T
    inner = transformer.transform(found.knots.T.astype(np.float64))[1:-1]
    assert found.heights.T[1:-1] == pytest.approx(inner, abs=1e-3)


def test_a_number_that_never_varies_becomes_0() -> None:
    x = np.full((10, 1), 7.0, np.float32)
    for scaling in ("standard", "robust"):
        assert of(x, scaling, NUMBERS[1:2]).scale.tolist() == [0.0]
    assert not of(x, "quantile", NUMBERS[1:2]).heights.any()
    # Nor one that has no value at all in these rows.
    assert of(np.full((10, 1), np.nan, np.float32), "standard", NUMBERS[:1]).scale.tolist() == [0.0]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_rows_outside_of_the_training_part_change_nothing(data: st.DataObject) -> None:
    """A column whose scale tells the fold would say which rows were looked at."""
    scaling = data.draw(st.sampled_from(["standard", "robust", "quantile", "none"]))
    frame = pd.DataFrame(
        {
            "number": data.draw(st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=12)),
            "level": data.draw(st.lists(st.sampled_from("abc"), min_size=12, max_size=12)),
        }
    )
    training = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    if not training.any():
        return
    columns = columns_of(frame, place="t")
    x = encoded(frame, columns, place="t")
    other = x.copy()
    other[~training, 0] = data.draw(st.floats(1e6, 1e9, width=32))
    other[~training, 1] = 0
    for one, two in zip(
        of(x[training], scaling, columns).arrays, of(other[training], scaling, columns).arrays, strict=True
    ):
        assert np.array_equal(one, two)


def test_levels_that_are_rare_or_not_there_are_taken_for_unknown() -> None:
    frame = pd.DataFrame({"town": ["Ulm", "Ulm", "Bonn", "Bonn", "Bonn", None, None, "Jena"]})
    (column,) = columns = columns_of(frame, place="t")
    assert column.levels == ("Bonn", "Jena", "Ulm", GAP)
    x = encoded(frame, columns, place="t")
    # Unknown first, then each level; Jena has one row.
    assert of(x, "standard", columns).slots.tolist() == [0, 1, 0, 3, 4]
    assert of(x[:5], "standard", columns).slots.tolist() == [0, 1, 0, 3, 0]
    assert of(x, "standard", columns, least=1).slots.tolist() == [0, 1, 2, 3, 4]
    later = pd.DataFrame({"town": ["Kiel", "Bonn"]})
    assert encoded(later, columns, place="t").tolist() == [[UNKNOWN], [0]]


def test_columns_stand_where_the_layout_says() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["1970-01-02", None, "1970-01-04"]),
            "size": [1.0, np.nan, 3.0],
            "kind": ["x", "y", "x"],
            "on": [True, False, True],
        }
    )
    columns = columns_of(frame, place="t")
    assert [column.kind for column in columns] == ["date", "number", "category", "number"]
    layout, x = Layout.of(columns), encoded(frame, columns, place="t")
    assert layout == Layout(numbers=(0, 1, 2, 3, 4, 5, 7), gaps=(0, 5), categories=(6,), levels=(2,))
    assert x[:, 0].tolist() == [1.0, pytest.approx(np.nan, nan_ok=True), 3.0]
    assert x[:, 7].tolist() == [1.0, 0.0, 1.0]


def test_small_units_are_units_too() -> None:
    x = np.random.default_rng(0).normal(1e-8, 3e-9, (100, 1)).astype(np.float32)
    for scaling in ("standard", "robust"):
        assert (x * of(x, scaling, NUMBERS[1:2]).scale).std() > 0.5
