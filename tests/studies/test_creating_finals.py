"""Final evaluations of recorded studies: which arms, which names, which numbers; nothing is trained."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import hpo
from hpo.errors import SpecError, StudyError
from hpo.search import hyperparameters_of
from hpo.search.strategies import configurations_of
from hpo.spec import FinalSpec, MlpHyperparameters, SearchSpec, StudySpec, from_json, to_json
from hpo.storage import Storage
from hpo.studies.final import create_final, finals_of, summarise_final
from hpo.studies.names import final_names
from hpo.trials import CHECKPOINT_SECONDS
from hpo.workers.worker import Worker
from tests.command import quick
from tests.recorded import comparison, created, record

PARAMS = {"hidden_units": [8, 4], "epochs": 2}


def outcome(_: str | None, seed: int) -> dict[str, float]:
    return {"val_accuracy": 0.9 - 0.001 * seed, "val_loss": 0.5, "train_seconds": 1.0}


def search(space: dict[str, Any], *, name: str = "search", **keys: Any) -> StudySpec:
    basic = {"name": name, "kind": "search", "data": {"name": "digits"}, "sampler": {"name": "grid"}}
    return StudySpec(**{**basic, "params": PARAMS, "space": space, **keys})


def spec_of(final: hpo.Study) -> FinalSpec:
    assert isinstance(final.spec, FinalSpec)
    return final.spec


# ------------------------------------------------------------------------- what a search may draw is an arm

SPACES: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"momentum": [0.0, 0.9]}, {"nesterov": True}, 2),
    ({"momentum": [0.0, 0.9], "nesterov": [True, False]}, {}, 3),
    ({"dropout": [0.2, [0.2, 0.2], [0.1, 0.2]]}, {}, 2),
    ({"batch_norm": [False, True, "after"]}, {}, 3),
    ({"early_stopping_patience": [1, 2]}, {"restore_best": False, "early_stopping_min_delta": 0.1}, 2),
    ({"schedule": ["constant", "cosine", "exponential"], "batch_size": ["full"]}, {}, 3),
]


@pytest.mark.parametrize(("space", "params", "distinct"), SPACES)
def test_every_configuration_of_a_search_can_be_an_arm_once(space, params, distinct, tmp_path):
    study = created(search(space, params=PARAMS | params), tmp_path)
    record(study, outcome)
    spec = spec_of(create_final([study], top=99, seeds=1))
    assert len(spec.arms) == distinct
    trained = {f"#{trial.number}": trial.hyperparameters for trial in study.all_trials}
    for arm in spec.arms:
        assert spec.hyperparameters_for(arm.params).model_dump(mode="json") == trained[arm.name]
    assert from_json(to_json(spec)) == spec


values = {
    "momentum": st.sampled_from([{"low": 0.0, "high": 0.9}, [0, 0.5]]),
    "nesterov": st.just([True, False]),
    "dropout": st.sampled_from([[0.2, [0.1, 0.2]], {"low": 0.0, "high": 0.9}]),
    "batch_norm": st.just([True, "after", False]),
    "learning_rate": st.just({"low": 1e-6, "high": 10.0, "log": True}),
    "batch_size": st.sampled_from([["full", 1], {"low": 1, "high": 512, "log": True}]),
    "early_stopping_patience": st.just({"low": 1, "high": 9}),
}


@settings(deadline=None, max_examples=40)
@given(st.fixed_dictionaries({}, optional=values).filter(bool), st.integers(0, 99))
def test_any_draw_of_a_search_is_a_legal_arm_of_a_final(space: dict[str, Any], seed: int) -> None:
    if "nesterov" in space and "momentum" not in space:
        space["momentum"] = [0, 0.5]
    drawn = search(space, sampler={"name": "random", "seed": seed}, trials=1)
    assert isinstance(drawn, SearchSpec)
    configuration = next(configurations_of(drawn))
    final = StudySpec(
        name="f", kind="final", data={"name": "digits"}, sources=["s"], first_seed=1000, evaluation=1,
        arms=[{"name": "#0", **drawn.params, **configuration}],
    )  # fmt: skip
    assert isinstance(final, FinalSpec)
    assert final.hyperparameters_for(final.arms[0].params) == drawn.hyperparameters_for(configuration)


def store(study: hpo.Study, number: int, hyperparameters: dict[str, Any]) -> None:
    """Edit what the worker stored of a finished trial, as if defaults had been others then."""
    trial_id, text = study.frozen_trials[number]._trial_id, json.dumps(hyperparameters)
    with study.storage.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:id, :key, :text)"
            ),
            {"id": trial_id, "key": "hyperparameters", "text": text},
        )


def reopened(study: hpo.Study) -> hpo.Study:
    return hpo.open_study(study.name, storage=Storage(study.storage.url))


def test_a_final_trains_what_was_trained_whatever_the_defaults_are_today(tmp_path):
    study = created(search({"dropout": [0.1, 0.2]}), tmp_path)
    record(study, outcome)
    store(study, 0, study.all_trials[0].hyperparameters | {"learning_rate": 0.02})
    spec = spec_of(create_final([reopened(study)], top=2))
    assert [spec.hyperparameters_for(arm.params).learning_rate for arm in spec.arms] == [0.02, 0.01]
    assert dict(spec.arms[1].params) == {"hidden_units": (8, 4), "epochs": 2, "dropout": 0.2}


def test_a_winner_that_this_version_cannot_train_is_told_in_one_line(tmp_path):
    study = created(search({"dropout": [0.1, 0.2]}), tmp_path)
    record(study, outcome)
    store(study, 0, study.all_trials[0].hyperparameters | {"width": 3})
    with pytest.raises(SpecError, match=r"^#0: hyperparameters: unknown key 'width'[^\n]*$"):
        create_final([reopened(study)])
    assert [summary.name for summary in hpo.list_studies(storage=study.storage)] == ["search"]


# -------------------------------------------------------------------------------- effective hyperparameters


def test_what_a_worker_stored_is_what_every_command_shows(tmp_path):
    study = created(search({"dropout": [0.1, 0.2, 0.3]}), tmp_path)
    record(study, outcome)
    trained = study.all_trials[0].hyperparameters
    store(study, 0, trained | {"learning_rate": 0.02})
    store(study, 1, trained | {"dropout": 0.2, "width": 3})
    found = json.loads(quick("trials", "search", "--format", "json", folder=tmp_path).stdout)
    assert [trial["hyperparameters"]["learning_rate"] for trial in found] == [0.02, 0.01, 0.01]
    assert found[1]["hyperparameters"] == trained | {"dropout": 0.2, "width": 3}
    arms = json.loads(quick("compare", "search", "--format", "json", folder=tmp_path).stdout)["arms"]
    assert [arm["differs"] for arm in arms] == [
        {"dropout": 0.1, "learning_rate": 0.02, "width": None},
        {"dropout": 0.2, "learning_rate": 0.01, "width": 3},
        {"dropout": 0.3, "learning_rate": 0.01, "width": None},
    ]
    best = json.loads(quick("best", "search", "--format", "json", folder=tmp_path).stdout)
    assert best["hyperparameters"]["learning_rate"] == 0.02


def test_a_trial_that_was_begun_goes_on_with_what_it_began_with(tmp_path):
    study = created(search({"dropout": [0.1, 0.2]}), tmp_path)
    planned = hyperparameters_of(study.spec, study.frozen_trials[0])
    begun = planned.model_dump(mode="json") | {"learning_rate": 0.02}
    store(study, 0, begun)
    again = reopened(study)
    assert hyperparameters_of(again.spec, again.frozen_trials[0]) == MlpHyperparameters(**begun)
    store(study, 1, {"width": 3})
    assert hyperparameters_of(again.spec, reopened(study).frozen_trials[1]).dropout == 0.2


# ---------------------------------------------------------------------------------------------------- names

LONG = "n" * 40


def two_of(name: str, folder: Path) -> hpo.Study:
    study = created(comparison(["a", "b"], seeds=2, name=name), folder)
    record(study, outcome)
    return study


@pytest.mark.parametrize("length", [1, 40, 57, 58, 59, 64])
def test_names_of_finals_fit_whatever_the_studies_are_called(length):
    for studies in (["n" * length], ["n" * length, "m" * 64, "o"]):
        for evaluation in (1, 2, 999):
            names = final_names(studies, evaluation=evaluation)
            assert all(len(name) <= 64 for name in names)
            plain = ("n" * length) + ("-and-2-more" if len(studies) > 1 else "") + "-final"
            plain += f"-{evaluation}" if evaluation > 1 else ""
            assert (names[0] == plain) == (len(plain) <= 64)


def test_studies_whose_long_names_begin_alike_have_finals_of_their_own(tmp_path):
    names = [f"{LONG}-{kind}-of-experiments" for kind in ("one", "two")]
    finals = [create_final([two_of(name, tmp_path)], seeds=1) for name in names]
    again = [create_final([two_of(name, tmp_path)], seeds=1, again=True) for name in names]
    assert len({final.name for final in [*finals, *again]}) == 4
    assert [spec_of(final).evaluation for final in [*finals, *again]] == [1, 1, 2, 2]
    for name, first, second in zip(names, finals, again, strict=True):
        source = hpo.open_study(name, storage=first.storage)
        assert [final.name for final in finals_of(source)] == [first.name, second.name]
        assert first.name.startswith(LONG)


def test_finals_of_other_sets_of_studies_do_not_take_each_other_s_names(tmp_path):
    a, b, c = (two_of(name, tmp_path) for name in ("a", "b", "c"))
    first, second = create_final([a, b], seeds=1), create_final([a, c], seeds=1)
    assert first.name == "a-and-1-more-final"
    assert second.name.startswith("a-and-1-more-")
    assert create_final([a, b]).id == create_final([b, a]).id == first.id
    assert create_final([a, c]).id == second.id


def test_a_study_that_has_the_plain_name_keeps_it(tmp_path):
    study, taken = two_of("a", tmp_path), two_of("a-final", tmp_path)
    final = create_final([study], seeds=1)
    assert final.name not in ("a", "a-final")
    assert spec_of(final).sources == ("a",)
    assert create_final([taken], seeds=1).name == "a-final-final"


def test_long_names_of_arms_stay_whole_and_apart(tmp_path):
    arms = [f"{'x' * 62} {end}" for end in "ab"]
    studies = []
    for name in ("first", "second"):
        studies.append(created(comparison(arms, seeds=2, name=name), tmp_path))
        record(studies[-1], outcome)
    final = create_final(studies[:1], top=2, seeds=1)
    assert [arm.name for arm in spec_of(final).arms] == arms
    both = create_final(studies, top=2, seeds=1)
    assert [arm.name for arm in spec_of(both).arms] == [f"first: {arm}" for arm in arms]
    record(both, lambda arm, seed: outcome(arm, seed) | {"test_accuracy": 0.8, "test_loss": 0.6})
    for arm in summarise_final(both).arms:
        assert arm.gaps["accuracy"].selected == pytest.approx(0.8995)


def test_a_final_of_version_0_1_is_found_and_its_cut_names_are_understood(tmp_path):
    study = created(comparison(["x" * 60 + "-old", "b"], seeds=2, name=LONG), tmp_path)
    record(study, outcome)
    other = two_of("other", tmp_path)
    final = create_final([study, other], seeds=1)
    # As it was stored: without a format, of a cut name.
    stored = {key: value for key, value in to_json(final.spec).items() if key != "format"}
    cut = f"{LONG}: {'x' * 60}"[:64]
    stored["arms"][0]["name"] = stored["baseline"] = cut
    old = final.optuna
    for trial in final.frozen_trials:
        study.storage.optuna.set_trial_user_attr(trial._trial_id, "arm", cut)
    old.set_user_attr("spec", stored)
    found = create_final([study, other])
    assert found.id == final.id
    record(found, lambda arm, seed: outcome(arm, seed) | {"test_accuracy": 0.8, "test_loss": 0.6})
    (arm,) = summarise_final(found).arms
    assert (arm.arm, arm.gaps["accuracy"].selected) == (cut, pytest.approx(0.8995))


# -------------------------------------------------------------------------------------------------- numbers


def refused(*arguments: str, folder: Path) -> str:
    done = quick("final", "comparison", *arguments, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_other_numbers_than_those_of_the_final_that_there_is_are_refused(tmp_path):
    study = two_of("comparison", tmp_path)
    final = create_final([study], seeds=2)
    assert refused("--top", "2", folder=tmp_path) == (
        "study 'comparison-final': has been evaluated on the test set with --top 1, but got '--top 2'."
        " Leave --top out, or look once more, which is recorded: --again."
    )
    for top, seeds in ((2, None), (None, 1), (1, 5)):
        with pytest.raises(StudyError, match="has been evaluated on the test set with --"):
            create_final([study], top=top, seeds=seeds)
    for top, seeds in ((None, None), (1, None), (None, 2), (1, 2)):
        assert create_final([study], top=top, seeds=seeds).id == final.id
    again = create_final([study], top=2, seeds=3, again=True)
    assert (len(spec_of(again).arms), again.spec.seeds) == (2, 3)
    # More were asked for than there are: to ask for the same again is to go on.
    more = create_final([study], top=9, seeds=3, again=True)
    assert create_final([study], top=9, seeds=3).id == more.id


def test_the_defaults_are_those_of_the_library(tmp_path):
    spec = spec_of(create_final([two_of("a", tmp_path)]))
    assert (len(spec.arms), spec.seeds) == (1, 5)
    final, worker = (
        " ".join(quick(command, "--help", folder=tmp_path, COLUMNS="200").stdout.split())
        for command in ("final", "worker")
    )
    assert "How many configurations; by default 1." in final
    assert "Fresh seeds for each; by default 5." in final
    for shown in (final, worker):
        assert f"if its worker dies; by default {CHECKPOINT_SECONDS:g}." in shown
    threads = inspect.signature(Worker).parameters["threads"].default
    assert f"TensorFlow's threads. [default: {threads}]" in worker


# ----------------------------------------------------------------------------------------------- unreadable


def test_a_final_that_this_version_cannot_read_harms_no_report_and_is_not_looked_past(tmp_path):
    study = two_of("comparison", tmp_path)
    first, second = create_final([study], seeds=1), create_final([study], seeds=1, again=True)
    first.optuna.set_user_attr("spec", to_json(first.spec) | {"format": 4})
    assert [final.name for final in finals_of(study)] == [second.name]
    with pytest.raises(SpecError, match="study 'comparison-final': its specification is of format 4"):
        create_final([study], seeds=1, again=True)
    study.optuna.set_user_attr("spec", to_json(study.spec) | {"format": 4})
    assert summarise_final(second).study == second.name
