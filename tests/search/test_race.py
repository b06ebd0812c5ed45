"""The race of a search's leaders, and the limits of a search: pure functions of its trials."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import SpecError
from hpo.search import confirms, distributions, first_withdrawn, is_raced, plan, race_of, room
from hpo.spec import SearchSpec, parse

SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "dropout": {"low": 0.0, "high": 0.5}}


def search(**keys: Any) -> SearchSpec:
    basic = {"name": "s", "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "random"}}
    spec = parse(basic | {"space": SPACE, "params": {"epochs": 4}} | keys)
    assert isinstance(spec, SearchSpec)
    return spec


class Database:
    """Trials as a storage holds them, numbered as they come, that workers begin and end in any order."""

    def __init__(self, spec: SearchSpec, value: Any, *, seed: int = 0) -> None:
        self.spec, self.value, self.trials = spec, value, list[FrozenTrial]()
        self.random, self.now = random.Random(seed), datetime(2026, 1, 1)

    def plan(self) -> None:
        if (first := first_withdrawn(self.spec, self.trials)) is not None:
            del self.trials[first:]
        for trial in plan(self.spec, self.trials):
            trial.number = len(self.trials)
            self.trials.append(trial)

    def step(self, *, workers: int = 3, fails: float = 0.0) -> bool:
        """Begin a trial or end one; False if there is nothing to do."""
        running = [trial for trial in self.trials if trial.state == TrialState.RUNNING]
        waiting = [trial for trial in self.trials if trial.state == TrialState.WAITING]
        if waiting and len(running) < workers and (not running or self.random.random() < 0.6):
            waiting[0].state, waiting[0].datetime_start = TrialState.RUNNING, self.now
            return True
        if not running:
            self.plan()
            return any(trial.state == TrialState.WAITING for trial in self.trials)
        trial = self.random.choice(running)
        self.now += timedelta(seconds=1)
        trial.datetime_complete = self.now
        trial.set_user_attr("replicates", [{"epochs_run": 4.0}])
        if self.random.random() < fails:
            trial.state = TrialState.FAIL
        else:
            trial.state, trial.values = TrialState.COMPLETE, [self.value(trial)]
        if self.spec.is_limited:
            self.plan()
        return True

    def run(self, **how: Any) -> None:
        self.plan()
        while self.step(**how):
            assert len(self.trials) <= self.spec.trials

    @property
    def searched(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if confirms(trial) is None]


def noisy(trial: FrozenTrial) -> float:
    """Less dropout is better; a seed moves it by a third of that."""
    leader, seed = confirms(trial), trial.user_attrs.get("seed", 0)
    noise = random.Random(f"{leader} {seed} {trial.params}").gauss(0, 0.02)
    return 0.9 - 0.1 * float(trial.params["dropout"]) + noise


@settings(deadline=None, max_examples=60)
@given(st.integers(10, 60), st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.0, 0.2, 1.0]))
def test_a_search_ends_with_a_race_within_its_trials(trials: int, seed: int, workers: int, fails: float):
    spec = search(trials=trials)
    there = Database(spec, noisy, seed=seed)
    there.run(workers=workers, fails=fails)
    assert len(there.searched) == spec.searched
    assert is_raced(spec, there.trials)
    race = race_of(spec, there.trials)
    if race is None:
        assert all(trial.state == TrialState.FAIL for trial in there.searched)
        return
    runs = [(confirms(t), t.user_attrs["seed"]) for t in there.trials if confirms(t) is not None]
    assert len(set(runs)) == len(runs) <= spec.trials - spec.searched
    assert {seed for _, seed in runs} <= set(race.seeds)
    assert all(
        t.params == there.trials[confirms(t) or 0].params for t in there.trials if confirms(t) is not None
    )
    assert race.is_over
    if fails == 0:
        assert all(len(race.values(leader)) == race.rounds for leader in race.still_in)
        assert len(race.still_in) == 1 or race.rounds == len(race.seeds)


def test_a_leader_far_behind_drops_out_after_two_seeds_and_the_lucky_one_loses():
    """Found by luck at 0.99, it reaches 0.8; the others differ by less than their noise."""
    spec = search(trials=100)
    reached = {0: 0.8, 1: 0.95, 2: 0.949}

    def value(trial: FrozenTrial) -> float:
        if (leader := confirms(trial)) is None:
            return {0: 0.99, 1: 0.951, 2: 0.95, 3: 0.94, 4: 0.93}.get(trial.number, 0.5)
        return reached.get(leader, 0.94) + 0.002 * random.Random(f"{leader}{trial.user_attrs}").random()

    there = Database(spec, value)
    there.run()
    race = race_of(spec, there.trials)
    assert race is not None
    assert race.leaders == (0, 1, 2, 3, 4)
    assert len(race.values(0)) == 2
    assert race.still_in[0] == 1
    assert len(there.trials) < 100


def test_raised_trials_search_on_and_race_again_within_them():
    spec = search(trials=20)
    there = Database(spec, noisy)
    there.run()
    first = len(there.searched)
    there.spec = search(trials=40)
    there.run()
    assert first < len(there.searched)
    assert len(there.trials) <= 40
    assert is_raced(there.spec, there.trials)
    there.spec = search(trials=len(there.trials) + 1)
    there.run()
    assert len(there.trials) <= there.spec.trials


def noisy_by_number(trial: FrozenTrial) -> float:
    leader = trial.number if (of := confirms(trial)) is None else of
    noise = random.Random(f"{leader} {trial.number}").gauss(0, 0.02)
    return 0.8 + 0.1 * random.Random(leader).random() + noise


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(10, 120), min_size=2, max_size=4).map(sorted),
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.sampled_from(["random", "tpe"]),
)
def test_raised_trials_are_used_and_the_race_reaches_its_end(
    totals: list[int], seed: int, workers: int, sampler: str
):
    there = Database(search(trials=10, sampler={"name": sampler}), noisy_by_number, seed=seed)
    for at, total in enumerate(totals):
        there.spec = search(trials=total, sampler={"name": sampler})
        before = len(there.trials)
        there.run(workers=workers)
        race = race_of(there.spec, there.trials)
        assert race is not None
        assert race.is_over
        assert race.still_in
        assert is_raced(there.spec, there.trials)
        asked, spared = there.spec.race, total - len(there.trials)
        assert asked is not None
        # A race may spare some trials; where it comes again, no more than it takes to search and race one.
        assert spared <= (asked.runs if at == 0 or total == totals[0] else asked.seeds)
        # Only who comes with the last trials goes without.
        if total - before >= asked.top + asked.runs:
            assert len(race.late) < asked.seeds or not race.late


def test_who_was_confirmed_stays_in_the_race_whatever_is_found_later():
    """#0 reaches 0.9 whenever it is trained; all that comes later is luckier, and reaches 0.8."""

    def value(trial: FrozenTrial) -> float:
        leader = confirms(trial)
        lucky = 0.95 + 0.001 * trial.number if trial.number >= 20 else 0.5
        wobble = 0.002 * random.Random(f"{trial.user_attrs}").random()
        return (0.9 if trial.number == 0 else lucky) if leader is None else (0.8, 0.9)[leader == 0] + wobble

    there = Database(search(trials=20), value)
    there.run()
    race = race_of(there.spec, there.trials)
    assert race is not None
    assert race.still_in[0] == 0
    for trials in (40, 60):
        there.spec = search(trials=trials)
        there.run()
        race = race_of(there.spec, there.trials)
        assert race is not None
        assert race.is_over
        assert race.still_in == (0,)
        assert len(race.leaders) == 4


def test_a_leader_that_no_trial_is_left_for_is_late_and_changes_nothing():
    def value(trial: FrozenTrial) -> float:
        return 0.8 if confirms(trial) is not None else 0.5 + 0.01 * trial.number

    there = Database(search(trials=10), value)
    there.run()
    assert len(there.trials) == 10
    there.spec = search(trials=11)
    there.run()
    race = race_of(there.spec, there.trials)
    assert len(there.trials) == 11
    assert race is not None
    assert race.late == (10,)
    assert race.is_over
    assert 10 not in race.still_in
    # More trials let it race.
    there.spec = search(trials=16)
    there.run()
    race = race_of(there.spec, there.trials)
    assert race is not None
    assert not race.late


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_somebody_has_enqueued_does_not_let_a_race_search_on(sampler: str):
    spec = search(trials=20, sampler={"name": sampler})
    there = Database(spec, lambda trial: 0.9 - 0.01 * (trial.number % 7))
    there.plan()
    params = {"learning_rate": 0.01, "dropout": 0.1}
    enqueued = create_trial(
        state=TrialState.WAITING,
        params=params,
        distributions=distributions(spec),
        system_attrs={"fixed_params": params},
    )
    enqueued.number = len(there.trials)
    there.trials.append(enqueued)
    there.run()
    assert len(there.searched) == 15
    assert is_raced(spec, there.trials)


def test_a_race_that_is_no_longer_asked_for_is_taken_back():
    spec = search(trials=20)
    there = Database(spec, noisy)
    there.plan()
    while not any(confirms(trial) is not None for trial in there.trials):
        there.step()
    there.spec = search(trials=20, confirm=False)
    there.run()
    assert len(there.searched) == 20
    assert len(there.trials) == 20


@settings(deadline=None, max_examples=60)
@given(
    st.integers(12, 40),
    st.integers(40, 200),
    st.integers(0, 10**6),
    st.sampled_from(["random", "tpe"]),
    st.booleans(),
)
def test_no_trial_begins_that_might_go_beyond_the_epochs(
    trials: int, epochs: int, seed: int, sampler: str, confirm: bool
):
    keys: dict[str, Any] = {} if confirm else {"confirm": False}
    least = search(trials=trials, **keys).least_epochs
    spec = search(trials=trials, max_epochs_total=max(epochs, least), sampler={"name": sampler}, **keys)
    epochs = max(epochs, least)
    there = Database(spec, lambda trial: 0.9 - 0.01 * (trial.number % 7))
    there.random.seed(seed)
    there.run()
    spent = sum(4 for trial in there.trials if trial.state.is_finished())
    assert spent <= epochs
    left = epochs - spec.race_epochs - 4 * len(there.searched)
    assert len(there.searched) == spec.searched or left < 4
    assert is_raced(spec, there.trials)


def test_only_what_has_been_trained_counts_of_the_epochs():
    spec = search(
        trials=60, confirm=False, max_epochs_total=100, seeds=2, repeats=True, sampler={"name": "tpe"}
    )

    def stopped(
        number: int, state: TrialState = TrialState.PRUNED, epochs: int = 0, **has: Any
    ) -> FrozenTrial:
        curve = dict.fromkeys(range(1, epochs + 1), 0.5)
        trial = create_trial(state=state, intermediate_values=curve, user_attrs=has)
        trial.number = number
        return trial

    # Of 100 epochs there is room for 12 trials of 2 seeds with 4 epochs each.
    assert room(spec, []).trials == 12
    runs = [{"epochs_run": 3}, {"epochs_run": 3}]
    for held, spent in (
        ([stopped(n) for n in range(9)], 0),
        ([stopped(n, TrialState.FAIL) for n in range(9)], 0),
        ([stopped(0, TrialState.FAIL, 3), stopped(1, TrialState.PRUNED, 1)], 8),
        ([stopped(0, TrialState.PRUNED, 3, replicates=runs)], 6),
        ([stopped(0, TrialState.FAIL, 3, confirms=7)], 3),
    ):
        searching = sum(confirms(trial) is None for trial in held)
        assert room(spec, held).trials == searching + (100 - spent) // 8


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_ends_at_its_aim_and_goes_on_when_that_is_raised(sampler: str):
    spec = search(trials=30, stop_at=0.9, confirm=False, sampler={"name": sampler})
    there = Database(spec, lambda trial: 0.95 if trial.number == 7 else 0.5)
    there.run(workers=2)
    assert len(there.trials) in (8, 9)
    assert room(spec, there.trials).why == "stop_at: #7 has reached 0.95"
    there.spec = search(trials=30, stop_at=0.99, confirm=False, sampler={"name": sampler})
    there.run()
    assert len(there.trials) == 30


def test_a_search_without_a_better_value_ends_and_is_raced():
    spec = search(trials=100, patience_trials=10)
    there = Database(spec, lambda trial: 0.9 if trial.number == 3 else 0.5 + 1e-4 * (trial.number % 5))
    there.run(workers=1)
    assert len(there.searched) == 14
    assert room(spec, there.trials).why == "patience_trials: 10 trials without a better value"
    assert race_of(spec, there.trials).still_in  # type: ignore[union-attr]
    assert is_raced(spec, there.trials)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"trials": 20, "confirm": {"top": 5, "seeds": 4}},
            "trials: must be at least 25, as confirm takes 5 leaders on 4 seeds, but got 20.",
        ),
        ({"trials": 20, "confirm": True}, "confirm: must be false, or a table with top and seeds"),
        ({"trials": 20, "confirm": {"top": 1}}, "confirm.top: must be an integer from 2"),
        (
            {"trials": 20, "max_epochs_total": 20},
            "max_epochs_total: must be at least 32, of which confirm may take 24, but got 20.",
        ),
        (
            {"trials": 5, "max_epochs_total": 3},
            "max_epochs_total: must be at least 4, the epochs of one trial",
        ),
        ({"trials": 5, "stop_at": "high"}, "stop_at: must be a finite number"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_in_one_line(keys: dict[str, Any], said: str):
    with pytest.raises(SpecError) as caught:
        search(**keys)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
