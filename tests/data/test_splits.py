"""Stratified splits and folds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from hpo import data
from tests.data.files import LABELS, error_of


@st.composite
def labels(draw, least: int = 2) -> np.ndarray:
    members = draw(st.lists(st.integers(least, 30), min_size=2, max_size=6))
    y = np.repeat(np.arange(len(members)), members)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(y)


def assert_partition(train: np.ndarray, validation: np.ndarray, samples: int) -> None:
    assert train.dtype == validation.dtype == np.int32
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(samples))


def by_shares(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What version 0.1 made: scikit-learn's split, which may leave a small class out of a part."""
    rows = np.arange(len(y), dtype=np.int32)
    held_out = int(np.ceil(fraction * len(y)))
    train, validation = train_test_split(rows, test_size=held_out, stratify=y, random_state=seed)
    return np.sort(train), np.sort(validation)


@settings(deadline=None, max_examples=100)
@given(y=labels(), fraction=st.floats(0.02, 0.98), seed=st.integers(0, 2**32 - 1))
def test_a_split_partitions_and_each_part_has_every_class(y, fraction, seed):
    members, held_out = np.bincount(y), int(np.ceil(fraction * len(y)))
    assume(min(held_out, len(y) - held_out) >= len(members))
    train, validation = data.stratified_split(y, fraction=fraction, seed=seed)
    assert_partition(train, validation, len(y))
    assert len(validation) == held_out
    counts = np.bincount(y[validation], minlength=len(members))
    assert np.all(counts >= 1)
    assert np.all(counts < members)
    again = data.stratified_split(y, fraction=fraction, seed=seed)
    assert np.array_equal(again[1], validation)
    before = by_shares(y, fraction, seed)
    was_right = all(len(np.unique(y[part])) == len(members) for part in before)
    assert data.is_corrected(y, fraction=fraction, seed=seed) == (not was_right)
    if was_right:
        assert np.array_equal(train, before[0])
        assert np.array_equal(validation, before[1])
        assert np.all(np.abs(counts - members * held_out / len(y)) <= 1)


@settings(deadline=None, max_examples=40)
@given(y=labels(), seed=st.integers(0, 2**32 - 1))
def test_a_corrected_split_is_as_near_to_the_shares_as_it_can_be(y, seed):
    y = np.append(y, np.full(200, y.max() + 1))
    members = np.bincount(y)
    train, validation = data.stratified_split(y, fraction=(len(members) - 0.5) / len(y), seed=seed)
    # As many samples as classes: one of each.
    assert np.bincount(y[validation]).tolist() == [1] * len(members)
    assert len(train) == len(y) - len(members)


RARE_CLASS = np.repeat([0, 1, 2], [50, 50, 2])


@pytest.mark.parametrize("fraction", [0.03, 0.05, 0.2, 0.9, 0.97])
def test_a_class_of_two_is_in_both_parts(fraction):
    for part in data.stratified_split(RARE_CLASS, fraction=fraction, seed=0):
        assert np.count_nonzero(RARE_CLASS[part] == 2) == 1


@settings(deadline=None, max_examples=60)
@given(
    members=st.lists(st.integers(2, 40), min_size=2, max_size=60), fraction=st.sampled_from([1e-4, 0.9999])
)
def test_the_range_of_fractions_that_is_advised_is_right(members, fraction):
    y = np.repeat(np.arange(len(members)), members)
    message = error_of(data.stratified_split, y, fraction=fraction, seed=0)
    low, high = map(float, re.search(r"Use a fraction from (\S+) to (\S+)\.$", message).groups())
    for advised in (low, high):
        train, validation = data.stratified_split(y, fraction=advised, seed=0)
        assert set(y[train]) == set(y[validation]) == set(y)


@settings(deadline=None, max_examples=60)
@given(folds=st.integers(2, 6), rest=st.data(), seed=st.integers(0, 2**32 - 1))
def test_folds_partition_and_keep_the_classes_shares(folds, rest, seed):
    y = rest.draw(labels(least=folds))
    parts = data.stratified_folds(y, folds=folds, seed=seed)
    assert len(parts) == folds
    for train, validation in parts:
        assert_partition(train, validation, len(y))
        assert np.all(np.abs(np.bincount(y[validation]) - np.bincount(y) / folds) < 1)
        assert set(y[train]) == set(y[validation]) == set(y)
    assert_partition(np.sort(np.concatenate([part[1] for part in parts])), np.empty(0, np.int32), len(y))
    again = data.stratified_folds(y, folds=folds, seed=seed)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, again, strict=True))


@settings(deadline=None, max_examples=20)
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2, unique=True))
def test_another_seed_gives_another_result(seeds):
    y = np.arange(300) % 3  # C(300, 60) splits: no two seeds meet by chance
    first, second = (data.stratified_split(y, fraction=0.2, seed=seed)[1] for seed in seeds)
    assert not np.array_equal(first, second)
    first, second = (data.stratified_folds(y, folds=5, seed=seed)[0][1] for seed in seeds)
    assert not np.array_equal(first, second)


RARE = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])


@pytest.mark.parametrize(
    ("split", "options", "rule"),
    [
        (data.stratified_split, {"fraction": 0.5}, "at least 2 samples for a split, but got '1 of class 2'"),
        (
            data.stratified_folds,
            {"folds": 3},
            "at least 3 samples for 3 folds, but got '1 of class 2'. Use fewer",
        ),
    ],
)
def test_a_class_that_is_too_small_is_named(split, options, rule):
    assert rule in error_of(split, RARE, seed=0, **options)


@pytest.mark.parametrize(
    ("split", "options", "rule"),
    [
        (data.stratified_split, {"fraction": 0.0}, "must be a fraction between 0 and 1, but got 0.0"),
        (data.stratified_split, {"fraction": 1.0}, "must be a fraction between 0 and 1, but got 1.0"),
        (
            data.stratified_split,
            {"fraction": 0.01},
            "the validation part of 6 samples must hold at least one",
        ),
        (data.stratified_split, {"fraction": 0.99}, "the training part of 6 samples must hold at least one"),
        (data.stratified_folds, {"folds": 1}, "must be at least 2, but got 1"),
    ],
)
def test_an_impossible_split_is_refused(split, options, rule):
    assert rule in error_of(split, LABELS, seed=0, **options)
    assert "needs samples" in error_of(split, LABELS[:0], seed=0, **{**options, **sensible(options)})


def sensible(options: dict) -> dict:
    return {"fraction": 0.5} if "fraction" in options else {"folds": 2}
