"""People's own .npz files: their rules and remedies."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hpo import data
from hpo.errors import DataError
from tests.data.files import FLOAT, LABELS, error_of, save, spoil


def test_a_users_file_is_taken_as_it_is(tmp_path):
    x = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    name = save(tmp_path / "own.npz", x_train=x, y_train=LABELS[:, None], x_test=x[:2], y_test=LABELS[1:3])
    train, test = data.load_train(name), data.load_test(name)
    assert np.array_equal(train.x, x)
    assert np.array_equal(train.y, LABELS)
    assert (train.scale, train.classes, train.class_names, train.name) == (1 / 255, 3, (), name)
    assert (test.classes, test.sample_shape, test.y.tolist()) == (3, (4, 4), [1, 2])
    assert data.fetch(name) == Path(name)


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "int64", "uint16", "bool"])
def test_other_numbers_become_float32(dtype, tmp_path):
    x = (np.arange(18).reshape(6, 3) % 7).astype(dtype)
    train = data.load_train(save(tmp_path / "own.npz", x_train=np.asfortranarray(x), y_train=LABELS))
    assert (train.x.dtype, train.scale) == (np.dtype(np.float32), 1.0)
    assert np.array_equal(train.x, x.astype(np.float32))


def test_the_digest_tells_shape_dtype_and_bytes_apart(tmp_path):
    def digest(x, y=LABELS):
        return data.load_train(save(tmp_path / "own.npz", x_train=x, y_train=y)).digest

    bytes_ = np.zeros((6, 12), np.uint8)
    variants = [bytes_, bytes_.reshape(6, 3, 4), bytes_ + 1, FLOAT, FLOAT + 1]
    digests = [digest(x) for x in variants] + [digest(FLOAT, LABELS[::-1])]
    assert len(set(digests)) == len(digests)
    assert digest(FLOAT) == digest(FLOAT.astype(np.float64)) == digests[3]


BAD_ARRAYS = {
    "no x": ({"y_train": LABELS}, "", "must hold an array x_train, but got ['y_train']"),
    "no y": ({"x_train": FLOAT}, "", "must hold an array y_train"),
    "objects": ({"x_train": FLOAT.astype(object)}, " x_train", "real numbers, but got 'object'"),
    "complex": ({"x_train": FLOAT + 1j}, " x_train", "real numbers, but got 'complex64'"),
    "text": ({"x_train": FLOAT.astype(str)}, " x_train", "real numbers, but got '<U32'"),
    "one dimension": ({"x_train": FLOAT[:, 0]}, " x_train", "(6,). Use `x = x.reshape(len(x), -1)`."),
    "no dimension": ({"x_train": FLOAT[0, 0]}, " x_train", "must have shape (samples, features, ...)"),
    "no features": ({"x_train": FLOAT[:, :0]}, " x_train", "but got (6, 0)"),
    "lengths": ({"x_train": FLOAT[:5]}, "", "x_train and y_train must have the same length, but got (5, 6)"),
    "float labels": (
        {"y_train": LABELS / 1},
        " y_train",
        "'float64'. Convert it with `y = y.astype('int64')`.",
    ),
    "one-hot": ({"y_train": np.eye(3, dtype=int)[LABELS]}, " y_train", "but got (6, 3). One-hot rows"),
    "one class": ({"y_train": LABELS * 0}, " y_train", "must have at least two classes, but got 1"),
    "no samples": (
        {"x_train": FLOAT[:0], "y_train": LABELS[:0]},
        " y_train",
        "at least two classes, but got 0",
    ),
    "from one": (
        {"y_train": LABELS + 1},
        " y_train",
        "0..3 with every class present, but got 'no 0 (1 missing)'",
    ),
    "a gap": (
        {"y_train": LABELS * 2},
        " y_train",
        "0..4 with every class present, but got 'no 1, 3 (2 missing)'",
    ),
    "a huge gap": (
        {"y_train": LABELS.astype(np.uint64) * 2**62},
        " y_train",
        "'no 1, 2, 3, 4, 5, ... (9223372036854775806 missing)'. Number",
    ),
    "negative": ({"y_train": LABELS - 1}, " y_train", "labels must not be negative, but got -1"),
    "not finite": (
        {"x_train": np.where(np.eye(6, 3), [np.nan, np.inf, 1e300], 0.0)},
        " x_train",
        "values must be finite in float32, but got '3 that are not'",
    ),
}


@pytest.mark.parametrize(("arrays", "place", "rule"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_users_file_that_breaks_a_rule(arrays, place, rule, tmp_path):
    whole = {"x_train": FLOAT, "y_train": LABELS}
    name = save(tmp_path / "own.npz", **(arrays if rule.startswith("must hold") else whole | arrays))
    message = error_of(data.load_train, name)
    assert message.startswith(f"{name}{place}: ")
    assert rule in message


BAD_TESTS = {
    "none": ({}, "", "must have a test part"),
    "no labels": ({"x_test": FLOAT}, "", "must hold an array y_test"),
    "other shape": (
        {"x_test": FLOAT[:, :2], "y_test": LABELS},
        " x_test",
        "training part's shape (3,), but got (2,)",
    ),
    "unknown class": ({"x_test": FLOAT[:2], "y_test": np.array([0, 3])}, " y_test", "0..2, but got 3"),
    "lengths": ({"x_test": FLOAT, "y_test": LABELS[:2]}, "", "the same length, but got (6, 2)"),
}


@pytest.mark.parametrize(("arrays", "place", "rule"), BAD_TESTS.values(), ids=BAD_TESTS)
def test_a_test_part_that_breaks_a_rule(arrays, place, rule, tmp_path):
    name = save(tmp_path / "own.npz", x_train=FLOAT, y_train=LABELS, **arrays)
    assert data.load_train(name).classes == 3
    message = error_of(data.load_test, name)
    assert message.startswith(f"{name}{place}: ")
    assert rule in message


def truncated() -> bytes:
    file = io.BytesIO()
    np.savez(file, x_train=FLOAT, y_train=LABELS)
    return file.getvalue()[:-40]


def with_member(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("y_train.npy", npy(LABELS))
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_that_promises(shape: str) -> bytes:
    """The bytes of FLOAT under a header that claims another shape."""
    whole = npy(FLOAT)
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return whole[:10] + fields.ljust(117).encode() + whole[127:]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        pickle.dumps({"x_train": FLOAT}),
        npy(FLOAT),
        truncated(),
        with_member("x_train.npy", b"not an array"),
        with_member("x_train.npy", b""),
        with_member("x_train.npy", npy_that_promises("(10**15, 3)")),
        with_member("x_train.npy", npy_that_promises("(6, 3")),
    ],
    ids=["empty", "text", "pickle", "npy", "truncated", "no array", "empty member", "huge", "header"],
)
def test_a_file_that_is_no_npz(content, tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    assert error_of(data.load_train, str(path)).startswith(f"{path}: must be a whole .npz file, but got ")


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", npy_that_promises("(6, 999999999999999)"))
        archive.writestr("y_train.npy", npy(LABELS))
    message = error_of(data.load_train, str(path))
    assert message.startswith(f"{path}: must be a whole .npz file, but got 'Unable to allocate")


def test_load_train_does_not_read_the_test_part_of_a_users_file(tmp_path):
    x = np.zeros((6, 100), np.uint8)
    path = tmp_path / "own.npz"
    save(path, x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    spoil(path, "x_test")
    assert data.load_train(str(path)).sample_shape == (100,)
    assert "must be a whole .npz file" in error_of(data.load_test, str(path))


# ---------------------------------------------------------------------------------- remedies that work


def followed(name: str) -> str:
    """Do what the error of a file says, literally, and save it again; returns the file's name."""
    path, message = Path(name), ""
    for door in (data.load_train, data.load_test):
        try:
            door(name)
        except DataError as error:
            message = str(error)
            break
    code = re.search(r"`(.*)`", message).group(1)
    with np.load(path) as archive:
        held = dict(archive)
    found = {"numpy": np, **held}
    # The array that the error is about goes by its letter.
    part = "test" if f"{path} x_test" in message or f"{path} y_test" in message else "train"
    if "savez" not in code and "y_train, y_test" not in code:
        found |= {"x": held[f"x_{part}"], "y": held[f"y_{part}"]}
    exec(code, found)
    if "numpy.savez" in code:
        return str(path.with_name(f"{path.stem}-named.npz"))
    if "y_train, y_test" not in code:
        found |= {f"x_{part}": found["x"], f"y_{part}": found["y"]}
    return save(path, **{key: found[key] for key in held})


CLASSES = np.array(["setosa", "versicolor", "virginica"])[LABELS]
TEST = {"x_test": FLOAT[:4]}
REMEDIED = {
    "text": {"y_train": CLASSES},
    "bytes": {"y_train": CLASSES.astype("S")},
    "text in a column": {"y_train": CLASSES[:, None]},
    "dates": {"y_train": LABELS.astype("datetime64[D]")},
    "truth": {"y_train": LABELS > 0},
    "whole floats": {"y_train": LABELS / 1},
    "one-hot": {"y_train": np.eye(3)[LABELS]},
    "one-hot of integers": {"y_train": np.eye(3, dtype=int)[LABELS]},
    "one-hot of truth": {"y_train": np.eye(3, dtype=bool)[LABELS]},
    "from one": {"y_train": LABELS + 1},
    "a gap": {"y_train": LABELS * 2},
    "negative": {"y_train": LABELS - 1},
    "text, with a test part": {"y_train": CLASSES, **TEST, "y_test": CLASSES[2:]},
    "from one, with a test part": {"y_train": LABELS + 1, **TEST, "y_test": LABELS[:4] + 1},
    "a test part that is one-hot": {"y_train": LABELS, **TEST, "y_test": np.eye(3)[LABELS[:4]]},
    "features in a row": {"x_train": FLOAT[:, 0]},
    "features that are complex": {"x_train": FLOAT + 1j},
    "features that are text": {"x_train": FLOAT.astype(str)},
}


@pytest.mark.parametrize("arrays", REMEDIED.values(), ids=REMEDIED)
def test_a_remedy_makes_a_file_that_is_right_and_keeps_the_classes(arrays, tmp_path):
    whole = {"x_train": FLOAT, "y_train": LABELS}
    name = followed(save(tmp_path / "own.npz", **(whole | arrays)))
    given = (
        LABELS > 0
        if (whole | arrays)["y_train"].dtype == bool and (whole | arrays)["y_train"].ndim == 1
        else LABELS
    )
    assert data.load_train(name).y.tolist() == given.astype(int).tolist()
    if "x_test" in arrays:
        test = data.load_test(name)
        assert test.y.tolist() in (LABELS[2:].tolist(), LABELS[:4].tolist())


def test_labels_that_are_not_known_lead_to_the_next_error(tmp_path):
    name = save(tmp_path / "own.npz", x_train=FLOAT, y_train=np.where(LABELS > 1, np.nan, LABELS))
    assert "but got '2 that are not finite'" in error_of(data.load_train, name)
    assert "but got 'float64'" in error_of(data.load_train, followed(name))
    assert data.load_train(followed(name)).y.tolist() == [0, 1, 0, 1]


def test_a_class_that_only_the_test_part_has_stays_an_error_when_both_are_numbered(tmp_path):
    arrays = {"x_train": FLOAT[:2], "y_train": CLASSES[[0, 2]], **TEST, "y_test": CLASSES[:4]}
    name = followed(save(tmp_path / "own.npz", **arrays))
    assert "labels must be 0..2 with every class present" in error_of(data.load_train, name)


QUANTITIES = {
    "a price": LABELS + 0.5,
    "beyond what floats count": LABELS * 1e300,
    "soft labels": np.eye(3)[LABELS] * 0.9,
    "several labels": np.array([[1, 1, 0]] * 6),
    "complex": LABELS * 1j,
}


@pytest.mark.parametrize("y", QUANTITIES.values(), ids=QUANTITIES)
def test_what_is_no_class_gets_no_advice_to_cut_it(y, tmp_path):
    message = error_of(data.load_train, save(tmp_path / "own.npz", x_train=FLOAT, y_train=y))
    assert message.endswith(
        "Only one class for each sample can be learned in this version: no quantities, no sets of labels."
    )
    assert "astype" not in message


class Trap:
    """What a pickle may do when it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_objects_are_not_unpickled_and_told_how_to_become_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = np.array(["a", "b", "c"] * 2, dtype=object)
    y[0] = Trap()
    name = save(tmp_path / "own.npz", x_train=FLOAT, y_train=y)
    message = error_of(data.load_train, name)
    assert "objects are pickled, which is not read, but got 'object'" in message
    assert "`classes, y = numpy.unique(y.astype(str), return_inverse=True)`" in message
    assert not (tmp_path / "sprung").exists()
    y[0] = "a"
    found = {"numpy": np, "y": y}
    exec(re.search(r"`(.*)`", message).group(1), found)
    assert data.load_train(save(Path(name), x_train=FLOAT, y_train=found["y"])).y.tolist() == LABELS.tolist()


NAMED = {
    "capital": ("X", "y"),
    "scikit-learn": ("data", "target"),
    "images": ("train_images", "train_labels"),
    "capital parts": ("X_train", "Y_train"),
    "half right": ("x_train", "labels"),
}


@pytest.mark.parametrize(("x", "y"), NAMED.values(), ids=NAMED)
def test_arrays_of_other_names_are_named_with_how_to_save_them_again(x, y, tmp_path):
    name = save(tmp_path / "own.npz", **{x: FLOAT, y: LABELS, "feature_names": CLASSES})
    message = error_of(data.load_train, name)
    assert f"but got {sorted([x, y, 'feature_names'])}" in message
    assert data.load_train(followed(name)).y.tolist() == LABELS.tolist()


def test_other_names_of_both_parts(tmp_path):
    arrays = {"Xtrain": FLOAT, "ytrain": LABELS, "Xtest": FLOAT[:4], "ytest": LABELS[:4]}
    name = followed(save(tmp_path / "own.npz", **arrays))
    assert data.load_test(name).y.tolist() == LABELS[:4].tolist()


def test_of_many_names_the_first_are_told(tmp_path):
    name = save(tmp_path / "own.npz", **{f"array_{index:03}": LABELS for index in range(200)})
    message = error_of(data.load_train, name)
    assert "'array_011', '...']" in message
    assert "numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)" in message


def test_labels_are_read_without_their_samples(tmp_path):
    path = tmp_path / "own.npz"
    x = np.zeros((6, 10_000), np.uint8)
    save(path, x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    spoil(path, "x_train")
    spoil(path, "x_test")
    assert data.training_labels(str(path)).tolist() == LABELS.tolist()
    assert "must be a whole .npz file" in error_of(data.digest_of_test, str(path))


def test_the_digest_of_a_test_part_is_that_of_the_data_set(tmp_path):
    name = save(tmp_path / "own.npz", x_train=FLOAT, y_train=LABELS)
    assert data.digest_of_test(name) is None
    save(tmp_path / "own.npz", x_train=FLOAT, y_train=LABELS, x_test=FLOAT[:4], y_test=LABELS[:4])
    assert data.digest_of_test(name) == data.load_test(name).digest
    assert data.digest_of_test("digits") == data.load_test("digits").digest


def test_the_home_folder_and_variables_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINE", str(tmp_path))
    save(tmp_path / "own.npz", x_train=FLOAT, y_train=LABELS)
    for name in ("~/own.npz", "$MINE/own.npz", "${MINE}/own.npz"):
        assert data.load_train(name).y.tolist() == LABELS.tolist()
        assert data.fetch(name) == tmp_path / "own.npz"
    # What is there as it is written is meant.
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "$MINE.npz", x_train=FLOAT[:4], y_train=LABELS[:4])
    assert len(data.load_train("$MINE.npz").y) == 4
