"""Callbacks of a person's own, losses and metrics by name, and objectives that only the model reports."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hpo
from hpo import SpecError, Study, StudySpec, create_study
from hpo.data import load_train
from hpo.spec import METRICS
from hpo.storage import Storage
from hpo.studies.final import create_final, summarise_final
from hpo.studies.promotion import promoted
from hpo.trials.runner import TrialRunner
from tests.databases import new_storage
from tests.tiny_studies import worker_of
from tests.trials.test_checkpoints import Kept, result_of, train

CODE = """
import keras
from pathlib import Path

@keras.saving.register_keras_serializable()
def spread(targets, outputs):
    return keras.ops.max(outputs, axis=-1) - keras.ops.min(outputs, axis=-1)

@keras.saving.register_keras_serializable()
def harsh(targets, outputs):
    return 2 * keras.losses.sparse_categorical_crossentropy(targets, outputs)

def build(units, learning_rate=0.01, *, input_shape, outputs):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, "relu")]
    layers.append(keras.layers.Dense(outputs, "softmax"))
    model = keras.Sequential([keras.Input(input_shape), *layers])
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy", spread])
    return model

class Log(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path, self.batches = path, 0
    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
    def on_epoch_end(self, epoch, logs=None):
        with self.path.open("a") as file:
            file.write(f"{epoch} {self.batches} {logs['val_loss']}\\n")

def logs(folder, study, trial, seed, fold, hyperparameters):
    (folder / "about.txt").write_text(f"{study} {trial} {seed} {fold} {hyperparameters['learning_rate']}")
    return [Log(folder / "log.txt"), keras.callbacks.CSVLogger(str(folder / "log.csv"))]

def rates():
    return [
        keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=1e9, factor=0.5),
        keras.callbacks.EarlyStopping(monitor="loss", patience=4, min_delta=1e9),
    ]

class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1

def stops(): return Stops()
def raises(): return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: 1 / (1 - epoch))
def nothing(): return 3
"""
CODE_LINE = 1 + next(i for i, line in enumerate(CODE.splitlines()) if line.startswith("def raises"))
DATA = {"name": "digits"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("code") / "mine.py"
    path.write_text(CODE)
    return str(path)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return new_storage(f"sqlite:///{tmp_path / 'hpo.db'}", artifact_dir=tmp_path / "artifacts")


def trained(storage: Storage, **table: Any) -> Study:
    base = {"name": "s", "kind": "search", "data": DATA, "trials": 1, "space": {"learning_rate": [0.01]}}
    study = create_study(StudySpec(**(base | table)), storage=storage)
    worker_of(study).run(exit_when_idle=True)
    return study


SMALL = {"hidden_units": [8], "epochs": 3, "batch_size": 256}


def test_callbacks_are_told_of_every_batch_and_epoch_and_have_a_folder(storage: Storage, file: str) -> None:
    study = trained(storage, callbacks={"file": file, "function": "logs"}, params=SMALL)
    (folder,) = (storage.artifacts.path / "callbacks").glob("s-*/0")
    assert (folder / "about.txt").read_text() == "s 0 0 None 0.01"
    curve = study.curves(0)
    lines = [line.split() for line in (folder / "log.txt").read_text().splitlines()]
    assert [(int(epoch), int(batches)) for epoch, batches, _ in lines] == [(0, 5), (1, 10), (2, 15)]
    assert [float(loss) for *_, loss in lines] == pytest.approx(list(curve["val_loss"]))
    assert list(pd.read_csv(folder / "log.csv")["val_loss"]) == pytest.approx(list(curve["val_loss"]))
    study.delete()
    assert not folder.exists()


def test_a_callback_that_stops_ends_its_run_and_one_that_raises_its_trial(
    storage: Storage, file: str
) -> None:
    own = {"file": file, "function": "stops"}
    assert trained(storage, name="stops", callbacks=own, params=SMALL).best.epochs_run == 2
    for function, line in {
        "raises": f"mine.py: raises: must run without an error, but got 'line {CODE_LINE}: ZeroDivisionError",
        "nothing": "mine.py: nothing: must return Keras callbacks, one or a list, but got 'int'.",
    }.items():
        study = trained(storage, name=function, callbacks={"file": file, "function": function}, params=SMALL)
        (trial,) = study.all_trials
        assert trial.state == "failed"
        assert line in str(trial.reason)


def test_what_a_callback_raises_is_its_own_behind_a_link(storage: Storage, file: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path(file).parent)
    own = {"file": str(tmp_path / "link" / "mine.py"), "function": "raises"}
    (trial,) = trained(storage, callbacks=own, params=SMALL).all_trials
    assert f"mine.py: raises: must run without an error, but got 'line {CODE_LINE}: Zero" in str(trial.reason)


@pytest.mark.slow
def test_a_trial_goes_on_with_what_its_callbacks_have_counted(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"name": "s", "kind": "search", "trials": 1, "space": {"learning_rate": [0.1, 0.2]}, "data": DATA}
    results = []
    for stops_at in (None, 3):
        spec = StudySpec(**table, callbacks={"file": file, "function": "rates"}, params=SMALL | {"epochs": 9})
        runner = TrialRunner(spec, load_train(spec.data))
        results.append(goes_on(runner, spec, stops_at))
    assert results[0] == results[1]
    # Five epochs without a better one, and the learning rate halved in each of them.
    assert json.loads(results[0])[2][0]["epochs_run"] == 5
    assert not said_in(caplog)
    with caplog.at_level(logging.WARNING):
        spec = StudySpec(**table, callbacks={"file": file, "function": "logs"}, params=SMALL)
        goes_on(TrialRunner(spec, load_train(spec.data)), spec, 1)
    (said,) = said_in(caplog)
    assert "of CSVLogger, Log nothing is kept" in said


def said_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("hpo")]


def goes_on(runner: TrialRunner, spec: StudySpec, stops_at: int | None) -> str:
    import optuna

    trial = optuna.create_study(direction="maximize").ask()
    h = spec.hyperparameters_for({"learning_rate": 0.1})
    if stops_at is not None:
        kept = Kept(stop_after=stops_at)
        assert train(runner, h, trial, kept) is None
        return result_of(train(runner, h, trial, Kept(kept.content)), trial)
    return result_of(train(runner, h, trial, Kept()), trial)


@pytest.mark.long
def test_a_metric_that_only_the_model_reports_is_an_objective_everywhere(storage: Storage, file: str) -> None:
    study = trained(
        storage,
        model={"file": file},
        objective={"metric": "val_spread", "direction": "maximize", "at": "best"},
        metrics=["val_spread", "val_accuracy", "train_spread"],
        pruner={"name": "median", "startup_trials": 3},
        params={"epochs": 3, "batch_size": 128},
        space={"units": [8, 16], "learning_rate": [0.003, 0.03]},
        trials=4,
    )
    best = study.best
    assert best.value == best.metrics["val_spread"] == best.metrics["best_val_spread"] == max(best.reported)
    assert best.value == max(t.value for t in study.all_trials if t.value is not None)
    assert {"val_spread", "train_spread"} <= {*study.trials().columns}
    assert {"spread", "val_spread"} <= {*study.curves(best.number).columns}
    assert study.compare().metrics == ("val_spread", "val_accuracy", "train_spread")

    comparison = promoted(study, top=2, seeds=2)
    assert comparison.objective == study.spec.objective
    assert comparison.model == study.spec.model
    made = create_study(comparison, storage=storage)
    worker_of(made).run(exit_when_idle=True)
    compared = made.compare()
    _, other = compared.arms if compared.arms[0].arm == compared.baseline else compared.arms[::-1]
    assert other.verdicts["val_spread"].pairs == 2
    assert compared.min_effect["val_spread"] == 0.01
    assert made.plot("differences") is not None

    final = create_final([study], seeds=1)
    worker_of(final).run(exit_when_idle=True)
    gap = summarise_final(final).arms[0].gaps["spread"]
    assert gap.selected == best.value
    assert 0 < gap.test <= 1


def test_a_metric_that_the_model_does_not_report_is_one_line(storage: Storage, file: str) -> None:
    objective = {"metric": "val_other", "direction": "minimize"}
    params, space = {"epochs": 1, "batch_size": 512}, {"units": [8]}
    with pytest.raises(SpecError, match=r"but got 'val_other'.* reports val_loss, val_accuracy, val_spread"):
        trained(storage, model={"file": file}, objective=objective, params=params, space=space)


@pytest.mark.long
def test_losses_and_metrics_by_name_are_keras_s_and_registered_ones(storage: Storage, file: str) -> None:
    study = trained(
        storage,
        # Its file registers them.
        callbacks={"file": file, "function": "stops"},
        compile={"loss": "harsh", "metrics": ["Custom>spread", "SparseTopKCategoricalAccuracy"]},
        objective={"metric": "val_spread", "direction": "maximize"},
        params=SMALL,
    )
    metrics = study.best.metrics
    assert metrics["val_loss"] == pytest.approx(2 * metrics["log_loss"], rel=1e-4)
    assert {"val_spread", "val_SparseTopKCategoricalAccuracy"} <= metrics.keys()
    assert study.best.value == metrics["val_spread"]


@pytest.mark.parametrize(
    ("named", "line"),
    [
        (
            {"loss": "sparse_crossentropy"},
            "compile.loss: must be of Keras, or registered in the study's file",
        ),
        # Registered by the file of the callbacks.
        (
            {"loss": "harsh", "metrics": ["F1Score"]},
            "compile: must be of targets of shape .* but got 'ValueError",
        ),
    ],
)
def test_what_no_network_can_be_compiled_with_creates_no_study(
    named: dict[str, Any], line: str, storage: Storage, file: str
) -> None:
    data, space = {"name": "digits"}, {"dropout": [0.1]}
    own = {"file": file, "function": "stops"}
    spec = StudySpec(name="s", kind="search", data=data, trials=1, space=space, compile=named, callbacks=own)
    with pytest.raises(hpo.ModelError, match=line):
        create_study(spec, storage=storage)
    assert hpo.list_studies(storage=storage) == []


@pytest.mark.slow
def test_a_named_loss_of_a_regression_is_of_scaled_targets(storage: Storage) -> None:
    params = SMALL | {"epochs": 1}
    data = {"name": "diabetes"}
    values = [
        trained(storage, name=loss, data=data, compile={"loss": loss}, params=params).best.metrics["val_loss"]
        for loss in ("mean_squared_error", "MeanSquaredError")
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] < 5


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (
            {"objective": {"metric": "val_acuracy"}},
            "objective.metric: must be one that hpo knows, or have its direction stated",
        ),
        ({"objective": {"metric": "val_x", "direction": "minimize"}}, "objective.metric: must be 'val_acc"),
        ({"metrics": ["val_acuracy"]}, r"metrics\[1\]: must be .* Did you mean 'val_accuracy'?"),
        ({"callbacks": {"file": "FILE"}}, "callbacks.function: must be a function of mine.py"),
        ({"callbacks": {"file": "FILE", "function": "build"}}, "takes what no run has, but got 'units'"),
        ({"compile": {"loss": "a b"}}, "compile.loss: must be the name of a loss or metric"),
    ],
)
def test_what_can_be_told_before_anything_runs_is_one_line(
    table: dict[str, Any], line: str, file: str
) -> None:
    text = json.dumps(table).replace("FILE", file)
    base = {"name": "s", "kind": "search", "data": DATA, "trials": 1, "space": {"learning_rate": [0.1]}}
    with pytest.raises(hpo.SpecError, match=line):
        StudySpec(**(base | json.loads(text)))


def test_a_comparison_judges_an_own_metric_whose_direction_is_known(file: str) -> None:
    arms = [{"name": "a", "units": 8}, {"name": "b", "units": 16}]
    base: dict[str, Any] = {"name": "s", "kind": "comparison", "data": DATA, "arms": arms}
    base |= {"model": {"file": file}, "metrics": ["val_spread"]}
    with pytest.raises(hpo.SpecError, match=r"min_effect.val_spread: must be of a metric whose direction"):
        StudySpec(**base, min_effect={"val_spread": 0.1})
    objective = {"metric": "val_spread", "direction": "maximize"}
    spec = StudySpec(**base, objective=objective, min_effect={"val_spread": 0.1})
    assert spec.smallest_effect("val_spread") == 0.1
    assert "val_spread" not in METRICS


@pytest.mark.long
def test_what_is_exported_needs_no_metric_of_the_file_to_predict(
    storage: Storage, file: str, tmp_path: Path
) -> None:
    import keras

    params, space = {"epochs": 1, "batch_size": 512}, {"units": [8]}
    study = trained(storage, model={"file": file}, params=params, space=space)
    study.export(tmp_path / "model.keras")
    registered = dict(keras.saving.get_custom_objects())
    keras.saving.get_custom_objects().clear()
    try:
        model = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    finally:
        keras.saving.get_custom_objects().update(registered)
    assert model.output_shape == (None, 10)
