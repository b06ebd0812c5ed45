"""KerasTuner's hypermodels and plain Optuna's studies as a study's space."""

from __future__ import annotations

import inspect
from typing import Any

import optuna
import pytest

import hpo
from hpo.spec import StudySpec


class Recorded:
    """A hypermodel whose model says what it was built of."""

    def build(self, hp: Any) -> dict[str, Any]:
        layers = hp.Int("layers", 1, 3)
        found = {f"units_{index}": hp.Int(f"units_{index}", 8, 20, step=8) for index in range(layers)}
        kind = hp.Choice("optimizer", ["sgd", "adam"])
        with hp.conditional_scope("optimizer", ["sgd"]):
            found["momentum"] = hp.Float("momentum", 0.0, 0.9)
        if kind == "adam":
            found["beta"] = hp.Float("beta", 0.5, 0.99, parent_name="optimizer", parent_values=["adam"])
        with hp.name_scope("head"):
            found["rate"] = hp.Float("learning rate", 1e-4, 1e-1, sampling="log")
        return found | {"layers": layers, "fixed": hp.Fixed("width", 4), "flag": hp.Boolean("flag")}


def test_a_hypermodel_is_a_space_and_a_function_that_builds_what_it_does() -> None:
    keys, build = hpo.from_keras_tuner(Recorded())
    assert keys == {
        "params": {"width": 4},
        "space": {
            "layers": {"low": 1, "high": 3},
            "units_0": {"low": 8, "high": 16, "step": 8},
            "optimizer": ["sgd", "adam"],
            "momentum": {"low": 0.0, "high": 0.9},
            "head_learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "flag": [False, True],
            "units_1": {"low": 8, "high": 16, "step": 8},
            "units_2": {"low": 8, "high": 16, "step": 8},
            "beta": {"low": 0.5, "high": 0.99},
        },
    }
    assert inspect.signature(build).parameters.keys() == keys["space"].keys() | keys["params"].keys()
    built = build(layers=2, units_1=16, optimizer="adam", head_learning_rate=0.01, flag=True)
    assert built == {
        "units_0": 8,
        "units_1": 16,
        "momentum": None,
        "beta": 0.5,
        "rate": 0.01,
        "layers": 2,
        "fixed": 4,
        "flag": True,
    }


def test_kerastuners_own_hyperparameters_ask_for_the_same() -> None:
    tuner = pytest.importorskip("keras_tuner")
    theirs = tuner.HyperParameters()
    Recorded().build(theirs)
    keys, _ = hpo.from_keras_tuner(Recorded())
    names = {name.replace("/", "_").replace(" ", "_") for name in theirs.values}
    assert names <= keys["space"].keys() | keys["params"].keys()
    keys, _ = hpo.from_keras_tuner(lambda hp: hp.Int("units", 1, 2))
    assert keys["space"] == {"units": {"low": 1, "high": 2}}


def test_what_cannot_be_a_space_is_one_line() -> None:
    class Fits(Recorded):
        def fit(self, hp: Any, model: Any) -> None: ...

    def raises(hp: Any) -> None:
        raise ValueError("no data")

    for hypermodel, line in {
        Fits(): "must leave fit to hpo",
        raises: "ValueError: no data",
        Recorded: "must be a HyperModel or a function of hp",
    }.items():
        with pytest.raises(hpo.SpecError, match=line):
            hpo.from_keras_tuner(hypermodel)
    with pytest.raises(hpo.SpecError, match="must have a trial"):
        hpo.from_optuna(optuna.create_study())


def test_an_optuna_study_is_the_space_of_its_trials() -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("optimizer", ["sgd", "adam"])
        trial.suggest_int("batch_size", 16, 64, step=16)
        if trial.number:
            trial.suggest_int("early_stopping_patience", 2, 5)
        return rate

    study = optuna.create_study()
    study.optimize(objective, n_trials=2)
    keys = hpo.from_optuna(study)
    assert keys["space"] == {
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer": ["sgd", "adam"],
        "batch_size": {"low": 16, "high": 64, "step": 16},
        "early_stopping_patience": {"low": 2, "high": 5},
    }
    assert "early_stopping_patience" not in hpo.from_optuna(study.trials[0])["space"]
    spec = StudySpec(**keys, name="s", kind="search", data={"name": "digits"}, trials=3)
    assert spec.content()["space"].keys() == keys["space"].keys()
