"""What a person passes as data, made into dense tensors as Keras makes them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from hpo.training.samples import over_arrays

DENSE = {"RaggedTensor": ".to_tensor()", "SparseTensor": "tf.sparse.to_dense(...)"}


def tensors(place: str, nested: Any, *, text: bool = False) -> Any:
    """Every array of a nest as a tensor, floats in Keras's float type; None stays.

    An array is NumPy's, a tensor, a DataFrame, a Series (as a column) or whatever has `__array__`.

    Args:
        place: what the error lines call it.
        text: whether strings are data, which only some layers take.

    Raises:
        TypeError: something is no array, has values that are neither numbers nor text, or is not dense.
    """
    return over_arrays(lambda leaf: _tensor(place, leaf, text=text), _tuples(nested))


def _tuples(nested: Any) -> Any:
    """The same without lists, which TensorFlow would stack to one array."""
    if isinstance(nested, dict):
        return {name: _tuples(part) for name, part in nested.items()}
    return tuple(map(_tuples, nested)) if type(nested) in (list, tuple) else nested


def _tensor(place: str, leaf: Any, *, text: bool) -> tf.Tensor:
    if not tf.is_tensor(leaf):
        leaf = _values(place, leaf)
    kind = type(leaf).__name__
    if kind in DENSE:
        raise TypeError(f"{place}: must be dense, but got a {kind}. Use {DENSE[kind]}.")
    if leaf.dtype == tf.string if tf.is_tensor(leaf) else leaf.dtype.kind in "OSU":
        if not text:
            raise TypeError(f"{place}: must hold numbers, but got text. Encode it as numbers.")
        if not tf.is_tensor(leaf) and not all(isinstance(value, str | bytes) for value in leaf.flat):
            remedy = "Use .astype('float32')."
            raise TypeError(f"{place}: must hold numbers or text, but got an array of objects. {remedy}")
    try:
        tensor = tf.convert_to_tensor(leaf)
    except (TypeError, ValueError) as error:
        rule = "must be an array of numbers that TensorFlow has"
        raise TypeError(f"{place}: {rule}, but got {leaf.dtype}. Use .astype('float32').") from error
    floats = keras.config.floatx()
    return tf.cast(tensor, floats) if tensor.dtype.is_floating and tensor.dtype != floats else tensor


def _values(place: str, leaf: Any) -> Any:
    """A NumPy array, its floats cast before they are copied to the device."""
    if isinstance(leaf, pd.DataFrame):
        return _frame(place, leaf)
    if isinstance(leaf, pd.Series):
        return _frame(place, leaf.to_frame()) if _is_number(leaf.dtype) else leaf.to_numpy(object)[:, None]
    if hasattr(leaf, "tocoo"):
        raise TypeError(f"{place}: must be dense, but got a {type(leaf).__name__}. Use .toarray().")
    if not hasattr(leaf, "__array__"):
        got = repr(leaf) if isinstance(leaf, int | float | str) else f"a {type(leaf).__name__}"
        rule = "must be an array, or a list, tuple or dict of arrays"
        raise TypeError(f"{place}: {rule}, but got {got} in it. Use numpy.asarray({place.split()[-1]}).")
    array = np.asarray(leaf)
    return array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array


def _frame(place: str, frame: pd.DataFrame) -> Any:
    """Columns side by side: integers if all of them are, else floats; what is missing is NaN."""
    other = [str(name) for name, dtype in frame.dtypes.items() if not _is_number(dtype)]
    if other:
        remedy = "Encode it, or give each column as an input of its own."
        raise TypeError(f"{place}: columns must hold numbers, but got {frame.dtypes[other[0]]} in "
                        f"{other[0]!r}. {remedy}")  # fmt: skip
    kinds = {dtype.kind for dtype in frame.dtypes}
    if kinds <= {"i", "u"} and not frame.isna().any(axis=None):
        return frame.to_numpy(np.result_type(*(getattr(t, "numpy_dtype", t) for t in frame.dtypes)))
    return frame.to_numpy(keras.config.floatx(), na_value=np.nan)


def _is_number(dtype: Any) -> bool:
    return dtype.kind in "biuf"
