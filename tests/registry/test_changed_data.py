"""The data of a study, both parts of them, are those that it began with, or a line says that they are not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import hpo
from hpo.report import compose
from hpo.studies.final import create_final
from tests.command import Done, quick
from tests.recorded import record

COMPARISON = """
name = "own"
kind = "comparison"
data = { name = "own.npz" }
seeds = 2
[params]
hidden_units = [8]
epochs = 3
[[arms]]
name = "a"
[[arms]]
name = "b"
learning_rate = 0.1
"""
CHANGED = "must be the data that the study began with, and has changed since. Give the study a new name.\n"


def write(path: Path, *, test_labels: np.ndarray | None) -> None:
    x, y = np.arange(80, dtype=np.float32).reshape(20, 4), np.arange(20) % 2
    test = {} if test_labels is None else {"x_test": x[:6], "y_test": test_labels}
    np.savez(path, x_train=x, y_train=y, **test)


@pytest.fixture
def study(tmp_path: Path) -> hpo.Study:
    """A comparison whose trials have been recorded, on data with a test part."""
    (tmp_path / "own.toml").write_text(COMPARISON)
    write(tmp_path / "own.npz", test_labels=np.arange(6) % 2)
    assert quick("create", "own.toml", folder=tmp_path).returncode == 0
    made = opened("own", tmp_path)
    record(made, lambda arm, seed: {"val_accuracy": 0.8 + 0.01 * seed, "val_loss": 0.5, "train_seconds": 1.0})
    return made


def opened(name: str, folder: Path) -> hpo.Study:
    url = f"sqlite:///{folder / 'hpo.db'}"
    return hpo.open_study(name, storage=url, artifact_dir=folder / "hpo-artifacts")


def refused(done: Done, folder: Path) -> str:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr.replace(f"{folder}/", "")


def test_a_final_evaluation_on_changed_test_labels_is_refused(study: hpo.Study, tmp_path: Path) -> None:
    write(tmp_path / "own.npz", test_labels=1 - np.arange(6) % 2)
    expected = f"data own.npz: test part: {CHANGED}"
    assert refused(quick("final", "own", folder=tmp_path), tmp_path) == expected
    assert refused(quick("resume", "own", folder=tmp_path), tmp_path) == expected
    assert refused(quick("run", "own.toml", folder=tmp_path), tmp_path) == f"own.toml: {expected}"
    assert [summary.name for summary in hpo.list_studies(storage=study.storage)] == ["own"]


def test_a_test_part_that_comes_or_goes_is_a_change_too(study: hpo.Study, tmp_path: Path) -> None:
    write(tmp_path / "own.npz", test_labels=None)
    assert CHANGED in refused(quick("resume", "own", folder=tmp_path), tmp_path)


def test_a_report_shows_no_predictions_beside_other_labels(study: hpo.Study, tmp_path: Path) -> None:
    final = create_final([study], seeds=2)
    right = np.eye(2, dtype=np.float32)[np.arange(6) % 2]
    metrics = {"val_accuracy": 0.8, "val_loss": 0.5, "test_accuracy": 1.0, "test_loss": 0.1}
    record(final, lambda arm, seed: metrics | {"train_seconds": 1.0}, predict=lambda number: right)
    _, page = compose([study]).write(tmp_path / "before")
    assert "Confusion matrix of" in page.read_text()
    write(tmp_path / "own.npz", test_labels=1 - np.arange(6) % 2)
    _, page = compose([study]).write(tmp_path / "after")
    text = page.read_text()
    assert "Confusion matrix of" not in text
    assert "test part: must be the data that the study began with" in text


def test_a_study_of_an_earlier_version_learns_its_test_part_at_the_next_look(
    study: hpo.Study, tmp_path: Path
) -> None:
    with study.storage.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM study_user_attributes WHERE key = 'test_digest'")
    assert opened("own", tmp_path).test_digest is None
    assert quick("resume", "own", folder=tmp_path).returncode == 0
    write(tmp_path / "own.npz", test_labels=1 - np.arange(6) % 2)
    assert CHANGED in refused(quick("resume", "own", folder=tmp_path), tmp_path)


def test_studies_with_other_test_parts_are_not_ranked_together(study: hpo.Study, tmp_path: Path) -> None:
    write(tmp_path / "own.npz", test_labels=1 - np.arange(6) % 2)
    (tmp_path / "other.toml").write_text(COMPARISON.replace('"own"', '"other"'))
    assert quick("create", "other.toml", folder=tmp_path).returncode == 0
    said = refused(quick("compare", "own", "other", folder=tmp_path), tmp_path)
    assert said.startswith(
        "study 'other': data: cannot be compared with study 'own', which has another test part"
    )


# ---------------------------------------------------------------- what is found before anything is trained


def labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def spec_of(validation: str) -> str:
    return COMPARISON.replace('"own.npz"', f'"own.npz", {validation}')


@pytest.mark.parametrize(
    ("y", "validation", "rule"),
    [
        (
            labels(50, 50, 2),
            "validation = 0.05",
            "must hold every class, but got 'none of class 2, which has 2'",
        ),
        (
            labels(50, 50, 2),
            "validation = 0.9",
            "must hold every class, but got 'none of class 2, which has 2'",
        ),
        (labels(50, 50, 1), "validation = 0.2", "every class must have at least 2 samples for a split"),
        (labels(50, 50, 2), "folds = 3", "every class must have at least 3 samples for 3 folds"),
    ],
)
def test_a_part_without_a_class_is_found_by_validate(
    y: np.ndarray, validation: str, rule: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", x_train=np.zeros((len(y), 4), np.float32), y_train=y)
    (tmp_path / "own.toml").write_text(spec_of(validation))
    for command in (["validate", "own.toml"], ["create", "own.toml"]):
        said = refused(quick(*command, folder=tmp_path), tmp_path)
        assert said.startswith("own.toml: ")
        assert rule in said
    if advised := re.search(r"Take a share from ([\d.]+) to ([\d.]+), or add samples\.\n", said):
        for share in advised.groups():
            (tmp_path / "own.toml").write_text(spec_of(f"validation = {share}"))
            assert quick("validate", "own.toml", folder=tmp_path).returncode == 0
    assert bool(advised) == ("must hold every class" in rule)
    assert not (tmp_path / "hpo.db").exists()


def test_a_class_that_only_the_test_part_has_is_found_by_validate_and_show(tmp_path: Path) -> None:
    y, x = labels(10, 10), np.zeros((20, 4), np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:3], y_test=np.array([0, 1, 2]))
    (tmp_path / "own.toml").write_text(COMPARISON)
    rule = "y_test: labels must be among the training part's, 0..1, but got 2."
    for command in (["validate", "own.toml"], ["data", "show", "own.npz"]):
        assert rule in refused(quick(*command, folder=tmp_path), tmp_path)


def test_a_class_of_one_is_told_by_show(tmp_path: Path) -> None:
    y = labels(10, 1)
    np.savez(tmp_path / "own.npz", x_train=np.zeros((len(y), 4), np.float32), y_train=y)
    done = quick("data", "show", "own.npz", folder=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "Class 1 has 1 sample: every split needs 2.\n"
