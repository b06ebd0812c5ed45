"""The uniform numbers that dropout is drawn by, in either way."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from hpo.training.randomness import for_xla, uniform


def drawn(way: str, stream: int, place: int, count: int = 100_000) -> np.ndarray:
    with for_xla() if way == "hash" else contextlib.nullcontext():
        return np.asarray(uniform((count,), tf.constant([stream, place], tf.int32)).numpy())


@pytest.mark.parametrize("way", ["philox", "hash"])
def test_draws_are_uniform_and_independent_of_their_neighbours_and_of_other_steps_and_streams(
    way: str,
) -> None:
    draws = drawn(way, 7, 0)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 0.001
    # Streams and steps count up from small numbers, as seeds and counters do.
    others = [drawn(way, 7, 1), drawn(way, 8, 0), drawn(way, 0, 7), np.roll(draws, 1), np.roll(draws, 128)]
    for other in others:
        assert abs(np.corrcoef(draws, other)[0, 1]) < 4 / np.sqrt(len(draws))


@pytest.mark.long
@pytest.mark.parametrize("way", ["philox", "hash"])
def test_the_place_of_a_draw_says_nothing_of_it(way: str) -> None:
    # Of each element over many steps: a unit that is never dropped would be seen.
    steps = np.stack([drawn(way, 3, step, count=256) for step in range(500)])
    means = steps.mean(axis=0)
    assert np.abs(means - 0.5).max() < 5 * np.sqrt(1 / 12 / len(steps))


@pytest.mark.parametrize("way", ["philox", "hash"])
def test_the_same_seed_draws_the_same(way: str) -> None:
    np.testing.assert_array_equal(drawn(way, -5, 2**31 - 1), drawn(way, -5, 2**31 - 1))


def test_both_ways_take_shapes_and_types() -> None:
    with for_xla():
        draws = uniform((3, 4), tf.constant([1, 2]), tf.float16)
    assert (draws.shape, draws.dtype) == ((3, 4), tf.float16)
