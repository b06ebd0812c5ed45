"""Splits that columns decide, groups together and times apart; and a part set aside for the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.data import Dataset, digest_of_test, load_parts, load_test, load_train, splits_of
from hpo.data.table_sets import TableSet
from hpo.data.tables import TableFile
from hpo.errors import DataError
from hpo.spec import Data

ROWS = 120


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=ROWS),
            "patient": random.integers(0, 30, ROWS),
            "day": pd.date_range("2024-01-01", periods=ROWS)[random.permutation(ROWS)],
            "ill": random.choice(["yes", "no"], ROWS),
            "price": random.normal(size=ROWS),
        }
    )
    file = tmp_path_factory.mktemp("data") / "table.csv"
    frame.to_csv(file, index=False)
    return str(file)


def data_of(path: str, **keys: Any) -> Data:
    return Data(name=path, **({"target": "ill"} | keys))


def parts(path: str, **keys: Any) -> tuple[Dataset, list[tuple[np.ndarray, np.ndarray]]]:
    data = data_of(path, **keys)
    dataset = load_train(data)
    return dataset, splits_of(dataset, data)


SEED = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=SEED, how=st.sampled_from([{"validation": 0.25}, {"folds": 4}, {"folds": 3, "repeats": 2}]))
def test_rows_of_one_group_stand_in_one_part(path: str, seed: int, how: dict[str, Any]) -> None:
    for target in ("ill", "price"):
        keys = {"target": target, "group": "patient", "seed": seed % 1000, **how}
        dataset, found = parts(path, **keys)
        assert dataset.groups is not None
        assert len(found) == (how.get("folds", 1) * how.get("repeats", 1))
        for train, validation in found:
            assert not np.intersect1d(dataset.groups[train], dataset.groups[validation]).size
            assert sorted([*train, *validation]) == list(range(ROWS))
        for one, again in zip(found, parts(path, **keys)[1], strict=True):
            assert all(map(np.array_equal, one, again))


@pytest.mark.parametrize("how", [{"validation": 0.25}, {"folds": 4}])
def test_what_validates_is_later_than_what_trains(path: str, how: dict[str, Any]) -> None:
    dataset, found = parts(path, time="day", **how)
    assert dataset.times is not None
    for train, validation in found:
        assert dataset.times[train].max() < dataset.times[validation].min()
    assert len(found) == how.get("folds", 1)


def test_quantities_are_split_at_random_and_classes_by_their_shares(path: str) -> None:
    dataset, ((train, validation),) = parts(path, target="price", validation=0.25)
    assert (len(train), len(validation)) == (90, 30)
    assert np.array_equal(np.sort([*train, *validation]), np.arange(ROWS))
    dataset, ((train, validation),) = parts(path, validation=0.25)
    assert dataset.y[train].mean() == pytest.approx(dataset.y[validation].mean(), abs=0.02)
    dataset, ((other, _),) = parts(path, validation=0.25, split="random")
    assert not np.array_equal(train, other)


def test_repeated_folds_are_drawn_anew(path: str) -> None:
    _, found = parts(path, folds=3, repeats=2)
    assert len(found) == 6
    for first in (0, 3):
        covered = np.concatenate([validation for _, validation in found[first : first + 3]])
        assert sorted(covered) == list(range(ROWS))
    assert not np.array_equal(found[0][1], found[3][1])


@pytest.mark.parametrize("keys", [{}, {"group": "patient"}, {"time": "day"}, {"target": "price"}])
def test_a_share_is_set_aside_as_the_test_part_by_the_same_rule(path: str, keys: dict[str, Any]) -> None:
    data = data_of(path, test=0.25, **keys)
    whole, train, test = load_train(data_of(path, **keys)), load_train(data), load_test(data)
    assert len(train) + len(test) == ROWS
    assert len(test) == pytest.approx(ROWS / 4, abs=6)
    both = np.concatenate([train.x[:, 0], test.x[:, 0]])
    assert sorted(both) == sorted(whole.x[:, 0])
    assert digest_of_test(data) == test.digest
    if "group" in keys:
        assert not np.intersect1d(train.groups, test.groups).size
    if "time" in keys:
        assert train.times.max() < test.times.min()


def test_a_test_part_in_a_file_has_the_training_parts_columns_and_classes(path: str, tmp_path: Path) -> None:
    frame = pd.read_csv(path)
    other = tmp_path / "test.csv"
    frame.head(10)[["price", "ill", "day", "x", "patient"]].to_csv(other, index=False)
    data = data_of(path, test=str(other))
    assert np.array_equal(load_test(data).x, load_train(data).x[:10])
    frame.head(3).assign(ill="maybe").to_csv(other, index=False)
    with pytest.raises(
        DataError, match="must be among the training part's classes, no, yes, but got 'maybe in row 1"
    ):
        load_test(data)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"group": "ill", "folds": 3}, "data.group: column 'ill': must have at least 3 groups"),
        ({"target": "price", "folds": 121}, "folds: must be fewer than there are rows, but got 121"),
        ({"target": "price", "split": "stratified"}, "data.split: must be random, group or time"),
        ({"time": "ill"}, "time 'ill': must be dates, all written alike"),
        ({"group": "patiens"}, "Did you mean 'patient'?"),
    ],
)
def test_what_cannot_be_split_so_is_one_line(path: str, keys: dict[str, Any], line: str) -> None:
    with pytest.raises(DataError) as caught:
        parts(path, **keys)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_one_moment_stand_in_one_part(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=90),
            "day": np.repeat(np.arange(9), 10),
            "ill": random.choice(["a", "b"], 90),
        }
    )
    file = tmp_path / "days.csv"
    frame.to_csv(file, index=False)
    for how in ({"validation": 0.25}, {"folds": 4}):
        dataset, found = parts(str(file), time="day", **how)
        for train, validation in found:
            assert dataset.times[train].max() < dataset.times[validation].min()
    # Nothing is lost of a single split.
    dataset, ((train, validation),) = parts(str(file), time="day", validation=0.25)
    assert sorted([*train, *validation]) == list(range(90))
    train, test = (load(data_of(str(file), time="day", test=0.25)) for load in (load_train, load_test))
    assert (len(train), len(test)) == (60, 30)


def test_a_test_file_needs_neither_groups_nor_times(path: str, tmp_path: Path) -> None:
    other = tmp_path / "test.csv"
    pd.read_csv(path).head(10).drop(columns=["patient"]).to_csv(other, index=False)
    test = load_test(data_of(path, group="patient", test=str(other)))
    assert (len(test), test.groups, test.times) == (10, None, None)


@pytest.mark.parametrize("test", [0.25, "file", None])
def test_both_parts_of_a_table_are_those_that_are_read_alone(path: str, tmp_path: Path, test: Any) -> None:
    if test == "file":
        test = str(tmp_path / "test.csv")
        pd.read_csv(path).head(10).to_csv(test, index=False)
    data = data_of(path, **({} if test is None else {"test": test}))
    train, other = load_parts(data)
    assert train.digest == load_train(data).digest
    assert (None if other is None else other.digest) == digest_of_test(data)


def test_a_table_is_read_once_for_both_parts(path: str) -> None:
    reads = []

    def read() -> TableFile:
        reads.append(path)
        return TableFile(pd.read_csv(path))

    train, test = TableSet("table", read).load(data_of(path, test=0.25), ["train", "test"], task=None)
    assert (len(train), len(test), len(reads)) == (90, 30, 1)
