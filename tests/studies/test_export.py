"""Exported models: the trial's own weights, Keras's own layers, files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import hpo.studies.export
from hpo import HpoError, Study, StudyError, open_study
from hpo.data import load_test
from hpo.models.families import Signature
from hpo.models.file import load
from hpo.models.mlp import build
from hpo.spec import MlpHyperparameters
from hpo.trials import MODEL_FILE
from hpo.trials.lockstep import ReplicateRun
from hpo.trials.runner import TrialRunner
from tests.command import environment
from tests.command import quick as run_hpo
from tests.tiny_studies import new_studies, worker_of

ARMS: dict[str, dict[str, Any]] = {
    "all layers": {
        "hidden_units": [8, 6],
        "batch_norm": True,
        "dropout": [0.3, 0.0],
        "l2": [0.0, 0.01],
        "momentum": 0.9,
        "nesterov": True,
        "schedule": "cosine",
        "learning_rate": 0.1,
    },
    # Stops one epoch after its best, the third.
    "restored": {
        "activation": "tanh",
        "dropout": 0.25,
        "l2": 0.001,
        "optimizer": "rmsprop",
        "momentum": 0.5,
        "learning_rate": 0.05,
        "epochs": 8,
        "early_stopping_patience": 1,
    },
}
VARIANTS: dict[str, Any] = {
    "name": "variants",
    "kind": "comparison",
    "data": {"name": "digits"},
    "seeds": 1,
    "params": {"epochs": 2, "hidden_units": [8], "batch_size": 64},
    "arms": [{"name": name, **params} for name, params in ARMS.items()],
}
# Folds of which the last has a step an epoch less than the first: it sets the length of the cosine.
FOLDS: dict[str, Any] = {
    "name": "folds",
    "kind": "search",
    "data": {"name": "digits", "folds": 2},
    "trials": 1,
    "sampler": {"name": "random"},
    "params": {"epochs": 2, "hidden_units": [4], "batch_size": 718, "schedule": "cosine"},
    "space": {"learning_rate": [0.1, 0.2]},
}
# Keras alone: what the file predicts and how it is compiled, after a step of training that shows it is.
READER = """
import json, sys
sys.modules["hpo"] = None
import keras, numpy as np
x, y = (np.load(sys.argv[1])[name] for name in ("x", "y"))
for path in sys.argv[2:]:
    model = keras.saving.load_model(path)
    probabilities = model.predict(x, verbose=0)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    np.savez(path + ".npz", probabilities=probabilities, accuracy=accuracy)
    modules = sorted({layer.__module__.partition(".")[0] for layer in model.layers})
    layers = [layer.__class__.__name__ for layer in model.layers]
    penalties = [getattr(layer, "kernel_regularizer", None) for layer in model.layers]
    print(json.dumps({
        "modules": modules,
        "layers": layers,
        "l2": [float(penalty.l2) for penalty in penalties if penalty],
        "dropout": [layer.rate for layer in model.layers if hasattr(layer, "rate")],
        "optimizer": type(model.optimizer).__name__,
    }))
    model.fit(x[:64], y[:64], verbose=0)
"""


@dataclass(frozen=True)
class Exported:
    """The exported files of a study's arms, and what the trained models themselves predict."""

    study: Study
    files: dict[str, Path]
    predicted: dict[str, np.ndarray]
    messages: list[str]


class Recording(TrialRunner):
    """Remembers what the last model that it trained predicts for the validation data."""

    predicted: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def train(self, *arguments: Any, **options: Any) -> ReplicateRun:
        training = super().train(*arguments, **options)
        assert training.run.validation is not None
        rows = training.run.validation.rows
        Recording.x, Recording.y = self.dataset.x[rows], self.dataset.y[rows]
        Recording.predicted = training.run.predict(training.run.validation)
        return training


TRAINED: dict[str, ReplicateRun] = {}
RUNNER: list[TrialRunner] = []


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    """The studies, trained by a worker in this process."""
    folder = tmp_path_factory.mktemp("studies")
    made = new_studies(f"sqlite:///{folder / 'hpo.db'}", folder, VARIANTS, FOLDS)
    worker_of(*made).run(exit_when_idle=True)
    assert [trial.state for study in made for trial in study.all_trials] == ["complete"] * 3
    # Most tests are of models that are trained again: only a copy of the database knows of those that were
    # kept.
    with contextlib.closing(sqlite3.connect(folder / "hpo.db", isolation_level=None)) as connection:
        connection.execute(f"VACUUM INTO '{folder / 'keeping.db'}'")
        connection.execute(f"DELETE FROM trial_system_attributes WHERE value_json LIKE '%{MODEL_FILE}%'")
    # Optuna keeps in memory what has finished.
    return [
        open_study(study.name, storage=study.storage.url, artifact_dir=folder / "artifacts") for study in made
    ]


@pytest.fixture(scope="module")
def exported(studies: list[Study], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    study, files, predicted = studies[0], {}, {}
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hpo.studies.export, "TrialRunner", Recording)
        logging.getLogger("hpo").addHandler(handler)
        for trial in study.all_trials:
            assert trial.arm is not None
            files[trial.arm] = study.export(folder / f"{trial.number}.keras", trial=trial.number)
            predicted[trial.arm] = Recording.predicted
        logging.getLogger("hpo").removeHandler(handler)
    return Exported(study, files, predicted, messages)


@pytest.fixture(scope="module")
def read(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What Keras without hpo says of each file."""
    data = tmp_path_factory.mktemp("validation") / "validation.npz"
    np.savez(data, x=Recording.x, y=Recording.y)
    done = subprocess.run(
        [sys.executable, "-c", READER, data, *exported.files.values()],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(exported.files, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.fixture
def cached(studies: list[Study], monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study whose best trial is not trained again: what is tested is what becomes of the model."""
    study = studies[1]
    trial, dataset = study.best, study.load_data()
    if "folds" not in TRAINED:
        hyperparameters = MlpHyperparameters(**trial.hyperparameters)
        RUNNER.append(TrialRunner(study.spec, dataset))
        TRAINED["folds"] = RUNNER[0].train(hyperparameters, "xla")

    class Cached:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def train(self, *_: Any, **__: Any) -> ReplicateRun:
            return TRAINED["folds"]

        def stock_model(self, *arguments: Any) -> keras.Model:
            return RUNNER[0].stock_model(*arguments)

    monkeypatch.setattr(hpo.studies.export, "TrialRunner", Cached)
    return study


def card_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        card: dict[str, Any] = json.loads(archive.read("hpo.json"))
    return card


# ------------------------------------------------------------------------------------ the same model


@pytest.mark.parametrize("arm", ARMS)
def test_the_exported_model_has_the_metrics_that_the_trial_recorded(arm: str, exported: Exported) -> None:
    trial = next(trial for trial in exported.study.all_trials if trial.arm == arm)
    (recorded,) = trial.replicates
    metrics = card_of(exported.files[arm])["metrics"]
    assert metrics.items() <= recorded.items()
    assert {"val_loss", "val_accuracy", "f1"} <= metrics.keys()
    assert trial.epochs_run == {"all layers": 2, "restored": 4}[arm]
    assert exported.messages == []


@pytest.mark.parametrize("arm", ARMS)
def test_keras_without_hpo_predicts_what_the_trained_model_does(
    arm: str, exported: Exported, read: dict[str, Any]
) -> None:
    with np.load(f"{exported.files[arm]}.npz") as found:
        np.testing.assert_allclose(found["probabilities"], exported.predicted[arm], atol=1e-5)
        right = exported.predicted[arm].argmax(axis=1) == Recording.y
        assert found["accuracy"] == pytest.approx(right.mean())
    assert np.ptp(exported.predicted[arm], axis=0).max() > 0.1  # it tells samples apart


@pytest.mark.parametrize("arm", ARMS)
def test_the_exported_model_is_of_stock_layers(arm: str, read: dict[str, Any]) -> None:
    assert read[arm]["modules"] == ["keras"]
    normalized = ["Dense", "BatchNormalization", "Activation"]
    between = {
        "all layers": [*normalized, "Dropout", *normalized],
        "restored": ["Dense", "Activation", "Dropout"],
    }[arm]
    assert read[arm]["layers"] == ["Flatten", "Rescaling", *between, "Dense", "Activation"]


def test_the_exported_model_has_the_trials_strengths_and_optimizer(read: dict[str, Any]) -> None:
    assert read["all layers"]["l2"] == pytest.approx([0.01])
    assert read["all layers"]["dropout"] == [0.3]
    assert (read["restored"]["l2"], read["restored"]["dropout"]) == (pytest.approx([0.001]), [0.25])
    assert [read[arm]["optimizer"] for arm in ARMS] == ["SGD", "RMSprop"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"optimizer": "sgd"}, marks=pytest.mark.slow),
        {"optimizer": "sgd", "momentum": 0.8, "nesterov": True},
        pytest.param({"optimizer": "sgd", "nesterov": True}, marks=pytest.mark.slow),
        pytest.param(
            {"optimizer": "sgd", "momentum": 0.8, "schedule": "inverse_time", "decay_rate": 0.5},
            marks=pytest.mark.slow,
        ),
        pytest.param({"optimizer": "adam", "schedule": "cosine"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "adamax", "schedule": "cosine", "decay_steps": 2}, marks=pytest.mark.slow),
        {"optimizer": "nadam", "schedule": "exponential", "decay_steps": 3, "decay_rate": 0.5},
        pytest.param({"optimizer": "adagrad", "schedule": "exponential"}, marks=pytest.mark.slow),
        {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "inverse_time", "decay_steps": 3},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_the_exported_model_trains_on_as_the_trial_was_trained(changes: dict[str, Any]) -> None:
    h = MlpHyperparameters(hidden_units=[4], l2=0.01, activation="silu", batch_size=25, **changes)
    network, steps = build(h, Signature((8, 8), 10, 1 / 16)), 4
    network.trainer.state = network.initial_state(h, seed=1, steps=steps)
    trained = network.trainer.model
    model = network.exported(h)
    test = load_test("digits")
    begun = model.get_weights()
    for each in (trained, model):
        each.run_eagerly = True
        each.fit(test.x[:100], test.y[:100], batch_size=25, shuffle=False, verbose=0)
    for theirs, ours, before in zip(trained.get_weights(), model.get_weights(), begun, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert np.abs(ours - before).max() > 1e-4


def test_the_file_says_where_the_model_comes_from(exported: Exported) -> None:
    card = card_of(exported.files["all layers"])
    assert (card["study"], card["trial"], card["arm"]) == ("variants", 0, "all layers")
    assert (card["seed"], card["fold"], card["data"]) == (0, None, "digits")
    assert card["hyperparameters"] == exported.study.all_trials[0].hyperparameters
    assert card["data_digest"] == exported.study.data_digest
    assert card["class_names"] == [str(digit) for digit in range(10)]
    assert (card["sample_shape"], card["scale"], card["dtype"]) == ([8, 8], 1 / 16, "uint8")
    assert set(card["versions"]) == {"hpo", "keras", "tensorflow"}


@pytest.mark.long
def test_another_process_exports_the_same_weights(exported: Exported, tmp_path: Path) -> None:
    storage = exported.study.storage
    done = run_hpo(
        *("export", "variants", "--trial", "0", "--out", "again.keras"),
        folder=tmp_path,
        HPO_STORAGE=storage.url,
        HPO_ARTIFACT_DIR=str(storage.artifacts.path),
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Wrote again.keras: the model of trial 0 of variants, trained again.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["again.keras"]
    models = [load(path).model for path in (tmp_path / "again.keras", exported.files["all layers"])]
    for again, before in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(again, before)


def test_without_a_number_the_best_trials_first_replicate_is_exported(
    studies: list[Study], tmp_path: Path
) -> None:
    study = studies[1]
    path = study.export(str(tmp_path / "model.keras"))
    card = card_of(path)
    assert (card["trial"], card["seed"], card["fold"]) == (study.best.number, 0, 0)
    assert card["metrics"].items() <= study.best.replicates[0].items()
    assert study.best.replicates[0]["val_loss"] != study.best.replicates[1]["val_loss"]


# ------------------------------------------------------------------------- a model that was kept


@pytest.fixture
def keeping(studies: list[Study], tmp_path: Path) -> Study:
    """The study of folds whose best trial has kept its model, with artifacts in a folder of their own."""
    storage = studies[1].storage
    copy = shutil.copytree(storage.artifacts.path, tmp_path / "artifacts")
    url = storage.url.replace("hpo.db", "keeping.db")
    return open_study(studies[1].name, storage=url, artifact_dir=copy)


def kept_by(study: Study) -> Path:
    found = study.storage.artifact(study.frozen_trials[study.best.number], MODEL_FILE)
    assert found is not None
    return study.storage.artifacts.path / found


def test_a_model_that_was_kept_is_copied_and_nothing_is_trained(keeping: Study, tmp_path: Path) -> None:
    code = """
import sys, hpo
hpo.open_study("folds", storage=sys.argv[1], artifact_dir=sys.argv[2]).export(sys.argv[3])
assert "tensorflow" not in sys.modules
"""
    arguments = [keeping.storage.url, str(keeping.storage.artifacts.path), str(tmp_path / "copy.keras")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert (tmp_path / "copy.keras").read_bytes() == kept_by(keeping).read_bytes()


def damage(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-1])


def make_unreadable(kept: Path) -> None:
    kept.unlink()
    kept.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "fault"),
    [(damage, "is damaged"), (Path.unlink, "is gone"), (make_unreadable, "cannot be read: Is a directory")],
)
def test_one_that_is_of_no_use_is_trained_again_and_that_is_said(
    spoil: Callable[[Path], None],
    fault: str,
    keeping: Study,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = kept_by(keeping)
    shutil.copy(kept, tmp_path / "whole.keras")
    whole = load(tmp_path / "whole.keras").model.get_weights()
    spoil(kept)
    path = keeping.export(tmp_path / "model.keras")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("hpo")] == [
        f"study 'folds' trial {keeping.best.number} is trained again: the model that it kept {fault}"
    ]
    assert card_of(path) == card_of(tmp_path / "whole.keras")
    for one, other in zip(load(path).model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(one, other)


# --------------------------------------------------------------------------------- what is warned about


def test_a_model_that_is_not_the_recorded_one_is_exported_with_a_warning(
    cached: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, trial, dataset = cached, cached.best, cached.load_data()
    first, *others = trial.replicates

    def exported(path: str, **metrics: float) -> list[str]:
        caplog.clear()
        other = replace(trial, replicates=[first | metrics, *others])
        hpo.studies.export.export(study.spec, other, dataset, tmp_path / path)
        assert load(tmp_path / path).class_names[3] == "3"
        return [record.getMessage() for record in caplog.records]

    assert exported("close.keras", val_loss=first["val_loss"] + 0.0005) == []
    (line,) = exported("other.keras", val_loss=0.125)
    assert line.startswith("study 'folds' trial 0: trained again it is another model")
    assert f"val_loss {first['val_loss']:.4f} (recorded: 0.1250)" in line
    assert "val_accuracy" in line


# ------------------------------------------------------------------------------------ what is refused


@pytest.fixture
def ended(tmp_path: Path) -> Study:
    """A study of four trials that ended, or not, without being trained by hpo."""
    spec = FOLDS | {"name": "ended", "trials": 4, "space": {"learning_rate": {"low": 0.1, "high": 0.2}}}
    (study,) = new_studies(f"sqlite:///{tmp_path / 'hpo.db'}", tmp_path, spec)
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE):
        claim = study.storage.claim([study.id], owner="test", seconds=60)
        assert claim is not None
        trial = optuna.trial.Trial(study.optuna, claim.trial_id)
        trial.report(0.5, step=1)
        study.optuna.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state=state)
        claim.lease.release()
    return study


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "trial 0: must be complete, trained to its end, to be exported, but got 'pruned'."),
        (1, "trial 1: must be complete, trained to its end, to be exported, but got 'failed'."),
        (2, "trial 2: must have been trained by hpo, and was not."),
        (3, "trial 3: must be complete, trained to its end, to be exported, but got 'waiting'."),
        (4, "trial: must be one of the study's, but got 4. See: hpo trials ended."),
        (None, "trial 2: must have been trained by hpo, and was not."),
    ],
)
def test_only_a_trained_trial_is_exported(
    number: int | None, said: str, ended: Study, tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as caught:
        ended.export(tmp_path / "model.keras", trial=number)
    assert str(caught.value) == f"study 'ended': {said}"
    assert not list(tmp_path.glob("*.keras"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.h5", "must end in .keras."),
        ("model", "must end in .keras."),
        ("no/model.keras", "the folder {folder}/no does not exist. Create it first."),
        ("folder.keras", "must name a file, and this is a folder."),
        ("there.keras", "is there already, and is kept. Name another file, or add --force."),
    ],
)
def test_a_file_that_cannot_be_made_is_refused_before_the_training(
    name: str, said: str, studies: list[Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hpo.studies.export, "export", pytest.fail)
    (tmp_path / "there.keras").write_text("kept")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(HpoError) as caught:
        studies[0].export(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {said.format(folder=tmp_path)}"
    assert (tmp_path / "there.keras").read_text() == "kept"


def stopped(_model: keras.Model, _card: Any, path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def full(_model: keras.Model, _card: Any, path: Path) -> None:
    path.write_text("half")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("save", "raised"), [(stopped, KeyboardInterrupt), (full, HpoError)])
@pytest.mark.parametrize("force", [False, True])
def test_a_file_is_whole_or_not_there(
    save: Callable[..., None],
    raised: type[BaseException],
    force: bool,
    cached: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hpo.studies.export, "save", save)
    path = tmp_path / "model.keras"
    if force:
        path.write_text("before")
    with pytest.raises(raised):
        cached.export(path, force=force)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {"model.keras": "before"} if force else {}
    )


def test_force_replaces_a_file_and_without_it_one_that_came_meanwhile_is_kept(
    cached: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    path.write_text("before")
    assert cached.export(path, force=True) == path
    assert card_of(path)["study"] == "folds"
    path.unlink()

    def rival(_model: keras.Model, _card: Any, draft: Path) -> None:
        draft.write_text("ours")
        path.write_text("theirs")

    monkeypatch.setattr(hpo.studies.export, "save", rival)
    with pytest.raises(HpoError, match="is there already, and is kept"):
        cached.export(path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"model.keras": "theirs"}


@pytest.mark.long
def test_the_command_refuses_in_one_line(ended: Study, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpo", "export", "ended", "--trial", "0", "--out", "m.keras"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "study 'ended': trial 0: must be complete, trained to its end, to be exported, but got 'pruned'.\n"
    )
