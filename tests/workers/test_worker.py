"""Workers that train for real: in this process, and as `hpo worker` processes that are stopped and killed."""

from __future__ import annotations

import signal
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

from hpo import Study, StudySpec, create_study, open_study
from hpo.spec import to_json
from hpo.storage import Storage
from hpo.trials.checkpoints import dumps, loads
from hpo.versions import versions
from hpo.workers.serving import CannotTrainError
from hpo.workers.worker import Worker
from tests.command import quick
from tests.tiny_studies import (
    LONG,
    SEARCH,
    TPE,
    eventually,
    execute,
    expire_leases,
    is_training,
    leases,
    new_studies,
    results,
    states,
    training,
    worker_of,
    worker_process,
)

# For the tests in this process: one program to compile, for softmax regression.
ARMS = [{"name": "slow", "learning_rate": 0.01}, {"name": "fast", "learning_rate": 0.1}]
SOFTMAX = {"hidden_units": [], "batch_size": "full"}
HALTING = LONG | {"name": "halting", "seeds": 1, "params": SOFTMAX | {"epochs": 600}, "arms": ARMS}
SHORT = HALTING | {"name": "short", "params": SOFTMAX | {"epochs": 2}}
DRAWN: dict[str, Any] = {
    "name": "drawn",
    "kind": "search",
    "trials": 2,
    "sampler": {"name": "random", "seed": 0},
    "params": SOFTMAX | {"epochs": 2},
    "space": {"learning_rate": {"low": 1e-3, "high": 0.5, "log": True}},
}


@pytest.fixture
def create(tmp_path: Path, url: str, own_data: Path) -> Callable[..., Study]:
    """Creates a study of a table with changes, on data and in a database of the test's own."""

    def make(table: dict[str, Any], **changes: Any) -> Study:
        spec = StudySpec(**(table | {"data": {"name": str(own_data)}} | changes))
        return create_study(spec, storage=url, artifact_dir=tmp_path / "artifacts")

    return make


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


@contextmanager
def running(worker: Worker, **options: Any) -> Iterator[threading.Thread]:
    """A worker in another thread, which is told to stop at the end."""
    thread = threading.Thread(target=worker.run, kwargs=options, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive()


# ---------------------------------------------------------------------------------------- in this process


def test_a_worker_trains_everything_and_records_it(create):
    study = create(SHORT, seeds=2)
    worker = worker_of(study, name="me")
    assert worker.run(exit_when_idle=True) == 4
    for trial in study.all_trials:
        assert trial.state == "complete"
        assert trial.worker == "me"
        assert trial.value == trial.metrics["val_accuracy"]
        assert trial.epochs_run == len(trial.reported) == 2
        assert list(study.curves(trial.number)["epoch"]) == [1, 2]
        assert {"f1", "train_loss", "train_seconds", "compile_seconds"} <= set(trial.metrics)
        assert [replicate["seed"] for replicate in trial.replicates] == [trial.seed]
    assert leases(study.storage) == 0
    assert worker.run(exit_when_idle=True) == 0


def test_a_worker_serves_the_first_study_that_has_work_and_stops_after_max_trials(create):
    first, second = create(SHORT, name="first"), create(SHORT, name="second")
    assert worker_of(first, second).run(max_trials=3) == 3
    assert states(first) == ["complete"] * 2
    assert states(second) == ["complete", "waiting"]


def test_a_trial_whose_training_raises_fails_with_its_reason_and_its_neighbours_go_on(create, caplog):
    arms = [*ARMS, {"name": "diverges", "learning_rate": 1e30, "l2": 0.1, "hidden_units": [4]}]
    comparison, search = create(SHORT, arms=arms), create(DRAWN)
    # Nobody can say what to train here: there is no arm, and no such learning rate.
    comparison.optuna.enqueue_trial({})
    search.optuna.enqueue_trial({"learning_rate": -1.0})
    assert worker_of(comparison, search).run(exit_when_idle=True) == 7
    assert states(comparison) == ["complete", "complete", "failed", "failed"]
    assert states(search) == ["complete", "complete", "failed"]
    diverged, armless = comparison.all_trials[2:]
    assert diverged.reason.endswith("at epoch 1")
    assert armless.reason == "KeyError: 'arm'"
    assert search.all_trials[2].reason.startswith("ValueError: `-1.0` is invalid")
    assert "Traceback" in caplog.text
    assert comparison.plan() == search.plan() == 0


def test_what_breaks_a_constraint_is_never_the_best_and_the_sampler_is_told(create):
    """Ten weights without a hidden layer, 58 with one."""
    constraints = ["parameters <= 20", "learning_rate * epochs_run <= 0.3"]
    space = {"hidden_units": {"layers": [0, 1], "units": [8]}, "learning_rate": [0.1, 0.5]}
    params = {"batch_size": "full", "epochs": 2}
    grid = DRAWN | {"sampler": {"name": "grid"}, "trials": 4, "confirm": False}
    study = create(grid, space=space, params=params, constraints=constraints)
    worker_of(study).run(exit_when_idle=True)
    found = [(trial.state, trial.reason, trial.params) for trial in study.all_trials]
    assert found == [
        ("complete", None, {"hidden_units": [], "learning_rate": 0.1}),
        (
            "complete",
            "learning_rate * epochs_run 1 > 0.3",
            {"hidden_units": [], "learning_rate": 0.5},
        ),
        ("pruned", "parameters 58 > 20", {"hidden_units": [8], "learning_rate": 0.1}),
        ("pruned", "parameters 58 > 20", {"hidden_units": [8], "learning_rate": 0.5}),
    ]
    assert study.best.number == 0
    assert [trial.value is None for trial in study.all_trials] == [False, True, True, True]
    assert [len(trial.reported) for trial in study.all_trials] == [2, 2, 0, 0]
    assert study.summary.best_value == study.best.value
    # What Optuna's samplers read.
    stored = optuna.load_study(study_name=study.name, storage=study.storage.optuna).trials
    broken = [{name for name, far in trial.constraints.items() if far > 0} for trial in stored]
    assert broken == [set(), {constraints[1]}, {constraints[0]}, {constraints[0]}]


def test_what_somebody_enqueued_and_what_a_killed_creation_did_not_plan_is_trained(create):
    study = create(DRAWN)
    study.optuna.enqueue_trial({"learning_rate": 0.125})
    study.optuna.set_user_attr("spec", to_json(study.spec) | {"trials": 3})
    assert worker_of(study).run(exit_when_idle=True) == 4
    assert study.all_trials[2].hyperparameters["learning_rate"] == 0.125
    assert [frozen.user_attrs.get("index") for frozen in study.frozen_trials] == [0, 1, None, 2]


def test_what_cannot_be_trained_is_an_error_once_nothing_else_is_left_and_its_trial_waits(create, own_data):
    study = create(SHORT)
    own_data.unlink()
    says = r"study 'short' cannot be trained: data .*: must be an existing \.npz file"
    with pytest.raises(CannotTrainError, match=says):
        worker_of(study).run(exit_when_idle=True)
    assert states(study) == ["waiting"] * 2
    assert leases(study.storage) == 0


def gone(data: Path, study: Study) -> Callable[[], object]:
    kept = data.rename(data.with_suffix(".kept"))
    return lambda: kept.rename(data)


def changed(data: Path, study: Study) -> Callable[[], object]:
    kept = data.read_bytes()
    np.savez(data, x_train=np.zeros((80, 4), np.float32), y_train=np.arange(80) % 2)
    return lambda: data.write_bytes(kept)


def unreadable(data: Path, study: Study) -> Callable[[], object]:
    spec = study.optuna.user_attrs["spec"]
    study.optuna.set_user_attr("spec", spec | {"metrics": ["of a later version"]})
    return lambda: study.optuna.set_user_attr("spec", spec)


@pytest.mark.long
@pytest.mark.parametrize(
    ("named", "break_"),
    [
        (True, gone),
        (False, changed),
        (True, unreadable),
        (True, changed),
        (False, gone),
        (False, unreadable),
    ],
)
def test_a_study_that_cannot_be_trained_costs_the_others_nothing_and_goes_on_by_itself(
    create, own_data, tmp_path, caplog, monkeypatch, break_, named
):
    """It is said once, tried after growing delays, and shows why it waits until it is trained."""
    monkeypatch.setattr("hpo.workers.serving.FIRST_SECONDS", 0.1)
    other = tmp_path / "other.npz"
    other.write_bytes(own_data.read_bytes())
    broken = create(SHORT, name="broken")
    sound = create(SHORT, name="sound", data={"name": str(other)})
    worker = worker_of(broken, sound) if named else Worker(broken.storage)
    mend = break_(own_data, broken)
    with running(worker):
        eventually(lambda: states(sound) == ["complete"] * 2, within=60)
        eventually(lambda: "study 'broken' cannot be trained: " in caplog.text, within=10)
        time.sleep(0.5)
        # For a moment, each time that it is tried again, the first one runs.
        eventually(lambda: {trial.state for trial in broken.frozen_trials} == {TrialState.WAITING}, within=10)
        waiting = broken.frozen_trials
        assert not any("retries" in trial.user_attrs for trial in waiting)
        # Nothing is claimed of what cannot be read; of what is read, the first trial says why it waits.
        if break_ is not unreadable:
            assert "data " in waiting[0].user_attrs["reason"]
            assert broken.all_trials[0].reason == waiting[0].user_attrs["reason"]
            shown = quick("show", "broken", folder=tmp_path, HPO_STORAGE=broken.storage.url)
            assert "1 trial waiting: data " in shown.stdout + shown.stderr
        assert caplog.text.count("cannot be trained") == 1
        mend()
        eventually(lambda: states(broken) == ["complete"] * 2, within=30)
    assert not any("reason" in trial.user_attrs for trial in broken.frozen_trials)


def test_a_worker_of_all_studies_leaves_out_what_it_cannot_read(create, own_data, caplog):
    sound, broken = create(SHORT), create(SHORT, name="broken")
    unreadable(own_data, broken)
    assert Worker(sound.storage).run(exit_when_idle=True) == 2
    assert "study 'broken' cannot be trained" in caplog.text
    assert {trial.state for trial in broken.frozen_trials} == {TrialState.WAITING}
    assert leases(sound.storage) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_waits_for_another_one_that_can_train_what_it_cannot(create, own_data, caplog):
    study = create(SHORT)
    held = study.storage.claim([study.id], owner="another", seconds=60)
    own_data.unlink()
    worker = worker_of(study)
    with running(worker, exit_when_idle=True) as thread:
        eventually(lambda: study.all_trials[1].reason is not None, within=60)
        time.sleep(1)
        assert thread.is_alive()
        held.finish(TrialState.COMPLETE, value=1.0)
        thread.join(30)
        assert not thread.is_alive()
    assert "study 'short' cannot be trained" in caplog.text


def test_a_trial_says_with_which_versions_it_was_trained(create):
    study = create(SHORT)
    worker_of(study).run(max_trials=1)
    trained, waiting = study.all_trials
    assert trained.versions == versions()
    assert {"hpo", "optuna", "keras", "tensorflow", "numpy"} <= trained.versions.keys()
    assert waiting.versions is None


@pytest.mark.slow
def test_an_idle_worker_plans_what_a_killed_creation_did_not(create):
    study = create(SHORT)
    worker = worker_of(study)
    worker.run(max_trials=2)
    with running(worker):
        # Somebody extends the study and is killed before its trials are added.
        study.optuna.set_user_attr("spec", to_json(study.spec) | {"seeds": 2})
        eventually(lambda: states(study) == ["complete"] * 4, within=30)


@pytest.mark.slow
def test_a_changed_limit_reaches_the_worker_that_trains(create):
    study = create(HALTING, params=SOFTMAX | {"epochs": 1_000_000})
    limit = {"trial_timeout": 1.0}
    with meanwhile(study, lambda _: study.optuna.set_user_attr("spec", to_json(study.spec) | limit)):
        assert worker_of(study, lease_seconds=2.0).run(max_trials=1) == 1
    assert "took longer than trial_timeout, 1 s without compiling" in study.all_trials[0].reason


def test_a_trial_that_another_program_runs_is_left_to_it_and_not_waited_for(create):
    study = create(SHORT)
    theirs = study.optuna.ask()
    assert worker_of(study).run(exit_when_idle=True) == 1
    assert states(study) == ["running", "complete"]
    study.optuna.tell(theirs, 0.25)
    assert study.all_trials[0].value == 0.25


@pytest.mark.slow
def test_a_study_that_is_extended_while_a_worker_runs_is_trained_to_its_new_end(create):
    study = create(HALTING, seeds=1)

    def extend(_: Storage) -> None:
        create(HALTING, seeds=2, arms=[*HALTING["arms"], {"name": "third", "learning_rate": 0.2}])

    with meanwhile(study, extend):
        trained = worker_of(study).run(exit_when_idle=True)
    assert trained == len(study.all_trials)
    assert {(t.arm, t.seed, t.state) for t in study.all_trials} == {
        (arm, seed, "complete") for arm in ("slow", "fast", "third") for seed in (0, 1)
    }


@pytest.mark.slow
def test_a_stopped_worker_puts_its_trial_back_and_another_ends_it_as_if_nothing_had_been(create):
    whole, stopped = create(HALTING, name="whole"), create(HALTING, name="stopped")
    worker_of(whole).run(exit_when_idle=True)
    worker = worker_of(stopped)
    with meanwhile(stopped, lambda _: worker.stop()):
        assert worker.run(exit_when_idle=True) == 0
    assert states(stopped) == ["waiting", "waiting"]
    assert leases(stopped.storage) == 0
    half = stopped.all_trials[0].reported
    assert 0 < len(half) < HALTING["params"]["epochs"]
    worker_of(stopped).run(exit_when_idle=True)
    assert results(stopped) == results(whole)
    assert stopped.all_trials[0].reported[: len(half)] == half


def take_over(storage: Storage) -> None:
    execute(storage, "UPDATE hpo_leases SET token = 'another', owner = 'another'")


def test_the_trial_of_another_worker_is_not_overwritten(create, caplog):
    study = create(HALTING)
    with meanwhile(study, take_over):
        assert worker_of(study, name="first").run(max_trials=1) == 1
    taken, own = study.all_trials
    assert "trial:1 of halting is no longer this worker's" in caplog.text
    assert (taken.state, taken.value, taken.metrics) == ("running", None, {})
    assert own.state == "complete"
    # The other's lease is untouched.
    assert execute(study.storage, "SELECT owner FROM hpo_leases") == [("another",)]


@pytest.mark.long
def test_a_trial_that_another_worker_has_finished_stays_as_it_finished(create, caplog):
    study = create(HALTING)

    def take_over_and_finish(storage: Storage) -> None:
        take_over(storage)
        other = open_study("halting", storage=storage)
        trial = optuna.trial.Trial(other.optuna, other.frozen_trials[0]._trial_id)
        trial.set_user_attr("val_accuracy", 0.125)
        other.optuna.tell(trial, 0.125)

    with meanwhile(study, take_over_and_finish):
        assert worker_of(study, name="first").run(max_trials=1) == 1
    assert "no longer this worker's" in caplog.text
    assert study.all_trials[0].value == 0.125
    assert study.all_trials[0].metrics == {"val_accuracy": 0.125}
    assert study.all_trials[1].state == "complete"


def test_a_worker_that_lost_its_trial_does_not_put_it_back(create):
    study = create(HALTING)
    worker = worker_of(study)

    def take_over_and_stop(storage: Storage) -> None:
        take_over(storage)
        worker.stop()

    with meanwhile(study, take_over_and_stop):
        worker.run()
    assert states(study) == ["running", "waiting"]


@pytest.mark.slow
def test_a_study_that_is_deleted_in_the_midst_of_a_trial_costs_the_others_nothing(create):
    deleted, other = create(HALTING, name="deleted"), create(SHORT, name="other")
    # As optuna-dashboard does, which knows of no leases.
    with meanwhile(deleted, lambda storage: optuna.delete_study(study_name="deleted", storage=storage.url)):
        assert worker_of(deleted, other).run(max_trials=2) == 2
    assert states(other) == ["complete"] * 2


def test_a_broken_database_is_an_error_and_no_failed_trial(create):
    study = create(HALTING)

    def break_reports(storage: Storage) -> None:
        execute(
            storage,
            "CREATE TRIGGER trouble BEFORE INSERT ON trial_intermediate_values"
            " BEGIN INSERT INTO nowhere VALUES (1); END",
        )

    with (
        meanwhile(study, break_reports),
        pytest.raises(sa.exc.OperationalError, match="nowhere"),
    ):
        worker_of(study).run(exit_when_idle=True)
    assert states(study) == ["waiting", "waiting"]


@pytest.mark.slow
def test_an_idle_worker_waits_for_another_s_trial_and_takes_it_over_when_its_lease_is_over(create):
    study = create(SHORT)
    held = study.storage.claim([study.id], owner="another", seconds=60)
    worker = worker_of(study, name="idle")
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
    study = create(SHORT)
    for _ in range(2):
        study.storage.claim([study.id], owner="another", seconds=60)
    thread = threading.Thread(target=worker_of(study).run, kwargs={"exit_when_idle": True})
    thread.start()
    study.optuna.tell(0, state=TrialState.FAIL)
    time.sleep(0.7)
    assert thread.is_alive()
    study.optuna.tell(1, 0.5)
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.long
def test_a_live_worker_keeps_its_lease(create, monkeypatch):
    monkeypatch.setattr("hpo.workers.worker.LEASE_SECONDS", 0.4)
    study = create(HALTING)
    thread = threading.Thread(target=worker_of(study).run, kwargs={"max_trials": 1})
    thread.start()
    eventually(lambda: bool(training(study)))
    while states(study)[0] == "running":
        claim = study.storage.claim([study.id], owner="thief", seconds=60)
        assert claim is None or claim.trial_id != study.frozen_trials[0]._trial_id
        time.sleep(0.05)
    thread.join(30)
    assert study.all_trials[0].state == "complete"


@pytest.mark.long
def test_a_trial_goes_on_from_its_checkpoint(create):
    whole, halted = create(HALTING, name="whole"), create(HALTING, name="halted")
    worker_of(whole).run(exit_when_idle=True)
    worker = worker_of(halted)
    with meanwhile(halted, lambda _: worker.stop()):
        worker.run(exit_when_idle=True)
    (checkpoint,) = halted.storage.artifacts.path.glob("*.checkpoint")
    half = loads(checkpoint.read_bytes())
    assert half["progress"]["reported"] == halted.all_trials[0].reported
    # Training that has been done is not done again, as the clock shows.
    half["replicates"][0]["run"]["train_seconds"] = 1000.0
    checkpoint.write_bytes(dumps(half))
    worker_of(halted).run(exit_when_idle=True)
    assert results(halted) == results(whole)
    assert 1000 < halted.all_trials[0].metrics["train_seconds"] < 1100
    assert list(halted.storage.artifacts.path.glob("*.checkpoint")) == []


def test_a_trial_that_loses_too_many_workers_is_given_up_with_its_reason(create):
    study = create(SHORT, max_retries=1)
    for owner in ("first", "second"):
        study.storage.claim([study.id], owner=owner, seconds=60)
        expire_leases(study.storage)
    assert worker_of(study, name="third").run(exit_when_idle=True) == 2
    given_up, other = study.all_trials
    assert (given_up.state, given_up.retries) == ("failed", 2)
    assert given_up.reason == "given up: it lost 2 workers, the last of them second"
    assert (other.state, other.retries) == ("complete", 0)
    assert leases(study.storage) == 0


@pytest.mark.slow
def test_a_trial_that_takes_too_long_fails_and_says_at_which_epoch(create):
    params = SOFTMAX | {"epochs": 1_000_000}
    study = create(HALTING, trial_timeout=1.0, params=params)
    started = time.monotonic()
    assert worker_of(study).run(max_trials=1) == 1
    (trial, _) = study.all_trials
    assert trial.state == "failed"
    assert (
        trial.reason
        == f"took longer than trial_timeout, 1 s without compiling, by epoch {len(trial.reported)}"
    )
    assert 1.0 < time.monotonic() - started < 60


def test_the_limits_of_a_study_that_has_begun_may_change(create):
    study = create(SHORT)
    changed = create(SHORT, max_retries=0, trial_timeout=60)
    study.refresh()
    assert (study.spec.max_retries, study.spec.trial_timeout) == (0, 60)
    assert len(changed.all_trials) == 2


@pytest.mark.long
def test_a_stopped_study_s_worker_ends_and_its_trial_waits(create):
    study = create(HALTING, params=SOFTMAX | {"epochs": 1_000_000})
    with meanwhile(study, lambda storage: open_study("halting", storage=storage).stop()):
        assert worker_of(study).run() == 0
    assert states(study) == ["waiting", "waiting"]
    assert study.all_trials[0].reported
    assert leases(study.storage) == 0


def test_nobody_trains_a_stopped_study_until_it_is_created_run_or_resumed(create):
    study = create(SHORT)
    study.stop()
    assert worker_of(study).run() == worker_of(study).run(exit_when_idle=True) == 0
    create(SHORT)
    assert worker_of(study).run(exit_when_idle=True) == 2


@pytest.mark.long
def test_a_worker_of_all_studies_leaves_stopped_and_foreign_ones_alone_and_finds_new_ones(create):
    stopped = create(SHORT, name="stopped")
    stopped.stop()
    foreign = optuna.create_study(study_name="foreign", storage=stopped.storage.optuna)
    foreign.enqueue_trial({})
    worker = Worker(stopped.storage)
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(0.5)
    later = create(SHORT, name="later")
    eventually(lambda: states(later) == ["complete"] * 2)
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert states(stopped) == ["waiting"] * 2
    assert [trial.state.name for trial in foreign.trials] == ["WAITING"]


@pytest.mark.slow
def test_an_idle_worker_of_all_studies_looks_less_and_less_often(create):
    study = create(SHORT)
    worker = Worker(study.storage)
    worker.run(max_trials=2)
    looks: list[float] = []
    sa.event.listen(study.storage.engine, "begin", lambda _: looks.append(time.monotonic()))
    used = time.process_time()
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(6)
    worker.stop()
    thread.join(30)
    # At 0, 0.5, 1.5 and 3.5 s, six times each: which studies there are, what others have begun, whether one
    # has a trial, and to plan its specification, its trials, and how many are left.
    assert 19 <= len(looks) <= 30
    assert time.process_time() - used < 0.5


# ------------------------------------------------------------------------------------------- processes


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """Two studies trained by one worker that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    studies = new_studies(f"sqlite:///{folder}/hpo.db", folder, SEARCH, LONG)
    with worker_process(studies[0].storage, "--exit-when-idle") as worker:
        assert worker.wait(240) == 0
    return {study.name: study for study in studies}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, new_postgresql: Callable[[], str]) -> dict[str, Study]:
    """The same studies and one more in a PostgreSQL database, trained by two workers at the same time."""
    studies = new_studies(new_postgresql(), tmp_path_factory.mktemp("together"), SEARCH, TPE, LONG)
    storage = studies[0].storage
    with (
        worker_process(storage, "--exit-when-idle") as one,
        worker_process(storage, "--exit-when-idle") as two,
    ):
        assert (one.wait(240), two.wait(240)) == (0, 0)
    return {study.name: study for study in studies}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "tpe", "long"])
def test_two_workers_train_exactly_what_is_asked_for(together, name):
    study = together[name]
    assert study.summary.counts["complete"] == study.spec.planned == len(study.all_trials)
    assert leases(study.storage) == 0


@pytest.mark.slow
def test_two_workers_share_the_work(together):
    trials = [trial for study in together.values() for trial in study.all_trials]
    assert len({trial.worker for trial in trials}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "long"])
def test_two_workers_get_the_same_results_as_one_bit_for_bit(alone, together, name):
    assert results(together[name]) == results(alone[name])


@pytest.mark.slow
def test_no_two_trials_of_an_adaptive_search_are_drawn_alike(together):
    assert len({str(trial.params) for trial in together["tpe"].all_trials}) == 4


@pytest.fixture(scope="module")
def battered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The comparison, trained by workers that were killed, told to stop, or had to wait for a dead one."""
    folder = tmp_path_factory.mktemp("battered")
    (study,) = new_studies(f"sqlite:///{folder}/hpo.db", folder, LONG)
    seen: dict[str, Any] = {"study": study}
    with worker_process(study.storage, "long") as killed, worker_process(study.storage, "long") as stopped:
        eventually(lambda: is_training(killed, study))
        killed.kill()
        eventually(lambda: is_training(stopped, study))
        stopped.send_signal(signal.SIGTERM)
        seen["codes"] = killed.wait(180), stopped.wait(180)
    seen["after"] = {trial.number: (trial.state, len(trial.reported)) for trial in study.all_trials}
    seen["leases"] = leases(study.storage)
    seen["left"] = next(number for number, (state, _) in seen["after"].items() if state == "running")
    with worker_process(study.storage, "long", "--exit-when-idle") as last:
        eventually(lambda: states(study).count("complete") == 3)
        time.sleep(1.5)
        seen["while the lease lives"] = states(study)[seen["left"]], last.poll()
        expire_leases(study.storage)
        seen["last code"] = last.wait(180)
    return seen


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_puts_its_trial_back(battered):
    assert battered["codes"][1] == 0
    begun = [epochs for state, epochs in battered["after"].values() if state == "waiting" and epochs]
    assert len(begun) == 1


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_its_trial_to_its_lease(battered):
    assert battered["codes"][0] == -signal.SIGKILL
    assert battered["leases"] == 1
    assert battered["while the lease lives"] == ("running", None)


@pytest.mark.slow
def test_what_was_interrupted_ends_with_the_same_results_bit_for_bit(battered, alone):
    assert battered["last code"] == 0
    assert states(battered["study"]) == ["complete"] * 4
    assert results(battered["study"]) == results(alone["long"])


def test_a_trial_that_somebody_enqueued_with_some_of_its_hyperparameters_draws_the_others(create):
    table = {
        "name": "half", "kind": "search", "data": {"name": "digits"},
        "trials": 1, "sampler": {"name": "random"},
        "params": {"hidden_units": [4], "epochs": 1, "batch_size": 256},
        "space": {"learning_rate": {"low": 0.01, "high": 0.1}, "momentum": {"low": 0.1, "high": 0.9}},
    }  # fmt: skip
    study = create(table)
    # In another process: the worker's own cache of trials knows nothing of it.
    elsewhere = optuna.load_study(study_name="half", storage=Storage(study.storage.given).optuna)
    elsewhere.enqueue_trial({"learning_rate": 0.05})
    worker_of(study).run(exit_when_idle=True)
    enqueued = study.all_trials[-1]
    assert enqueued.state == "complete", enqueued.reason
    assert enqueued.params["learning_rate"] == 0.05
    assert 0.1 <= enqueued.params["momentum"] <= 0.9
