"""A data set that gives batches, read once and whole: what `tf.data` and Keras's `PyDataset` hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf

from hpo.training.arrays import tensors
from hpo.training.samples import Array

# Of the memory that is free. While its parts are joined and put on the device, an array is there three times.
SHARE = 1 / 3
# What an array costs besides its values, so that one without end and of nothing comes to an end as well.
OVERHEAD = 1024


def is_batched(data: Any) -> bool:
    """Whether it gives batches, one after the other, and holds the targets too."""
    return isinstance(data, tf.data.Dataset | keras.utils.PyDataset) or hasattr(data, "__next__")


def read(place: str, data: Any) -> tuple[Any, Any, Any, int]:
    """All of a data set: x, y and weights as it has them, else None, and the size of its batches.

    What it draws at random (order, augmentation) is drawn this once.

    Raises:
        TypeError: it is a generator, whose end cannot be known, or holds what is no dense array.
        ValueError: it has no end, does not fit into memory, holds nothing, or batches of several sizes.
    """
    limit = int(psutil.virtual_memory().available * SHARE)
    structure: Any = None
    parts: list[list[Array]] = []
    sizes: list[int] = []
    taken = 0
    for batch in _batches(place, data):
        nest = tensors(place, keras.utils.unpack_x_y_sample_weight(batch), text=True)
        if structure is None:
            structure = nest
            parts = [[] for _ in _leaves(nest)]
        tf.nest.assert_same_structure(structure, nest)
        leaves = [leaf.numpy() for leaf in _leaves(nest)]
        sizes.append(_size(place, leaves, sizes))
        for part, leaf in zip(parts, leaves, strict=True):
            part.append(leaf)
            taken += leaf.nbytes + OVERHEAD
        if taken > limit:
            got = f"{sum(sizes)} samples of {taken / 2**20:.0f} MiB that are not all"
            rule = f"must fit into {limit / 2**20:.0f} MiB, a third of the free memory"
            raise ValueError(
                f"{place}: {rule}, but got {got}. Take a part, e.g. by .take(n), or use model.fit."
            )
    if not sizes:
        raise ValueError(f"{place}: must hold a sample, but got an empty data set.")
    whole = iter([_joined(part) for part in parts])
    filled = tf.nest.map_structure(lambda leaf: None if leaf is None else next(whole), structure)
    x, y, weight = filled
    return x, y, weight, sizes[0]


def _leaves(nest: Any) -> list[Any]:
    return [leaf for leaf in tf.nest.flatten(nest) if leaf is not None]


def _joined(parts: list[Array]) -> Array:
    array = np.concatenate(parts)
    parts.clear()
    return array


def _size(place: str, leaves: list[Array], before: list[int]) -> int:
    """How many samples a batch holds, where all are of one size but the last."""
    size, *others = sorted({len(leaf) if leaf.ndim else 0 for leaf in leaves})
    if others or not all(leaf.ndim for leaf in leaves):
        got = f"arrays of {size} and {others[0]} rows" if size and others else "single samples"
        raise ValueError(f"{place}: must give batches, but got {got}. Use .batch(32).")
    if before and (size > before[0] or before[-1] != before[0]):
        odd = size if size > before[0] else before[-1]
        rule = "batches must be of one size but for a shorter last one"
        raise ValueError(f"{place}: {rule}, but got {before[0]} and {odd}. Use .unbatch().batch(32).")
    return size


def _batches(place: str, data: Any) -> Iterator[Any]:
    endless = "must have an end, but got a data set without one"
    if isinstance(data, tf.data.Dataset):
        if int(data.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError(f"{place}: {endless}. Leave .repeat() out, or use .take(n).")
        yield from data
    elif isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        if count is None:
            raise ValueError(f"{place}: {endless}. Let its __len__ say how many batches it has.")
        yield from (data[index] for index in range(count))
    else:
        rule = "must be arrays or a data set whose end is known"
        remedy = "Use arrays or a keras.utils.PyDataset."
        raise TypeError(f"{place}: {rule}, but got a {type(data).__name__}. {remedy}")
