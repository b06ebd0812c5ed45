"""The storage's promises, kept by SQLite and by a real PostgreSQL server, with real processes."""

from __future__ import annotations

import hashlib
import itertools
import math
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.errors import StorageError
from hpo.storage import Claim, LeasedTrial, LeaseLostError, Patience, Storage, new_token, passes
from hpo.storage.claims import upsert_attributes
from hpo.storage.engine import make_engine
from hpo.storage.reports import REPORT_SECONDS

SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "batch_size": IntDistribution(16, 128, step=16),
    "hidden_units": CategoricalDistribution(["[64]", "[128, 64]"]),
}
PARAMS = {"learning_rate": 0.01, "batch_size": 64, "hidden_units": "[128, 64]"}


def waiting(**attributes: object) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING, params=PARAMS, distributions=SPACE, user_attrs=dict(attributes)
    )


def new_study(storage: Storage, *, trials: int = 0, name: str = "study") -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage.optuna)
    assert storage.add_trials(study._study_id, [waiting(index=i) for i in range(trials)], after=0)
    return study


def claim(storage: Storage, study: optuna.Study, *, seconds: float = 60.0) -> Claim:
    found = storage.claim([study._study_id], owner="test", seconds=seconds)
    assert found is not None
    return found


def lease_rows(storage: Storage) -> set[str]:
    with storage.engine.connect() as connection:
        return set(connection.execute(sa.text("SELECT key FROM hpo_leases")).scalars())


def expire(storage: Storage) -> None:
    """Let every lease be over, as if its time had passed."""
    with storage.engine.begin() as connection:
        connection.execute(sa.text("UPDATE hpo_leases SET expires = 0"))


# ------------------------------------------------------------------------------- what eight processes do


def create_and_use(url: str, number: int) -> None:
    storage = Storage(url, create=True)
    optuna.create_study(study_name=f"study {number}", storage=storage.optuna)
    lease = storage.acquire(f"key {number}", owner="test", seconds=60)
    assert lease is not None


def claim_and_finish(url: str, study_id: int, number: int) -> list[int]:
    storage, claimed = Storage(url), []
    while (found := storage.claim([study_id], owner=f"{number}", seconds=60)) is not None:
        claimed.append(found.trial_id)
        storage.optuna.set_trial_state_values(found.trial_id, TrialState.COMPLETE, [float(number)])
        found.lease.release()
    return claimed


def hoard(url: str, study_id: int, number: int) -> list[int]:
    storage, claimed = Storage(url), []
    while (found := storage.claim([study_id], owner=f"{number}", seconds=60)) is not None:
        claimed.append(found.trial_id)
    return claimed


def add_ten(url: str, study_id: int, number: int) -> bool:
    return Storage(url).add_trials(study_id, [waiting(by=number) for _ in range(10)], after=0)


def count_under_lock(url: str, path: str, number: int) -> None:
    storage = Storage(url)
    for _ in range(5):
        with storage.lock("counter"):
            count = int(Path(path).read_text())
            time.sleep(0.002)
            Path(path).write_text(str(count + 1))


# ------------------------------------------------------------------------------------------------ schema


@pytest.mark.slow
def test_processes_at_once_create_one_whole_schema(new_database, crowd, tmp_path):
    for _ in range(3):
        url = new_database()
        crowd(create_and_use, url)
        storage = Storage(url)
        assert sorted(row.name for row in storage.overview()) == [f"study {n}" for n in range(8)]
        assert lease_rows(storage) == {f"key {n}" for n in range(8)}
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not leftovers


def test_plain_optuna_reads_and_writes_the_database(storage):
    new_study(storage, trials=2)
    study = optuna.load_study(study_name="study", storage=storage.url)
    study.optimize(lambda trial: trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True), n_trials=3)
    assert [trial.value for trial in study.trials[:2]] == [0.01, 0.01]
    assert len(storage.optuna.get_all_trials(study._study_id)) == 3


def test_a_database_of_optuna_s_own_is_kept_and_gets_leases(new_database):
    url = new_database()
    optuna.create_study(study_name="older", storage=RDBStorage(url)).optimize(lambda _: 1.0, n_trials=1)
    storage = Storage(url, create=True)
    assert [row.name for row in storage.overview()] == ["older"]
    assert storage.acquire("key", owner="test", seconds=60) is not None


def test_opening_what_create_has_made_needs_no_create(storage):
    new_study(storage)
    assert [row.name for row in Storage(storage.url).overview()] == ["study"]


def test_who_reads_a_study_s_trials_sees_all_of_them_while_another_thread_reads_them_anew(tmp_path):
    storage = Storage(f"sqlite:///{tmp_path}/hpo.db", create=True)
    study = new_study(storage, trials=3)
    done = threading.Event()

    def read_anew() -> None:
        for specification in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            storage.optuna.read_by(study._study_id, specification)

    thread = threading.Thread(target=read_anew)
    thread.start()
    try:
        assert {len(study.get_trials(deepcopy=False)) for _ in range(1000)} == {3}
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("touch", [lambda s: s.rdb, lambda s: s.optuna], ids=["rdb", "optuna"])
def test_a_schema_of_another_optuna_version_is_refused_in_one_line(storage, touch):
    with storage.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'v99'"))
    with pytest.raises(StorageError, match="of another version of Optuna") as caught:
        touch(Storage(storage.url))
    assert "\n" not in str(caught.value)


def test_a_table_that_has_another_form_is_told_in_one_line(storage):
    with storage.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE studies RENAME COLUMN study_name TO title"))
    with pytest.raises(StorageError, match="study_name") as caught:
        Storage(storage.url).overview()
    assert "\n" not in str(caught.value)


def test_a_database_without_leases_is_told_with_its_remedy(storage):
    with storage.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE hpo_leases"))
    with pytest.raises(StorageError, match=r"lacks the table hpo_leases.*hpo doctor --repair"):
        Storage(storage.url)
    assert Storage(storage.url, create=True).acquire("key", owner="test", seconds=60) is not None


def test_opening_a_database_does_not_wait_for_those_who_write(url, tmp_path):
    holder = sqlite3.connect(tmp_path / "hpo.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert Storage(url).overview() == []
    assert time.monotonic() - started < 30
    holder.rollback()


def test_ids_of_deleted_studies_and_trials_do_not_come_back(storage):
    first = new_study(storage, trials=3)
    ids = {trial._trial_id for trial in first.trials}
    storage.delete_study(first._study_id)
    second = new_study(storage, trials=3)
    assert second._study_id != first._study_id
    assert not ids & {trial._trial_id for trial in second.trials}


# ------------------------------------------------------------------------------------------------ leases


def test_a_lease_has_one_holder(storage):
    assert storage.acquire("key", owner="a", seconds=60) is not None
    assert storage.acquire("key", owner="b", seconds=60) is None
    assert storage.acquire("another", owner="b", seconds=60) is not None


def test_an_expired_lease_goes_to_the_next_and_is_lost_to_the_first(storage):
    first = storage.acquire("key", owner="a", seconds=0.05)
    time.sleep(0.1)
    second = storage.acquire("key", owner="b", seconds=60)
    assert second is not None
    assert not first.renew()
    first.release()
    assert second.renew()
    assert storage.acquire("key", owner="a", seconds=60) is None


def test_an_expired_lease_that_nobody_took_can_be_renewed(storage):
    lease = storage.acquire("key", owner="a", seconds=0.2)
    expire(storage)
    assert lease.renew()
    assert storage.acquire("key", owner="b", seconds=60) is None


@pytest.mark.long
def test_renewing_lengthens_a_lease(storage):
    lease = storage.acquire("key", owner="a", seconds=1.5)
    for _ in range(5):
        time.sleep(0.4)
        assert storage.acquire("key", owner="b", seconds=60) is None
        assert lease.renew()


def test_a_released_lease_is_free_and_gone(storage):
    lease = storage.acquire("key", owner="a", seconds=60)
    lease.release()
    assert lease_rows(storage) == set()
    assert not lease.renew()
    assert storage.acquire("key", owner="b", seconds=60) is not None


def test_leases_go_by_the_database_s_clock_and_not_by_the_worker_s(storage, monkeypatch):
    assert storage.acquire("key", owner="a", seconds=60) is not None
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert storage.acquire("key", owner="a worker of the year 2096", seconds=60) is None
    monkeypatch.setattr(time, "time", lambda: 0.0)
    expire(storage)
    assert storage.acquire("key", owner="a worker of the year 1970", seconds=60) is not None


def test_a_lock_lets_one_process_in_at_a_time(storage, crowd, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    crowd(count_under_lock, storage.url, str(counter))
    assert counter.read_text() == "40"


def test_a_lock_is_free_again_after_an_error(storage):
    with pytest.raises(ZeroDivisionError), storage.lock("key"):
        1 / 0  # noqa: B018
    assert lease_rows(storage) == set()


def take(storage: Storage, key: str) -> None:
    """What another process does once the time of who is suspended is over."""
    expire(storage)
    assert Storage(storage.url).acquire(key, owner="another", seconds=60) is not None


def lose(storage: Storage, key: str, write: Callable[[], object]) -> None:
    """Write under a lock that another process has taken meanwhile."""
    with storage.lock(key):
        take(storage, key)
        write()


def test_who_was_suspended_inside_a_lock_writes_nothing_once_another_one_has_it(storage):
    study = new_study(storage)
    says = r"the lock 'key' was held for more than 60 s, and is another process's now\. Try again"
    for write in (
        lambda: study.set_user_attr("after", 2),
        lambda: storage.add_trials(study._study_id, [waiting()], after=0),
    ):
        with pytest.raises(StorageError, match=says):
            lose(storage, "key", write)
        expire(storage)
    assert study.user_attrs == {}
    assert study.trials == []
    # What the other one holds is left to it, and this thread is free again.
    assert lease_rows(storage) == {"key"}
    study.set_user_attr("outside", 3)


def test_a_lock_whose_time_is_over_is_kept_as_long_as_nobody_takes_it(storage):
    study = new_study(storage)
    with storage.lock("key"):
        expire(storage)
        study.set_user_attr("after", 2)
    assert study.user_attrs == {"after": 2}


def test_a_lock_inside_a_lock_guards_by_both(storage):
    study = new_study(storage)

    def write() -> None:
        with storage.lock("inner"):
            study.set_user_attr("after", 2)

    with pytest.raises(StorageError, match="the lock 'outer'"):
        lose(storage, "outer", write)
    assert study.user_attrs == {}
    assert lease_rows(storage) == {"outer"}


@pytest.mark.long
def test_optuna_s_verbosity_is_the_caller_s(tmp_path, caplog):
    before = optuna.logging.get_verbosity()
    storage = Storage(f"sqlite:///{tmp_path}/hpo.db", create=True)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        for _ in range(2):
            storage.create_study("ours", directions=["maximize"])
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
        assert caplog.text == ""
        optuna.create_study(study_name="theirs", storage=storage.optuna)
        assert "A new study created" in caplog.text
    finally:
        optuna.logging.set_verbosity(before)
    code = "import optuna, hpo.storage, hpo.dashboard, hpo.workers; print(optuna.logging.get_verbosity())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == optuna.logging.INFO


# ------------------------------------------------------------------------------------------------ claims


def test_eight_processes_claim_each_of_sixty_trials_once(storage, crowd):
    study = new_study(storage, trials=60)
    claimed = crowd(hoard, storage.url, study._study_id)
    ids = [trial._trial_id for trial in study.trials]
    assert sorted(chain.from_iterable(claimed)) == sorted(ids)
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}


@pytest.mark.slow
def test_eight_processes_that_finish_and_release_train_nothing_twice(storage, crowd):
    study = new_study(storage, trials=60)
    claimed = crowd(claim_and_finish, storage.url, study._study_id)
    assert sorted(chain.from_iterable(claimed)) == sorted(trial._trial_id for trial in study.trials)
    for number, own in enumerate(claimed):
        assert {storage.rdb.get_trial(trial_id).value for trial_id in own} <= {float(number)}
    assert lease_rows(storage) == set()


def test_trials_are_claimed_by_number_and_run_then(storage):
    study = new_study(storage, trials=3)
    numbers = [storage.rdb.get_trial(claim(storage, study).trial_id).number for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert storage.claim([study._study_id], owner="test", seconds=60) is None
    assert all(trial.datetime_start is not None for trial in study.trials)


def test_claims_stay_inside_their_study(storage):
    new_study(storage, trials=1, name="other")
    empty = new_study(storage, name="empty")
    assert storage.claim([empty._study_id], owner="test", seconds=60) is None


def test_a_running_trial_is_taken_over_once_its_lease_has_expired(storage):
    study = new_study(storage, trials=1)
    first = claim(storage, study)
    assert storage.claim([study._study_id], owner="b", seconds=60) is None
    expire(storage)
    second = claim(storage, study)
    assert second.trial_id == first.trial_id
    assert not first.lease.renew()
    assert study.trials[0].state == TrialState.RUNNING


def test_a_trial_that_plain_optuna_runs_is_never_claimed_nor_left_to_hpo(storage):
    study = new_study(storage, trials=2)
    theirs, own = study.ask(), claim(storage, study)
    assert (theirs.number, own.number) == (0, 1)
    assert storage.claim([study._study_id], owner="test", seconds=60) is None
    assert storage.unfinished(study._study_id) == [own.trial_id]
    assert storage.in_training(study._study_id) == [own.trial_id]
    assert storage.running_elsewhere(study._study_id) == [theirs._trial_id]
    expire(storage)
    assert claim(storage, study).trial_id == own.trial_id
    assert storage.claim([study._study_id], owner="test", seconds=60) is None
    study.tell(theirs, 0.25)
    assert storage.running_elsewhere(study._study_id) == []


def test_a_trial_that_is_put_back_with_a_reason_shows_it_and_has_lost_no_worker(storage):
    study = new_study(storage, trials=1)
    assert claim(storage, study).requeue({"reason": "no data"})
    assert study.trials[0].user_attrs == {"index": 0, "reason": "no data"}
    again = claim(storage, study)
    assert again.retries == 0
    again.describe({"worker": "a"}, without=["reason"])
    assert study.trials[0].user_attrs == {"index": 0, "worker": "a"}


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_a_finished_trial_is_never_claimed(storage, state):
    study = new_study(storage)
    study.tell(study.ask(), 1.0 if state == TrialState.COMPLETE else None, state=state)
    assert storage.claim([study._study_id], owner="test", seconds=60) is None
    assert storage.unfinished(study._study_id) == []


def test_nothing_is_claimed_of_a_deleted_study(storage):
    study = new_study(storage, trials=1)
    storage.delete_study(study._study_id)
    assert storage.claim([study._study_id], owner="test", seconds=60) is None


def test_a_requeued_trial_is_the_same_trial(storage):
    study = new_study(storage, trials=2)
    first = claim(storage, study)
    trial = optuna.trial.Trial(study, first.trial_id)
    trial.set_user_attr("worker", "a")
    trial.report(0.5, step=1)
    trial.report(0.25, step=2)
    before = storage.rdb.get_trial(first.trial_id)
    assert first.requeue()
    after = storage.rdb.get_trial(first.trial_id)
    assert after.state == TrialState.WAITING
    assert lease_rows(storage) == set()
    for field in ("number", "params", "distributions", "intermediate_values", "user_attrs"):
        assert getattr(after, field) == getattr(before, field)
    assert claim(storage, study).trial_id == first.trial_id


def test_a_trial_that_was_taken_over_is_not_requeued(storage):
    study = new_study(storage, trials=1)
    first = claim(storage, study)
    expire(storage)
    second = claim(storage, study)
    assert not first.requeue()
    assert study.trials[0].state == TrialState.RUNNING
    assert second.lease.renew()


def test_a_finished_trial_is_not_requeued(storage):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    study.tell(0, 1.0)
    assert not held.requeue()
    assert study.trials[0].state == TrialState.COMPLETE
    assert lease_rows(storage) == set()


def test_a_trial_of_a_deleted_study_is_not_requeued(storage):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    storage.delete_study(study._study_id)
    assert not held.requeue()


# ----------------------------------------------------------------------------------- results and fences


def test_a_result_is_recorded_whole(storage):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    held.describe({"worker": "a", "f1": 0.25})
    assert held.finish(TrialState.COMPLETE, value=0.5, attributes={"f1": 0.75, "replicates": [{"seed": 0}]})
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert trial.user_attrs == {"index": 0, "worker": "a", "f1": 0.75, "replicates": [{"seed": 0}]}
    assert trial.datetime_start <= trial.datetime_complete <= datetime.now()
    assert lease_rows(storage) == set()


def test_a_result_recorded_twice_is_acknowledged_twice_and_stays_the_first(storage):
    # The reply to a COMMIT may be lost: the worker cannot know, and tries again.
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    assert held.finish(TrialState.COMPLETE, value=0.5)
    first = study.trials[0].datetime_complete
    assert held.finish(TrialState.COMPLETE, value=0.5)
    assert study.trials[0].datetime_complete == first


def test_a_claim_whose_reply_was_lost_is_found_again_and_counts_as_no_retry(storage):
    study = new_study(storage, trials=2)
    token = new_token()
    again = [storage.claim([study._study_id], owner="a", seconds=60, token=token).trial_id for _ in range(2)]
    assert again == [study.trials[0]._trial_id] * 2
    assert "retries" not in study.trials[0].user_attrs
    assert claim(storage, study).trial_id == study.trials[1]._trial_id


def test_a_claim_whose_reply_was_lost_is_the_same_trial_whatever_is_free_by_then(storage):
    study = new_study(storage, trials=2)
    other, token = claim(storage, study), new_token()
    first = storage.claim([study._study_id], owner="a", seconds=60, token=token)
    other.requeue()
    started = time.monotonic()
    again = storage.claim([study._study_id], owner="a", seconds=60, token=token)
    assert again.trial_id == first.trial_id != other.trial_id
    # Its own lease is no other's, for whose end it would wait.
    assert time.monotonic() - started < 30
    assert len(lease_rows(storage)) == 1


@pytest.mark.slow
def test_a_claim_takes_as_long_however_many_trials_wait(storage):
    seconds: dict[int, list[float]] = {}
    for trials in (30, 3000):
        study = new_study(storage, trials=trials, name=f"of {trials}")
        for _ in range(9):
            begun = time.perf_counter()
            claim(storage, study)
            seconds.setdefault(trials, []).append(time.perf_counter() - begun)
    few, many = (statistics.median(of) for of in seconds.values())
    # Sorted by their leases, as they once were: 30 times as long.
    assert many < 6 * few


def test_a_database_without_the_index_of_what_waits_gets_it_where_studies_are_created(storage):
    study = new_study(storage, trials=2)
    with storage.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX hpo_waiting"))
    assert claim(storage, study).number == 0
    again = Storage(storage.url, artifact_dir=storage.artifacts.path, create=True)
    indexes = sa.inspect(again.engine).get_indexes("trials")
    assert "hpo_waiting" in [index["name"] for index in indexes]
    assert claim(again, study).number == 1


def test_the_only_own_trial_is_found_again_and_one_of_another_study_is_not(storage):
    first, second = new_study(storage, trials=1, name="a"), new_study(storage, trials=1, name="b")
    storage.claim([first._study_id], owner="test", seconds=60, token="t")
    ids = [first._study_id, second._study_id]
    assert storage.claim(ids, owner="test", seconds=60, token="t").study_id == first._study_id
    found = storage.claim([second._study_id], owner="test", seconds=60, token="t")
    assert found.study_id == second._study_id


def test_deferred_trials_are_claimed_last_lost_ones_first_and_studies_in_their_order(storage):
    first, second = new_study(storage, trials=4), new_study(storage, trials=1, name="second")
    studies, ids = [first._study_id, second._study_id], [trial._trial_id for trial in first.trials]
    taken = []
    for deferred in (ids[:2], ids[:2], ids[:2], ids[:2], ids[:2]):
        found = storage.claim(studies, owner="test", seconds=60, deferred=deferred)
        taken.append((found.study_id, found.number))
    assert taken == [(studies[0], number) for number in (2, 3, 0, 1)] + [(studies[1], 0)]
    expire(storage)
    assert storage.claim(studies, owner="test", seconds=60, deferred=ids).number == 0


def test_a_lost_trial_is_claimed_before_what_waits_with_a_smaller_number(storage):
    study = new_study(storage, trials=3)
    ids = [trial._trial_id for trial in study.trials]
    lost = storage.claim([study._study_id], owner="dead", seconds=60, deferred=ids[:2])
    expire(storage)
    assert claim(storage, study).trial_id == lost.trial_id == ids[2]
    assert claim(storage, study).trial_id == ids[0]


def test_what_has_begun_is_told_of_the_first_study_in_which_a_trial_waits(storage):
    done, study = new_study(storage, trials=1, name="done"), new_study(storage, trials=4)
    studies, before = [done._study_id, study._study_id], datetime.now(UTC) - timedelta(minutes=1)
    assert claim(storage, done).finish(TrialState.COMPLETE, value=1.0, attributes={"worker": "past"})
    assert storage.begun(studies, since=before) == []
    study.ask()  # another program's
    finished, lost = claim(storage, study), claim(storage, study)
    assert finished.finish(TrialState.COMPLETE, value=1.0, attributes={"worker": "a"})
    expire(storage)
    told = {trial.trial_id: trial for trial in storage.begun(studies, since=before)}
    assert {key: (trial.worker, trial.held) for key, trial in told.items()} == {
        finished.trial_id: ("a", False),
        lost.trial_id: ("test", False),
    }
    assert told[finished.trial_id].ended > before
    assert told[lost.trial_id].ended is None
    assert claim(storage, study).trial_id == lost.trial_id
    (held,) = storage.begun(studies, since=datetime.now(UTC) + timedelta(minutes=1))
    assert (held.trial_id, held.held) == (lost.trial_id, True)


def test_configurations_are_read_without_what_trials_have_reported(storage):
    study = new_study(storage)
    for rate in (0.1, 0.2, 0.3):
        study.enqueue_trial({"rate": rate}, user_attrs={"arm": f"{rate}"})
    begun = study.ask()
    begun.suggest_float("rate", 0, 1)
    begun.report(1.0, 1)
    (read,) = storage.configurations([begun._trial_id])
    assert (read.params, read.user_attrs) == ({"rate": 0.1}, {"arm": "0.1"})
    assert (read.distributions, read.intermediate_values) == (begun.distributions, {})
    assert storage.configurations([]) == []
    waiting = storage.waiting(study._study_id, after=-1, limit=1)
    assert [trial.number for trial in waiting] == [1]
    more = storage.waiting(study._study_id, after=waiting[0]._trial_id, limit=5)
    assert [trial.user_attrs for trial in more] == [{"arm": "0.3"}]


def test_a_claim_passes_over_a_trial_whose_holder_is_writing_and_neither_waits(new_postgresql):
    storage = Storage(new_postgresql(), create=True)
    study = new_study(storage, trials=2)
    holder = claim(storage, study)
    expire(storage)
    with storage.engine.begin() as connection:
        # What else would be a deadlock: the holder has its lease and goes on to the trial.
        assert holder.lease.is_held_in(connection)
        second = claim(storage, study)
        assert second.number == 1
        assert storage.claim([study._study_id], owner="test", seconds=60) is None
        upsert_attributes(connection, models.TrialUserAttributeModel, holder.trial_id, {"epoch": 3})
    assert study.trials[0].user_attrs["epoch"] == 3
    taken = claim(storage, study)
    assert (taken.number, taken.retries) == (0, 1)


def commits_of(storage: Storage) -> list[str]:
    """Grows by an entry for each commit."""
    commits: list[str] = []
    sa.event.listen(storage.engine, "commit", lambda connection: commits.append("commit"))
    return commits


def test_what_is_reported_within_a_moment_is_written_together(storage):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    trial = LeasedTrial(study, held, Patience(threading.Event()))
    commits = commits_of(storage)
    for step in range(1, 101):
        trial.report(step / 2, step=step)
        trial.report(-1.0, step=step)  # a second one is ignored, as Optuna does
    assert trial.last_reported == 50
    assert len(commits) <= 2
    assert held.finish(TrialState.COMPLETE, value=50.0)
    assert study.trials[0].intermediate_values == {step: step / 2 for step in range(1, 101)}


@pytest.mark.parametrize("value", [0.5, math.inf, -math.inf, math.nan])
def test_whatever_is_reported_is_stored_as_optuna_stores_it(storage, value):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    LeasedTrial(study, held, Patience(threading.Event()), report_seconds=0).report(value, step=1)
    np.testing.assert_equal(study.trials[0].intermediate_values, {1: value})


def test_a_report_waits_for_a_moment_only(storage):
    study = new_study(storage, trials=1)
    trial = LeasedTrial(study, claim(storage, study), Patience(threading.Event()))
    trial.report(0.5, step=1)
    time.sleep(REPORT_SECONDS)
    trial.report(0.25, step=2)
    assert study.trials[0].intermediate_values == {1: 0.5, 2: 0.25}


@pytest.mark.parametrize("write", ["describe", "keep_checkpoint", "requeue", "set_user_attr"])
def test_what_else_is_written_takes_reports_along(storage, write):
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    trial = LeasedTrial(study, held, Patience(threading.Event()), report_seconds=math.inf)
    trial.report(0.5, step=1)
    assert study.trials[0].intermediate_values == {}
    {
        "describe": lambda: held.describe({"worker": "w"}),
        "keep_checkpoint": lambda: held.keep_checkpoint("c"),
        "requeue": held.requeue,
        "set_user_attr": lambda: trial.set_user_attr("a", 1),
    }[write]()
    assert study.trials[0].intermediate_values == {1: 0.5}


def test_a_worker_that_lost_its_trial_writes_nothing_more(storage):
    study = new_study(storage, trials=1)
    lost = claim(storage, study)
    trial = LeasedTrial(study, lost, Patience(threading.Event()), report_seconds=0)
    trial.report(0.5, step=1)
    expire(storage)
    holder = claim(storage, study)
    writes = (
        lambda: trial.report(0.25, step=2),
        lambda: trial.suggest_float("new", 0.0, 1.0),
        lambda: lost.describe({"worker": "lost"}),
        lambda: lost.keep_checkpoint("lost.checkpoint"),
    )
    before = study.trials
    for write in writes:
        with pytest.raises(LeaseLostError):
            write()
    assert not lost.finish(TrialState.COMPLETE, value=1.0, attributes={"f1": 1.0})
    assert not lost.requeue()
    assert study.trials == before
    assert holder.lease.renew()
    assert holder.finish(TrialState.COMPLETE, value=0.75)
    assert study.trials[0].value == 0.75


def test_a_takeover_counts_as_a_retry_and_names_who_lost_the_trial(storage):
    study = new_study(storage, trials=1)
    first = storage.claim([study._study_id], owner="first", seconds=60)
    assert (first.retries, first.taken_from) == (0, None)
    for retry in (1, 2):
        expire(storage)
        next_ = storage.claim([study._study_id], owner="next", seconds=60)
        assert next_.retries == study.trials[0].user_attrs["retries"] == retry
        assert next_.taken_from == ("first" if retry == 1 else "next")
    next_.requeue()
    # Nobody died: the queue is not a retry.
    assert storage.claim([study._study_id], owner="next", seconds=60).retries == 2


def test_leases_of_a_worker_that_is_known_to_have_died_are_over_at_once(storage):
    study = new_study(storage, trials=2)
    dead = storage.claim([study._study_id], owner="dead", seconds=60)
    storage.claim([study._study_id], owner="alive", seconds=60)
    storage.expire_leases("dead")
    assert claim(storage, study).trial_id == dead.trial_id
    assert storage.claim([study._study_id], owner="test", seconds=60) is None


def test_what_the_fence_does_not_hold_is_written_as_ever(storage):
    study = new_study(storage, trials=1)
    lost = claim(storage, study)
    expire(storage)
    claim(storage, study)
    with pytest.raises(LeaseLostError), lost.fenced():
        study.set_user_attr("fenced", 1)
    study.set_user_attr("free", 1)
    assert study.user_attrs == {"free": 1}


# ------------------------------------------------------------------------------------ errors that pass


def test_a_locked_and_a_full_database_pass_and_a_missing_table_does_not(url, tmp_path):
    engine = make_engine(url)
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as missing:
        connection.execute(sa.text("SELECT * FROM nowhere"))
    assert not passes(missing.value)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        large = sa.text("INSERT INTO studies (study_name) VALUES (hex(randomblob(100000)))")
        with pytest.raises(sa.exc.OperationalError, match="full") as full:
            connection.execute(large)
    assert passes(full.value)
    holder = sqlite3.connect(tmp_path / "hpo.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    other = sa.create_engine(url, connect_args={"timeout": 0.05})
    with pytest.raises(sa.exc.OperationalError, match="locked") as locked, other.begin() as connection:
        connection.execute(sa.text("INSERT INTO studies (study_name) VALUES ('one')"))
    assert passes(locked.value)
    holder.rollback()


def test_a_connection_that_broke_passes_and_a_broken_rule_does_not(new_postgresql):
    engine = make_engine(new_postgresql())
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        with engine.connect() as other:
            other.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
                    " AND datname = current_database()"
                )
            )
        with pytest.raises(sa.exc.DBAPIError) as broken:
            connection.execute(sa.text("SELECT 1"))
    assert passes(broken.value)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as rule:
        connection.execute(sa.text("SELECT 1 / 0"))
    assert not passes(rule.value)
    nobody = sa.create_engine("postgresql+psycopg://postgres@127.0.0.1:1/none")
    with pytest.raises(sa.exc.OperationalError) as refused:
        nobody.connect()
    assert passes(refused.value)
    with pytest.raises(StorageError) as told:
        Storage("postgresql+psycopg://postgres@127.0.0.1:1/none")
    assert passes(told.value)


def test_a_connection_that_breaks_under_optuna_s_reading_passes(new_postgresql):
    # Optuna then tries a slower query in the session that has broken, and raises what that one says.
    storage = Storage(new_postgresql(), create=True)
    study = new_study(storage, trials=3)
    storage.optuna.get_all_trials(study._study_id)
    sa.event.listen(storage.engine, "before_cursor_execute", end_backends_before("FROM trials"))
    with pytest.raises(optuna.exceptions.StorageInternalError) as broken:
        storage.optuna.get_all_trials(study._study_id)
    assert passes(broken.value)


def end_backends_before(text: str) -> Callable[..., None]:
    """Listens to statements: another connection ends this one before the first that has the text."""
    done: list[str] = []

    def end(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if text in statement and not done:
            done.append(statement)
            administrator = sa.create_engine(connection.engine.url)
            with administrator.connect() as other:
                pid = cursor.connection.info.backend_pid
                other.execute(sa.text(f"SELECT pg_terminate_backend({pid}, 5000)"))
            administrator.dispose()

    return end


def test_patience_waits_for_a_lock_to_go(url, tmp_path, caplog):
    holder = sqlite3.connect(tmp_path / "hpo.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, holder.rollback).start()
    other = sa.create_engine(url, connect_args={"timeout": 0.05})

    def write() -> int:
        with other.begin() as connection:
            return connection.execute(sa.text("INSERT INTO studies (study_name) VALUES ('one')")).rowcount

    assert Patience(threading.Event())(write) == 1
    assert caplog.text.count("the storage cannot be written, trying again: database is locked") == 1


@pytest.mark.parametrize("how", ["time is over", "told to stop"])
def test_patience_ends(url, tmp_path, how):
    holder = sqlite3.connect(tmp_path / "hpo.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    other = sa.create_engine(url, connect_args={"timeout": 0.05})
    stopping = threading.Event()
    threading.Timer(0.3, stopping.set).start() if how == "told to stop" else None
    started = time.monotonic()
    with pytest.raises(sa.exc.OperationalError, match="locked"):
        Patience(stopping, seconds=0.3 if how == "time is over" else 600.0)(
            lambda: other.connect().execute(sa.text("INSERT INTO studies (study_name) VALUES ('one')"))
        )
    assert time.monotonic() - started < 30
    holder.rollback()


# ------------------------------------------------------------------------------------------------ trials


def of_every_kind() -> list[FrozenTrial]:
    """A trial of each state, with and without parameters, attributes and values that are no numbers."""
    plain = {"distributions": SPACE, "params": PARAMS}
    odd = {1: 0.1 + 0.2, 2: math.inf, 3: -math.inf, 4: math.nan, 2**31 - 1: 5e-324, 0: -0.0}
    texts = {"text": "' ; ü {%s}", "nothing": None, "nested": {"a": [1, 2.5, True, math.inf]}, "": []}
    return [
        create_trial(state=TrialState.COMPLETE, values=[0.1, math.inf], intermediate_values=odd, **plain),
        create_trial(state=TrialState.COMPLETE, values=[-math.inf, 1e-320], user_attrs=texts),
        create_trial(state=TrialState.PRUNED, intermediate_values={7: 1.0}, system_attrs=texts, **plain),
        create_trial(state=TrialState.PRUNED, values=[3.0, 4.0]),
        create_trial(state=TrialState.FAIL, user_attrs={"b": 1, "a": 2}, system_attrs={"b": 1, "a": 2}),
        create_trial(state=TrialState.RUNNING, intermediate_values={2: 0.5, 1: 0.25}, **plain),
        create_trial(state=TrialState.WAITING),
    ]


def printed(trials: list[FrozenTrial]) -> list[str]:
    """Trials as text, in which nan is equal to itself; what Optuna has in no order is sorted."""
    for trial in trials:
        for unordered in (trial.intermediate_values, trial._user_attrs, trial._system_attrs):
            items = sorted(unordered.items())
            unordered.clear()
            unordered.update(items)
    return [repr(trial) for trial in trials]


def test_trials_are_read_in_bulk_as_optuna_reads_them(storage):
    study = optuna.create_study(storage=storage.optuna, directions=["minimize", "maximize"])
    other = new_study(storage, trials=2, name="other")
    study.add_trials(of_every_kind() * 2)
    theirs, key = RDBStorage(storage.url), study._study_id
    for states in (None, [TrialState.COMPLETE, TrialState.WAITING], [TrialState.FAIL], []):
        found = storage.rdb.get_all_trials(key, states=states)
        assert printed(found) == printed(theirs.get_all_trials(key, states=states))
    assert len(storage.rdb.get_all_trials(other._study_id)) == 2
    with pytest.raises(KeyError):
        storage.rdb.get_all_trials(max(key, other._study_id) + 1)


def test_what_has_changed_since_is_all_that_is_read_again(storage):
    study = new_study(storage, trials=400)
    assert len(storage.optuna.get_all_trials(study._study_id, deepcopy=False)) == 400
    mine = claim(storage, study)
    with mine.fenced():
        storage.rdb.set_trial_intermediate_value(mine.trial_id, 1, 0.5)
    first, *rest = storage.optuna.get_all_trials(study._study_id, deepcopy=False)
    assert (first.state, first.intermediate_values) == (TrialState.RUNNING, {1: 0.5})
    assert all(trial.state == TrialState.WAITING for trial in rest)
    assert mine.finish(TrialState.COMPLETE, value=1.0)
    study.add_trial(create_trial(value=2.0))
    study.add_trial(waiting())
    read = storage.rdb._get_trials(study._study_id, None, [first._trial_id], rest[-1]._trial_id)
    assert [(trial.number, trial.state) for trial in read] == [
        (0, TrialState.COMPLETE),
        (len(rest) + 1, TrialState.COMPLETE),
        (len(rest) + 2, TrialState.WAITING),
    ]
    assert storage.optuna.get_all_trials(study._study_id)[0].value == 1.0


def test_added_trials_are_those_that_optuna_would_add(storage):
    ours, theirs = new_study(storage, name="ours"), new_study(storage, name="theirs")
    templates = [waiting(index=0), create_trial(state=TrialState.WAITING), waiting(arm="A", seed=1)]
    assert storage.add_trials(ours._study_id, templates[:1], after=0)
    assert storage.add_trials(ours._study_id, templates[1:], after=1)
    theirs.add_trials(templates)
    for added, expected in zip(ours.trials, theirs.trials, strict=True):
        added._trial_id = expected._trial_id
        assert added == expected


def test_trials_are_added_only_to_what_their_plan_has_seen(storage):
    study = new_study(storage, trials=2)
    assert not storage.add_trials(study._study_id, [waiting()], after=1)
    assert len(study.trials) == 2
    with pytest.raises(KeyError):
        storage.add_trials(study._study_id + 1, [waiting()], after=0)


def test_of_processes_that_plan_at_once_one_adds_its_trials(storage, crowd):
    study = new_study(storage)
    assert sum(crowd(add_ten, storage.url, study._study_id)) == 1
    assert [trial.number for trial in study.trials] == list(range(10))
    assert len({trial.user_attrs["by"] for trial in study.trials}) == 1


def test_trials_are_added_whole_or_not_at_all(storage):
    study = new_study(storage)
    broken = waiting()
    broken.user_attrs["text"] = object()
    with pytest.raises(TypeError):
        storage.add_trials(study._study_id, [waiting(), broken], after=0)
    assert study.trials == []


@pytest.mark.slow
def test_a_thousand_trials_are_added_and_the_next_is_found_in_moments(storage):
    started = time.monotonic()
    study = new_study(storage, trials=1000)
    assert time.monotonic() - started < 15
    started = time.monotonic()
    claim(storage, study)
    assert time.monotonic() - started < 0.5


# ---------------------------------------------------------------------------------------------- overview

RESULTS: dict[str, tuple[str, list[float | TrialState]]] = {
    "nothing yet": ("maximize", []),
    "none complete": ("maximize", [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]),
    "maximize": ("maximize", [0.5, 0.75, -1.0, TrialState.PRUNED]),
    "minimize": ("minimize", [0.5, 0.75, -1.0, TrialState.FAIL]),
    "not a number": ("minimize", [math.nan, 0.5]),
    "only not a number": ("minimize", [math.nan]),
    "max with infinities": ("maximize", [math.inf, 3.0, -math.inf]),
    "min with infinities": ("minimize", [math.inf, 3.0, -math.inf]),
    "max without infinite best": ("maximize", [-math.inf, 3.0]),
    "min without infinite best": ("minimize", [math.inf, 3.0]),
    "only infinite": ("maximize", [-math.inf]),
    "extremes": ("maximize", [1.7976931348623157e308, 5e-324, -1.7976931348623157e308]),
}


def fill(study: optuna.Study, results: list[float | TrialState]) -> None:
    for number, result in enumerate(results):
        trial = study.ask()
        trial.report(9.0, step=1)
        if not isinstance(result, TrialState):
            study.tell(trial, result)
        elif result.is_finished():
            study.tell(trial, state=result)
        study.set_user_attr(f"told {number}", {"result": str(result)})


@pytest.mark.filterwarnings("ignore:The value nan is not acceptable")
def test_the_overview_says_what_optuna_s_api_says(storage):
    for name, (direction, results) in RESULTS.items():
        study = optuna.create_study(study_name=name, storage=storage.optuna, direction=direction)
        fill(study, results)
    two = optuna.create_study(study_name="two", storage=storage.optuna, directions=["minimize", "maximize"])
    two.tell(two.ask(), [1.0, 2.0])
    two.tell(two.ask(), [0.5, 3.0])
    rows = {row.name: row for row in storage.overview()}
    assert list(rows) == [*RESULTS, "two"]
    for name, row in rows.items():
        study = optuna.load_study(study_name=name, storage=storage.optuna)
        assert row.study_id == study._study_id
        assert row.attributes == study.user_attrs
        states = [trial.state for trial in study.trials]
        assert row.counts == {state: states.count(state) for state in states}
        if name == "two":
            assert row.best_value == 0.5
        elif TrialState.COMPLETE in states:
            assert row.best_value == study.best_value
        else:
            assert row.best_value is None


# --------------------------------------------------------------------------------- artifacts and deletion


def finish_with(storage: Storage, study: optuna.Study, files: dict[str, bytes]) -> None:
    """End a study's next trial with these artifacts."""
    attachments = [storage.artifacts.attach(name, content) for name, content in files.items()]
    assert claim(storage, study).finish(TrialState.COMPLETE, value=1.0, attachments=attachments)


def test_an_artifact_is_one_of_optuna_s(storage):
    study = new_study(storage, trials=1)
    finish_with(storage, study, {"curves.csv": b"epoch\n1\n"})
    (meta,) = get_all_artifact_meta(study.trials[0], storage=storage.optuna)
    assert (meta.filename, meta.mimetype) == ("curves.csv", "text/csv")
    with FileSystemArtifactStore(storage.artifacts.path).open_reader(meta.artifact_id) as file:
        assert file.read() == b"epoch\n1\n"


def test_an_artifact_is_found_by_its_file_s_name(storage):
    study = new_study(storage, trials=1)
    finish_with(storage, study, {"a.bin": b"a", "b.bin": b"b"})
    (trial,) = study.trials
    assert storage.artifacts.read(storage.artifact(trial, "b.bin")) == b"b"
    assert storage.artifact(trial, "c.bin") is None


def test_an_artifact_s_name_carries_its_digest(storage):
    attachment = storage.artifacts.attach("a.bin", b"whole")
    assert attachment.artifact_id.startswith(hashlib.sha256(b"whole").hexdigest())
    assert storage.artifacts.is_intact(attachment.artifact_id)
    (storage.artifacts.path / attachment.artifact_id).write_bytes(b"whol")
    assert not storage.artifacts.is_intact(attachment.artifact_id)


def test_an_artifact_that_cannot_be_written_leaves_nothing(storage):
    storage.artifacts.path.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="exists"):
        storage.artifacts.attach("curves.csv", b"whole")


def test_deleting_a_study_removes_its_trials_leases_artifacts_and_checkpoints_and_no_others(storage):
    for name in ("kept", "deleted"):
        study = new_study(storage, trials=3, name=name)
        finish_with(storage, study, {f"{name}.bin": name.encode()})
        held = claim(storage, study)
        storage.artifacts.write(f"{name}.checkpoint", b"state")
        held.keep_checkpoint(f"{name}.checkpoint")
    assert len(lease_rows(storage)) == 2
    storage.delete_study(study._study_id)
    (row,) = storage.overview()
    assert (row.name, sum(row.counts.values())) == ("kept", 3)
    assert len(lease_rows(storage)) == 1
    assert sorted(path.read_bytes() for path in storage.artifacts.path.iterdir()) == [b"kept", b"state"]
    with storage.engine.connect() as connection:
        for table in ("trials", "trial_params", "trial_user_attributes"):
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() in (3, 9)


def test_deleting_a_study_deletes_no_file_outside_of_the_folder(storage, tmp_path):
    study = new_study(storage, trials=1)
    (tmp_path / "precious").write_text("")
    for name in ("../precious", str(tmp_path / "precious")):
        meta = '{"filename": "f"}'
        storage.rdb.set_trial_system_attr(study.trials[0]._trial_id, f"artifacts:{name}", meta)
    storage.delete_study(study._study_id)
    assert (tmp_path / "precious").exists()


def test_deleting_a_study_goes_on_when_an_artifact_is_missing(storage):
    study = new_study(storage, trials=1)
    finish_with(storage, study, {"curves.csv": b""})
    for path in storage.artifacts.path.iterdir():
        path.unlink()
    storage.delete_study(study._study_id)
    assert storage.overview() == []


# --------------------------------------------------------------------------------------------------- URLs

# The URL, what the line says, and whether that is so only when the database is to be created.
EXAMPLE = "Example: sqlite:///hpo.db"
NO_FILE = f"must name a file, which workers can share, and nothing more. {EXAMPLE}"
BAD_URLS = {
    "no such file": ("sqlite:///missing.db", "there is no such database. Create a study", False),
    "a folder": ("sqlite:///folder", "must name a file, and this is a folder", None),
    "no database": ("sqlite:///text.db", "of studies, but got 'file is not a database'", None),
    "an empty file": ("sqlite:///empty.db", "must be a database of studies, and is empty", None),
    "another database": ("sqlite:///other.db", "must be a database of studies, and is another one", None),
    "missing folder": ("sqlite:///nowhere/hpo.db", "the folder nowhere does not exist. Create it", None),
    "a file as folder": ("sqlite:///text.db/hpo.db", "the folder text.db does not exist", None),
    "unwritable folder": ("sqlite:////proc/hpo.db", "cannot be used: unable to open database file", True),
    "a name too long": (f"sqlite:///{'a' * 300}.db", "cannot be used: File name too long", None),
    "a zero byte": ("sqlite:///a\0b.db", "", None),
    "in memory": (
        "sqlite://",
        f"must name a file, which workers can share, and nothing more. {EXAMPLE}",
        None,
    ),
    "in memory, named": ("sqlite:///:memory:", "must name a file, which workers can share", None),
    "in memory, shared": ("sqlite:///file::memory:?cache=shared&uri=true", "must name a file", None),
    "two slashes": (
        "sqlite://hpo.db",
        f"must name a file, which workers can share, and nothing more. {EXAMPLE}",
        None,
    ),
    "options": ("sqlite:///hpo.db?timeout=soon", "must name a file", None),
    "another dialect": ("mysql://u:secret@h/db", "must be sqlite or postgresql, but got 'mysql'", None),
    "unknown dialect": ("foo://u:secret@h/db", "must be sqlite or postgresql, but got 'foo'", None),
    "asynchronous driver": ("sqlite+aiosqlite:///hpo.db", "must be sqlite or postgresql", None),
    "no URL": ("hpo.db", f"must be a database URL, but got 'hpo.db'. {EXAMPLE}", None),
    "no colon": ("postgresql//u:secret@h/db", "must be a database URL, but got 'postgresql//***@h/db'", None),
    "no scheme": ("u:secret@h/db", "must be a database URL, but got '***@h/db'", None),
    "no port": ("postgresql+psycopg://u:secret@h:port/db", "must be a database URL", None),
    "slash in password": ("postgresql+psycopg://u:sec/secret@127.0.0.1:1/db", "connection failed", None),
    "nobody listens": ("postgresql+psycopg://u:secret@127.0.0.1:1/db", "connection failed", None),
    "nobody listens, password as option": (
        "postgresql+psycopg://u@127.0.0.1:1/db?password=secret&sslmode=disable",
        "connection failed",
        None,
    ),
    "no driver": ("postgresql+pg8000://u:secret@h/db", "its driver is not installed", None),
    "unknown driver": ("postgresql+foo://u:secret@h/db", "cannot be used: Can't load plugin", None),
}


CASES = [
    pytest.param(url, says, create, id=f"{name}, {'created' if create else 'opened'}")
    for name, (url, says, only) in BAD_URLS.items()
    for create in ((False, True) if only is None else (only,))
]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("url", "says", "create"), CASES)
def test_a_bad_url_is_told_in_one_line_and_changes_nothing(url, says, create, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("not a database " * 1000)
    (tmp_path / "empty.db").touch()
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    other.close()
    before = contents(tmp_path)
    with pytest.raises(StorageError) as caught:
        Storage(url, create=create)
    line = str(caught.value)
    assert says in line
    assert "\n" not in line
    assert "secret" not in line
    assert contents(tmp_path) == before


def test_a_postgresql_database_that_does_not_exist_is_told_in_one_line(postgresql_server):
    with pytest.raises(StorageError, match='database "nowhere" does not exist') as caught:
        Storage(f"postgresql+psycopg://postgres:secret@/nowhere?host={postgresql_server}", create=True)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_postgresql_database_holds_no_study_yet(new_postgresql):
    url = new_postgresql()
    with pytest.raises(StorageError, match=r"holds no study yet\. Create one with: hpo run SPEC"):
        Storage(url)
    tables = sa.inspect(sa.create_engine(url)).get_table_names()
    assert tables == []


def test_the_bare_name_postgresql_works_and_its_password_is_never_shown(new_postgresql):
    url = new_postgresql().replace("+psycopg://postgres@", "://postgres:secret@")
    storage = Storage(url, create=True)
    assert storage.overview() == []
    assert "***" in storage.place
    assert "secret" not in storage.place
    assert "secret" not in repr(storage.engine)
    # What children are started with.
    assert Storage(storage.url).overview() == []


def test_connections_that_a_server_closed_are_replaced(new_postgresql):
    storage = Storage(new_postgresql(), create=True)
    study = new_study(storage, trials=2)
    first = claim(storage, study)
    # As when the server restarts; from a connection of its own.
    elsewhere = sa.create_engine(storage.url)

    def close() -> None:
        with elsewhere.connect() as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            closed = connection.execute(sa.text(f"SELECT count(pg_terminate_backend(pid)) {others}"))
            assert closed.scalar_one() > 0

    close()
    # What is tried again does not ask first whether the connection is still there; all else does.
    LeasedTrial(study, first, Patience(threading.Event()), report_seconds=0).report(0.5, step=1)
    close()
    assert first.lease.renew()
    assert study.trials[0].intermediate_values == {1: 0.5}
    elsewhere.dispose()


@pytest.mark.parametrize("folder", ["with space", "with {braces}", "100% é", "a;b&c=d", "+plus"])
def test_a_folder_may_have_any_name(tmp_path, folder):
    (tmp_path / folder).mkdir()
    storage = Storage(f"sqlite:///{tmp_path / folder}/hpo.db", create=True)
    new_study(storage, trials=1)
    assert [row.name for row in Storage(storage.url).overview()] == ["study"]
    assert (tmp_path / folder / "hpo.db").is_file()
    assert str(tmp_path / folder) in storage.place


def test_without_arguments_the_environment_says_where_studies_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///mine.db")
    monkeypatch.setenv("HPO_ARTIFACT_DIR", "elsewhere")
    storage = Storage(create=True)
    assert (tmp_path / "mine.db").is_file()
    assert storage.artifacts.path == Path("elsewhere")
    monkeypatch.delenv("HPO_STORAGE")
    monkeypatch.delenv("HPO_ARTIFACT_DIR")
    storage = Storage(create=True)
    assert (tmp_path / "hpo.db").is_file()
    assert storage.artifacts.path == Path("hpo-artifacts")


def test_an_argument_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_STORAGE", "sqlite:////nowhere/at/all.db")
    Storage(f"sqlite:///{tmp_path}/mine.db", create=True)
    assert (tmp_path / "mine.db").is_file()


# -------------------------------------------------------------------------------------------- at a glance


def test_results_of_many_studies_are_read_at_once_with_the_attributes_asked_for(storage):
    first, second = new_study(storage, trials=4, name="first"), new_study(storage, trials=1, name="second")
    for value in (0.5, math.inf):
        held = claim(storage, first)
        assert held.finish(TrialState.COMPLETE, value=value, attributes={"worker": "a"})
    assert claim(storage, first).finish(TrialState.FAIL, attributes={"worker": "b"})
    running = claim(storage, second)
    ids = [first._study_id, second._study_id]
    found = storage.results(ids, ("index", "worker"))
    assert [(one.number, one.value, one.attributes) for one in found[ids[0]]] == [
        (0, 0.5, (0, "a")),
        (1, math.inf, (1, "a")),
        (2, None, (2, "b")),
    ]
    assert [(one.number, one.ended, one.attributes) for one in found[ids[1]]] == [(0, None, (0, None))]
    expected = [trial.datetime_complete.astimezone() for trial in first.trials[:3]]
    assert [one.ended for one in found[ids[0]]] == expected
    assert storage.results(ids[1:], ()).keys() == {ids[1]}
    assert storage.holders() == {ids[1]: ["test"]}
    assert running.requeue()
    assert storage.holders() == {}
