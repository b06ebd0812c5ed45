"""An .npy file of samples, and those of targets and of a test part that are found beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpo import data
from hpo.spec import load
from tests.data.files import FLOAT, LABELS, error_of

NAMES = {
    "x": ("x", "y", "x_test", "y_test"),
    "capital": ("X", "y", "X_test", "y_test"),
    "capitals": ("X_train", "Y_train", "X_test", "Y_test"),
    "parts": ("x_train", "y_train", "x_test", "y_test"),
    "part first": ("train_x", "train_y", "test_x", "test_y"),
    "named": ("max-flux_x_train", "max-flux_y_train", "max-flux_x_test", "max-flux_y_test"),
}


@pytest.mark.parametrize(("x", "y", "x_test", "y_test"), NAMES.values(), ids=NAMES)
def test_targets_and_a_test_part_are_found_beside_the_samples(x, y, x_test, y_test, tmp_path):
    np.save(tmp_path / f"{x}.npy", FLOAT)
    np.save(tmp_path / f"{y}.npy", LABELS)
    name = str(tmp_path / f"{x}.npy")
    train = data.load_train(name)
    assert (train.y.tolist(), train.task_name, train.class_names) == (LABELS.tolist(), "multi-class", ())
    assert data.digest_of_test(name) is None
    np.save(tmp_path / f"{x_test}.npy", FLOAT[:2])
    np.save(tmp_path / f"{y_test}.npy", LABELS[1:3])
    assert data.load_test(name).y.tolist() == [1, 2]
    assert data.digest_of_test(name) == data.load_test(name).digest
    assert data.load_labels(name)[0].y.tolist() == LABELS.tolist()


def test_they_are_the_data_of_an_npz_file_with_the_same_arrays(tmp_path):
    text = np.array(["b", "a", "b", "a", "b", "a"])
    np.save(tmp_path / "x.npy", FLOAT)
    np.save(tmp_path / "y.npy", text)
    np.savez(tmp_path / "both.npz", x=FLOAT, y=text)
    pair, both = (data.load_train(str(tmp_path / name)) for name in ("x.npy", "both.npz"))
    assert (pair.digest, pair.names, pair.said) == (both.digest, both.names, both.said)


def test_a_study_file_names_them_by_the_samples(tmp_path):
    np.save(tmp_path / "x.npy", FLOAT)
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "study.toml").write_text(
        'name = "own"\nkind = "search"\ntrials = 1\n'
        'data = { name = "x.npy" }\n[space]\ndropout = [0.1, 0.2]\n'
    )
    assert data.load_train(load(tmp_path / "study.toml").data).y.tolist() == LABELS.tolist()


def refused(folder: Path, name: str, **arrays: object) -> str:
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array)
    message = error_of(data.load_train, str(folder / name))
    return message.replace(f"{folder}/", "")


def test_what_breaks_a_rule_is_told_in_one_line(tmp_path):
    rule = "must have x in its name, by which its targets are found. Name it x.npy, and that of the targets"
    assert f"samples.npy: {rule}" in refused(tmp_path, "samples.npy", samples=FLOAT)
    assert f"y.npy: {rule}" in refused(tmp_path, "y.npy", y=LABELS)
    message = refused(tmp_path, "mine_x.npy", mine_x=FLOAT)
    assert message == (
        "mine_x.npy: must have its targets in a file beside it. "
        "Save them as mine_y.npy, or both in one .npz file."
    )
    message = refused(tmp_path, "x.npy", x=FLOAT, y=LABELS[:4])
    assert message == "x.npy: x and y must have the same length, but got (6, 4)."
    objects = np.array(["a", None] * 3, dtype=object)
    assert "y.npy: must be numbers, text or truth values, but got 'objects, which are" in refused(
        tmp_path, "x.npy", y=objects
    )
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-5])
    np.save(tmp_path / "x.npy", FLOAT)
    assert "y.npy: must be a whole .npy file, but got " in refused(tmp_path, "x.npy")
    (tmp_path / "x.npy").write_text("no array")
    assert "x.npy: must be a whole .npy file, but got " in refused(tmp_path, "x.npy")


def test_half_a_test_part_is_told(tmp_path):
    for key, array in {"x": FLOAT, "y": LABELS, "x_test": FLOAT}.items():
        np.save(tmp_path / f"{key}.npy", array)
    message = error_of(data.load_test, str(tmp_path / "x.npy"))
    assert message == f"{tmp_path}/x.npy: must hold an array y_test. Save y_test beside it."
