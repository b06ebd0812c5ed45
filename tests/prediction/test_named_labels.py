"""Predictions for arrays whose labels have names, which an .npz file may hold as it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.prediction import predictions
from tests.tiny_studies import new_studies, worker_of


@pytest.mark.parametrize(
    "labels", [np.array(["low", "middle", "top"]), pytest.param(np.array([1, 2, 3]), marks=pytest.mark.slow)]
)
def test_labels_are_known_by_their_names(tmp_path: Path, labels: np.ndarray) -> None:
    random = np.random.default_rng(0)
    classes = np.arange(90) % 3
    x = (random.normal(size=(90, 4)) + classes[:, np.newaxis]).astype(np.float32)
    file = tmp_path / "own.npz"
    np.savez(file, x_train=x, y_train=labels[classes])
    table = {"name": "named", "kind": "search", "data": {"name": str(file)}, "trials": 1}
    table |= {"params": {"hidden_units": [8], "epochs": 30}, "space": {"learning_rate": [0.1]}}
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, table)
    worker_of(study).run(exit_when_idle=True)
    model = study.export(tmp_path / "m.keras")
    predicted = predictions(model, file)
    assert predicted.class_names == tuple(map(str, labels))
    assert predicted.labels is not None
    assert predicted.labels.tolist() == classes.tolist()
    frame = hpo.predict(model, file)
    assert frame["label"].tolist() == [str(labels[index]) for index in classes]
    np.savez(file, x_train=x, y_train=np.eye(3)[classes])
    one_hot = predictions(model, file).labels
    assert one_hot is not None
    assert one_hot.tolist() == classes.tolist()
    for unknown in (np.full(90, 7), np.ones((90, 2))):
        np.savez(file, x_train=x, y_train=unknown)
        assert predictions(model, file).labels is None


@pytest.mark.slow
def test_a_frame_whose_columns_are_numbers_is_predicted_as_it_was_trained(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(60, 3)))
    target = pd.Series(np.where(frame[0] > 0, "yes", "no"), name="ill")
    table = {"name": "frame", "kind": "search", "trials": 1, "data": {"validation": 0.2}}
    table |= {"params": {"hidden_units": [4], "epochs": 2}, "space": {"learning_rate": [0.1]}}
    study = hpo.create_study(
        table, data=(frame, target), storage=f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "kept"
    )
    worker_of(study).run(exit_when_idle=True)
    predicted = hpo.predict(study.export(tmp_path / "m.keras"), frame)
    assert set(predicted["class"]) <= {"yes", "no"}
    assert len(predicted) == 60
