"""Data that a function of a person's own gives: arrays, several of them side by side, or a `tf.data.Dataset`.

The function is called once in a process: what it gave last is kept, for the other part and the next study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from hpo.data.columns import Array
from hpo.data.dataset import Dataset, make_dataset
from hpo.data.labels import REMEDIES, RULE, check_form, learn, learn_like
from hpo.data.naming import keys_of
from hpo.data.nests import flat, is_nested, mapped, named
from hpo.data.own_files import as_stored, check_samples
from hpo.data.targets import SEVERAL
from hpo.errors import DataError, HpoError
from hpo.own import file_of, own_function, told
from hpo.spec.own_code import OwnCode

if TYPE_CHECKING:
    from hpo.spec.parts import Data

GIVES = (
    "must return (x, y), ((x, y), (x_test, y_test)), a dict of x_train, y_train, x_test and y_test, or a"
    " tf.data.Dataset"
)
# Of the memory that is free, for a data set that is read batch by batch: it is there twice at last.
SHARE = 1 / 3
INFINITE = -1  # tf.data.INFINITE_CARDINALITY


@dataclass(frozen=True, eq=False)
class Given:
    """A part: `x` as it is stored, `y` as it came but for its form, `weight` (samples,) or None."""

    x: Any
    y: Any
    weight: Array | None


@lru_cache(maxsize=1)
def given_by(code: OwnCode) -> Mapping[str, Given]:
    """What a function gives, by part, "train" and, if there is one, "test".

    Raises:
        DataError: it raises, or gives what is no data.
        ModelError: the file is not there, or another one.
    """
    function, file, place = own_function(code), file_of(code), str(code)
    try:
        returned = function()
    except HpoError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(place, "must give data", got=told(error, file)) from error
    parts = {part: _given(f"{place}: ", part, *held) for part, held in _parts(returned, place).items()}
    if "test" in parts:
        _check_alike(place, parts["train"], parts["test"])
    return parts


def given_for(data: Data) -> Mapping[str, Given]:
    """What the function of a study's data gives, by part. Raises DataError."""
    assert data.code is not None
    parts, place = given_by(data.code), str(data.code)
    if isinstance(data.test, str):
        raise DataError("data.test", f"must be a share of what {place} gives", got=data.test)
    if data.test is not None and "test" in parts:
        rule, remedy = f"has no effect, as {place} gives a test part", "Leave it out."
        raise DataError("data.test", rule, got=data.test, remedy=remedy)
    return parts


def own_dataset(data: Data, given: Given, task: str | None, *, test: Given | None = None) -> Dataset:
    """The training part, or the test part with the training part's classes."""
    assert data.code is not None
    place, shown = str(data.code), given if test is None else test
    if task is not None and is_nested(given.y) != (task == SEVERAL):
        rule = f"must be {SEVERAL!r} for several outputs, and for nothing else"
        raise DataError(f"{place}: task", rule, got=task)
    x, one = shown.x, flat(shown.x)[0]
    scale = 1 / 255 if not is_nested(x) and one.dtype == np.uint8 else 1.0
    if is_nested(given.y):
        names = tuple(named(given.y, "y"))
        return make_dataset(
            data.name,
            x,
            shown.y,
            classes=len(names),
            scale=scale,
            class_names=names,
            task=SEVERAL,
            weight=shown.weight,
        )
    learned = learn(given.y, task=task, place=place, key="y")
    y = learned.targets.y if test is None else learn_like(test.y, learned, place=place, key="y_test")
    return make_dataset(
        data.name,
        x,
        y,
        classes=len(learned.targets.names),
        scale=scale,
        class_names=learned.class_names,
        task=learned.targets.task,
        said=learned.targets.said,
        weight=shown.weight,
    )


def _parts(returned: Any, place: str) -> dict[str, tuple[Any, Any, Any]]:
    """x, y and weight of each part, as they came."""
    if isinstance(returned, Mapping):
        keys = keys_of([str(name) for name in returned])
        for key in ("x_train", "y_train", *(("x_test", "y_test") if {"x_test", "y_test"} & {*keys} else ())):
            if key not in keys:
                raise DataError(place, f"must return {key} too", got=[str(name) for name in returned])
        known = {*keys.values(), "weight", "weight_train", "weight_test"}
        if unknown := sorted({*map(str, returned)} - known):
            remedy = "Beside x and y of each part it may have weight, weight_train and weight_test."
            raise DataError(place, "must return keys that are known", got=unknown[0], remedy=remedy)
        found = {}
        for part in ("train", "test"):
            if f"x_{part}" in keys:
                weight = returned.get(f"weight_{part}", returned.get("weight") if part == "train" else None)
                found[part] = (returned[keys[f"x_{part}"]], returned[keys[f"y_{part}"]], weight)
        return found
    if isinstance(returned, tuple | list) and len(returned) == 2 and all(map(_is_part, returned)):
        return {part: _triple(one, place) for part, one in zip(("train", "test"), returned, strict=True)}
    return {"train": _triple(returned, place)}


def _is_part(held: Any) -> bool:
    return _is_stream(held) or (isinstance(held, tuple) and len(held) in (2, 3))


def _is_stream(held: Any) -> bool:
    return hasattr(held, "as_numpy_iterator") and hasattr(held, "cardinality")


def _triple(held: Any, place: str) -> tuple[Any, Any, Any]:
    if _is_stream(held):
        return _read(held, place)
    if not isinstance(held, tuple | list) or len(held) not in (2, 3):
        count = f" of {len(held)}" if isinstance(held, tuple | list) else ""
        raise DataError(place, GIVES, got=f"{type(held).__name__}{count}")
    x, y, *weight = held
    return x, y, (weight[0] if weight else None)


def _read(stream: Any, place: str) -> tuple[Any, Any, Any]:
    """All batches of a data set, joined."""
    if int(stream.cardinality()) == INFINITE:
        remedy = "Leave .repeat() out, or use .take(n)."
        raise DataError(place, "must return a data set that has an end", got="one without", remedy=remedy)
    limit, taken = int(psutil.virtual_memory().available * SHARE), 0
    batches: list[Any] = []
    for batch in stream.as_numpy_iterator():
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            rule = "must return a data set of (x, y) or (x, y, weight)"
            raise DataError(place, rule, got=type(batch).__name__)
        arrays = [np.asarray(array) for part in batch for array in flat(part)]
        sizes = {len(array) if array.ndim else 0 for array in arrays}
        if len(sizes) != 1 or 0 in sizes:
            rule = "must return a data set of batches"
            raise DataError(place, rule, got="single samples", remedy="Use .batch(32).")
        taken += sum(array.nbytes for array in arrays)
        if taken > limit:
            rule = f"must return a data set of {limit / 2**20:.0f} MiB at most, a third of the free memory"
            raise DataError(place, rule, got="more", remedy="Take a part, e.g. by .take(n).")
        batches.append(batch)
    if not batches:
        raise DataError(place, "must return samples", got="an empty data set")
    columns = [mapped(lambda *arrays: np.concatenate(arrays), *held) for held in zip(*batches, strict=True)]
    x, y, *weight = columns
    return x, y, (weight[0] if weight else None)


def _given(place: str, part: str, x: Any, y: Any, weight: Any) -> Given:
    """A part in the form in which it is stored. Raises DataError."""
    letters = {"train": ("x", "y", "weight"), "test": ("x_test", "y_test", "weight_test")}[part]
    x, y = (_nest(f"{place}{letter}", held) for letter, held in zip(letters, (x, y), strict=False))
    x = _over(_samples, f"{place}{letters[0]}", x)
    y = _over(_output if is_nested(y) else _targets, f"{place}{letters[1]}", y)
    weight = None if weight is None else _weight(f"{place}{letters[2]}", weight)
    lengths = {
        f"{name}": len(array)
        for letter, held in zip(letters, (x, y, weight), strict=True)
        for name, array in named(held, letter).items()
        if array is not None
    }
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        rule = "arrays must have the same number of samples, at least 1"
        got = ", ".join(f"{name} of {count}" for name, count in list(lengths.items())[:5])
        remedy = "One array of all samples is numpy.stack(x)." if len(lengths) > 5 else ""
        raise DataError(place.removesuffix(": "), rule, got=got, remedy=remedy)
    return Given(x, y, weight)


def _nest(place: str, held: Any) -> Any:
    """Arrays, or what becomes one, in a dict or a tuple; or one array."""
    if isinstance(held, Mapping):
        if not held:
            raise DataError(place, "must hold an array", got="an empty dict")
        return {str(name): _array(f"{place}[{name!r}]", one) for name, one in held.items()}
    if isinstance(held, tuple | list) and held and all(np.ndim(one) and _is_array(one) for one in held):
        return tuple(_array(f"{place}[{index}]", one) for index, one in enumerate(held))
    return _array(place, held)


def _is_array(held: Any) -> bool:
    return hasattr(held, "__array__")


def _array(place: str, held: Any) -> Array:
    """An array of numbers or text; a view, so that what is done to it is not done to a person's."""
    if isinstance(held, Mapping | tuple) or hasattr(held, "__next__"):
        rule = "must be an array, or a dict or a list of arrays"
        raise DataError(place, rule, got=f"a {type(held).__name__} in it")
    try:
        array = np.asarray(held)
    except Exception as error:
        said = " ".join(str(error).split())[:80]
        raise DataError(place, "must be an array", got=f"{type(held).__name__}: {said}") from None
    if array.dtype == object:
        array = _of_objects(place, array)
    return array[...]


def _of_objects(place: str, array: Array) -> Array:
    if array.size and all(isinstance(value, str) for value in array.flat):
        return array.astype(str)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(place, RULE, got="objects", remedy=REMEDIES["O"].replace("Save", "Give")) from None


def _over(function: Any, place: str, held: Any) -> Any:
    """What a function makes of each array of a nest and its place."""
    if not is_nested(held):
        return function(place, held, alone=True)
    by_name = isinstance(held, Mapping)
    places: Any = {name: repr(name) for name in held} if by_name else tuple(map(str, range(len(held))))
    return mapped(lambda array, inner: function(f"{place}[{inner}]", array, alone=False), held, places)


def _samples(place: str, x: Array, *, alone: bool) -> Array:
    """Numbers as they are stored: bytes, whole numbers as int32 if they fit, others as float32."""
    # One of several inputs may be a single number.
    check_samples(place, x.shape if alone or x.ndim != 1 else (len(x), 1), x.dtype)
    if x.dtype.kind not in "iu" or x.dtype == np.uint8:
        return as_stored(place, x)
    return _whole(x)


def _whole(numbers: Array) -> Array:
    limits = np.iinfo(np.int32)
    fits = not numbers.size or (numbers.min() >= limits.min and numbers.max() <= limits.max)
    return numbers.astype(np.int32 if fits else np.int64)


def _targets(place: str, y: Array, *, alone: bool) -> Array:
    check_form(place, y.shape, y.dtype)
    return y


def _output(place: str, y: Array, *, alone: bool) -> Array:
    """Targets of one of several outputs: classes as int32, (samples,), quantities as float32."""
    if y.dtype.kind not in "biuf" or not y.ndim:
        raise DataError(place, "must be an array of numbers, one of several outputs", got=str(y.dtype))
    if y.dtype.kind in "biu":
        return _whole(y)
    return as_stored(place, y if y.ndim > 1 else y[:, np.newaxis])


def _weight(place: str, weight: Any) -> Array:
    array = _array(place, weight)
    if array.dtype.kind not in "biuf" or array.size != len(array.reshape(-1)) or array.ndim not in (1, 2):
        raise DataError(place, "must be a number for each sample", got=str(array.dtype))
    numbers = array.reshape(-1).astype(np.float32)
    if not (np.isfinite(numbers).all() and (numbers >= 0).all() and numbers.any()):
        raise DataError(place, "must be finite numbers of at least 0, and not all 0")
    return numbers


def _check_alike(place: str, train: Given, test: Given) -> None:
    """Raises DataError unless the samples of both parts are of one form."""
    forms = [
        {name: (array.shape[1:], array.dtype.kind) for name, array in named(part.x, "x").items()}
        for part in (train, test)
    ]
    if forms[0] != forms[1]:
        shown = [{name: shape for name, (shape, _) in form.items()} for form in forms]
        rule = f"samples of the test part must have the training part's shape {shown[0]}"
        raise DataError(place, rule, got=shown[1])
    outputs = [
        {name: array.shape[1:] for name, array in named(part.y, "y").items()} if is_nested(part.y) else None
        for part in (train, test)
    ]
    if outputs[0] != outputs[1]:
        rule = "both parts must have the same outputs, of the same shapes"
        raise DataError(place, rule, got=outputs[1], remedy=f"The training part has {outputs[0]}.")
    if train.weight is None and test.weight is not None:
        raise DataError(place, "must weigh the training part too, or neither", got="weights of the test part")
