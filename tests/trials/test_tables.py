"""Trials on tables: every task, folds with statistics of their own, weights, columns of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error

from hpo.data import load_train
from hpo.spec import MlpHyperparameters, StudySpec
from hpo.trials import VALIDATION_FILE, read_validation
from hpo.trials.outcome import Outcome
from hpo.trials.runner import TrialRunner
from tests.marks import often

ROWS = 160
TARGETS = {
    "binary": ["ill"],
    "multi-class": ["kind"],
    "multi-label": ["tall", "old"],
    "regression": ["price", "size"],
}
SMALL: dict[str, Any] = {"hidden_units": [8], "epochs": 6, "optimizer": "adam", "learning_rate": 0.02}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, ROWS))
    town = random.choice([f"town {number}" for number in range(14)], ROWS)
    frame = pd.DataFrame(
        {
            "a": np.where(random.random(ROWS) < 0.2, np.nan, a * 1000),
            "b": b,
            "town": town,
            "colour": random.choice(["red", "green", None], ROWS),
            "seen": pd.Timestamp("2025-03-01") + pd.to_timedelta(random.integers(0, 900, ROWS), unit="h"),
            "count": random.integers(1, 4, ROWS),
            "ill": np.where(b > 0, "yes", "no"),
            "kind": np.array(["low", "middle", "top"])[np.digitize(b, [-0.5, 0.5])],
            "tall": (a > 0).astype(int),
            "old": (b > 0).astype(int),
            "price": 178_000 + 20_000 * b,
            "size": 3 + 0.1 * a,
        }
    )
    file = tmp_path_factory.mktemp("data") / "table.csv"
    frame.to_csv(file, index=False)
    return str(file)


def runner_of(path: str, task: str, **data: Any) -> TrialRunner:
    others = [name for names in TARGETS.values() for name in names if name not in TARGETS[task]]
    table = {
        "name": path,
        "target": TARGETS[task],
        "drop": [*others, *({"count"} - {data.get("weight")})],
        **data,
    }
    spec = StudySpec(
        name="t",
        kind="search",
        data=table,
        task=task,
        trials=1,
        loop="graph",
        space={"learning_rate": [0.02]},
    )
    return TrialRunner(spec, load_train(spec.data, task=task))


def run(runner: TrialRunner, **h: Any) -> Outcome:
    trial = optuna.create_study(direction=runner.spec.objective.direction).ask()
    return runner(trial, MlpHyperparameters(**{**SMALL, **h}))


@pytest.mark.parametrize("task", often({"multi-class", "regression"}, TARGETS))
def test_every_task_is_learned_measured_and_repeated_bit_for_bit(path: str, task: str) -> None:
    runner = runner_of(path, task)
    outcome = run(runner)
    assert outcome.state == TrialState.COMPLETE
    assert outcome.value == outcome.metrics[runner.spec.objective.metric]
    assert set(runner.spec.learned.metrics) <= set(outcome.metrics)
    losses = [epoch["val_loss"] for epoch in outcome.replicates[0].curve]
    assert losses[-1] < losses[0]
    (replicate,) = outcome.replicates
    again = run(runner)
    assert again.value == outcome.value
    assert again.replicates[0].curve == replicate.curve


@pytest.mark.slow
def test_a_quantity_is_measured_in_its_own_units(path: str) -> None:
    runner = runner_of(path, "regression")
    outcome = run(runner, epochs=40)
    (replicate,) = outcome.replicates
    validation = runner.data.splits[0][1]
    y = runner.dataset.y[validation]
    predicted = replicate.run.predict(replicate.run.validation)
    assert outcome.metrics["val_rmse"] == pytest.approx(
        np.sqrt(np.mean(np.square(y.astype(float) - predicted))), rel=1e-4
    )
    assert outcome.metrics["r2"] == pytest.approx(r2_score(y, predicted), abs=1e-4)
    assert abs(predicted[:, 0] - 178_000).max() < 100_000
    # The loss is of targets with a standard deviation of 1.
    assert 0 < outcome.metrics["val_loss"] < 2
    assert root_mean_squared_error(y[:, 0], predicted[:, 0]) < y[:, 0].std()


@pytest.mark.long
def test_another_fold_has_its_own_statistics_and_compiles_nothing_new(path: str) -> None:
    one, three = runner_of(path, "binary"), runner_of(path, "binary", folds=3)
    run(one)
    outcome = run(three)
    assert [replicate.fold for replicate in outcome.replicates] == [0, 1, 2]
    trainers = {id(replicate.run.trainer): replicate.run.trainer for replicate in outcome.replicates}
    (network,) = one._networks.values()
    (trainer,) = trainers.values()
    assert trainer.loop.compilations == network.trainer.loop.compilations
    for replicate, (train, _) in zip(outcome.replicates, three.data.splits, strict=True):
        fitted = replicate.run.model.get_layer("preparation").fitted
        known = three.dataset.x[train][:, 0]
        assert fitted.centre[0] == pytest.approx(np.nanmean(known.astype(float)), rel=1e-5)
        assert 1 / fitted.scale[0] == pytest.approx(np.nanstd(known.astype(float)), rel=1e-5)


@pytest.mark.parametrize(
    "scaling",
    ["standard", *(pytest.param(name, marks=pytest.mark.long) for name in ("quantile", "robust", "none"))],
)
@pytest.mark.parametrize(
    "loop",
    ["graph", pytest.param("fit", marks=pytest.mark.slow), pytest.param("xla", marks=pytest.mark.long)],
)
def test_every_loop_prepares_alike(path: str, scaling: str, loop: str) -> None:
    runner = runner_of(path, "binary")
    expected = run(runner, scaling=scaling, epochs=2, learning_rate=1e-4).replicates[0].curve
    runner.spec = runner.spec.model_copy(update={"loop": loop})
    curve = run(runner, scaling=scaling, epochs=2, learning_rate=1e-4).replicates[0].curve
    for ours, others in zip(curve, expected, strict=True):
        assert ours == pytest.approx(others, rel=1e-3, abs=1e-4)


@pytest.mark.long
def test_rows_that_count_more_count_more_everywhere(path: str) -> None:
    runner = runner_of(path, "binary", weight="count")
    outcome = run(runner)
    (replicate,) = outcome.replicates
    validation = runner.data.splits[0][1]
    y, weight = runner.dataset.y[validation], runner.dataset.weight[validation]
    predicted = replicate.run.predict(replicate.run.validation)[:, 0] > 0.5
    expected = accuracy_score(y, predicted, sample_weight=weight)
    assert outcome.metrics["val_accuracy"] == pytest.approx(expected, abs=1e-6)
    assert expected != pytest.approx(accuracy_score(y, predicted), abs=1e-6)
    assert outcome.value != run(runner_of(path, "binary")).value
    assert outcome.keepsakes is not None
    kept = read_validation(outcome.keepsakes()[VALIDATION_FILE])
    assert kept.weight is not None
    assert kept.weight.tolist() == weight.tolist()


@pytest.mark.long
def test_embeddings_and_one_hot_columns_are_hyperparameters(path: str) -> None:
    runner = runner_of(path, "binary")
    for h in (
        {"one_hot_levels": 100},
        {"one_hot_levels": 0},
        {"embedding_width": 2},
        {"min_level_count": 100},
    ):
        assert run(runner, **h).state == TrialState.COMPLETE
    # Each draws embeddings of its own by its seed.
    first, second = (run(runner_of(path, "binary"), epochs=1) for _ in range(2))
    assert first.value == second.value


@pytest.mark.long
def test_rows_of_numbers_are_scaled_where_that_is_asked_for(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3)).astype(np.float32) * [1, 1000, 1] + [0, 0, 500]
    np.savez(tmp_path / "own.npz", x_train=x.astype(np.float32), y_train=(x[:, 0] > 0).astype(int))
    keys = {"name": "t", "kind": "search", "data": {"name": str(tmp_path / "own.npz")}, "trials": 1}
    found = {}
    for scaling in ("standard", "none"):
        spec = StudySpec(**keys, params={"scaling": scaling}, space={"learning_rate": [0.02]})
        found[scaling] = run(TrialRunner(spec, load_train(spec.data)), scaling=scaling).value
    assert found["standard"] > found["none"]


def test_a_metric_that_a_fold_does_not_define_fails_in_words(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(60.0), "day": np.arange(60), "ill": ["a", "b"] * 20 + ["a"] * 20})
    frame.to_csv(tmp_path / "table.csv", index=False)
    spec = StudySpec(
        name="t",
        kind="search",
        task="binary",
        data={"name": str(tmp_path / "table.csv"), "target": "ill", "time": "day", "validation": 0.25},
        objective={"metric": "roc_auc"},
        trials=1,
        space={"learning_rate": [0.02]},
    )
    outcome = run(TrialRunner(spec, load_train(spec.data)))
    assert outcome.state == TrialState.FAIL
    assert outcome.reason is not None
    assert outcome.reason.startswith("roc_auc is not defined for the validation samples of every fold")


@pytest.mark.long
def test_a_run_of_quantities_is_ranked_by_what_no_epoch_reports(tmp_path: Path) -> None:
    """What stands for the loss of the training rows, or for seconds, is a metric of the task."""
    frame = pd.DataFrame({"x": np.arange(30.0), "y": np.arange(30.0) * 2})
    frame.to_csv(tmp_path / "table.csv", index=False)
    for metric in ("train_loss", "train_seconds"):
        spec = StudySpec(
            name="t",
            kind="search",
            task="regression",
            data={"name": str(tmp_path / "table.csv"), "target": "y"},
            objective={"metric": metric},
            trials=1,
            params={"hidden_units": []},
            space={"learning_rate": [0.02]},
        )
        assert spec.reported == "val_loss"
        assert run(TrialRunner(spec, load_train(spec.data))).state == TrialState.COMPLETE
