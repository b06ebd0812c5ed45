"""How much the training samples of each class count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from hpo.data.columns import Array
from hpo.errors import DataError

if TYPE_CHECKING:
    from hpo.data.dataset import Dataset

PLACE = "class_weight"


def check_class_weight(dataset: Dataset, asked: Literal["balanced"] | Mapping[str, float]) -> None:
    """Raises DataError unless samples have one class each, and these are the classes that are named."""
    if dataset.task.strata(dataset.y[:0] if dataset.task.has_one_output else dataset.y) is None:
        rule = f"has no effect on task {dataset.task_name!r}, whose samples have not one class each"
        raise DataError(PLACE, rule, got=asked)
    if dataset.weight is not None:
        rule = "cannot be set where every sample has a weight of its own"
        raise DataError(PLACE, rule, got=asked, remedy="Leave the one or the other out.")
    if asked != "balanced":
        _by_class(dataset, asked)


def class_weights(dataset: Dataset, asked: Literal["balanced"] | Mapping[str, float], rows: Array) -> Array:
    """The weight of each sample's class, (samples,), float32.

    Balanced: samples / (classes * samples of the class), of these rows, which are those that train.

    Raises:
        DataError: see `check_class_weight`.
    """
    check_class_weight(dataset, asked)
    classes = dataset.task.strata(dataset.y)
    assert classes is not None
    if asked != "balanced":
        return _by_class(dataset, asked)[classes]
    counts = np.bincount(classes[rows], minlength=dataset.classes)
    present = int(np.count_nonzero(counts))
    weights = len(rows) / (present * np.maximum(counts, 1))
    return weights.astype(np.float32)[classes]


def _by_class(dataset: Dataset, asked: Mapping[str, float]) -> Array:
    """The weight of each class, (classes,), by its name or its number."""
    weights = np.ones(dataset.classes, np.float32)
    numbers = {str(number): number for number in range(dataset.classes)}
    places = numbers | {name: number for number, name in enumerate(dataset.names)}
    for name, weight in asked.items():
        if name not in places:
            known = ", ".join(dataset.names[:10]) + (", ..." if dataset.classes > 10 else "")
            raise DataError(PLACE, "must name classes of the data", got=name, remedy=f"There are: {known}.")
        weights[places[name]] = weight
    return weights
