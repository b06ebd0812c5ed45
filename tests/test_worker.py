"""Workers that train for real: in this process, and as `hpo worker` processes that are stopped and killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo import DataError, Study, StudySpec, create_study, open_study
from hpo.spec import to_json
from hpo.storage import Storage
from hpo.worker import Worker
from tests.command import environment

SEARCH: dict[str, Any] = {
    "name": "random",
    "kind": "search",
    "data": {"name": "digits"},
    "trials": 5,
    "sampler": {"name": "random", "seed": 0},
    "params": {"hidden_units": [8], "epochs": 3},
    "space": {
        "learning_rate": {"low": 1e-3, "high": 0.5, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "l2": [0.0, 1e-3],
    },
}
TPE = SEARCH | {"name": "tpe", "trials": 4, "sampler": {"name": "tpe", "seed": 0}}
# Long enough to be stopped in the midst of a trial.
LONG: dict[str, Any] = {
    "name": "long",
    "kind": "comparison",
    "data": {"name": "digits"},
    "seeds": 2,
    "params": {"hidden_units": [8], "epochs": 120},
    "arms": [{"name": "slow", "learning_rate": 0.01}, {"name": "fast", "learning_rate": 0.1, "dropout": 0.2}],
}
SHORT = LONG | {"name": "short", "params": {"hidden_units": [8], "epochs": 2}}
EPOCH_METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Data that takes a moment to train on: one batch, and two shapes to compile for."""
    draws = np.random.default_rng(0).random((80, 4), np.float32)
    path = tmp_path / "own.npz"
    np.savez(path, x_train=draws, y_train=np.arange(80) % 2)
    return path


@pytest.fixture
def create(tmp_path: Path, url: str, own_data: Path) -> Callable[..., Study]:
    """Creates a study of a table with changes, on data and in a database of the test's own."""

    def make(table: dict[str, Any], **changes: Any) -> Study:
        small = {
            "data": {"name": str(own_data)},
            "params": table["params"] | {"batch_size": "full"},
        }
        spec = StudySpec(**(table | small | changes))
        return create_study(spec, storage=url, artifact_dir=tmp_path / "artifacts")

    return make


def execute(storage: Storage, statement: str) -> list[Any]:
    with storage.engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return list(result) if result.returns_rows else []


def leases(storage: Storage) -> int:
    count: int = execute(storage, "SELECT count(*) FROM hpo_leases")[0][0]
    return count


def expire_leases(storage: Storage) -> None:
    """Let the leases of dead workers be over, as if their time had passed."""
    execute(storage, "UPDATE hpo_leases SET expires = 0")


def states(study: Study) -> list[str]:
    return [trial.state for trial in study.all_trials]


def eventually(true: Callable[[], bool], *, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "this has not come about in time"
        time.sleep(0.02)


def training(study: Study) -> list[Any]:
    """The trials in whose midst a worker is."""
    return [trial for trial in study.all_trials if trial.state == "running" and trial.curve]


@contextmanager
def meanwhile(study: Study, act: Callable[[Storage], object]) -> Iterator[None]:
    """Acts once, from another thread and connection, when a trial of the study has reported an epoch."""
    failures: list[BaseException] = []

    def wait_and_act() -> None:
        try:
            other = open_study(study.name, storage=Storage(study.storage.url))
            eventually(lambda: bool(training(other)))
            act(other.storage)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()
    assert not failures, failures


def results(study: Study) -> dict[Any, Any]:
    """All that a trial's result is, except times: its configuration, value, metrics and curve."""
    timed = {"train_seconds", "compile_seconds"}
    return {
        (trial.arm, trial.seed, tuple(map(str, trial.params.items()))): (
            trial.state,
            trial.value,
            {name: value for name, value in trial.metrics.items() if name not in timed},
            trial.curve,
            study.curves(trial.number)[EPOCH_METRICS].to_numpy().tolist(),
        )
        for trial in study.all_trials
    }


# ---------------------------------------------------------------------------------------- in this process


def test_a_worker_trains_everything_and_records_it(create):
    study = create(SHORT)
    worker = Worker(lambda: [study], name="me")
    assert worker.run(exit_when_idle=True) == 4
    for trial in study.all_trials:
        assert trial.state == "complete"
        assert trial.worker == "me"
        assert trial.value == trial.metrics["val_accuracy"]
        assert trial.epochs_run == len(trial.curve) == len(study.curves(trial.number)) == 2
        assert list(study.curves(trial.number)["epoch"]) == [1, 2]
        assert {"precision", "recall", "f1", "train_loss", "train_seconds", "compile_seconds"} <= set(
            trial.metrics
        )
        assert [replicate["seed"] for replicate in trial.replicates] == [trial.seed]
    assert leases(study.storage) == 0
    assert worker.run(exit_when_idle=True) == 0


def test_a_worker_stops_after_max_trials(create):
    study = create(SHORT)
    assert Worker(lambda: [study]).run(max_trials=1) == 1
    assert states(study) == ["complete", "waiting", "waiting", "waiting"]


def test_a_worker_serves_the_first_study_that_has_work(create):
    first, second = create(SHORT, name="first", seeds=1), create(SHORT, name="second", seeds=1)
    Worker(lambda: [first, second]).run(max_trials=3)
    assert states(first) == ["complete"] * 2
    assert states(second) == ["complete", "waiting"]


HUGE = 2**31 - 1


def test_a_trial_whose_training_raises_fails_with_its_reason_and_its_neighbours_go_on(create, caplog):
    arms = [
        {"name": "before", "learning_rate": 0.1},
        {"name": "too large for memory", "hidden_units": [HUGE, HUGE]},
        {"name": "diverges", "learning_rate": 1e30},
        {"name": "after", "learning_rate": 0.2},
    ]
    study = create(SHORT, seeds=1, arms=arms)
    assert Worker(lambda: [study]).run(exit_when_idle=True) == 4
    before, large, diverged, after = study.all_trials
    assert (before.state, after.state) == ("complete", "complete")
    assert (large.state, diverged.state) == ("failed", "failed")
    assert large.reason.startswith("ResourceExhaustedError: ")
    assert "\n" not in large.reason
    assert diverged.reason == "loss is nan at epoch 1"
    assert "Traceback" in caplog.text
    assert study.plan() == 0


def test_a_trial_that_somebody_enqueued_without_an_arm_fails_alone(create):
    study = create(SHORT, seeds=1)
    study.optuna.enqueue_trial({})
    Worker(lambda: [study]).run(exit_when_idle=True)
    assert states(study) == ["complete", "complete", "failed"]


def test_configurations_that_somebody_enqueued_are_trained(create):
    study = create(SEARCH, trials=1)
    study.optuna.enqueue_trial({"learning_rate": 0.125, "dropout": 0.25, "l2": 0.0})
    Worker(lambda: [study]).run(exit_when_idle=True)
    assert states(study) == ["complete", "complete"]
    assert study.all_trials[1].hyperparameters["learning_rate"] == 0.125


def test_missing_data_is_an_error_and_the_trial_goes_back(create, own_data):
    study = create(SHORT)
    own_data.unlink()
    with pytest.raises(DataError, match=r"must be an existing \.npz file"):
        Worker(lambda: [study]).run(exit_when_idle=True)
    assert states(study) == ["waiting"] * 4
    assert leases(study.storage) == 0


def test_a_study_that_is_extended_while_a_worker_runs_is_trained_to_its_new_end(create):
    study = create(SHORT, seeds=1)
    asked = 0

    def studies() -> list[Study]:
        nonlocal asked
        asked += 1
        if asked == 2:
            create(SHORT, seeds=2, arms=[*SHORT["arms"], {"name": "third", "learning_rate": 0.2}])
        return [study]

    assert Worker(studies).run(exit_when_idle=True) == 6
    assert {(t.arm, t.seed, t.state) for t in study.all_trials} == {
        (arm, seed, "complete") for arm in ("slow", "fast", "third") for seed in (0, 1)
    }


def test_a_worker_plans_what_a_creation_that_was_killed_did_not(create):
    study = create(SEARCH, trials=2)
    longer = StudySpec(**(SEARCH | {"trials": 4})).model_dump(
        mode="json", exclude_unset=True, exclude_none=True
    )
    study.optuna.set_user_attr("spec", longer)
    assert Worker(lambda: [study]).run(exit_when_idle=True) == 4


def test_a_stopped_worker_puts_its_trial_back_and_another_ends_it_as_if_nothing_had_been(create):
    whole, stopped = create(LONG, name="whole", seeds=1), create(LONG, name="stopped", seeds=1)
    Worker(lambda: [whole]).run(exit_when_idle=True)
    worker = Worker(lambda: [stopped])
    with meanwhile(stopped, lambda _: worker.stop()):
        assert worker.run(exit_when_idle=True) == 0
    assert states(stopped) == ["waiting", "waiting"]
    assert leases(stopped.storage) == 0
    half = stopped.all_trials[0].curve
    assert 0 < len(half) < 120
    Worker(lambda: [stopped]).run(exit_when_idle=True)
    assert results(stopped) == results(whole)
    assert stopped.all_trials[0].curve[: len(half)] == half


def take_over(storage: Storage) -> None:
    execute(storage, "UPDATE hpo_leases SET token = 'another', owner = 'another'")


def test_the_trial_of_another_worker_is_not_overwritten(create, caplog):
    study = create(LONG, seeds=1)
    with meanwhile(study, take_over):
        assert Worker(lambda: [study], name="first").run(max_trials=1) == 1
    taken, own = study.all_trials
    assert "trial:1 of long is no longer this worker's" in caplog.text
    assert (taken.state, taken.value, taken.metrics) == ("running", None, {})
    assert own.state == "complete"
    # The other's lease is untouched.
    assert execute(study.storage, "SELECT owner FROM hpo_leases") == [("another",)]


def test_a_trial_that_another_worker_has_finished_stays_as_it_finished(create, caplog):
    study = create(LONG, seeds=1)

    def take_over_and_finish(storage: Storage) -> None:
        take_over(storage)
        other = open_study("long", storage=storage)
        trial = optuna.trial.Trial(other.optuna, other.frozen_trials[0]._trial_id)
        trial.set_user_attr("val_accuracy", 0.125)
        other.optuna.tell(trial, 0.125)

    with meanwhile(study, take_over_and_finish):
        assert Worker(lambda: [study], name="first").run(max_trials=1) == 1
    assert "no longer this worker's" in caplog.text
    assert study.all_trials[0].value == 0.125
    assert study.all_trials[0].metrics == {"val_accuracy": 0.125}
    assert study.all_trials[1].state == "complete"


def test_a_worker_that_lost_its_trial_does_not_put_it_back(create):
    study = create(LONG, seeds=1)
    worker = Worker(lambda: [study])

    def take_over_and_stop(storage: Storage) -> None:
        take_over(storage)
        worker.stop()

    with meanwhile(study, take_over_and_stop):
        worker.run()
    assert states(study) == ["running", "waiting"]


def test_a_study_that_is_deleted_in_the_midst_of_a_trial_costs_the_others_nothing(create):
    deleted, other = create(LONG, name="deleted"), create(SHORT, name="other", seeds=1)
    with meanwhile(deleted, lambda storage: open_study("deleted", storage=storage).delete()):
        assert Worker(lambda: [deleted, other]).run(max_trials=2) == 2
    assert states(other) == ["complete"] * 2


def test_a_broken_database_is_an_error_and_no_failed_trial(create):
    study = create(LONG, seeds=1)

    def break_reports(storage: Storage) -> None:
        execute(storage, "ALTER TABLE trial_intermediate_values RENAME TO elsewhere")

    with (
        meanwhile(study, break_reports),
        pytest.raises(optuna.exceptions.StorageInternalError),
    ):
        Worker(lambda: [study]).run(exit_when_idle=True)
    execute(study.storage, "ALTER TABLE elsewhere RENAME TO trial_intermediate_values")
    assert states(study) == ["waiting", "waiting"]


def test_an_idle_worker_waits_for_another_s_trial_and_takes_it_over_when_its_lease_is_over(create):
    study = create(SHORT, seeds=1)
    held = study.storage.claim(study.id, owner="another", seconds=60)
    worker = Worker(lambda: [study], name="idle")
    thread = threading.Thread(target=worker.run, kwargs={"exit_when_idle": True})
    thread.start()
    eventually(lambda: states(study)[1] == "complete")
    time.sleep(1.5)
    assert thread.is_alive()
    assert states(study)[0] == "running"
    expire_leases(study.storage)
    thread.join(30)
    assert not thread.is_alive()
    assert [trial.worker for trial in study.all_trials] == ["idle", "idle"]
    assert not held.lease.renew()


def test_an_idle_worker_ends_once_another_has_finished_the_last_trial(create):
    study = create(SHORT, seeds=1)
    for _ in range(2):
        study.storage.claim(study.id, owner="another", seconds=60)
    thread = threading.Thread(target=Worker(lambda: [study]).run, kwargs={"exit_when_idle": True})
    thread.start()
    study.optuna.tell(0, state=TrialState.FAIL)
    time.sleep(0.7)
    assert thread.is_alive()
    study.optuna.tell(1, 0.5)
    thread.join(30)
    assert not thread.is_alive()


def test_a_live_worker_keeps_its_lease(create, monkeypatch):
    monkeypatch.setattr("hpo.worker.LEASE_SECONDS", 0.4)
    study = create(LONG, seeds=1)
    thread = threading.Thread(target=Worker(lambda: [study]).run, kwargs={"max_trials": 1})
    thread.start()
    eventually(lambda: bool(training(study)))
    while states(study)[0] == "running":
        claim = study.storage.claim(study.id, owner="thief", seconds=60)
        assert claim is None or claim.trial_id != study.frozen_trials[0]._trial_id
        time.sleep(0.05)
    thread.join(30)
    assert study.all_trials[0].state == "complete"


# ------------------------------------------------------------------------------------------- processes


@contextmanager
def worker_process(url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """An `hpo worker`, which is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", "worker", *options],
        env=environment(HPO_STORAGE=url, HPO_ARTIFACT_DIR=str(ARTIFACTS[url])),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


ARTIFACTS: dict[str, Path] = {}


def new_studies(url: str, folder: Path, *tables: dict[str, Any]) -> list[Study]:
    ARTIFACTS[url] = folder
    return [create_study(StudySpec(**table), storage=url, artifact_dir=folder) for table in tables]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """Two studies trained by one worker that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    url = f"sqlite:///{folder}/hpo.db"
    studies = new_studies(url, folder / "artifacts", SEARCH, LONG)
    with worker_process(url, "--exit-when-idle") as worker:
        assert worker.wait(120) == 0
    return {study.name: study for study in studies}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, new_postgresql: Callable[[], str]) -> dict[str, Study]:
    """The same studies and one more in a PostgreSQL database, trained by two workers at the same time."""
    url = new_postgresql()
    studies = new_studies(url, tmp_path_factory.mktemp("together"), SEARCH, TPE, LONG)
    with worker_process(url, "--exit-when-idle") as one, worker_process(url, "--exit-when-idle") as two:
        assert (one.wait(120), two.wait(120)) == (0, 0)
    return {study.name: study for study in studies}


@pytest.mark.parametrize("name", ["random", "tpe", "long"])
def test_two_workers_train_exactly_what_is_asked_for(together, name):
    study = together[name]
    assert study.summary.counts["complete"] == study.spec.planned == len(study.all_trials)
    assert leases(study.storage) == 0


def test_two_workers_share_the_work(together):
    trials = [trial for study in together.values() for trial in study.all_trials]
    assert len({trial.worker for trial in trials}) == 2


@pytest.mark.parametrize("name", ["random", "long"])
def test_two_workers_get_the_same_results_as_one_bit_for_bit(alone, together, name):
    assert results(together[name]) == results(alone[name])


def test_no_two_trials_of_an_adaptive_search_are_drawn_alike(together):
    assert len({str(trial.params) for trial in together["tpe"].all_trials}) == 4


@pytest.fixture(scope="module")
def battered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The comparison, trained by workers that were killed, told to stop, or had to wait for a dead one."""
    folder = tmp_path_factory.mktemp("battered")
    url = f"sqlite:///{folder}/hpo.db"
    (study,) = new_studies(url, folder / "artifacts", LONG)
    seen: dict[str, Any] = {"study": study}
    with worker_process(url, "long") as killed, worker_process(url, "long") as stopped:
        eventually(lambda: len(training(study)) == 2)
        of = {trial.worker.rsplit("-", 1)[1]: trial.number for trial in training(study)}
        killed.kill()
        stopped.send_signal(signal.SIGTERM)
        seen["codes"] = killed.wait(30), stopped.wait(30)
    seen["after"] = states(study)
    seen["left running"], seen["put back"] = of[str(killed.pid)], of[str(stopped.pid)]
    seen["leases"] = leases(study.storage)
    with worker_process(url, "long", "--exit-when-idle") as last:
        eventually(lambda: states(study).count("complete") >= 3)
        time.sleep(1.5)
        seen["while the lease lives"] = states(study)[seen["left running"]], last.poll()
        expire_leases(study.storage)
        seen["last code"] = last.wait(60)
    return seen


def test_a_worker_that_is_told_to_stop_puts_its_trial_back(battered):
    assert battered["codes"][1] == 0
    assert battered["after"][battered["put back"]] == "waiting"


def test_a_worker_that_is_killed_leaves_its_trial_to_its_lease(battered):
    assert battered["codes"][0] == -signal.SIGKILL
    assert battered["after"][battered["left running"]] == "running"
    assert battered["leases"] == 1
    assert battered["while the lease lives"] == ("running", None)


def test_what_was_interrupted_ends_with_the_same_results_bit_for_bit(battered, alone):
    assert battered["last code"] == 0
    assert states(battered["study"]) == ["complete"] * 4
    assert results(battered["study"]) == results(alone["long"])


def test_a_second_signal_ends_a_worker_at_once_in_the_midst_of_an_epoch(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    # One sample a step over 17 million weights: an epoch takes the better part of a minute.
    slow = LONG | {"seeds": 1, "params": {"hidden_units": [4096, 4096], "batch_size": 1, "epochs": 2}}
    (study,) = new_studies(url, tmp_path / "artifacts", slow)
    with worker_process(url, "long") as worker:
        eventually(lambda: study.frozen_trials[0].user_attrs.get("hyperparameters") is not None)
        time.sleep(2)
        worker.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert worker.poll() is None
        started = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 128 + signal.SIGTERM
        assert time.monotonic() - started < 5
    assert states(study)[0] == "running"


def test_a_worker_whose_data_is_missing_says_so_in_one_line(tmp_path, own_data):
    url = f"sqlite:///{tmp_path}/hpo.db"
    (study,) = new_studies(url, tmp_path / "artifacts", SHORT | {"data": {"name": str(own_data)}})
    own_data.unlink()
    with worker_process(url, "short") as worker:
        _, err = worker.communicate(timeout=60)
        assert worker.returncode == 2
    assert "must be an existing .npz file" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert states(study) == ["waiting"] * 4
