"""The model of the benchmark of scale: what it must say where the answer is known."""

from __future__ import annotations

import pytest

from tests.benchmarks.scale import TARGET, Cost, least_seconds, share


def test_a_worker_alone_waits_for_nobody():
    assert share(1, 1.0, 0.25, cores=1) == pytest.approx(0.8)
    assert share(1, 1.0, 0.25, cores=4) == pytest.approx(0.8)


def test_a_server_that_is_full_does_all_that_it_can():
    # A hundred trials of 20 ms a second are what two cores can do.
    assert 1000 * share(1000, 1.0, 0.02, cores=2) == pytest.approx(100, rel=0.01)


def test_the_model_of_two_workers_is_that_of_the_books():
    # Of one queue, by the balance of its three states: 0, 1 and 2 of two workers at the server.
    training, demand = 1.0, 0.5
    ratio = demand / training
    weights = [1.0, 2 * ratio, 2 * ratio**2]
    busy = 1 - weights[0] / sum(weights)
    assert 2 * share(2, training, demand, cores=1) == pytest.approx(busy / demand * training)


def test_the_shortest_trial_reaches_the_target_and_a_shorter_one_does_not():
    cost = Cost(of_length=((1.0, 0.01), (10.0, 0.02)), each=1e-6)
    seconds = least_seconds(1000, cost, 2)
    assert seconds is not None
    assert share(1000, seconds, cost.of(1000, seconds), 2) >= TARGET
    assert share(1000, 0.97 * seconds, cost.of(1000, 0.97 * seconds), 2) < TARGET
    assert least_seconds(100_000, cost, 2) is None


def test_a_cost_goes_through_what_was_measured_and_on_as_at_its_end():
    cost = Cost(of_length=((1.0, 0.01), (10.0, 0.028), (100.0, 0.037)), each=1e-6)
    for seconds, demand in ((0.1, 0.01), (1, 0.01), (5.5, 0.019), (10, 0.028), (100, 0.037), (200, 0.047)):
        assert cost.of(1, seconds) == pytest.approx(demand)
    assert cost.of(1001, 1.0) == pytest.approx(0.011)
