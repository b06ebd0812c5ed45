"""Trials that are taken back: the last ones that nobody has begun, beside workers who claim."""

from __future__ import annotations

import time

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState, create_trial

from hpo.storage import Storage

NONE: dict[str, object] = {}
TABLES = ("trial_params", "trial_user_attributes", "trials")


def new_study(storage: Storage, trials: int) -> optuna.Study:
    study = optuna.create_study(study_name="study", storage=storage.optuna)
    add(storage, study._study_id, trials, after=0)
    return study


def add(storage: Storage, study_id: int, count: int, *, after: int) -> None:
    choice = optuna.distributions.CategoricalDistribution([1, 2])
    trials = [
        create_trial(
            state=TrialState.WAITING, params={"x": 1}, distributions={"x": choice}, user_attrs={"index": i}
        )
        for i in range(after, after + count)
    ]
    assert storage.add_trials(study_id, trials, after=after)


def rows(storage: Storage) -> dict[str, int]:
    with storage.engine.connect() as connection:
        return {name: connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) or 0 for name in TABLES}


def numbers(study: optuna.Study) -> list[int]:
    return [trial.number for trial in study.trials]


def test_the_last_trials_go_with_all_their_rows_and_their_numbers_are_free(storage):
    study = new_study(storage, 8)
    assert storage.withdraw_trials(study._study_id, first=5, given=NONE) == 3
    assert rows(storage) == dict.fromkeys(TABLES, 5)
    assert numbers(study) == [0, 1, 2, 3, 4]
    assert study.ask(fixed_distributions={}).number == 0
    study.enqueue_trial({"x": 2})
    assert numbers(study) == [0, 1, 2, 3, 4, 5]
    assert storage.withdraw_trials(study._study_id, first=9, given=NONE) == 0


def begin_and_put_back(storage: Storage, study: optuna.Study) -> None:
    while (claim := storage.claim([study._study_id], owner="test", seconds=60)) is not None:
        if claim.number == 3:
            assert claim.requeue()
            return


def hold(storage: Storage, study: optuna.Study) -> None:
    while (claim := storage.claim([study._study_id], owner="test", seconds=60)) is not None:
        if claim.number == 3:
            return


def lease_alone(storage: Storage, study: optuna.Study) -> None:
    assert storage.acquire(f"trial:{study.trials[3]._trial_id}", owner="test", seconds=60)


def write_on(storage: Storage, study: optuna.Study) -> None:
    storage.optuna.set_trial_system_attr(study.trials[3]._trial_id, "dashboard:note", "mine")


@pytest.mark.parametrize("touch", [begin_and_put_back, hold, lease_alone, write_on])
def test_what_somebody_has_begun_or_written_on_stays_with_all_before_it(storage, touch):
    study = new_study(storage, 6)
    touch(storage, study)
    assert storage.withdraw_trials(study._study_id, first=1, given=NONE) == 2
    assert numbers(study) == [0, 1, 2, 3]


def test_who_planned_by_something_else_changes_nothing(storage):
    study = new_study(storage, 4)
    study.set_user_attr("spec", {"trials": 4})
    stale, true = {"spec": {"trials": 2}}, {"spec": {"trials": 4}}
    assert storage.withdraw_trials(study._study_id, first=2, given=stale) == 0
    assert not storage.add_trials(
        study._study_id, [create_trial(state=TrialState.WAITING)], after=4, given=stale
    )
    assert len(study.trials) == 4
    storage.set_study_attribute(study._study_id, "spec", {"trials": 2})
    assert study.user_attrs == stale
    assert storage.withdraw_trials(study._study_id, first=2, given=true) == 0
    assert storage.withdraw_trials(study._study_id, first=2, given=stale) == 2
    with pytest.raises(KeyError):
        storage.withdraw_trials(study._study_id + 1, first=0, given=NONE)


def test_a_cache_of_another_process_forgets_what_is_gone(storage):
    study = new_study(storage, 6)
    other = Storage(storage.url)
    seen = optuna.load_study(study_name="study", storage=other.optuna)
    claim = other.claim([study._study_id], owner="test", seconds=60)
    assert claim is not None
    assert numbers(seen) == [0, 1, 2, 3, 4, 5]
    storage.withdraw_trials(study._study_id, first=2, given=NONE)
    assert numbers(seen) == numbers(study) == [0, 1]
    # Their numbers come back with other trials; the cache has the new ones.
    add(storage, study._study_id, 2, after=2)
    assert numbers(seen) == numbers(study) == [0, 1, 2, 3]
    assert [t._trial_id for t in seen.trials] == [t._trial_id for t in study.trials]
    storage.withdraw_trials(study._study_id, first=3, given=NONE)
    add(storage, study._study_id, 3, after=3)
    # Gone and replaced between two looks.
    assert [t._trial_id for t in seen.trials] == [t._trial_id for t in study.trials]
    assert claim.finish(TrialState.COMPLETE, value=1.0)
    assert seen.best_trial.number == 0
    assert [t.state.name for t in seen.trials] == ["COMPLETE"] + ["WAITING"] * 5


def claim_slowly(url: str, study_id: int, number: int) -> tuple[int, int]:
    """A worker: what it claimed, and how much of that it could finish. Number 0 withdraws meanwhile."""
    storage, claimed, finished = Storage(url), 0, 0
    if number == 0:
        time.sleep(0.1)
        return -storage.withdraw_trials(study_id, first=5, given=NONE), 0
    while (claim := storage.claim([study_id], owner=f"{number}", seconds=60)) is not None:
        claimed += 1
        time.sleep(0.01)
        finished += claim.finish(TrialState.COMPLETE, value=1.0)
    return claimed, finished


def test_no_trial_is_withdrawn_that_a_worker_claims_at_this_moment(storage, crowd):
    study = new_study(storage, 60)
    (gone, _), *workers = crowd(claim_slowly, storage.url, study._study_id, count=4)
    claimed = sum(one for one, _ in workers)
    assert claimed == sum(finished for _, finished in workers) == 60 + gone
    assert numbers(study) == list(range(claimed))
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    with storage.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM hpo_leases")) == 0
