"""What is kept of a trial that is the best so far: pictures, its answers to validation samples, its model."""

from __future__ import annotations

import errno
import math
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hpo import Study, StudyError, StudySpec, create_study, open_study, predict
from hpo.data import stratified_split
from hpo.pictures import confusion_svg, curves_svg, predicted_svg
from hpo.storage.artifacts import artifacts_of
from hpo.trials.attachments import shown_places
from tests.tiny_studies import worker_of

ALL = {"curves.csv", "curves.svg", "confusion.svg", "validation.npz", "model.keras"}
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('&\"')</script>\x00\x1b\ud800]]>"
TABLE: dict[str, Any] = {
    "name": "kept",
    "kind": "search",
    "data": {"name": "digits"},
    "seeds": 2,
    "sampler": {"name": "grid"},
    "params": {"hidden_units": [8], "epochs": 3, "batch_size": 128},
    "space": {"learning_rate": [0.05, 0.001, 0.5, 0.01], "dropout": [0.1]},
}


def run(folder: Path, **changes: Any) -> Study:
    spec = StudySpec(**(TABLE | changes))
    study = create_study(spec, storage=f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "hpo-artifacts")
    worker_of(study).run(exit_when_idle=True)
    return study


def files(study: Study, number: int) -> dict[str, Path]:
    """A trial's artifacts by name."""
    found = artifacts_of(study.frozen_trials[number].system_attrs)
    return {name: study.storage.artifacts.path / key for key, name in found.items()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    return run(tmp_path_factory.mktemp("kept"))


def validation(study: Study) -> np.ndarray[Any, Any]:
    """The indices of the validation samples."""
    data = study.spec.data
    assert data.validation is not None
    return stratified_split(study.load_data().y, fraction=data.validation, seed=data.seed)[1]


def records(study: Study) -> set[int]:
    """The trials that were better than all before, as one worker has trained them."""
    found, best = set(), math.inf
    sign = -1 if study.spec.objective.direction == "maximize" else 1
    for trial in study.all_trials:
        assert trial.value is not None
        if sign * trial.value < best:
            best = sign * trial.value
            found.add(trial.number)
    return found


@pytest.mark.long
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_each_trial_that_is_the_best_so_far_has_them_and_no_other(
    metric: str, kept: Study, tmp_path: Path
) -> None:
    study = kept if metric == "val_accuracy" else run(tmp_path, objective={"metric": metric})
    best = records(study)
    assert 0 < len(best) < len(study.all_trials)
    for trial in study.all_trials:
        expected = ALL if trial.number in best else {"curves.csv"}
        assert files(study, trial.number).keys() == expected


def test_the_model_is_the_first_replicate_s_at_the_end_of_its_training(kept: Study, tmp_path: Path) -> None:
    trial = kept.best
    path = shutil.copy(files(kept, trial.number)["model.keras"], tmp_path / "model.keras")
    dataset, rows = kept.load_data(), validation(kept)
    probabilities = predict(path, dataset.x[rows]).filter(like="probabilities.").to_numpy()
    first = trial.replicates[0]
    accuracy = np.mean(probabilities.argmax(axis=1) == dataset.y[rows])
    loss = -np.log(probabilities[np.arange(len(rows)), dataset.y[rows]]).mean()
    assert accuracy == pytest.approx(first["val_accuracy"], abs=1e-6)
    assert loss == pytest.approx(first["val_loss"], rel=1e-4)
    assert first["val_loss"] != trial.replicates[1]["val_loss"]
    with zipfile.ZipFile(path) as archive:
        assert "hpo.json" in archive.namelist()


def test_the_confusion_matrix_counts_the_validation_samples_of_all_replicates(kept: Study) -> None:
    root = ElementTree.parse(files(kept, kept.best.number)["confusion.svg"]).getroot()
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert said[0] == f"kept #{kept.best.number}: validation samples"
    counts = [int(text) for text in said[22:] if text]  # title, legend and each class's name twice
    assert sum(counts) == 2 * len(validation(kept))


def test_the_picture_of_curves_has_a_line_for_each_metric(kept: Study) -> None:
    root = ElementTree.parse(files(kept, kept.best.number)["curves.svg"]).getroot()
    lines = [path.attrib["d"] for path in root.iter(f"{SVG}path")]
    assert len(lines) == 4
    assert all(line.startswith("M") and line.count("L") == 2 for line in lines)  # three epochs
    said = {text.text for text in root.iter(f"{SVG}text")}
    assert said >= {"loss", "val_loss", "accuracy", "val_accuracy", "epoch", "1", "2", "3"}


def test_deleting_the_study_deletes_them(tmp_path: Path, kept: Study) -> None:
    shutil.copytree(kept.storage.artifacts.path.parent, tmp_path / "copy")
    storage, folder = f"sqlite:///{tmp_path}/copy/hpo.db", tmp_path / "copy" / "hpo-artifacts"
    assert list(folder.iterdir())
    open_study("kept", storage=storage, artifact_dir=folder).delete()
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_a_result_is_recorded_without_what_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import hpo.trials.runner

    def full(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hpo.trials.runner, "model_bytes", full)
    study = run(tmp_path, space={"learning_rate": [0.05], "dropout": [0.1]})
    (trial,) = study.all_trials
    assert (trial.state, files(study, 0).keys()) == ("complete", {"curves.csv"})
    assert "of the best trial so far not all is kept: [Errno 28] No space left on device" in caplog.text
    assert len(list(study.storage.artifacts.path.iterdir())) == 1


# ------------------------------------------------------------------------------------------- the pictures


def test_hostile_names_are_text() -> None:
    curve = [{"loss": 1.0, "val_loss": 2.0, "accuracy": 0.5, "val_accuracy": 0.25}]
    matrix = confusion_svg(np.eye(2, dtype=int), [HOSTILE, "b"], HOSTILE)
    assert matrix is not None
    for picture in (curves_svg([curve], HOSTILE), matrix):
        root = ElementTree.fromstring(picture.encode())
        assert {element.tag for element in root.iter()} <= {
            f"{SVG}{tag}" for tag in ("svg", "g", "rect", "text", "line", "path")
        }
        assert "<script>" in next(iter(root.iter(f"{SVG}text"))).text  # as what it says


def test_runs_of_different_lengths_gaps_and_nothing_at_all_can_be_drawn() -> None:
    curve = [
        {"loss": value, "val_loss": 1.0, "accuracy": math.nan}
        for value in (3.0, math.nan, 1.0, math.inf, 0.5)
    ]
    root = ElementTree.fromstring(curves_svg([curve, curve[:3]], "gaps").encode())
    loss, val_loss, accuracy, _ = (path.attrib["d"] for path in root.iter(f"{SVG}path"))
    assert loss.count("M") == 3
    assert val_loss.count("M") == 1
    assert accuracy == ""
    for nothing in ([], [[]]):
        ElementTree.fromstring(curves_svg(nothing, "nothing").encode())
    long = curves_svg([[{"loss": 1 / (epoch + 1)} for epoch in range(100_000)]], "long")
    assert len(long) < 20_000


def test_more_classes_than_can_be_read_are_not_drawn() -> None:
    names = [str(index) for index in range(26)]
    assert confusion_svg(np.eye(26, dtype=int), names, "many") is None
    assert confusion_svg(np.eye(25, dtype=int), names[:25], "some") is not None


# ------------------------------------------------------------------------------- what was made of samples


def test_validation_samples_and_outputs_are_kept_and_give_the_recorded_metrics(kept: Study) -> None:
    trial = kept.best
    found, rows = kept.validated(trial.number), validation(kept)
    assert found.total == len(found.y) == 2 * len(rows)
    assert found.row.tolist() == [*rows, *rows]
    assert found.y.tolist() == kept.load_data().y[found.row].tolist()
    assert set(found.fold) == {-1}
    assert found.names == kept.load_data().names
    for replicate in trial.replicates:
        own = found.seed == replicate["seed"]
        accuracy = np.mean(found.outputs[own].argmax(axis=1) == found.y[own])
        assert accuracy == pytest.approx(replicate["val_accuracy"], abs=1e-6)
    with pytest.raises(StudyError, match="there are no validation outputs of trial 99"):
        kept.validated(99)


@pytest.mark.slow
def test_damaged_outputs_are_told(tmp_path: Path) -> None:
    study = run(tmp_path, space={"learning_rate": [0.05], "dropout": [0.1]})
    files(study, 0)["validation.npz"].write_bytes(b"PK damaged")
    with pytest.raises(StudyError, match="the validation outputs of trial 0 are damaged"):
        study.validated(0)


def test_of_many_samples_some_of_every_replicate_are_kept_evenly() -> None:
    assert shown_places(7, replicates=3).tolist() == [*range(7)]
    places = shown_places(1_000_000, replicates=3)
    assert len(places) == 6666
    assert (places[0], places[-1]) == (0, 999_999)
    assert set(np.diff(places)) <= {150, 151}


@pytest.mark.slow
def test_a_regression_keeps_a_picture_of_what_is_predicted_against_what_is_true(tmp_path: Path) -> None:
    space = {"learning_rate": [0.01], "dropout": [0.0]}
    study = run(tmp_path, data={"name": "diabetes", "folds": 3}, seeds=1, space=space)
    found = files(study, 0)
    assert found.keys() == {"curves.csv", "curves.svg", "predicted.svg", "validation.npz", "model.keras"}
    root = ElementTree.parse(found["predicted.svg"]).getroot()
    (path,) = root.iter(f"{SVG}path")
    samples = len(study.load_data())
    assert path.attrib["d"].count("M") == samples  # each is validated in one fold
    validated = study.validated(0)
    assert validated.outputs.shape == validated.y.shape == (samples, 1)
    assert sorted(validated.row) == [*range(samples)]
    assert set(validated.fold) == {0, 1, 2}


def test_quantities_of_any_size_and_name_are_drawn() -> None:
    y = np.array([[178_000.0, 1.0], [54.3, math.nan], [90_000.0, 3.0]])
    root = ElementTree.fromstring(predicted_svg(y, y, [HOSTILE, "b"], HOSTILE).encode())
    both, one = (path.attrib["d"] for path in root.iter(f"{SVG}path"))
    assert (both.count("M"), one.count("M")) == (3, 2)
    assert "200000" in [text.text for text in root.iter(f"{SVG}text")]
