"""A check that cannot fail is no check: each kind of violation, put into a clean run, is found."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo import create_study
from hpo.storage import Storage
from tests.faults.checker import Evidence, check, lost_plans, orphans
from tests.faults.ledger import SUFFIX, Event, Ledger, read
from tests.faults.losses import losses, without_losses
from tests.faults.monitor import Seen
from tests.faults.places import BLOCK, SmallDisk
from tests.faults.standby import Lag
from tests.faults.studies import spec_of
from tests.faults.worker import WitnessedStorage, worker_of

SIZES = {"arms": 2, "random": 2, "tpe": 9}
FINISHED_BY = "key = 'hpo:finished_by'"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with one trial that went back into the queue, and one whose worker was lost."""
    folder = tmp_path_factory.mktemp("clean")
    url, artifacts = f"sqlite:///{folder}/hpo.db", folder / "artifacts"
    planner = Storage(url, artifact_dir=artifacts, create=True)
    studies = [create_study(spec_of(name, size), storage=planner) for name, size in SIZES.items()]
    (folder / "ledgers").mkdir()
    lost = WitnessedStorage(Ledger(folder / "ledgers" / f"lost{SUFFIX}"), url, artifact_dir=artifacts)
    ids = [study.id for study in studies]
    assert lost.claim(ids, owner="lost", seconds=60).requeue()
    lost.claim(ids, owner="lost", seconds=0)
    own = WitnessedStorage(Ledger(folder / "ledgers" / f"own{SUFFIX}"), url, artifact_dir=artifacts)
    worker_of(own, name="own", lease_seconds=60, checkpoint_seconds=0.1).run(exit_when_idle=True)
    for storage in (planner, lost, own):
        storage.engine.dispose()
    return folder


@pytest.fixture
def evidence(clean: Path, tmp_path: Path) -> Iterator[Evidence]:
    """Of a copy of the clean run, as a monitor saw it just before its end."""
    folder = shutil.copytree(clean, tmp_path / "run")
    storage = Storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts")
    found = Evidence(storage, read(folder / "ledgers"), Seen(), dict(SIZES))
    for trial in copy.copy(found).trials.values():
        found.seen.add(trial)
    yield found
    storage.engine.dispose()


def execute(evidence: Evidence, *statements: str) -> None:
    with evidence.storage.engine.begin() as connection:
        connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        for statement in statements:
            connection.execute(sa.text(statement))


def events_of(evidence: Evidence, kind: str) -> list[Event]:
    return [event for event in evidence.events if event["event"] == kind]


def artifact_of(evidence: Evidence, trial_id: int) -> Path:
    trial = evidence.storage.rdb.get_trial(trial_id)
    found = evidence.storage.artifact(trial, "curves.csv")
    assert found is not None
    return evidence.storage.artifacts.path / found


def test_a_clean_run_has_no_violation_and_all_that_is_checked(evidence):
    assert check(evidence) == []
    trials = evidence.trials.values()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(events_of(evidence, "finished")) == len(trials) == 15
    assert {event["event"] for event in evidence.events} >= {"claimed", "requeued", "reported", "kept"}
    assert max(event["retries"] for event in events_of(evidence, "claimed")) == 1
    assert orphans(evidence) == {}


# What the database lost or holds too much: statements, and how a violation of it begins.
STORED = {
    "a trial too many": (
        "INSERT INTO trials (number, study_id, state) VALUES (9, 3, 'COMPLETE')",
        "budget: tpe has 10 trials, not 9",
    ),
    "a number twice": (
        "UPDATE trials SET number = 0 WHERE trial_id = 2",
        "budget: the trials of arms are not",
    ),
    "a trial that is gone": (
        "UPDATE trials SET study_id = 3, number = 9 WHERE trial_id = 1",
        "budget: arms has 3 trials, not 4",
    ),
    "an arm's seed twice": (
        "UPDATE trial_user_attributes SET value_json = '1' WHERE trial_id = 1 AND key = 'seed'",
        "budget: arms has ('arm 4', 0) 0 times",
    ),
    "an index twice": (
        "UPDATE trial_user_attributes SET value_json = '1' WHERE trial_id = 5 AND key = 'index'",
        "budget: random has 1 2 times",
    ),
    "a trial that still runs": (
        "UPDATE trials SET state = 'RUNNING' WHERE trial_id = 1",
        "state: trial 0 of arms is RUNNING",
    ),
    "a failure": (
        "UPDATE trials SET state = 'FAIL' WHERE trial_id = 1",
        "failed: trial 0 of arms failed for another reason",
    ),
    "a failure after too few losses": (
        "UPDATE trials SET state = 'FAIL' WHERE trial_id = 1;"
        "UPDATE trial_user_attributes SET value_json = '\"given up: it lost 1 workers\"'"
        " WHERE trial_id = 1 AND key = 'worker';"
        "UPDATE trial_user_attributes SET key = 'reason' WHERE trial_id = 1 AND key = 'worker'",
        "failed: trial 0 of arms was given up after 1 losses, with max_retries = 1000",
    ),
    "another value": (
        "UPDATE trial_values SET value = 7.0 WHERE trial_id = 1",
        "result: trial 0 of arms has the value 7.0",
    ),
    "another report": (
        "UPDATE trial_intermediate_values SET intermediate_value = 7.0 WHERE trial_id = 1 AND step = 2",
        "result: trial 0 of arms has reports that are not those",
    ),
    "a lost report": (
        "DELETE FROM trial_intermediate_values WHERE trial_id = 1 AND step = 2",
        "report: step 2 of trial id 1 is None",
    ),
    "a lost metric": (
        "DELETE FROM trial_user_attributes WHERE trial_id = 1 AND key = 'val_loss'",
        "finish: trial id 1 has lost its attribute val_loss",
    ),
    "other replicates": (
        "UPDATE trial_user_attributes SET value_json = '[]' WHERE trial_id = 1 AND key = 'replicates'",
        "result: trial 0 of arms has replicates = []",
    ),
    "another state": (
        "UPDATE trials SET state = 'PRUNED' WHERE trial_id = 1",
        "finish: trial id 1 is PRUNED",
    ),
    "somebody else's result": (
        f"UPDATE trial_system_attributes SET value_json = '\"who\"' WHERE trial_id = 1 AND {FINISHED_BY}",
        "finish: trial id 1 was finished by who, not ",
    ),
    "a result of a stranger": (
        f"UPDATE trial_system_attributes SET value_json = '\"who\"' WHERE trial_id = 1 AND {FINISHED_BY}",
        "finish: trial id 1 was finished by who, who never claimed it",
    ),
    "a lost artifact": (
        "DELETE FROM trial_system_attributes WHERE trial_id = 1 AND key LIKE 'artifacts:%'",
        "finish: trial id 1 has other artifacts",
    ),
    "no artifact": (
        "DELETE FROM trial_system_attributes WHERE trial_id = 1 AND key LIKE 'artifacts:%'",
        "result: trial 0 of arms has the artifacts []",
    ),
    "a forgotten loss": (
        "UPDATE trial_user_attributes SET value_json = '0' WHERE trial_id = 1 AND key = 'retries'",
        "claim: trial id 1 has forgotten some of its 1 losses",
    ),
    "other parameters": (
        "UPDATE trial_params SET param_value = 0.05 WHERE trial_id = 5 AND param_name = 'l2'",
        "changed: params of trial id 5",
    ),
    "a later end": (
        "UPDATE trials SET datetime_complete = '2020-01-01 00:00:00' WHERE trial_id = 1",
        "changed: ended of the finished trial id 1",
    ),
    "a lease": (
        "INSERT INTO hpo_leases VALUES ('trial:1', 'who', 'x', 0.0)",
        "left: a lease of trial:1 by who",
    ),
    "a checkpoint's row": (
        "INSERT INTO trial_system_attributes (trial_id, key, value_json)"
        " VALUES (1, 'hpo:checkpoint', '\"x\"')",
        "left: the checkpoint of the finished trial id 1",
    ),
    "a smaller study": (
        "UPDATE study_user_attributes SET value_json = replace(value_json, '\"trials\": 9', '\"trials\": 8')",
        "planning: tpe has the size 8, not 9",
    ),
}


@pytest.mark.parametrize("what", STORED)
def test_what_is_wrong_in_the_database_is_found(evidence, what):
    statements, begins = STORED[what]
    execute(evidence, *statements.split(";"))
    found = check(evidence)
    assert any(line.startswith(begins) for line in found), found


def other_token(events: list[Event]) -> None:
    events.append(next(e for e in events if e["event"] == "finished") | {"token": "another"})


def other_value(events: list[Event]) -> None:
    next(e for e in events if e["event"] == "reported")["value"] = 7.0


def other_result(events: list[Event]) -> None:
    next(e for e in events if e["event"] == "finished")["value"] = 7.0


def other_trial(events: list[Event]) -> None:
    next(e for e in events if e["event"] == "reported")["trial"] = 15


def other_process(events: list[Event]) -> None:
    next(e for e in events if e["event"] == "reported")["process"] = "another"


def late(events: list[Event]) -> None:
    events.append(next(e for e in events if e["event"] == "reported"))


def missing_trial(events: list[Event]) -> None:
    next(e for e in events if e["event"] == "finished")["trial"] = 99


TOLD: dict[str, tuple[Callable[[list[Event]], None], str]] = {
    "two who finished a trial": (other_token, "finish: trial id 1 was acknowledged as finished 2 times"),
    "a report of another value": (other_value, "report: step 1 of trial id 1 is "),
    "a result of another value": (other_result, "finish: trial id 1 is COMPLETE"),
    "a trial that nobody has": (missing_trial, "finish: trial id 99 was finished and is gone"),
    "a token of two trials": (other_trial, "claim: "),
    "a token of two processes": (other_process, "claim: "),
    "a report after the end": (late, "claim: "),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_is_wrong_in_a_ledger_is_found(evidence, what):
    change, begins = TOLD[what]
    events = copy.deepcopy(list(evidence.events))
    change(events)
    found = check(dataclasses.replace(evidence, events=events))
    assert any(line.startswith(begins) for line in found), found


def test_what_has_changed_since_it_was_seen_is_found(evidence):
    evidence.seen.finished[1]["user attributes"] = {"more": 1}
    evidence.seen.reports[2][99] = 0.5
    evidence.seen.params[5]["l2"] = 0.5
    evidence.seen.finished[99] = evidence.seen.finished[3]
    found = check(evidence)
    for begins in (
        "changed: user attributes of the finished trial id 1",
        "changed: reports of trial id 2",
        "changed: params of trial id 5",
        "changed: state of the finished trial id 99: COMPLETE -> None",
    ):
        assert any(line.startswith(begins) for line in found), found


def test_artifacts_that_are_gone_damaged_or_another_trial_s_are_found(evidence):
    artifact_of(evidence, 1).unlink()
    artifact_of(evidence, 2).write_text("half")
    key = f"artifacts:{artifact_of(evidence, 4).name}"
    meta = json.dumps(json.dumps({"artifact_id": artifact_of(evidence, 4).name, "filename": "curves.csv"}))
    execute(
        evidence,
        f"UPDATE trial_system_attributes SET key = '{key}', value_json = '{meta}'"
        " WHERE trial_id = 3 AND key LIKE 'artifacts:%'",
    )
    found = check(evidence)
    for what in (
        "result: trial 0 of arms has an artifact that cannot be read: No such file or directory",
        "result: trial 1 of arms has an artifact that is damaged",
        "result: trial 2 of arms has curves that are not its own",
    ):
        assert what in found


def test_a_checkpoint_s_file_is_left_only_by_a_process_that_was_killed_or_suspended(evidence):
    kept = events_of(evidence, "kept")[0]
    (evidence.storage.artifacts.path / kept["name"]).write_text("old")
    left = f"left: the checkpoint's file of trial id {kept['trial']}, which own has finished"
    assert check(evidence) == [left]
    assert check(dataclasses.replace(evidence, killed=frozenset({"lost"}))) == [left]
    assert check(dataclasses.replace(evidence, killed=frozenset({"own"}))) == []
    assert check(dataclasses.replace(evidence, suspended=frozenset({"own"}))) == []


def test_a_plan_that_was_acknowledged_and_is_lost_is_found(evidence):
    told = [{"event": "planned", "study": name, "size": size} for name, size in SIZES.items()]
    assert lost_plans(told, evidence.storage) == []
    execute(evidence, "UPDATE trials SET study_id = 1, number = 9 WHERE trial_id = 15")
    told.append({"event": "planned", "study": "random", "size": 3})
    assert lost_plans(told, evidence.storage) == [
        "planning: random was acknowledged with 3 trials and has fewer",
        "planning: tpe was acknowledged with 9 trials and has fewer",
    ]
    # Whoever began to lower it may have been killed before it asked for the same again.
    told.append({"event": "lowering", "study": "tpe", "size": 8})
    told.append({"event": "lowering", "study": "random", "size": 2})
    assert lost_plans(told, evidence.storage) == []


def lost_event(evidence: Evidence, kind: str, **fields: object) -> Event:
    """One like the first of its kind, acknowledged at 5 s to somebody else."""
    return events_of(evidence, kind)[0] | {"at": 5.0, "token": "gone", "process": "other"} | fields


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fields", "what"),
    [
        ("finished", {}, "the result"),
        ("finished", {"trial": 99}, "all"),
        ("reported", {"value": 7.0}, "step 1"),
        ("claimed", {"retries": 5}, "a loss"),
        ("kept", {"name": "left.checkpoint"}, "the checkpoint"),
    ],
)
def test_what_a_lagging_copy_has_lost_is_named_and_only_that(evidence, kind, fields, what):
    (evidence.storage.artifacts.path / "left.checkpoint").touch()
    claimed = lost_event(evidence, "claimed", **{"trial": events_of(evidence, kind)[0]["trial"]} | fields)
    event = lost_event(evidence, kind, **fields)
    more = [event] if kind == "claimed" else [claimed | {"retries": 0}, event]
    found = dataclasses.replace(evidence, events=[*evidence.events, *more])
    assert check(found) != []
    named = f"lost: {what} of trial id {event['trial']}, acknowledged to other"
    lag = Lag(4.0, 6.0)
    assert named in losses(found, lag)
    assert {line.split(",")[0] for line in losses(found, lag)} <= {
        named.split(",")[0],
        "lost: all of trial id 99",
    }
    assert check(without_losses(found, lag)) == []
    # Before and after it nothing is excused.
    for other in (Lag(1.0, 4.9), Lag(5.1, 6.0)):
        assert losses(found, other) == []
        assert check(without_losses(found, other)) == check(found)


def test_files_that_nothing_refers_to_are_counted(evidence):
    for name in ("x.checkpoint", ".half", "artifact", "another"):
        (evidence.storage.artifacts.path / name).write_text("old")
    assert orphans(evidence) == {
        "checkpoints of finished trials": 1,
        "half-written files": 1,
        "artifacts without a row": 2,
    }
    assert check(evidence) == []


def test_a_line_that_a_killed_process_did_not_end_is_no_event(tmp_path):
    ledger = Ledger(tmp_path / f"one{SUFFIX}")
    ledger.write("asked", study="arms", size=1)
    with (tmp_path / f"one{SUFFIX}").open("a") as file:
        file.write('{"event": "plan')
    (event,) = read(tmp_path)
    assert (event["event"], event["process"], event["size"]) == ("asked", "one", 1)


def test_a_full_disk_is_full_and_has_room_again_afterwards(tmp_path: Path):
    disk = SmallDisk(tmp_path / "disk", megabytes=4)
    if not disk.is_mounted:
        pytest.skip(f"mounting was refused: {disk.refusal}")
    filling = threading.Thread(target=disk.fill, args=(1.0,))
    try:
        filling.start()
        time.sleep(0.5)
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "file").write_bytes(bytes(BLOCK))
        filling.join()
        assert (disk.folder / "file").write_bytes(bytes(BLOCK)) == BLOCK
    finally:
        filling.join()
        disk.remove()
