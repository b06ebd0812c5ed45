"""People's own arrays: what they must hold, and what is learned of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpo.data.archive import Header
from hpo.data.array_files import ArrayFiles
from hpo.data.columns import Array
from hpo.data.labels import Learned, check_form, learn, learn_like
from hpo.errors import DataError


@dataclass(frozen=True, eq=False)
class Own:
    """A part of people's arrays: `x`, uint8 or float32, `y` as the task takes it, and what is learned."""

    x: Array
    y: Array
    learned: Learned


def read_own(files: ArrayFiles, part: str, *, task: str | None) -> Own:
    """The `part` "train" or "test". Raises DataError with the first rule that the arrays break."""
    y, learned = read_labels(files, part, task=task)
    key = f"x_{part}"
    return Own(as_stored(files.place(key), files.read(key)), y, learned)


def read_labels(files: ArrayFiles, part: str, *, task: str | None) -> tuple[Array, Learned]:
    """The targets of a part, without its samples; else as `read_own`."""
    if part == "test":
        files.require_test()
    parts = dict.fromkeys(("train", part))
    headers = {key: files.header(key) for one in parts for key in (f"x_{one}", f"y_{one}")}
    for key, (shape, dtype) in headers.items():
        check = check_samples if key.startswith("x_") else check_form
        check(files.place(key), shape, dtype)
    for one in parts:
        _check_lengths(files, one, headers)
    place = str(files.path)
    y = files.read("y_train")
    learned = learn(y, task=task, place=place, key=_name(files, "y_train"))
    if part == "train":
        return learned.targets.y, learned
    return learn_like(files.read("y_test"), learned, place=place, key=_name(files, "y_test")), learned


def _name(files: ArrayFiles, key: str) -> str:
    file, name = files.members[key]
    return name or file.stem


def check_samples(place: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises DataError for an array that holds no samples, by what its header says."""
    if dtype.kind not in "biuf":
        remedies = {
            "O": "Convert it with `x = x.astype('float32')`.",
            "U": "Convert numbers with `x = x.astype('float32')`; keep categories in a CSV table.",
            "c": "Keep both parts with `x = numpy.stack([x.real, x.imag], axis=-1)`.",
        }
        remedy = remedies.get("U" if dtype.kind == "S" else dtype.kind, "")
        raise DataError(place, "must be an array of real numbers", got=str(dtype), remedy=remedy)
    if len(shape) < 2 or 0 in shape[1:]:
        remedy = "Use `x = x.reshape(len(x), -1)`." if len(shape) == 1 else ""
        raise DataError(place, "must have shape (samples, features, ...)", got=shape, remedy=remedy)


def _check_lengths(files: ArrayFiles, part: str, headers: dict[str, Header]) -> None:
    samples, labels = headers[f"x_{part}"][0], headers[f"y_{part}"][0]
    if samples[0] != labels[0]:
        rule = f"{_name(files, f'x_{part}')} and {_name(files, f'y_{part}')} must have the same length"
        raise DataError(str(files.path), rule, got=(samples[0], labels[0]))
    expected = headers["x_train"][0][1:]
    if samples[1:] != expected:
        rule = f"samples must have the training part's shape {expected}"
        raise DataError(files.place(f"x_{part}"), rule, got=samples[1:])


def as_stored(place: str, x: Array) -> Array:
    """Samples as uint8 or float32. Raises DataError for numbers that are not finite."""
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if bad := int(x.size - np.count_nonzero(np.isfinite(x))):
        remedy = "Remove or replace NaN and infinite values; a table, CSV or Parquet, may have gaps."
        raise DataError(place, "values must be finite in float32", got=f"{bad} that are not", remedy=remedy)
    return x
