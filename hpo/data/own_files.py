"""People's own .npz files: what they must hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hpo.data.archive import DAMAGE, Header, explain, member_names, read_arrays, read_header
from hpo.data.catalog import KEYS
from hpo.data.labels import check_classes, check_kind, class_indices, numbering
from hpo.data.naming import saving
from hpo.errors import DataError

SHOWN_NAMES = 12


def read_own(path: Path, part: str) -> tuple[np.ndarray, np.ndarray, int]:
    """(x, y, classes) of the `part` "train" or "test"; x is uint8 or float32.

    Raises DataError with the first rule the file breaks.
    """
    with _told(path):
        y, classes = _labels(path, part)
        (x,) = read_arrays(path, [f"x_{part}"]).values()
    return _as_stored(f"{path} x_{part}", x), y, classes


def read_labels(path: Path, part: str) -> tuple[np.ndarray, int]:
    """(y, classes) of a part, without its samples; else as `read_own`."""
    with _told(path):
        return _labels(path, part)


def has_test_part(path: Path) -> bool:
    """Whether a file has a test part, or some of it. Raises DataError."""
    with _told(path):
        return bool({"x_test", "y_test"} & set(member_names(path)))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    except DAMAGE as error:
        remedy = "Save it again with numpy.savez."
        raise DataError(str(path), "must be a whole .npz file", got=explain(error), remedy=remedy) from None


def _labels(path: Path, part: str) -> tuple[np.ndarray, int]:
    names = member_names(path)
    _check_names(path, part, names)
    needed = [key for key in KEYS if key.endswith(("_train", f"_{part}"))]
    headers = {key: read_header(path, key) for key in needed}
    remedy = numbering(with_test="y_test" in names)
    for key, (shape, dtype) in headers.items():
        if key.startswith("x_"):
            _check_samples(f"{path} {key}", shape, dtype)
        else:
            check_kind(f"{path} {key}", dtype, numbering=remedy)
    arrays = read_arrays(path, [key for key in needed if key.startswith("y_")])
    labels = {key: class_indices(f"{path} {key}", y) for key, y in arrays.items()}
    for one in dict.fromkeys(("train", part)):
        _check_lengths(path, one, headers)
    classes = check_classes(f"{path} y_train", labels["y_train"], numbering=remedy)
    y = labels[f"y_{part}"]
    if y.size and not 0 <= y.min() <= y.max() < classes:
        wrong = y[(y < 0) | (y >= classes)][0]
        rule = f"labels must be among the training part's, 0..{classes - 1}"
        remedy = "Add training samples of that class, or leave out its test samples."
        raise DataError(f"{path} y_{part}", rule, got=int(wrong), remedy=remedy)
    return y.astype(np.int64), classes


def _check_names(path: Path, part: str, names: list[str]) -> None:
    shown = names[:SHOWN_NAMES] + ["..."] * (len(names) > SHOWN_NAMES)
    if part == "test" and not {"x_test", "y_test"} & set(names):
        remedy = "Add x_test and y_test to the file."
        raise DataError(str(path), "must have a test part", got=shown, remedy=remedy)
    for key in dict.fromkeys(("x_train", "y_train", f"x_{part}", f"y_{part}")):
        if key not in names:
            remedy = saving(path, names) if key.endswith("_train") else f"Add {key} to the file."
            raise DataError(str(path), f"must hold an array {key}", got=shown, remedy=remedy)


def _check_samples(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        remedies = {
            "O": "Convert it with `x = x.astype('float32')`.",
            "U": "Convert numbers with `x = x.astype('float32')`; categories need columns of 0 and 1.",
            "c": "Keep both parts with `x = numpy.stack([x.real, x.imag], axis=-1)`.",
        }
        remedy = remedies.get("U" if dtype.kind == "S" else dtype.kind, "")
        raise DataError(place, "must be an array of real numbers", got=str(dtype), remedy=remedy)
    if len(shape) < 2 or 0 in shape[1:]:
        remedy = "Use `x = x.reshape(len(x), -1)`." if len(shape) == 1 else ""
        raise DataError(place, "must have shape (samples, features, ...)", got=shape, remedy=remedy)


def _check_lengths(path: Path, part: str, headers: dict[str, Header]) -> None:
    samples, labels = headers[f"x_{part}"][0], headers[f"y_{part}"][0]
    if samples[0] != labels[0]:
        rule = f"x_{part} and y_{part} must have the same length"
        raise DataError(str(path), rule, got=(samples[0], labels[0]))
    expected = headers["x_train"][0][1:]
    if samples[1:] != expected:
        rule = f"samples must have the training part's shape {expected}"
        raise DataError(f"{path} x_{part}", rule, got=samples[1:])


def _as_stored(place: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if bad := int(x.size - np.count_nonzero(np.isfinite(x))):
        remedy = "Remove or replace NaN and infinite values."
        raise DataError(place, "values must be finite in float32", got=f"{bad} that are not", remedy=remedy)
    return x
