"""Arrays that fit a model: of the shape and type of what it was trained on, with labels that it knows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data import flat, named
from hpo.data.archive import DAMAGE, explain, member_names, read_arrays
from hpo.data.targets import Targets, like
from hpo.errors import DataError

if TYPE_CHECKING:
    from hpo.models.file import Predictor

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


def inputs_of(given: Any, predictor: Predictor) -> tuple[Any, Array | None, int]:
    """Of a model of several inputs: an .npz file, or a dict, that has each by its name.

    Returns them as the model takes them, their labels if these are known, and how many samples there are.
    """
    kinds, shapes = named(predictor.dtype, "x"), flat(predictor.sample_shape)
    arrays, place = given, "samples"
    if not isinstance(given, Mapping):
        is_files = isinstance(given, list)
        place = str(given[0]) if is_files else "samples"
        if not is_files or given[0].suffix.lower() != ".npz":
            rule = f"cannot be taken, as the model has the inputs {', '.join(kinds)}"
            raise DataError(place, rule, remedy="Give it an .npz file with an array for each, of its name.")
        try:
            arrays = read_arrays(given[0], [name for name in (*kinds, "y") if name in member_names(given[0])])
        except DAMAGE as error:
            raise DataError(place, "must be a whole .npz file", got=explain(error)) from None
    x = dict[str, Array]()
    for (name, kind), shape in zip(kinds.items(), shapes, strict=True):
        if name not in arrays:
            raise DataError(place, f"must hold an array {name}, an input of the model", got=sorted(arrays))
        one = replace(predictor, sample_shape=shape, dtype=kind)
        x[name] = fitting(f"{place} {name}", _array(f"{place} {name}", arrays[name]), one)
    lengths = {name: len(array) for name, array in x.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(place, "inputs must have the same length", got=lengths)
    count = next(iter(lengths.values()))
    taken = x if isinstance(predictor.dtype, Mapping) else tuple(x.values())
    if "y" in arrays:
        arrays = {**arrays, "y": _array(f"{place} y", arrays["y"])}
    return taken, labels_of(f"{place} y", arrays, "y", count, predictor), count


def _array(place: str, given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(place, "must be an array", got=explain(error)) from None


def fitting(place: str, x: Array, predictor: Predictor) -> Array:
    """The samples, if they are what the model takes. Raises DataError."""
    wanted = predictor.sample_shape
    fits = x.ndim == len(wanted) + 1
    if not fits or any(need not in (None, size) for need, size in zip(wanted, x.shape[1:], strict=True)):
        shape = ", ".join("any" if size is None else str(size) for size in wanted)
        raise DataError(place, f"samples must have the model's shape ({shape})", got=x.shape[1:])
    if not len(x):
        raise DataError(place, "must hold at least one sample", got=0)
    if x.dtype.kind not in "biuf":
        raise DataError(place, "must be an array of real numbers", got=str(x.dtype))
    # Not whatever can be cast: numbers of another type are mostly of another range.
    is_whole = predictor.dtype is not None and predictor.dtype.startswith("int")
    if is_whole and x.dtype.kind not in "iu":
        raise DataError(place, f"must be {predictor.dtype}, as the model was trained on", got=str(x.dtype))
    if is_whole:
        return x.astype(predictor.dtype)
    if predictor.dtype is not None and (x.dtype == np.uint8) != (predictor.dtype == "uint8"):
        rule = f"must be {predictor.dtype}, as the model was trained on"
        remedy = f"If it has the same range, convert it with x.astype('{predictor.dtype}')."
        raise DataError(place, rule, got=str(x.dtype), remedy=remedy)
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(place, "values must be finite in float32")
    return x


def labels_of(
    place: str, arrays: Mapping[str, Array], key: str, count: int, predictor: Predictor
) -> Array | None:
    """The targets under a key, by the names that the model knows; None if there are none, or others.

    Raises:
        DataError: they are no classes of the model, which has no names for them.
    """
    if key not in arrays:
        return None
    y, classes = arrays[key], len(predictor.class_names)
    has_classes = predictor.task.strata(y) is not None
    if has_classes and y.shape == (count, classes):
        of_rows: Array = y.argmax(axis=1)
        return of_rows
    if predictor.class_names != tuple(map(str, range(classes))):
        return _named_labels(place, y, count, predictor)
    if y.dtype.kind not in "iu" or y.size != count:
        raise DataError(place, "must be a class index for each sample", got=(str(y.dtype), y.shape))
    if y.min() < 0 or y.max() >= classes:
        raise DataError(place, f"labels must be 0..{classes - 1}", got=(int(y.min()), int(y.max())))
    return y.reshape(-1).astype(np.int64)


def _named_labels(place: str, y: Array, count: int, predictor: Predictor) -> Array | None:
    """Targets by the names of what the model has learned; None, and a warning, for others."""
    import pandas as pd

    learned = Targets(predictor.task.name, np.zeros(0), predictor.class_names)
    width = 1 if predictor.task.strata(y) is not None else len(predictor.class_names)
    try:
        if y.size != count * width:
            raise DataError(place, "must have the model's targets for each sample", got=y.shape)
        return like(pd.DataFrame(y.reshape(count, width)), learned, place=place)
    except DataError as error:
        logger.warning("no metrics: %s", error)
        return None
