"""The data of a study as its runs train on them: on the device, split, and what their training parts say."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.data import (
    Column,
    Dataset,
    Statistics,
    class_weights,
    fitted,
    flat,
    is_nested,
    mapped,
    splits_of,
)
from hpo.models.families import Fit, Signature
from hpo.spec import Hyperparameters, StudySpec
from hpo.training.labels import check_lookups
from hpo.training.samples import Samples


class SplitData:
    """A study's training data, of which `signature` says what models take.

    `splits`: (training rows, validation rows) of each fold, or of the one split.
    """

    def __init__(self, dataset: Dataset, spec: StudySpec) -> None:
        self.dataset = dataset
        self.splits = splits_of(dataset, spec.data)
        self.on_device = on_device(dataset)
        self.signature = signature_of(dataset, spec)
        self._columns = self.signature.columns
        self._statistics: dict[Hashable, Statistics] = {}
        self._class_weights: dict[Hashable, Any] = {}

    def samples(self, fold: int | None, part: int) -> Samples:
        """What a fold trains on (part 0) or validates with (part 1)."""
        whole = self.on_device
        return Samples(whole.x, whole.y, self.splits[fold or 0][part], whole.weight)

    def training_samples(self, h: Hyperparameters, fold: int | None) -> Samples:
        """What a fold trains on, its classes weighted if they are to be."""
        samples = self.samples(fold, 0)
        if (asked := h.weighted_classes) is None:
            return samples
        key = fold, str(asked)
        if key not in self._class_weights:
            weight = class_weights(self.dataset, asked, samples.rows)
            self._class_weights[key] = tf.convert_to_tensor(weight)
        return Samples(samples.x, samples.y, samples.rows, self._class_weights[key])

    def settled(self, h: Hyperparameters) -> Hyperparameters:
        """With what the data say where the hyperparameters say nothing."""
        return h.model_copy(update={"scaling": self._scaling(h)})

    def fit(self, h: Hyperparameters, fold: int | None) -> Fit:
        """What the training samples of a fold say."""
        rows, statistics = self.splits[fold or 0][0], None
        if self._columns:
            scaling, least = self._scaling(h), h.min_level_count
            if (key := (fold, scaling, least)) not in self._statistics:
                self._statistics[key] = fitted(
                    self.dataset.x[rows], self._columns, scaling=scaling, min_level_count=least
                )
            statistics = self._statistics[key]
        if not self.dataset.task.scales_targets:
            return Fit(statistics, np.zeros(1), np.ones(1))
        y = self.dataset.y[rows].astype(np.float64)
        spread = y.std(axis=0)
        return Fit(statistics, y.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def check_lookups(self, model: keras.Model) -> None:
        """Raises ValueError for numbers outside of an embedding, or of an output: a program does not look."""
        if any(kind.startswith("int") for kind in flat(self.dataset.dtype)) or is_nested(self.dataset.y):
            check_lookups(model, self.on_device)

    def _scaling(self, h: Hyperparameters) -> str:
        return h.scaling or ("standard" if self.dataset.columns else "none")


def signature_of(dataset: Dataset, spec: StudySpec) -> Signature:
    """What goes into a model of a study's data and comes out of it."""
    return Signature(
        dataset.sample_shape,
        dataset.classes,
        dataset.scale,
        dataset.task,
        columns_of(dataset, spec),
        dataset.weight is not None,
        dataset.dtype,
        dataset.units,
    )


def columns_of(dataset: Dataset, spec: StudySpec) -> tuple[Column, ...]:
    """The columns that are prepared: a table's or, of rows of numbers, those to be scaled."""
    if dataset.columns or dataset.is_nested or not spec.sets("scaling"):
        return dataset.columns
    (count,) = dataset.sample_shape
    return tuple(Column(str(index), "number") for index in range(count))


def on_device(dataset: Dataset) -> Samples:
    """All samples; how much one counts, it does for each of several outputs."""
    weight = None if dataset.weight is None else mapped(lambda _: dataset.weight, dataset.y)
    return Samples.of(dataset.x, dataset.y, weight)
