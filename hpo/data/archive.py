"""Reading and writing .npz files; the rules for a user's own."""

from __future__ import annotations

import os
import secrets
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hpo.data.catalog import KEYS, Arrays
from hpo.errors import DataError

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
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(str(path), "must be writable", got=explain(error)) from None


def read_user(path: Path, part: str) -> tuple[np.ndarray, np.ndarray, int]:
    """(x, y, classes) of the `part` "train" or "test" of a user's file; x is uint8 or float32.

    Raises DataError with the first rule the file breaks.
    """
    try:
        _check_headers(path, part, _headers(path, part))
        arrays = read_arrays(path, dict.fromkeys((f"x_{part}", f"y_{part}", "y_train")))
    except PermissionError as error:
        raise DataError(str(path), "must be readable", got=explain(error)) from None
    except DAMAGE as error:
        remedy = "Save it again with numpy.savez."
        raise DataError(str(path), "must be a whole .npz file", got=explain(error), remedy=remedy) from None
    classes = _check_classes(f"{path} y_train", arrays["y_train"])
    y = arrays[f"y_{part}"].reshape(-1)
    if y.size and not 0 <= y.min() <= y.max() < classes:
        wrong = y[(y < 0) | (y >= classes)][0]
        rule = f"labels must be among the training part's, 0..{classes - 1}"
        raise DataError(f"{path} y_{part}", rule, got=int(wrong))
    return _as_stored(f"{path} x_{part}", arrays[f"x_{part}"]), y.astype(np.int64), classes


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
    """Headers of those of the training part's arrays and of the part's own that are there."""
    _require_zip(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        keys = [key for key in KEYS if key.endswith(("_train", f"_{part}"))]
        return {key: _header(archive, key) for key in keys if f"{key}.npy" in names}


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
            remedy = "Save it with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
            raise DataError(str(path), f"must hold an array {key}", got=sorted(headers), remedy=remedy)
        check = _check_x if key.startswith("x_") else _check_y
        check(f"{path} {key}", *headers[key])
    samples, labels = headers[f"x_{part}"][0], headers[f"y_{part}"][0]
    if samples[0] != labels[0]:
        rule = f"x_{part} and y_{part} must have the same length"
        raise DataError(str(path), rule, got=(samples[0], labels[0]))
    expected = headers["x_train"][0][1:]
    if samples[1:] != expected:
        rule = f"samples must have the training part's shape {expected}"
        raise DataError(f"{path} x_{part}", rule, got=samples[1:])


def _check_x(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        remedy = "Convert it with x.astype('float32')."
        raise DataError(place, "must be an array of real numbers", got=str(dtype), remedy=remedy)
    if len(shape) < 2 or 0 in shape[1:]:
        remedy = "Use x.reshape(len(x), -1)." if len(shape) < 2 else ""
        raise DataError(place, "must have shape (samples, features, ...)", got=shape, remedy=remedy)


def _check_y(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind not in "iu":
        remedy = "Convert it with y.astype('int64')."
        raise DataError(place, "must be an array of integer class indices", got=str(dtype), remedy=remedy)
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
        remedy = "One-hot rows become indices with y.argmax(axis=1)."
        raise DataError(place, "must have shape (samples,)", got=shape, remedy=remedy)


def _check_classes(place: str, y: np.ndarray) -> int:
    labels = [int(label) for label in np.unique(y)]
    if len(labels) < 2:
        raise DataError(place, "must have at least two classes", got=len(labels))
    remedy = "Renumber with numpy.unique(y, return_inverse=True)."
    if labels[0] < 0:
        raise DataError(place, "labels must not be negative", got=labels[0], remedy=remedy)
    if (missing := labels[-1] + 1 - len(labels)) > 0:
        candidates = range(min(labels[-1] + 1, len(labels) + 5))
        first = ", ".join(map(str, sorted(set(candidates) - set(labels))[:5]))
        rule = f"labels must be 0..{labels[-1]} with every class present"
        got = f"no {first}{', ...' if missing > 5 else ''} ({missing} missing)"
        raise DataError(place, rule, got=got, remedy=remedy)
    return len(labels)


def _as_stored(place: str, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if bad := int(x.size - np.count_nonzero(np.isfinite(x))):
        remedy = "Remove or replace NaN and infinite values."
        raise DataError(place, "values must be finite in float32", got=f"{bad} that are not", remedy=remedy)
    return x
