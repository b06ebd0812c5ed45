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


# Of version 0.1, which knew no other targets.
OLD_DIGESTS = {
    ("bytes", "three"): "8a7e44f3741ac7cd29503dd9155de5b1405b953aec0fb2b5aaf4a26eb011a80c",
    ("bytes", "two"): "f671b2da6108f7a853516af29b531a88344d8be603597312cd28b910895d2986",
    ("bytes", "thirty"): "20ff05cc68a83e086c001a3afeb7bdf10c95ebe614d6158025ea4f3822067077",
    ("floats", "three"): "88a99bb68ffff6e466c3bb18d7ca4e4998d853ff524057ab578634b889d2dc42",
    ("floats", "two"): "d937f4f2cf3f871670bf9e07f48bbd97a971d5202b6c1a8dbbd9b916e0a54e21",
    ("floats", "thirty"): "f683f7bdd660ef33e2a813d76172c924549a63fb6193b152236b9fbf3b0fa6f3",
}


@pytest.mark.parametrize(("samples", "labels"), OLD_DIGESTS)
def test_what_version_0_1_took_is_the_same_to_this_one(samples, labels, tmp_path):
    rng = np.random.default_rng(7)
    of_bytes, of_floats = rng.integers(0, 256, (40, 4, 4)).astype(np.uint8), rng.integers(-9, 9, (40, 3)) / 4
    x = of_bytes if samples == "bytes" else of_floats
    rows = np.arange(40)
    y = {"three": rows % 3, "two": (rows % 2)[:, None].astype(np.uint8), "thirty": (rows % 30).astype("i2")}
    dataset = data.load_train(save(tmp_path / "own.npz", x_train=x, y_train=y[labels]))
    assert dataset.digest == OLD_DIGESTS[samples, labels]
    assert (dataset.task_name, dataset.class_names, dataset.said) == ("multi-class", (), "")
    assert dataset.y.dtype == np.int64
    assert np.array_equal(dataset.y, y[labels].reshape(-1))


ROWS = np.arange(60)
THREE, TWO = ROWS % 3, ROWS % 2
LEARNED = {
    "text": (np.array(["b", "c", "a"])[THREE], "multi-class", ("a", "b", "c"), [1, 2, 0]),
    "text in a column": (np.array(["b", "a"])[TWO][:, None], "binary", ("a", "b"), [1, 0, 1]),
    "bytes": (np.array(["b", "\u00fc"])[TWO], "binary", ("b", "\u00fc"), [0, 1, 0]),
    "truth": (TWO == 0, "binary", ("False", "True"), [1, 0, 1]),
    "from one": (THREE + 1, "multi-class", ("1", "2", "3"), [0, 1, 2]),
    "a hundred from one": (
        np.tile(np.arange(1, 101), 3),
        "multi-class",
        tuple(map(str, range(1, 101))),
        [0, 1, 2],
    ),
    "a gap": (THREE * 10, "multi-class", ("0", "10", "20"), [0, 1, 2]),
    "negative": (1 - TWO * 2, "binary", ("-1", "1"), [1, 0, 1]),
    "huge": (THREE.astype(np.uint64) * 2**62, "multi-class", ("0", str(2**62), str(2**63)), [0, 1, 2]),
    "big-endian": ((THREE + 1).astype(">i4"), "multi-class", ("1", "2", "3"), [0, 1, 2]),
    "whole floats": (THREE / 1, "multi-class", ("0", "1", "2"), [0, 1, 2]),
    "half floats": ((TWO + 1).astype(np.float16), "binary", ("1", "2"), [0, 1, 0]),
    "one-hot": (np.eye(3)[THREE], "multi-class", ("0", "1", "2"), [0, 1, 2]),
    "one-hot of truth": (np.eye(3, dtype=bool)[THREE], "multi-class", ("0", "1", "2"), [0, 1, 2]),
    "one-hot of two": (np.eye(2, dtype=int)[TWO], "binary", ("0", "1"), [0, 1, 0]),
    "one-hot without one": (np.eye(4)[THREE + 1], "multi-class", ("1", "2", "3"), [0, 1, 2]),
    "labels": (
        np.array([[1, 1, 0], [0, 0, 0]])[TWO],
        "multi-label",
        ("y0", "y1", "y2"),
        [[1, 1, 0], [0] * 3],
    ),
    "labels of truth": (np.array([[1, 1], [0, 1]])[TWO] > 0, "multi-label", ("y0", "y1"), [[1, 1], [0, 1]]),
    "a price": (ROWS + 0.5, "regression", ("y",), [[0.5], [1.5], [2.5]]),
    "whole prices": (ROWS**2, "regression", ("y",), [[0], [1], [4]]),
    "two prices": (np.stack([ROWS / 4, -ROWS], axis=1), "regression", ("y0", "y1"), [[0, 0], [0.25, -1]]),
    "soft labels": (np.eye(2)[TWO] * 0.9, "regression", ("y0", "y1"), [[0.9, 0], [0, 0.9]]),
}


@pytest.mark.parametrize(("y", "task", "names", "first"), LEARNED.values(), ids=LEARNED)
def test_any_targets_are_learned_and_a_line_says_as_what(y, task, names, first, tmp_path, request):
    if "bytes" in request.node.name:
        y = np.char.encode(y, "utf-8")
    x = np.zeros((len(y), 2))
    name = save(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    train, test = data.load_train(name), data.load_test(name)
    assert (train.task_name, train.names, train.classes) == (task, names, len(names))
    assert np.allclose(train.y[: len(first)], first)
    assert np.array_equal(test.y, train.y[:3])
    assert test.class_names == train.class_names == names
    is_class = task in ("binary", "multi-class")
    assert train.y.dtype == (np.int64 if is_class else np.float32)
    assert train.y.shape == (len(y),) if is_class else (len(y), len(names))
    assert train.said.startswith(f"task: {task}, since ")
    assert "\n" not in train.said
    told = data.load_train(name, task=task)
    assert (told.digest, told.said, told.names) == (train.digest, "", names)
    labels, _ = data.load_labels(name)
    assert (labels.task_name, labels.names, labels.y.tolist()) == (task, names, train.y.tolist())


STATED = {
    "grades": (THREE, "regression", ("y",), [[0], [1], [2]]),
    "two classes": (TWO, "binary", (), [0, 1, 0]),
    "classes": (THREE, "multi-class", (), [0, 1, 2]),
    "rows that are labels": (np.eye(2)[TWO], "multi-label", ("y0", "y1"), [[1, 0], [0, 1], [1, 0]]),
    "one label": (TWO, "multi-label", ("y",), [[0], [1], [0]]),
    "two numbers": (TWO + 7, "multi-class", ("7", "8"), [0, 1, 0]),
    "many classes": (ROWS % 30 * 2, "multi-class", tuple(str(2 * index) for index in range(30)), [0, 1, 2]),
}


@pytest.mark.parametrize(("y", "task", "names", "first"), STATED.values(), ids=STATED)
def test_a_task_can_be_stated(y, task, names, first, tmp_path):
    name = save(tmp_path / "own.npz", x=np.zeros((60, 2)), y=y)
    dataset = data.load_train(name, task=task)
    assert (dataset.task_name, dataset.class_names, dataset.said) == (task, names, "")
    assert dataset.y[:3].tolist() == first


MISSTATED = {
    "text": (np.array(["a", "b", "c"])[THREE], "regression", "must be numbers for task 'regression'"),
    "three classes": (THREE, "binary", "must have two classes for task 'binary', but got 3"),
    "three classes of rows": (
        np.eye(3)[THREE],
        "binary",
        "must have two classes for task 'binary', but got 3",
    ),
    "quantities": (ROWS + 0.5, "multi-class", "must have fewer classes than rows, by far, but got '60 in 60"),
    "numbers": (THREE, "multi-label", "must say yes or no (1 or 0, true or false) for task 'multi-label'"),
}


@pytest.mark.parametrize(("y", "task", "rule"), MISSTATED.values(), ids=MISSTATED)
def test_a_task_that_the_targets_are_not_of(y, task, rule, tmp_path):
    name = save(tmp_path / "own.npz", x=np.zeros((60, 2)), y=y)
    assert rule in error_of(data.load_train, name, task=task)
    assert rule in error_of(data.load_labels, name, task=task)


NEW_IN_THE_TEST_PART = {
    "text": (np.array(["a", "b"])[LABELS % 2], np.array(["a", "c"]), "classes, a, b, but got 'c in row 2'"),
    "from one": (LABELS + 1, np.array([1, 4]), "classes, 1, 2, 3, but got '4 in row 2'"),
    "rows": (np.eye(4)[LABELS], np.eye(4)[[0, 3]], "classes, 0, 1, 2, but got '3 in row 2'"),
    "rows with two": (
        np.eye(3)[LABELS],
        np.ones((2, 3)),
        "one 1, as in the training part, but got [1.0, 1.0",
    ),
    "none": (LABELS + 0.5, np.array([0.5, np.nan]), "finite value for every sample, but got '1 without"),
    "columns": (np.stack([LABELS / 4] * 2, axis=1), np.ones((2, 3)), "shape (samples, 2), but got (2, 3)"),
}


@pytest.mark.parametrize(("y", "y_test", "rule"), NEW_IN_THE_TEST_PART.values(), ids=NEW_IN_THE_TEST_PART)
def test_a_test_part_that_has_what_the_training_part_has_not(y, y_test, rule, tmp_path):
    name = save(tmp_path / "own.npz", x=FLOAT, y=y, x_test=FLOAT[:2], y_test=y_test)
    for door in (data.load_test, data.digest_of_test, data.load_labels):
        message = error_of(door, name)
        assert message.startswith((f"{name} y_test: ", f"{name}: target 'y_test': "))
        assert rule in message
    assert len(data.load_train(name)) == 6


def test_a_test_part_of_one_quantity_need_not_vary(tmp_path):
    name = save(tmp_path / "own.npz", x=FLOAT, y=LABELS + 0.5, x_test=FLOAT[:1], y_test=[2.25])
    assert data.load_test(name).y.tolist() == [[2.25]]


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
    "one class": ({"y_train": LABELS * 0}, "", "target 'y_train': must have at least two classes"),
    "one class of text": ({"y_train": np.array(["a"] * 6)}, "", "at least two classes, but got 'only a'"),
    "one class of rows": ({"y_train": np.eye(3)[LABELS * 0]}, "", "at least two classes, but got 'only 0'"),
    "one quantity": ({"y_train": np.full((6, 2), [0.5, 1.5])}, "", "must vary, but got '0.5 in every row'"),
    "no samples": ({"x_train": FLOAT[:0], "y_train": LABELS[:0]}, " y_train", "must have samples, but got 0"),
    "complex targets": ({"y_train": LABELS * 1j}, " y_train", "but got 'complex numbers'. Make columns of"),
    "spans of time": ({"y_train": LABELS.astype("m8[s]")}, " y_train", "but got 'spans of time'. Save their"),
    "fields": ({"y_train": np.zeros(6, "i4,f4")}, " y_train", "but got 'a structured array'. Save one"),
    "targets in a cube": (
        {"y_train": np.zeros((6, 2, 2))},
        " y_train",
        "(samples, targets), but got (6, 2, 2)",
    ),
    "no target": ({"y_train": np.zeros((6, 0))}, " y_train", "(samples, targets), but got (6, 0)"),
    "targets that are not known": (
        {"y_train": np.where(LABELS > 1, np.nan, LABELS)},
        " y_train",
        "a finite value for every sample, but got '2 without, the first in row 3'. Leave those out: `known",
    ),
    "text that is empty": (
        {"y_train": np.array(["a", "", "b"] * 2)},
        "",
        "must have a value in every row, but got 'none in row 2 and 1 more'",
    ),
    "beyond float32": (
        {"y_train": LABELS * 1e300},
        "",
        "must be finite in float32, but got '1e+300 in row 2",
    ),
    "text among quantities": (
        {"y_train": np.array([["1.5", "a"]] * 6)},
        "",
        "must all be numbers, or all say",
    ),
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
    "no labels": ({"x_test": FLOAT}, "", "must hold an array y_test. Add y_test to the file."),
    "other shape": (
        {"x_test": FLOAT[:, :2], "y_test": LABELS},
        " x_test",
        "training part's shape (3,), but got (2,)",
    ),
    "unknown class": (
        {"x_test": FLOAT[:2], "y_test": np.array([0, 3])},
        " y_test",
        "must be among the training part's classes, 0, 1, 2, but got '3 in row 2'. Add training rows",
    ),
    "rows for indices": (
        {"x_test": FLOAT, "y_test": np.eye(3)[LABELS]},
        " y_test",
        "must have the training part's shape (samples,), but got (6, 3)",
    ),
    "no targets": ({"y_test": LABELS}, "", "must hold an array x_test"),
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
REMEDIED = {
    "not known": {"y_train": np.array([0.5, 1, np.nan, 2, 3, np.inf])},
    "rows that are not known": {"y_train": np.where(np.eye(6, 2), np.nan, np.arange(12).reshape(6, 2))},
    "complex targets": {"y_train": (1 + LABELS) * (0.5 + 2j)},
    "spans of time": {"y_train": np.arange(6).astype("m8[h]")},
    "features in a row": {"x_train": FLOAT[:, 0]},
    "features that are complex": {"x_train": FLOAT + 1j},
    "features that are text": {"x_train": FLOAT.astype(str)},
}


@pytest.mark.parametrize("arrays", REMEDIED.values(), ids=REMEDIED)
def test_a_remedy_makes_a_file_that_is_right(arrays, tmp_path):
    whole = {"x_train": FLOAT, "y_train": LABELS}
    name = followed(save(tmp_path / "own.npz", **(whole | arrays)))
    dataset = data.load_train(name)
    assert len(dataset.x) == len(dataset.y) >= 4
    assert dataset.task_name == ("regression" if "y_train" in arrays else "multi-class")


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
    assert message == (
        f"{name} y_train: must be numbers, text or truth values, but got 'objects, which are pickled, and"
        " that is not read'. Save text with `y = y.astype(str)`, numbers with `y = y.astype('float64')`."
    )
    assert not (tmp_path / "sprung").exists()
    y[0] = "a"
    assert (
        data.load_train(save(Path(name), x_train=FLOAT, y_train=y.astype(str))).y.tolist() == LABELS.tolist()
    )


NAMED = {
    "scikit-learn": ("data", "target"),
    "images": ("train_images", "train_labels"),
    "half right": ("x_train", "labels"),
}


@pytest.mark.parametrize(("x", "y"), NAMED.values(), ids=NAMED)
def test_arrays_of_other_names_are_named_with_how_to_save_them_again(x, y, tmp_path):
    name = save(tmp_path / "own.npz", **{x: FLOAT, y: LABELS, "feature_names": CLASSES})
    message = error_of(data.load_train, name)
    assert f"but got {sorted([x, y, 'feature_names'])}" in message
    assert data.load_train(followed(name)).y.tolist() == LABELS.tolist()


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("X", "y"), ("X_train", "Y_train")])
def test_plain_names_and_capitals_are_understood(x, y, tmp_path):
    arrays = {x: FLOAT, y: LABELS, "x_test": FLOAT[:2], "y_test": LABELS[:2], "feature_names": CLASSES}
    name = save(tmp_path / "own.npz", **arrays)
    assert data.load_train(name).y.tolist() == LABELS.tolist()
    assert data.load_test(name).y.tolist() == LABELS[:2].tolist()
    message = error_of(data.load_train, save(tmp_path / "own.npz", **{x: FLOAT, y: LABELS[:5]}))
    assert f"{x} and {y} must have the same length, but got (6, 5)" in message


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
    assert data.load_labels(str(path))[0].y.tolist() == LABELS.tolist()
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
