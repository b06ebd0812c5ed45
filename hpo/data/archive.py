"""Reading and writing .npz files; the rules for a user's own."""

from __future__ import annotations

import contextlib
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpo.data.catalog import KEYS, Arrays
from hpo.data.labels import check_known, check_label_header, class_indices, count_classes
from hpo.errors import DataError
from hpo.files import whole_file

# What numpy, zipfile, tarfile, gzip, json and Pillow raise when bytes are damaged.
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    tokenize.TokenError,
)
Header = tuple[tuple[int, ...], np.dtype]
# Under these names people save samples and labels too.
OTHER_NAMES = (
    ("x", "y"),
    ("X", "y"),
    ("X", "Y"),
    ("X_train", "y_train"),
    ("data", "target"),
    ("data", "labels"),
    ("images", "labels"),
    ("features", "labels"),
)


def read_arrays(path: Path, keys: Iterable[str]) -> Arrays:
    """The arrays under `keys`, and no others. Raises one of `DAMAGE` if they cannot be read."""
    _require_zip(path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in keys}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands out other members as bytes
            raise ValueError(f"{key} is not an array")
    return arrays


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz that is either whole or not there, whatever happens. Raises DataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, replace=True) as draft, draft.open("xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(str(path), "must be writable", got=explain(error)) from None


def has_test_part(path: Path) -> bool:
    """Whether a user's file has arrays of a test part. Raises DataError if it cannot be read."""
    with _explained(path):
        return bool({"x_test", "y_test"} & _headers(path, "test").keys())


@dataclass(frozen=True)
class Labels:
    """The labels of a training part, and how many its test part has; None without one."""

    y: np.ndarray
    test_samples: int | None


def read_labels(path: Path) -> Labels:
    """The labels of a user's file, those of both parts checked. Reads no samples.

    Raises DataError with the first rule the file breaks.
    """
    with _explained(path):
        headers = _headers(path, "test")
        parts = ["train", *(["test"] if {"x_test", "y_test"} & headers.keys() else [])]
        for part in parts:
            _check_headers(path, part, headers)
        arrays = read_arrays(path, [f"y_{part}" for part in parts])
    found = {part: _labels(path, part, arrays)[0] for part in parts}
    return Labels(found["train"], len(found["test"]) if "test" in found else None)


def read_user(path: Path, part: str) -> tuple[np.ndarray, np.ndarray, int]:
    """(x, y, classes) of the `part` "train" or "test" of a user's file; x is uint8 or float32.

    Raises DataError with the first rule the file breaks.
    """
    with _explained(path):
        _check_headers(path, part, _headers(path, part))
        arrays = read_arrays(path, dict.fromkeys((f"x_{part}", f"y_{part}", "y_train")))
    y, classes = _labels(path, part, arrays)
    return _as_stored(f"{path} x_{part}", arrays[f"x_{part}"]), y.astype(np.int64), classes


def _labels(path: Path, part: str, arrays: Arrays) -> tuple[np.ndarray, int]:
    """The labels of a part, and how many classes the training part has."""
    trained = class_indices(f"{path} y_train", arrays["y_train"])
    classes = count_classes(f"{path} y_train", trained)
    if part == "train":
        return trained, classes
    y = class_indices(f"{path} y_{part}", arrays[f"y_{part}"])
    check_known(f"{path} y_{part}", y, classes)
    return y, classes


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into a DataError."""
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    except DAMAGE as error:
        remedy = "Save it again with numpy.savez."
        raise DataError(str(path), "must be a whole .npz file", got=explain(error), remedy=remedy) from None


def explain(error: BaseException) -> str:
    """The error in one short line."""
    text = " ".join(str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error).split())
    return text[:160] or type(error).__name__


def _require_zip(path: Path) -> None:
    # numpy would take any other file for a pickle, and answer with advice to allow pickles.
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise zipfile.BadZipFile("no zip archive, or a truncated one")


def _headers(path: Path, part: str) -> dict[str, Header]:
    """The headers of those of the training part's arrays and of the part's own that are there.

    Of a file without any, those of all its arrays.
    """
    _require_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        wanted = [name for name in names if name in KEYS and name.endswith(("_train", f"_{part}"))]
        return {name: _header(archive, name) for name in (wanted if set(names) & set(KEYS) else names)}


def _header(archive: zipfile.ZipFile, key: str) -> Header:
    with archive.open(f"{key}.npy") as member:
        old = np.lib.format.read_magic(member) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return shape, dtype


def _check_headers(path: Path, part: str, headers: dict[str, Header]) -> None:
    if part == "test" and not {"x_test", "y_test"} & headers.keys():
        remedy = "Add x_test and y_test to the file."
        raise DataError(str(path), "must have a test part", got=sorted(headers), remedy=remedy)
    for key in dict.fromkeys(("x_train", "y_train", f"x_{part}", f"y_{part}")):
        if key not in headers:
            rule = f"must hold an array {key}"
            raise DataError(str(path), rule, got=sorted(headers), remedy=_saving(headers))
        check = _check_x if key.startswith("x_") else check_label_header
        check(f"{path} {key}", *headers[key])
    samples, labels = headers[f"x_{part}"][0], headers[f"y_{part}"][0]
    if samples[0] != labels[0]:
        rule = f"x_{part} and y_{part} must have the same length"
        raise DataError(str(path), rule, got=(samples[0], labels[0]))
    expected = headers["x_train"][0][1:]
    if samples[1:] != expected:
        rule = f"samples must have the training part's shape {expected}"
        raise DataError(f"{path} x_{part}", rule, got=samples[1:])


def _saving(headers: dict[str, Header]) -> str:
    """How to save a file anew under the names that are wanted."""
    for x, y in OTHER_NAMES:
        if {x, y} <= headers.keys():
            return f"Save it again: numpy.savez(path, x_train=a[{x!r}], y_train=a[{y!r}])."
    return "Save it with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."


def _check_x(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        remedy = "Convert it with x.astype('float32')."
        raise DataError(place, "must be an array of real numbers", got=str(dtype), remedy=remedy)
    if len(shape) < 2 or 0 in shape[1:]:
        remedy = "Use x.reshape(len(x), -1)." if len(shape) < 2 else ""
        raise DataError(place, "must have shape (samples, features, ...)", got=shape, remedy=remedy)


def _as_stored(place: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if bad := int(x.size - np.count_nonzero(np.isfinite(x))):
        remedy = "Remove or replace NaN and infinite values."
        raise DataError(place, "values must be finite in float32", got=f"{bad} that are not", remedy=remedy)
    return x
