"""Studies from Python: create, open, extend, list, read, delete."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import hpo
from hpo import DataError, SpecError, StorageError, Study, StudyError, StudySpec, create_study, open_study
from hpo.data import digest_of_test
from hpo.search import suggest
from hpo.spec import to_json, to_toml
from hpo.storage import Storage
from hpo.trials import CURVES_FILE

SEARCH: dict[str, Any] = {
    "name": "search",
    "kind": "search",
    "confirm": False,
    "data": {"name": "digits", "validation": 0.2},
    "trials": 6,
    "sampler": {"name": "random", "seed": 0},
    "params": {"epochs": 2},
    "space": {"hidden_units": [[8], [16, 8]], "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}},
}
COMPARISON: dict[str, Any] = {
    "name": "comparison",
    "kind": "comparison",
    "data": {"name": "digits", "validation": 0.2},
    "objective": {"metric": "val_loss"},
    "seeds": 2,
    "params": {"epochs": 2},
    "arms": [{"name": "slow", "learning_rate": 0.01}, {"name": "fast", "learning_rate": 0.1}],
}


@pytest.fixture
def create(url: str, tmp_path: Path) -> Callable[..., Study]:
    """Creates a study of a table with changes, in a database of its own."""

    def make(table: dict[str, Any], **changes: Any) -> Study:
        spec = StudySpec(**(table | changes))
        return create_study(spec, storage=url, artifact_dir=tmp_path / "artifacts")

    return make


def finish(study: Study, *results: float | TrialState, metrics: dict[str, float] | None = None) -> None:
    """End the study's next trials as a worker does: a value is a complete one."""
    for result in results:
        claim = study.storage.claim([study.id], owner="test", seconds=60)
        assert claim is not None
        trial = optuna.trial.Trial(study.optuna, claim.trial_id)
        for name, value in (metrics or {}).items():
            trial.set_user_attr(name, value)
        trial.set_user_attr("worker", "host-1")
        trial.report(0.25, step=1)
        trial.report(0.5, step=2)
        if isinstance(result, TrialState):
            trial.set_user_attr("reason", "told")
            study.optuna.tell(trial, state=result)
        else:
            study.optuna.tell(trial, result)
        claim.lease.release()


def snapshot(study: Study) -> tuple[Any, ...]:
    """All that the database holds of a study."""
    fresh = open_study(study.optuna.study_name, storage=Storage(study.storage.url))
    return fresh.id, fresh.optuna.user_attrs, fresh.optuna.trials


# ------------------------------------------------------------------------------------- creating, opening


@pytest.mark.parametrize("table", [SEARCH, COMPARISON], ids=["search", "comparison"])
def test_a_new_study_has_all_its_trials_waiting(new_database, table):
    study = create_study(StudySpec(**table), storage=new_database())
    summary = study.summary
    assert (summary.name, summary.kind) == (table["name"], table["kind"])
    assert summary.planned == study.spec.planned == len(study.all_trials)
    assert summary.counts == {
        "complete": 0,
        "pruned": 0,
        "failed": 0,
        "running": 0,
        "waiting": summary.planned,
    }
    assert summary.best_value is None
    assert abs((datetime.now(summary.created.tzinfo) - summary.created).total_seconds()) < 60


def test_a_new_study_is_an_ordinary_optuna_study(create, url):
    study = create(COMPARISON)
    plain = optuna.load_study(study_name="comparison", storage=url)
    assert plain.direction == optuna.study.StudyDirection.MINIMIZE
    assert plain.metric_names == ["val_loss"]
    assert [trial.state for trial in plain.trials] == [TrialState.WAITING] * 4
    assert plain.user_attrs["spec"] == to_json(study.spec)


def test_a_study_can_be_created_from_a_file(tmp_path, url):
    path = tmp_path / "study.toml"
    path.write_text(to_toml(StudySpec(**SEARCH)))
    study = create_study(path, storage=url)
    assert study.spec == StudySpec(**SEARCH)
    assert create_study(str(path), storage=url).id == study.id


def test_a_study_can_be_created_from_a_dict_of_what_a_file_says(url):
    study = create_study(SEARCH, storage=url)
    assert study.spec == StudySpec(**SEARCH)
    with pytest.raises(SpecError, match=r"^study: unknown key 'trails'\. Did you mean trials\?$"):
        create_study(SEARCH | {"trails": 3}, storage=url)


@pytest.mark.parametrize("given", [None, 3, [SEARCH], StudySpec, b"study.toml"])
def test_what_is_no_specification_is_told_in_one_line_with_all_that_is_one(given, url):
    says = "must be the path of a study file, a dict of what such a file says, or an hpo.StudySpec, but got "
    with pytest.raises(SpecError, match=f"^create_study: spec: {says}"):
        create_study(given, storage=url)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (SEARCH | {"data": {"name": "digit"}}, DataError),
        (SEARCH | {"data": {"name": "digits", "folds": 1000}}, DataError),
        (SEARCH | {"data": {"name": "digits", "validation": 1e-6}}, DataError),
        (SEARCH | {"data": {"name": "missing.npz"}}, DataError),
        (SEARCH | {"trials": 0}, SpecError),
    ],
    ids=["unknown data", "folds", "validation", "no file", "spec"],
)
def test_what_cannot_be_trained_creates_nothing(tmp_path, table, error):
    with pytest.raises(error) as caught:
        create_study(StudySpec(**table), storage=f"sqlite:///{tmp_path}/hpo.db")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_creating_a_study_again_opens_it(create):
    study = create(SEARCH)
    finish(study, 0.5)
    before = snapshot(study)
    again = create(SEARCH)
    assert again.id == study.id
    assert snapshot(again) == before


def test_processes_that_create_one_study_at_once_get_the_same_with_exact_trials(new_database, crowd):
    url = new_database()
    ids = crowd(create_in_a_process, url, [SEARCH], count=4)
    assert len(set(ids)) == 1
    study = open_study("search", storage=url)
    assert study.spec == StudySpec(**SEARCH)
    assert sorted(t.user_attrs["index"] for t in study.frozen_trials) == list(range(6))
    assert [t.number for t in study.frozen_trials] == list(range(6))


def test_processes_that_change_one_study_at_once_leave_exactly_what_the_last_asked_for(new_database, crowd):
    url = new_database()
    create_study(StudySpec(**SEARCH), storage=url)
    tables = [SEARCH | {"trials": trials} for trials in (12, 9, 15, 7)]
    assert len(set(crowd(create_in_a_process, url, tables, count=4))) == 1
    study = open_study("search", storage=url)
    assert study.spec.planned in (12, 9, 15, 7)
    assert [t.user_attrs["index"] for t in study.frozen_trials] == list(range(study.spec.planned))
    assert [t.number for t in study.frozen_trials] == list(range(study.spec.planned))


def create_in_a_process(url: str, tables: list[dict[str, Any]], number: int) -> int:
    return create_study(StudySpec(**tables[number % len(tables)]), storage=url).id


def test_an_opened_study_is_the_created_one(create, url):
    created = create(COMPARISON)
    opened = open_study("comparison", storage=url)
    assert (opened.id, opened.name, opened.spec) == (created.id, "comparison", created.spec)


def test_a_study_that_is_not_there_is_told_with_those_that_are(create, url):
    create(SEARCH)
    create(COMPARISON)
    optuna.create_study(study_name="somebody's", storage=url)
    with pytest.raises(StudyError, match=r"there is no such study in .*There are: search, comparison\.$"):
        open_study("another", storage=url)
    with pytest.raises(StudyError, match=r"there is no such study in .*Did you mean 'search'\?$"):
        open_study("serach", storage=url)


def test_an_empty_database_says_so(url):
    Storage(url, create=True)
    with pytest.raises(StudyError, match=r"It holds no study yet\.$"):
        open_study("search", storage=url)


def test_opening_creates_no_database(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    with pytest.raises(StorageError):
        open_study("search", storage=url)
    with pytest.raises(StorageError):
        hpo.list_studies(storage=url)
    assert list(tmp_path.iterdir()) == []


def test_without_a_storage_the_environment_s_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_STORAGE", f"sqlite:///{tmp_path}/mine.db")
    monkeypatch.setenv("HPO_ARTIFACT_DIR", str(tmp_path / "files"))
    create_study(StudySpec(**SEARCH))
    assert open_study("search").storage.artifacts.path == tmp_path / "files"
    assert [summary.name for summary in hpo.list_studies()] == ["search"]


# --------------------------------------------------------------------------------------------- extending

THIRD = {"name": "third", "learning_rate": 0.5}
EXTENSIONS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "more trials": (SEARCH, {"trials": 9}, 9),
    "more seeds": (COMPARISON, {"seeds": 4}, 8),
    "fewer trials": (SEARCH, {"trials": 4}, 4),
    "fewer seeds": (COMPARISON, {"seeds": 1}, 2),
    "more arms": (COMPARISON, {"arms": [*COMPARISON["arms"], THIRD]}, 6),
    "more arms and seeds": (COMPARISON, {"seeds": 3, "arms": [THIRD, *COMPARISON["arms"]]}, 9),
    "other metrics": (COMPARISON, {"metrics": ["f1"]}, 4),
    "another description": (SEARCH, {"description": "for science"}, 6),
    "another baseline": (COMPARISON, {"baseline": "fast"}, 4),
    "another test": (COMPARISON, {"alpha": 0.01, "min_effect": {"val_loss": 0.1}}, 4),
    "a default written out": (SEARCH, {"seeds": 1}, 6),
}


@pytest.mark.parametrize(("table", "changes", "planned"), EXTENSIONS.values(), ids=list(EXTENSIONS))
def test_what_leaves_its_trials_as_they_are_changes_a_study(create, table, changes, planned):
    study = create(table)
    finish(study, 0.5)
    old = study.frozen_trials
    extended = create(table, **changes)
    assert extended.id == study.id
    assert extended.spec.content() == StudySpec(**(table | changes)).content()
    trials = extended.frozen_trials
    assert len(trials) == planned
    assert trials[: len(old)] == old[:planned]
    # A program that has the study open sees it at its next plan.
    assert study.plan() == planned - 1
    assert study.spec == extended.spec


SAME_ARMS = [{"name": "slow", "learning_rate": 0.02}, {"name": "fast", "learning_rate": 0.1}]
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "another sampler": (SEARCH, {"sampler": {"name": "tpe"}}, ["sampler.name was 'random' and is 'tpe'"]),
    "another seed": (SEARCH, {"sampler": {"name": "random", "seed": 1}}, ["sampler.seed was 0 and is 1"]),
    "another space": (
        SEARCH,
        {"space": {"dropout": [0.1] * 1 + [0.2]}, "trials": 2},
        ["space.dropout was", "space.learning_rate was"],
    ),
    "other params": (SEARCH, {"params": {"epochs": 3}}, ["params.epochs was 2 and is 3"]),
    "another split": (SEARCH, {"data": {"name": "digits", "validation": 0.3}}, ["data.validation was 0.2"]),
    "folds": (
        SEARCH,
        {"data": {"name": "digits", "folds": 3}},
        ["data.folds was not set and is 3", "validation"],
    ),
    "another objective": (SEARCH, {"objective": {"metric": "f1"}}, ["objective.metric was 'val_accuracy'"]),
    "another kind": (SEARCH, COMPARISON | {"name": "search"}, ["kind was 'search' and is 'comparison'"]),
    "another arm": (COMPARISON, {"arms": SAME_ARMS}, ['arms "slow": learning_rate was 0.01 and is 0.02']),
    "an arm gone": (COMPARISON, {"arms": [COMPARISON["arms"][0], THIRD]}, ['arms "fast" was']),
    "two changes": (
        COMPARISON,
        {"data": {"name": "digits", "validation": 0.3}, "params": {"epochs": 3}},
        ["data.validation was 0.2 and is 0.3", "epochs was 2 and is 3"],
    ),
    "one that adds and one that does not": (
        SEARCH,
        {"trials": 9, "params": {"epochs": 3}},
        ["params.epochs was 2 and is 3"],
    ),
}


@pytest.mark.parametrize(("table", "changes", "differences"), REFUSED.values(), ids=list(REFUSED))
def test_else_each_difference_is_told_and_nothing_changes(create, table, changes, differences):
    study = create(table)
    finish(study, 0.5)
    before = snapshot(study)
    with pytest.raises(StudyError) as caught:
        create(table | changes if "kind" not in changes else changes)
    line = str(caught.value)
    assert line.startswith(f"study '{study.name}': is taken by another specification: ")
    from_it = f' with start_from = "{study.name}"' * ("space" in changes)
    end = f"ive it a new name{from_it}, or delete the old study: hpo delete {study.name} --yes."
    assert line.endswith(end)
    assert "\n" not in line
    for difference in differences:
        assert difference in line
    assert snapshot(study) == before


L2 = "space.l2 was fixed to 0.0, which it must have among its choices, and is [0.001, 0.01]. Add 0.0, or g"
VARIED: dict[str, tuple[dict[str, Any], str]] = {
    "choices without what was fixed": ({"l2": [1e-3, 1e-2]}, L2),
    "a range without what was fixed": (
        {"l2": {"low": 1e-3, "high": 1e-2}},
        "space.l2 was fixed to 0.0, which it must have from low to high,"
        " and is { low = 0.001, high = 0.01 }. Add 0.0, or g",
    ),
    "on a condition": (
        {"l2": {"choices": [0.0, 1e-2], "when": {"learning_rate": 0.1}}},
        "space.l2 was fixed to 0.0 in every trial, and cannot have a condition, and is"
        " { choices = [0.0, 0.01], when = { learning_rate = 0.1 } }. G",
    ),
    "fewer choices": (
        {"learning_rate": [0.1, 0.2]},
        "space.learning_rate was [0.01, 0.1] and is [0.1, 0.2], and may only grow. G",
    ),
}


@pytest.mark.parametrize(("space", "said"), VARIED.values(), ids=list(VARIED))
def test_a_space_that_does_not_grow_is_told_by_what_rule_and_what_to_do(create, space, said):
    grid = SEARCH | {"trials": 2, "space": {"learning_rate": [0.01, 0.1]}, "name": "grown"}
    create(grid)
    with pytest.raises(StudyError) as caught:
        create(grid | {"space": grid["space"] | space})
    remedy = 'ive it a new name with start_from = "grown", or delete the old study: hpo delete grown --yes.'
    assert str(caught.value) == f"study 'grown': is taken by another specification: {said}{remedy}"


# -------------------------------------------------------------------------------------------------- data


def write_data(path: Path, *, seed: int = 0) -> None:
    draws = np.random.default_rng(seed)
    np.savez(path, x_train=draws.random((60, 4), np.float32), y_train=np.arange(60) % 3)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    write_data(tmp_path / "own.npz")
    return SEARCH | {"data": {"name": str(tmp_path / "own.npz")}}


def test_data_that_changed_since_the_study_began_is_refused(create, own, tmp_path):
    study = create(own)
    finish(study, 0.5)
    before = snapshot(study)
    assert len(study.load_data().x) == 60
    write_data(tmp_path / "own.npz", seed=1)
    for attempt in (study.load_data, lambda: create(own), lambda: create(own, trials=9)):
        with pytest.raises(DataError, match=r"own\.npz: must be the data that the study began with"):
            attempt()
    assert snapshot(study) == before


def test_data_that_is_gone_is_told(create, own, tmp_path):
    study = create(own)
    (tmp_path / "own.npz").unlink()
    with pytest.raises(DataError, match=r"must be an existing \.npz file"):
        study.load_data()


def test_the_same_data_may_come_from_another_place(create, own, tmp_path):
    study = create(own)
    (tmp_path / "own.npz").rename(tmp_path / "moved.npz")
    moved = create(own, data={"name": str(tmp_path / "moved.npz")})
    assert moved.id == study.id
    assert len(moved.load_data().x) == 60
    # What a worker does, which opens the study by its name.
    assert len(open_study("search", storage=study.storage).load_data().x) == 60


def test_other_data_of_the_same_name_is_another_study_s(create, own, tmp_path):
    create(own)
    write_data(tmp_path / "other.npz", seed=1)
    with pytest.raises(StudyError, match=r"data\.name was .*own\.npz' and is .*other\.npz'"):
        create(own, data={"name": str(tmp_path / "other.npz")})


# ----------------------------------------------------------------------------- half registered, or foreign

STEPS: list[Callable[[optuna.Study], None]] = [
    lambda study: None,
    lambda study: study.set_metric_names(["val_accuracy"]),
    lambda study: study.set_user_attr("created", "2026-01-01T00:00:00+00:00"),
    lambda study: study.set_user_attr("data_digest", "not this data's"),
    lambda study: study.set_user_attr("test_digest", "not this data's"),
]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("done", range(1, len(STEPS) + 1))
def test_a_study_whose_creation_was_killed_is_completed(create, url, done):
    storage = Storage(url, create=True)
    half = optuna.create_study(study_name="search", storage=storage.optuna, direction="maximize")
    for step in STEPS[:done]:
        step(half)
    assert hpo.list_studies(storage=url) == []
    study = create(SEARCH)
    assert study.id == half._study_id
    assert study.data_digest == study.load_data().digest
    assert study.test_digest == digest_of_test("digits")
    assert len(study.all_trials) == 6
    assert [summary.name for summary in hpo.list_studies(storage=url)] == ["search"]


def with_a_trial(storage: Storage) -> optuna.Study:
    study = optuna.create_study(study_name="search", storage=storage.optuna, direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    return study


def with_an_attribute(storage: Storage) -> optuna.Study:
    study = optuna.create_study(study_name="search", storage=storage.optuna, direction="maximize")
    study.set_user_attr("owner", "somebody")
    return study


def with_another_direction(storage: Storage) -> optuna.Study:
    return optuna.create_study(study_name="search", storage=storage.optuna, direction="minimize")


def with_two_objectives(storage: Storage) -> optuna.Study:
    return optuna.create_study(
        study_name="search", storage=storage.optuna, directions=["maximize", "minimize"]
    )


def with_a_spec_of_its_own(storage: Storage) -> optuna.Study:
    study = with_a_trial(storage)
    study.set_user_attr("spec", "a drawing of a bridge")
    return study


FOREIGN = [
    with_a_trial,
    with_an_attribute,
    with_another_direction,
    with_two_objectives,
    with_a_spec_of_its_own,
]


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
def test_a_study_that_hpo_did_not_create_is_left_alone(create, url, make):
    storage = Storage(url, create=True)
    foreign = make(storage)
    before = (foreign.user_attrs, foreign.trials)
    with pytest.raises(StudyError, match="study 'search': must have been created by hpo, and was not"):
        create(SEARCH)
    with pytest.raises(StudyError, match="must have been created by hpo, and was not"):
        open_study("search", storage=url)
    create(COMPARISON)
    assert [summary.name for summary in hpo.list_studies(storage=url)] == ["comparison"]
    assert before == (foreign.user_attrs, foreign.trials)


# --------------------------------------------------------------------------------- planning with others


def test_a_plan_adds_what_is_missing_and_counts_what_is_left(create):
    study = create(SEARCH)
    finish(study, 0.5, TrialState.FAIL, TrialState.PRUNED)
    assert study.plan() == 3
    assert len(study.frozen_trials) == 6


def test_what_other_processes_did_is_seen(create, url):
    here, there = create(SEARCH), open_study("search", storage=url)
    assert len(here.frozen_trials) == 6
    claim = there.storage.claim([there.id], owner="there", seconds=60)
    assert here.frozen_trials[0].state == TrialState.RUNNING
    claim.requeue()
    assert here.frozen_trials[0].state == TrialState.WAITING
    finish(there, 0.5, 0.75)
    assert here.best.value == 0.75
    assert here.plan() == 4
    assert here.summary.counts["complete"] == 2


def test_a_trial_that_somebody_enqueued_is_shown_and_breaks_nothing(create):
    for table in (SEARCH, COMPARISON):
        study = create(table)
        study.optuna.enqueue_trial({"learning_rate": 0.05})
        assert study.plan() == study.spec.planned + 1
        assert study.all_trials[-1].state == "waiting"
        assert study.all_trials[-1].hyperparameters == {}
        assert len(study.trials()) == study.spec.planned + 1


@pytest.mark.filterwarnings("ignore:Fixed parameter")
def test_a_trial_that_somebody_enqueued_with_values_that_break_a_rule_is_shown(create):
    study = create(SEARCH, space={"l2": {"low": 0.0, "high": 0.5}})
    finish(study, *[0.5] * 6)
    study.optuna.enqueue_trial({"l2": -1.0})
    claim = study.storage.claim([study.id], owner="test", seconds=60)
    suggest(optuna.trial.Trial(study.optuna, claim.trial_id), study.spec)
    strange = study.all_trials[-1]
    assert strange.params == {"l2": -1.0}
    assert strange.hyperparameters == {}


# ----------------------------------------------------------------------------------------------- reading


def test_the_best_trial_is_the_highest_or_the_lowest_complete_one(create):
    search = create(SEARCH)
    finish(search, 0.5, TrialState.PRUNED, 0.75, TrialState.FAIL, 0.75)
    assert (search.best.number, search.best.value) == (2, 0.75)
    comparison = create(COMPARISON)
    finish(comparison, 0.5, -0.25, 0.0)
    assert (comparison.best.number, comparison.best.value) == (1, -0.25)
    assert comparison.best.number == comparison.optuna.best_trial.number
    assert comparison.summary.best_value == -0.25


def test_without_a_complete_trial_there_is_no_best(create):
    study = create(SEARCH)
    finish(study, TrialState.PRUNED, TrialState.FAIL)
    with pytest.raises(StudyError, match=r"has no complete trial yet\. Run: hpo resume search\.$"):
        _ = study.best
    assert study.summary.best_value is None


def test_trials_are_a_table_with_a_row_each(create):
    study = create(SEARCH)
    finish(study, 0.5, TrialState.FAIL, metrics={"val_accuracy": 0.5, "epochs_run": 2.0})
    table = study.trials()
    assert list(table.index) == list(range(6))
    assert table.index.name == "number"
    assert list(table["state"]) == ["complete", "failed", "waiting", "waiting", "waiting", "waiting"]
    assert list(table["value"].dropna()) == [0.5]
    assert table.loc[0, "val_accuracy"] == 0.5
    assert table.loc[0, "epochs_run"] == 2.0
    assert table.loc[1, "reason"] == "told"
    assert list(table["learning_rate"]) == [trial.params["learning_rate"] for trial in study.all_trials]
    assert list(table["epochs"]) == [2] * 6


def test_a_table_of_trials_has_each_thing_once_and_what_matters_first(create):
    study = create(SEARCH)
    finish(study, 0.5, metrics={"val_accuracy": 0.5, "epochs_run": 2.0})
    columns = list(study.trials().columns)
    assert len(columns) == len({column.rpartition(".")[2] for column in columns})
    assert columns[:6] == ["state", "value", "hidden_units", "learning_rate", "val_accuracy", "epochs_run"]
    # A hyperparameter that no trial sets, and what is of arms, have no column in a search.
    assert not {"decay_rate", "arm", "seed", "curve", "replicates"} & set(columns)
    of_arms = create(COMPARISON).trials()
    assert list(of_arms.columns)[:5] == ["state", "value", "arm", "seed", "learning_rate"]
    assert list(of_arms["arm"]) == ["slow", "fast", "slow", "fast"]


def test_a_table_of_trials_is_for_pandas_to_work_with(create):
    study = create(SEARCH)
    finish(study, 0.5, 0.25)
    table = study.trials()
    for column in table.columns:
        assert len(table.groupby(column, dropna=False)) > 0
    assert set(table["hidden_units"]) == {(8,), (16, 8)}
    for column in ("started", "finished"):
        assert table[column].dtype.kind == "M"
    assert (table["finished"] - table["started"]).dropna().dt.total_seconds().ge(0).all()
    assert table["finished"].notna().sum() == 2


def test_a_table_of_trials_keeps_apart_what_others_have_named_as_ours(create):
    study = create(SEARCH)
    study.optuna.add_trial(
        optuna.trial.create_trial(
            value=0.5,
            params={"value": 3.0, "width": 4.0},
            distributions=dict.fromkeys(["value", "width"], optuna.distributions.FloatDistribution(0, 5)),
        )
    )
    last = study.trials().iloc[-1]
    assert (last["value"], last["params.value"], last["width"]) == (0.5, 3.0, 4.0)


def test_a_trial_record_says_what_is_known(create):
    study = create(COMPARISON)
    finish(study, 0.5, metrics={"val_loss": 0.5})
    done, waits = study.all_trials[0], study.all_trials[-1]
    assert (done.state, done.value, done.arm, done.seed) == ("complete", 0.5, "slow", 0)
    assert done.metrics == {"val_loss": 0.5}
    assert done.reported == [0.25, 0.5]
    assert done.curve.to_dict("list") == {"epoch": [1, 2], "val_loss": [0.25, 0.5]}
    assert done.worker == "host-1"
    assert done.hyperparameters["learning_rate"] == 0.01
    assert done.hyperparameters["epochs"] == 2
    assert done.started <= done.finished
    assert (waits.state, waits.value, waits.arm, waits.seed) == ("waiting", None, "fast", 1)
    assert (waits.metrics, waits.started, waits.finished, waits.reported) == ({}, None, None, [])
    assert waits.curve.empty
    assert list(waits.curve.columns) == ["epoch", "val_loss"]
    json.dumps([trial.to_json() for trial in study.all_trials], allow_nan=False)
    assert done.to_json()["curve"] == [0.25, 0.5]
    assert "objective" not in done.to_json()


def test_a_pruned_trial_has_no_value(create):
    study = create(SEARCH)
    finish(study, TrialState.PRUNED)
    assert study.all_trials[0].state == "pruned"
    assert study.all_trials[0].value is None


def test_a_trial_of_an_adaptive_search_has_no_hyperparameters_before_it_is_drawn(create):
    study = create(SEARCH, sampler={"name": "tpe"})
    assert study.all_trials[0].hyperparameters == {}
    assert study.all_trials[0].params == {}
    assert len(study.trials()) == 6


def finish_with_curves(study: Study, curves: bytes) -> None:
    claim = study.storage.claim([study.id], owner="test", seconds=60)
    attachment = study.storage.artifacts.attach(CURVES_FILE, curves)
    assert claim.finish(TrialState.COMPLETE, value=0.5, attachments=[attachment])


def test_learning_curves_are_a_table(create):
    study = create(SEARCH)
    finish_with_curves(study, b"seed,fold,epoch,loss\n0,,1,0.5\n0,,2,0.25\n")
    assert list(study.curves(0)["loss"]) == [0.5, 0.25]
    for number in (1, 6, -1):
        with pytest.raises(StudyError, match=f"there are no learning curves of trial {number}"):
            study.curves(number)


def test_learning_curves_whose_file_is_gone_are_told(create):
    study = create(SEARCH)
    finish_with_curves(study, b"epoch\n1\n")
    for path in study.storage.artifacts.path.iterdir():
        path.unlink()
    with pytest.raises(StudyError, match="there are no learning curves of trial 0"):
        study.curves(0)


def test_studies_are_listed_oldest_first(create, url):
    names = ["b", "a", "c"]
    for name in names:
        create(SEARCH, name=name)
    finish(open_study("a", storage=url), 0.5, TrialState.FAIL)
    summaries = hpo.list_studies(storage=url)
    assert [summary.name for summary in summaries] == names
    assert summaries[1] == open_study("a", storage=url).summary
    assert summaries[1].counts == {"complete": 1, "pruned": 0, "failed": 1, "running": 0, "waiting": 4}
    assert (summaries[1].metric, summaries[1].direction) == ("val_accuracy", "maximize")
    assert summaries[1].best_value == 0.5


def test_the_optuna_study_of_a_trial_has_its_sampler_and_the_declared_pruner(create):
    pruner = {"name": "median", "min_epochs": 2}
    study = create(SEARCH, sampler={"name": "tpe", "seed": 3}, pruner=pruner)

    def drawn(number: int) -> dict[str, Any]:
        trial = optuna.create_study(sampler=study.optuna_for(number).sampler).ask()
        return {"x": trial.suggest_float("x", 0, 1)}

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert isinstance(study.optuna_for(0).pruner, optuna.pruners.MedianPruner)
    assert study.optuna_for(0)._study_id == study.id


# ------------------------------------------------------------------------------------ what a person sees


def rows_of(page: str) -> list[list[str]]:
    """The cells of all tables in HTML, by rows."""
    return [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    ]


def test_a_study_is_shown_in_three_lines_and_as_tables(create):
    study = create(SEARCH)
    assert repr(study).splitlines() == [
        f"Study 'search' in {study.storage.place}",
        "  search of 6 trials: 6 waiting",
    ]
    finish(study, 0.5, TrialState.FAIL, metrics={"val_accuracy": 0.5})
    head, progress, best = repr(study).splitlines()
    assert head == f"Study 'search' in {study.storage.place}"
    assert progress == "  search of 6 trials: 1 complete, 1 failed, 4 waiting"
    assert best == f"  best: {study.best!r}"
    rows = rows_of(study._repr_html_())
    assert ["trials", "1 complete, 1 failed, 4 waiting"] in rows
    assert ["val_accuracy", "0.5"] in rows


def test_a_study_that_is_gone_is_shown_too(create, url):
    study = create(SEARCH)
    open_study("search", storage=url).delete()
    assert repr(study) == "Study 'search': study 'search': has been deleted."
    assert "has been deleted" in study._repr_html_()


def test_a_trial_is_shown_in_one_line_and_as_a_table(create):
    study = create(COMPARISON)
    finish(study, 0.5, TrialState.FAIL, metrics={"val_loss": 0.5, "train_seconds": 4.0})
    done, failed, waits = study.all_trials[:3]
    assert repr(done) == "<Trial 0: complete, val_loss 0.5; slow, seed 0; 2 epochs, 4.0 s>"
    assert repr(failed) == "<Trial 1: failed; fast, seed 0; 2 epochs, 4.0 s; told>"
    assert repr(waits) == "<Trial 2: waiting; slow, seed 1>"
    rows = rows_of(done._repr_html_())
    assert ["arm", "slow"] in rows
    assert ["train_seconds", "4"] in rows
    assert "reason" not in [row[0] for row in rows]
    drawn = create(SEARCH, params={"epochs": 2, "hidden_units": [8]}, space={"dropout": [0.1, 0.2]}, trials=2)
    assert repr(drawn.all_trials[0]) == f"<Trial 0: waiting; dropout={drawn.all_trials[0].params['dropout']}>"


def test_trials_are_shown_in_a_few_lines_and_as_a_table_and_may_be_called(create):
    study = create(SEARCH, trials=80)
    finish(study, 0.5)
    trials = study.all_trials
    head, *three, more = repr(trials).splitlines()
    assert (head, more) == ("80 trials: 1 complete, 79 waiting", "  and 77 more")
    assert three == [f"  {trial!r}" for trial in trials[:3]]
    assert len(rows_of(trials._repr_html_())) == 1 + 60
    assert "And 20 more; study.trials() has all." in trials._repr_html_()
    assert study.all_trials() == trials
    assert isinstance(trials, list)
    assert repr(trials[:0]) == "[]"
    assert repr(type(trials)()) == "no trials"


def test_a_list_of_studies_is_shown_in_a_few_lines_and_as_a_table(create, url):
    for name in ("a", "b", "c", "d"):
        create(SEARCH, name=name)
    finish(open_study("d", storage=url), 0.5)
    found = hpo.list_studies(storage=url)
    assert isinstance(found, list)
    assert repr(found).splitlines() == [
        "4 studies",
        "  and 1 older:",
        "  b: search of 6 trials: 6 waiting",
        "  c: search of 6 trials: 6 waiting",
        "  d: search of 6 trials: 1 complete, 5 waiting; best val_accuracy 0.5",
    ]
    assert [row[0] for row in rows_of(found._repr_html_())] == ["name", "a", "b", "c", "d"]
    assert repr(found[3]) == f"<StudySummary {found[3]}>"
    assert repr(type(found)()) == "no studies"


# ---------------------------------------------------------------------------------------------- deleting


def test_a_deleted_study_is_gone_and_its_name_is_free(create, url):
    study = create(SEARCH)
    finish(study, 0.5)
    create(COMPARISON)
    study.delete()
    assert [summary.name for summary in hpo.list_studies(storage=url)] == ["comparison"]
    with pytest.raises(StudyError, match="there is no such study"):
        open_study("search", storage=url)
    again = create(SEARCH, trials=3)
    assert again.id != study.id
    assert again.summary.counts["waiting"] == 3


USES: dict[str, Callable[[Study], object]] = {
    "plan": lambda study: study.plan(),
    "refresh": lambda study: study.refresh(),
    "summary": lambda study: study.summary,
    "trials": lambda study: study.trials(),
    "best": lambda study: study.best,
    "curves": lambda study: study.curves(0),
    "run": lambda study: study.run(workers=1),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_a_study_that_somebody_deleted_is_told_in_one_line(create, url, use):
    study = create(SEARCH)
    open_study("search", storage=url).delete()
    with pytest.raises(StudyError, match=r"^study 'search': has been deleted\.$"):
        use(study)


def test_an_older_program_s_cache_does_not_mix_up_studies(create, url):
    # What another process has read of a study that is deleted must not pass for the next study's trials.
    reader = Storage(url, create=True)
    study = create(SEARCH)
    finish(study, 0.5, 0.25)
    assert open_study("search", storage=reader).best.value == 0.5
    study.delete()
    create(SEARCH, trials=3)
    seen = open_study("search", storage=reader)
    assert [trial.state for trial in seen.all_trials] == ["waiting"] * 3
