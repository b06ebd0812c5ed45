"""One trial on real digits: replicates in lockstep, reports, pruning, divergence, final metrics."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score
from sklearn.model_selection import train_test_split

from hpo.data import Dataset, load_test, load_train
from hpo.data.dataset import make_dataset
from hpo.errors import DataError
from hpo.models.families import Signature
from hpo.models.mlp import build
from hpo.spec import METRICS, ComparisonSpec, MlpHyperparameters, SearchSpec
from hpo.tasks import TASKS
from hpo.trials import runner as runners
from hpo.trials.outcome import Outcome, StoppedError
from hpo.trials.runner import TrialRunner

FINAL_METRICS = {
    *TASKS["multi-class"].metrics,
    # The number of weights is told of studies alone that ask for it.
    *(
        name
        for name, metric in METRICS.items()
        if metric.is_of_run and "best_val" not in name and name != "parameters"
    ),
}

EPOCHS = 4


def spec_of(**values: Any) -> SearchSpec:
    base = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 1,
        "space": {"learning_rate": [0.1, 0.2]},
    }
    return SearchSpec(**(base | values))


def hyperparameters(**values: Any) -> MlpHyperparameters:
    base = {"hidden_units": [12], "learning_rate": 0.3, "batch_size": 100, "epochs": EPOCHS}
    return MlpHyperparameters(**(base | values))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The first 250 of the training digits: 200 train, 50 validate."""
    whole = load_train("digits")
    return make_dataset("digits", whole.x[:250], whole.y[:250], classes=10, scale=whole.scale)


@pytest.fixture(scope="module")
def shared(digits: Dataset) -> TrialRunner:
    return TrialRunner(spec_of(), digits)


@pytest.fixture(scope="module")
def runner_of(shared: TrialRunner) -> Callable[..., TrialRunner]:
    """Objectives on one split of the same data, which share what has been compiled."""

    def make(**values: Any) -> TrialRunner:
        other = copy.copy(shared)
        other.spec = spec_of(**values)
        return other

    return make


def run(
    objective: TrialRunner, h: MlpHyperparameters, *, pruner: optuna.pruners.BasePruner | None = None,
    seed: int | None = None, **options: Any,
) -> tuple[Outcome, optuna.trial.FrozenTrial]:  # fmt: skip
    """One trial of a new study in memory, and how it ended."""
    study = optuna.create_study(
        direction=objective.spec.objective.direction, pruner=pruner or optuna.pruners.NopPruner()
    )
    trial = study.ask()
    if seed is not None:
        trial.set_user_attr("seed", seed)
    outcome = objective(trial, h, **options)
    study.tell(trial, outcome.value, state=outcome.state)
    return outcome, study.trials[0]


def column(outcome: Outcome, replicate: int, name: str) -> list[float]:
    return [row[name] for row in outcome.replicates[replicate].curve]


# Loops


@pytest.mark.long
@pytest.mark.parametrize("loop", ["xla", "graph", "fit"])
def test_the_loop_that_a_study_asks_for_trains_and_is_told(digits: Dataset, loop: str) -> None:
    outcome, _ = run(TrialRunner(spec_of(loop=loop), digits), hyperparameters())
    assert outcome.loop == loop
    # The same to rounding, whichever it is.
    expected, _ = run(TrialRunner(spec_of(), digits), hyperparameters())
    assert column(outcome, 0, "loss") == pytest.approx(column(expected, 0, "loss"), abs=1e-5)
    assert outcome.metrics["val_loss"] == pytest.approx(expected.metrics["val_loss"], abs=1e-5)


@pytest.mark.slow
def test_much_planned_work_is_compiled_and_little_is_not(digits: Dataset) -> None:
    few, _ = run(TrialRunner(spec_of(), digits), hyperparameters())
    many = spec_of(trials=10_000, space={"learning_rate": {"low": 0.1, "high": 0.2}})
    compiled, _ = run(TrialRunner(many, digits), hyperparameters())
    assert (few.loop, compiled.loop) == ("graph", "xla")


@pytest.mark.slow
def test_a_trial_goes_on_by_the_loop_that_it_was_begun_with_whatever_is_planned_by_now(
    digits: Dataset,
) -> None:
    class Kept:
        due, tree = True, None

        def load(self) -> dict[str, Any] | None:
            return self.tree

        def save(self, tree: dict[str, Any]) -> None:
            self.tree = tree

    kept, epochs, noisy = Kept(), iter(range(2)), hyperparameters(dropout=0.2)
    space = {"learning_rate": {"low": 0.1, "high": 0.2}}
    few, many = (TrialRunner(spec_of(trials=trials, space=space), digits) for trials in (1, 10_000))
    whole, _ = run(few, noisy)
    with pytest.raises(StoppedError):
        run(few, noisy, checkpoints=kept, should_stop=lambda: next(epochs, None) is None)
    resumed, _ = run(many, noisy, checkpoints=kept)
    assert resumed.loop == "graph"
    assert resumed.curves == whole.curves
    assert run(many, noisy)[0].loop == "xla"


# Reports and curves


def test_every_epoch_reports_the_mean_over_the_replicates_from_step_1(
    runner_of: Callable[..., TrialRunner],
) -> None:
    outcome, trial = run(runner_of(seeds=3), hyperparameters())
    curves = np.array([column(outcome, replicate, "val_accuracy") for replicate in range(3)])
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert list(trial.intermediate_values.values()) == pytest.approx(curves.mean(axis=0))
    assert np.ptp(curves, axis=0).any()  # the seeds differ


def test_curves_have_a_row_for_each_epoch_of_each_replicate(runner_of: Callable[..., TrialRunner]) -> None:
    outcome, _ = run(runner_of(seeds=2), hyperparameters())
    assert [(row["seed"], row["fold"], row["epoch"]) for row in outcome.curves] == [
        (seed, None, epoch) for seed in (0, 1) for epoch in (1, 2, 3, 4)
    ]
    columns = {"seed", "fold", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(set(row) == columns for row in outcome.curves)


@pytest.mark.parametrize(
    ("metric", "best"), [("val_accuracy", max), ("val_loss", min)], ids=["val_accuracy", "val_loss"]
)
def test_the_value_is_the_last_epochs_or_the_best_ones(
    metric: str, best: Callable[..., float], runner_of: Callable[..., TrialRunner]
) -> None:
    bumpy = hyperparameters(learning_rate=3.0, epochs=8)  # gets worse again
    last, _ = run(runner_of(seeds=2, objective={"metric": metric, "at": "last"}), bumpy)
    at_best, trial = run(runner_of(seeds=2, objective={"metric": metric, "at": "best"}), bumpy)
    reported = list(trial.intermediate_values.values())
    assert last.value == pytest.approx(reported[-1], abs=1e-6)
    assert last.value == last.metrics[metric]
    assert at_best.value == best(reported) != reported[-1]
    assert last.state == at_best.state == TrialState.COMPLETE
    # All that is measured, and the model, are of that epoch's weights.
    assert at_best.value == pytest.approx(at_best.metrics[metric], abs=1e-12)
    assert at_best.metrics["best_epoch"] == reported.index(at_best.value) + 1 < at_best.metrics["epochs_run"]
    assert last.metrics["best_epoch"] == at_best.metrics["best_epoch"]
    for index, replicate in enumerate(at_best.replicates):
        at = int(replicate.metrics["best_epoch"]) - 1
        assert replicate.metrics["val_loss"] == pytest.approx(
            column(at_best, index, "val_loss")[at], abs=1e-6
        )
        assert replicate.metrics["val_accuracy"] == pytest.approx(
            column(at_best, index, "val_accuracy")[at], abs=1e-6
        )
        assert replicate.confusion is not None
        assert np.trace(replicate.confusion) / replicate.confusion.sum() == pytest.approx(
            replicate.metrics["val_accuracy"], abs=1e-6
        )
        assert replicate.metrics["best_val_loss"] == min(column(at_best, index, "val_loss"))


@pytest.mark.parametrize("at", ["last", "best"])
def test_with_early_stopping_the_last_is_what_is_gone_back_to_and_the_best_goes_before(
    at: str, runner_of: Callable[..., TrialRunner]
) -> None:
    h = hyperparameters(learning_rate=3.0, epochs=15, early_stopping_patience=2)
    outcome, trial = run(runner_of(seeds=3, objective={"metric": "val_accuracy", "at": at}), h)
    assert outcome.value == outcome.metrics["val_accuracy"]
    if at == "best":
        assert outcome.value == pytest.approx(max(trial.intermediate_values.values()), abs=1e-12)
    else:
        for index, replicate in enumerate(outcome.replicates):
            restored = min(column(outcome, index, "val_loss"))
            assert replicate.metrics["val_loss"] == pytest.approx(restored, abs=1e-6)


# Final metrics


def independent_split(digits: Dataset) -> tuple[np.ndarray, np.ndarray]:
    train, validation = train_test_split(
        np.arange(len(digits.y)), test_size=0.2, stratify=digits.y, random_state=0
    )
    return np.sort(train), np.sort(validation)


@pytest.mark.long
def test_the_final_metrics_agree_with_keras_and_scikit_learn(
    runner_of: Callable[..., TrialRunner], digits: Dataset
) -> None:
    outcome, _ = run(runner_of(seeds=2), hyperparameters(l2=0.01))
    assert set(outcome.metrics) == FINAL_METRICS
    train, validation = independent_split(digits)
    for replicate in outcome.replicates:
        replicate.run.evaluate(replicate.run.validation)  # its weights are the model's now
        model = replicate.run.trainer.model
        loss, _ = model.evaluate(digits.x[train], digits.y[train], verbose=0)
        targets = digits.y[validation]
        probabilities = model.predict(digits.x[validation], verbose=0).astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        predicted = probabilities.argmax(axis=1)
        kernel = model.layers[2].kernel.numpy()
        averaged = {"average": "macro", "zero_division": 0}
        expected = {
            "val_loss": log_loss(targets, probabilities) + 0.01 * (kernel**2).sum(),
            "val_accuracy": accuracy_score(targets, predicted),
            "precision": precision_score(targets, predicted, **averaged),
            "recall": recall_score(targets, predicted, **averaged),
            "f1": f1_score(targets, predicted, **averaged),
            "train_loss": loss,
        }
        assert {name: replicate.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    for name in FINAL_METRICS - {"compile_seconds"}:
        values = [replicate.metrics[name] for replicate in outcome.replicates]
        assert outcome.metrics[name] == pytest.approx(np.mean(values))
    assert outcome.metrics["epochs_run"] == EPOCHS
    assert outcome.metrics["train_seconds"] > 0
    assert outcome.metrics["compile_seconds"] > 0


def test_a_trial_equals_the_same_training_by_plain_keras(
    runner_of: Callable[..., TrialRunner], digits: Dataset
) -> None:
    h = hyperparameters()
    seed = 3
    outcome, _ = run(runner_of(), h, seed=seed)
    network = build(h, Signature((8, 8), 10, 1 / 16))
    network.trainer.state = network.initial_state(h, seed=seed, steps=1)
    layers = [
        keras.layers.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(12, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]  # fmt: skip
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.set_weights([variable.numpy() for variable in network.trainer.model.trainable_variables])
    train, validation = independent_split(digits)
    x = digits.x / 16
    for epoch in range(EPOCHS):
        order = np.random.default_rng([seed, epoch]).permutation(train.astype(np.int32))
        history = model.fit(
            x[order], digits.y[order], batch_size=100, shuffle=False, verbose=0,
            validation_data=(x[validation], digits.y[validation]),
        ).history  # fmt: skip
        row = outcome.replicates[0].curve[epoch]
        assert row == pytest.approx({name: values[0] for name, values in history.items()}, abs=1e-4)
    assert outcome.metrics["val_loss"] == pytest.approx(history["val_loss"][0], abs=1e-4)


def test_folds_are_replicates_that_validate_every_sample_once(digits: Dataset) -> None:
    objective = TrialRunner(spec_of(data={"name": "digits", "folds": 2}), digits)
    outcome, trial = run(objective, hyperparameters(epochs=2, batch_size="full"))
    assert [(replicate.seed, replicate.fold) for replicate in outcome.replicates] == [(0, 0), (0, 1)]
    rows = [replicate.run.validation.rows for replicate in outcome.replicates]
    assert sorted(np.concatenate(rows)) == list(range(len(digits.y)))
    for replicate in outcome.replicates:
        own = replicate.run.validation.rows
        assert not set(replicate.run.samples.rows) & set(own)
        predicted = replicate.run.predict(replicate.run.validation).argmax(axis=1)
        assert replicate.metrics["val_accuracy"] == pytest.approx(accuracy_score(digits.y[own], predicted))
    values = [replicate.curve[-1]["val_accuracy"] for replicate in outcome.replicates]
    assert trial.intermediate_values[2] == pytest.approx(np.mean(values))
    assert outcome.value == pytest.approx(np.mean(values), abs=1e-6)


def test_the_test_part_is_never_touched(tmp_path: Path) -> None:
    whole = load_train("digits")
    path = tmp_path / "digits.npz"
    np.savez(path, x_train=whole.x[:250], y_train=whole.y[:250])
    with pytest.raises(DataError):
        load_test(str(path))
    data = load_train(str(path))
    objective = TrialRunner(spec_of(data={"name": str(path)}), data)
    outcome, _ = run(objective, hyperparameters(hidden_units=[], epochs=1, batch_size="full"))
    assert outcome.state == TrialState.COMPLETE
    train, validation = (set(rows) for rows in objective.data.splits[0])
    assert train | validation == set(range(250))
    assert not train & validation


# Seeds


def test_a_trial_repeats_bit_for_bit_whatever_ran_between(runner_of: Callable[..., TrialRunner]) -> None:
    h = hyperparameters()
    objective = runner_of(seeds=2)
    first, _ = run(objective, h)
    run(objective, hyperparameters(learning_rate=1e30))
    run(objective, hyperparameters(learning_rate=1.0, early_stopping_patience=1, epochs=9))
    again, _ = run(objective, h)
    assert again.curves == first.curves
    assert again.value == first.value


def test_replicates_of_a_trial_equal_trials_of_their_seeds_alone(
    runner_of: Callable[..., TrialRunner],
) -> None:
    h = hyperparameters()
    together, _ = run(runner_of(seeds=3), h)
    for seed in (0, 1, 2):
        alone, _ = run(runner_of(seeds=3), h, seed=seed)
        assert alone.curves == [row for row in together.curves if row["seed"] == seed]


def test_a_trial_of_a_comparison_trains_its_own_seed_only(shared: TrialRunner) -> None:
    objective = copy.copy(shared)
    arms = [{"name": "a"}, {"name": "b", "momentum": 0.9}]
    objective.spec = ComparisonSpec(name="c", kind="comparison", data={"name": "digits"}, arms=arms, seeds=5)
    outcome, _ = run(objective, hyperparameters(), seed=4)
    assert [replicate.seed for replicate in outcome.replicates] == [4]


# How trials end


def test_pruning_stops_every_replicate_and_ends_its_callbacks(runner_of: Callable[..., TrialRunner]) -> None:
    never_enough = optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=3)
    # Early stopping restores the best weights when its training ends, which shows that it has ended.
    h = hyperparameters(learning_rate=3.0, epochs=9, early_stopping_patience=8)
    outcome, trial = run(runner_of(seeds=2), h, pruner=never_enough)
    assert trial.state == outcome.state == TrialState.PRUNED
    assert outcome.reason == "after epoch 3"
    assert outcome.value is None
    assert outcome.metrics["epochs_run"] == 3
    assert list(trial.intermediate_values) == [1, 2, 3]
    for index, replicate in enumerate(outcome.replicates):
        losses = column(outcome, index, "val_loss")
        assert replicate.run.finished
        assert replicate.run.evaluate(replicate.run.validation)["loss"] == pytest.approx(
            min(losses), abs=1e-6
        )


def test_a_real_pruner_stops_the_poor_trial_and_lets_the_good_one_end(
    runner_of: Callable[..., TrialRunner],
) -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    objective = runner_of()
    states = []
    for rate in (0.5, 1e-9, 0.6):
        trial = study.ask()
        outcome = objective(trial, hyperparameters(learning_rate=rate, epochs=6))
        study.tell(trial, outcome.value, state=outcome.state)
        states.append(outcome.state)
    assert states[:2] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert list(study.trials[1].intermediate_values) == [1, 2]


def test_the_last_epoch_is_not_pruned(runner_of: Callable[..., TrialRunner]) -> None:
    at_the_end = optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=EPOCHS)
    outcome, trial = run(runner_of(), hyperparameters(), pruner=at_the_end)
    assert trial.state == TrialState.COMPLETE
    assert outcome.value == trial.value == outcome.metrics["val_accuracy"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_trial_that_diverges_fails_with_the_epoch_in_its_reason(
    seeds: int, runner_of: Callable[..., TrialRunner]
) -> None:
    outcome, trial = run(runner_of(seeds=seeds), hyperparameters(learning_rate=1e30, epochs=9))
    assert trial.state == outcome.state == TrialState.FAIL
    assert outcome.value is None
    assert outcome.reason is not None
    name, value, epoch = outcome.reason.replace(" is ", " ").replace(" at epoch ", " ").split()
    assert name in ("loss", "val_loss")
    assert not math.isfinite(float(value))
    assert len(outcome.replicates[0].curve) == int(epoch) < 9
    assert all(replicate.run.finished for replicate in outcome.replicates)
    assert all(math.isfinite(metric) for metric in outcome.metrics.values())
    assert all(math.isfinite(value) for value in trial.intermediate_values.values())


def test_a_final_metric_that_is_not_finite_fails_the_trial_and_is_not_kept(digits: Dataset) -> None:
    x = digits.x[:, 0].astype(np.float32)
    train, _ = independent_split(digits)
    # The step on it makes weights so large that they overflow on it afterwards, and on nothing else.
    x[train[0]] = 1e25 * (np.arange(8) % 2 * 2 - 1)
    data = make_dataset("spiked", x, digits.y, classes=10, scale=1.0)
    h = hyperparameters(hidden_units=[], epochs=1, batch_size="full")
    outcome, _ = run(TrialRunner(spec_of(), data), h)
    assert outcome.state == TrialState.FAIL
    assert outcome.reason == "train_loss is nan after epoch 1"
    assert all(math.isfinite(value) for value in outcome.metrics.values())
    assert "train_loss" not in outcome.metrics
    assert "val_loss" in outcome.metrics


@pytest.mark.parametrize("restore", [True, False], ids=["restored", "as they stopped"])
def test_early_stopping_is_each_replicates_own_and_final_metrics_are_of_its_weights(
    restore: bool, runner_of: Callable[..., TrialRunner]
) -> None:
    h = hyperparameters(learning_rate=3.0, epochs=15, early_stopping_patience=2, restore_best=restore)
    outcome, trial = run(runner_of(seeds=3), h)
    lengths = [len(replicate.curve) for replicate in outcome.replicates]
    assert len(set(lengths)) > 1
    for index, replicate in enumerate(outcome.replicates):
        losses = column(outcome, index, "val_loss")
        assert len(losses) in (int(np.argmin(losses)) + 3, 15)
        kept = min(losses) if restore else losses[-1]
        assert replicate.metrics["val_loss"] == pytest.approx(kept, abs=1e-6)
        assert replicate.metrics["epochs_run"] == len(losses)
    padded = [
        [column(outcome, index, "val_accuracy")[min(epoch, length - 1)] for epoch in range(max(lengths))]
        for index, length in enumerate(lengths)
    ]
    assert list(trial.intermediate_values.values()) == pytest.approx(np.mean(padded, axis=0))
    assert outcome.state == TrialState.COMPLETE


def test_a_trial_whose_replicates_stop_early_is_complete_though_the_pruner_would_prune_it_then(
    runner_of: Callable[..., TrialRunner],
) -> None:
    h = hyperparameters(learning_rate=1e-9, epochs=9, early_stopping_patience=1, early_stopping_min_delta=1.0)
    at_the_stop = optuna.pruners.ThresholdPruner(lower=2.0, n_warmup_steps=2)
    outcome, trial = run(runner_of(seeds=2), h, pruner=at_the_stop)
    assert list(trial.intermediate_values) == [1, 2]
    assert outcome.state == TrialState.COMPLETE


def test_a_trial_told_to_stop_ends_between_epochs_and_can_begin_again(
    runner_of: Callable[..., TrialRunner],
) -> None:
    objective, h = runner_of(seeds=2), hyperparameters()
    undisturbed, _ = run(objective, h)
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    answers = iter([False, False, True])
    with pytest.raises(StoppedError):
        objective(trial, h, should_stop=lambda: next(answers))
    assert list(study.trials[0].intermediate_values) == [1, 2]
    assert study.trials[0].state == TrialState.RUNNING
    again = objective(optuna.trial.Trial(study, trial._trial_id), h)
    assert again.curves == undisturbed.curves
    assert list(study.trials[0].intermediate_values) == [1, 2, 3, 4]


# Compiled networks


def test_a_key_that_comes_back_is_not_compiled_again_and_one_that_was_forgotten_is(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = TrialRunner(spec_of(), digits)
    one = hyperparameters(hidden_units=[], epochs=1, batch_size="full")
    other = hyperparameters(hidden_units=[2], epochs=1, batch_size="full")

    def seconds(h: MlpHyperparameters) -> float:
        outcome, _ = run(objective, h)
        return outcome.metrics["compile_seconds"]

    first = run(objective, one)[0]
    assert seconds(other) > 0
    assert seconds(one) == 0
    monkeypatch.setattr(runners, "KEPT_BYTES", 1)
    assert seconds(hyperparameters(hidden_units=[3], epochs=1, batch_size="full")) > 0
    forgotten = run(objective, one)[0]
    assert forgotten.metrics["compile_seconds"] > 0
    assert forgotten.curves == first.curves


FIFTY_TRIALS = """
import json, os, pathlib
import optuna
from hpo.data import load_train
from hpo.trials.runner import TrialRunner
from hpo.spec import MlpHyperparameters, SearchSpec

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def compiled():
    return len(list(pathlib.Path(os.environ["DUMPS"]).glob("*inference_epoch*before_optimizations*")))

data, space = {"name": "digits"}, {"learning_rate": [0.1, 0.2]}
spec = SearchSpec(name="s", kind="search", data=data, trials=1, space=space, loop="xla")
objective = TrialRunner(spec, load_train("digits"))
study = optuna.create_study(direction="maximize")

def train(index):
    h = MlpHyperparameters(
        hidden_units=[16], epochs=2, batch_size=64, dropout=0.1 + index / 100, l2=1e-6 * (index + 1),
        momentum=index / 100 + 0.01, learning_rate=0.001 * (index + 1),
        schedule="inverse_time", decay_rate=0.001 * (index + 1), decay_steps=index + 1,
    )
    trial = study.ask()
    outcome = objective(trial, h)
    study.tell(trial, outcome.value, state=outcome.state)
    return outcome

train(0)
first, start = compiled(), resident()
outcomes = [train(index) for index in range(1, 51)]
print(json.dumps({
    "programs": first,
    "programs after": compiled(),
    "MiB": resident() - start,
    "compile_seconds": sum(outcome.metrics["compile_seconds"] for outcome in outcomes),
    "states": sorted({outcome.state.name for outcome in outcomes}),
    "values": len({outcome.metrics["train_loss"] for outcome in outcomes}),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_fifty_trials_of_one_key_compile_once_and_grow_by_less_than_50_mib(tmp_path: Path) -> None:
    environment = os.environ | {
        "DUMPS": str(tmp_path),
        "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
    }
    finished = subprocess.run(
        [sys.executable, "-c", FIFTY_TRIALS], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    result = json.loads(finished.stdout)
    # As XLA itself counts: training whole batches.
    assert result["programs"] == result["programs after"] == 1
    assert result["compile_seconds"] == 0
    assert result["MiB"] < 50
    assert result["states"] == ["COMPLETE"]
    assert result["values"] == 50
