"""Final evaluations: fresh seeds, the test set once, and what is recorded of it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.data import load_test
from hpo.errors import SpecError, StudyError
from hpo.models.file import load
from hpo.spec import FinalSpec, loads, to_toml
from hpo.studies.final import create_final, finals_of, summarise_final
from hpo.trials import MODEL_FILE
from tests.command import SEARCH, Done, Trained, quick
from tests.command import quick as command
from tests.recorded import created, record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained studies, with a final evaluation of the two best configurations of the search."""
    folder = tmp_path_factory.mktemp("final") / "copy"
    shutil.copytree(trained.folder, folder)
    asked = ("--top", "2", "--seeds", "2", "--workers", "1", "--format", "json")
    done = command("final", "search", *asked, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "final.json").write_text(done.stdout)
    return folder


def opened(name: str, folder: Path) -> hpo.Study:
    url = f"sqlite:///{folder / 'hpo.db'}"
    return hpo.open_study(name, storage=url, artifact_dir=folder / "hpo-artifacts")


@pytest.fixture
def final(folder: Path) -> hpo.Study:
    return opened("search-final", folder)


def failed(done: Done) -> str:
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_the_best_configurations_are_trained_with_seeds_that_chose_nothing(folder, final):
    best = sorted(opened("search", folder).all_trials, key=lambda trial: -(trial.value or 0))[:2]
    assert isinstance(final.spec, FinalSpec)
    assert [arm.name for arm in final.spec.arms] == [f"#{trial.number}" for trial in best]
    assert {(trial.arm, trial.seed) for trial in final.all_trials} == {
        (f"#{trial.number}", seed) for trial in best for seed in (1000, 1001)
    }
    by_arm = {trial.arm: trial.hyperparameters for trial in final.all_trials}
    assert by_arm == {f"#{trial.number}": trial.hyperparameters for trial in best}
    assert (final.spec.sources, final.spec.evaluation) == (("search",), 1)


def test_the_stored_test_metrics_are_those_of_the_stored_predictions(final):
    test = load_test("digits")
    for trial in final.all_trials:
        predicted = final.predictions(trial.number)
        assert predicted.shape == (len(test.y), test.classes)
        assert predicted.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert trial.metrics["test_accuracy"] == pytest.approx(np.mean(predicted.argmax(axis=1) == test.y))
        loss = -np.log(predicted[np.arange(len(test.y)), test.y]).mean()
        assert trial.metrics["test_loss"] == pytest.approx(loss, rel=1e-4)


def test_a_model_that_was_kept_and_one_that_is_trained_again_are_the_same_and_say_the_same(final, tmp_path):
    number = final.best.number
    kept = final.export(tmp_path / "kept.keras", trial=number)
    frozen = final.frozen_trials[number]
    model = final.storage.artifacts.path / final.storage.artifact(frozen, MODEL_FILE)
    away = model.rename(tmp_path / "away.keras")
    try:
        again = final.export(tmp_path / "again.keras", trial=number)
    finally:
        away.rename(model)
    one, other = load(kept), load(again)
    for weights, others in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    with zipfile.ZipFile(kept) as before, zipfile.ZipFile(again) as after:
        card = json.loads(after.read("hpo.json"))
        assert card == json.loads(before.read("hpo.json"))
    assert {"test_accuracy", "test_loss"} <= card["metrics"].keys()


def test_the_gap_is_validation_minus_test_over_seeds(folder, final):
    summary = json.loads((folder / "final.json").read_text())
    chosen = {f"#{trial.number}": trial for trial in opened("search", folder).all_trials}
    for arm in summary["arms"]:
        runs = [trial.metrics for trial in final.all_trials if trial.arm == arm["arm"]]
        gap = arm["gaps"]["accuracy"]
        differences = [run["val_accuracy"] - run["test_accuracy"] for run in runs]
        assert gap["gap"] == pytest.approx(np.mean(differences))
        assert gap["low"] <= gap["gap"] <= gap["high"]
        assert gap["selected"] == chosen[arm["arm"]].metrics["val_accuracy"]
        assert gap["test"] == pytest.approx(np.mean([run["test_accuracy"] for run in runs]))


def test_the_test_set_is_not_looked_at_again_unless_asked(folder, final):
    before = final.all_trials
    again = quick("final", "search", "--format", "json", folder=folder)
    assert "Another look at the test set is recorded: --again" in again.stderr
    assert json.loads(again.stdout) == json.loads((folder / "final.json").read_text())
    assert final.all_trials == before
    (first, *_) = finals_of(opened("search", folder))
    assert first.name == "search-final"


def test_another_look_is_recorded_as_such_and_takes_other_seeds(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    source = opened("search", copy)
    second = create_final([source], seeds=1, again=True)
    assert isinstance(second.spec, FinalSpec)
    assert (second.name, second.spec.evaluation) == ("search-final-2", 2)
    assert {trial.seed for trial in second.all_trials} == {2000}
    assert [final.name for final in finals_of(source)] == ["search-final", "search-final-2"]
    # Begun and not trained: it goes on, and is no third.
    assert create_final([source]).name == "search-final-2"
    assert summarise_final(second).arms[0].gaps == {}


def test_tables_of_a_final_evaluation_have_the_test_metrics_first(folder):
    compared = json.loads(quick("compare", "search-final", "--format", "json", folder=folder).stdout)
    assert compared["metrics"][:2] == ["test_accuracy", "test_loss"]
    shown = quick("final", "search", folder=folder).stdout
    assert "the gap is validation minus test" in shown
    assert "search-final: the test set, fresh seeds" in shown


def test_a_configuration_that_failed_with_some_seed_is_not_chosen(folder):
    final = create_final([opened("comparison", folder)], top=3, seeds=1)
    assert isinstance(final.spec, FinalSpec)
    assert sorted(arm.name for arm in final.spec.arms) == ["[bold] faster", "plain"]


def test_nothing_to_choose_from_is_told_in_one_line(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    assert quick("create", "search.toml", folder=tmp_path).returncode == 0
    error = failed(quick("final", "search", folder=tmp_path)).splitlines()[-1]
    assert error == "study search: has no complete trial yet. Train it first: hpo resume."


def test_data_without_a_test_set_is_told_before_anything_is_made(own_data, tmp_path):
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    spec = loads(SEARCH.replace('"digits"', json.dumps(str(own_data))))
    study = hpo.create_study(spec, storage=url)
    study.optuna.tell(study.optuna.ask(), 0.5)
    with pytest.raises(hpo.DataError, match="x_test"):
        create_final([study])
    assert [summary.name for summary in hpo.list_studies(storage=url)] == ["search"]


def test_studies_of_other_objectives_cannot_be_ranked_together(folder):
    with pytest.raises(StudyError, match="must have the objective of study 'search'"):
        create_final([opened("search", folder), opened("comparison", folder)])


def test_nobody_writes_a_final_evaluation_in_a_file(final):
    with pytest.raises(SpecError, match="kind: must be 'comparison' or 'search', but got 'final'"):
        loads(to_toml(final.spec))


# ------------------------------------------------------------------- what is asked for, and how it is named

TABLE = {"name": "s", "kind": "search", "data": {"name": "digits"}, "params": {"hidden_units": [8]}}


def finished(name: str, folder: Path, **table: Any) -> hpo.Study:
    """A study whose trials have been recorded without training."""
    study = created(hpo.StudySpec(**(TABLE | {"name": name} | table)), folder)
    record(
        study, lambda arm, seed: {"val_accuracy": 0.8 - 0.01 * seed, "val_loss": 0.5, "train_seconds": 1.0}
    )
    return study


GRID = {"sampler": {"name": "grid"}, "space": {"learning_rate": [0.01, 0.1, 0.2]}}


def test_an_evaluation_of_other_numbers_is_not_passed_off_as_the_one_asked_for(tmp_path):
    study = finished("search", tmp_path, **GRID)
    first = create_final([study], seeds=2)
    assert (len(first.spec.arms), first.spec.seeds) == (1, 2)
    assert create_final([study]).name == create_final([study], top=1, seeds=2).name == first.name
    refused = quick("final", "search", "--top", "3", "--seeds", "7", folder=tmp_path)
    assert failed(refused).splitlines() == [
        "study 'search-final': has been evaluated on the test set with --top 1, but got '--top 3'. "
        "Leave --top out, or look once more, which is recorded: --again."
    ]
    with pytest.raises(StudyError, match="with --seeds 2, but got '--seeds 7'"):
        create_final([study], seeds=7)
    assert len(finals_of(study)) == 1
    second = create_final([study], top=9, seeds=7, again=True)
    assert (len(second.spec.arms), second.spec.seeds) == (3, 7)
    # There are no more than three.
    assert create_final([study], top=9).name == second.name


def test_what_a_search_may_draw_can_win(tmp_path):
    space = {"nesterov": [True, False], "momentum": [0.0, 0.9]}
    study = finished("search", tmp_path, sampler={"name": "grid"}, space=space)
    final = create_final([study], top=4)
    # Without momentum, Nesterov's is no other configuration.
    params = [dict(arm.params) for arm in final.spec.arms]
    assert [(p["nesterov"], p["momentum"]) for p in params] == [(True, 0.0), (True, 0.9), (False, 0.9)]


def test_final_evaluations_of_long_names_are_told_apart(tmp_path):
    long = "x" * 55
    studies = [finished(f"{long}-{end}", tmp_path, **GRID) for end in ("first", "other")]
    alone = [create_final([study]) for study in studies]
    both = [create_final(studies), create_final(studies[::-1], again=True)]
    names = [final.name for final in [*alone, *both]]
    assert len(set(names)) == 4
    assert all(len(name) <= 64 and name.startswith("xxx") for name in names)
    assert [final.name for final in finals_of(studies[0])] == [names[0], *names[2:]]


def test_arms_whose_long_names_begin_alike_are_told_apart(tmp_path):
    arms = [{"name": "y" * 60 + end, "learning_rate": rate} for end, rate in (("a", 0.1), ("b", 0.2))]
    names = ["z" * 60, "w" * 60]
    made = [finished(name, tmp_path, kind="comparison", seeds=2, arms=arms) for name in names]
    final = create_final(made, top=2)
    assert [arm.name for arm in final.spec.arms] == [f"{names[0]}: {arm['name']}" for arm in arms]
