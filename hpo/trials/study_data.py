"""A study's data as its runs train on them: on the device, split, prepared by what each fold's part says."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import tensorflow as tf

from hpo.data import Dataset, Statistics, class_weights, fitted, mapped, splits_of
from hpo.models.families import Fit, Signature
from hpo.spec import Hyperparameters, StudySpec
from hpo.training.samples import Samples
from hpo.trials.shapes import Shapes


class StudyData:
    """The data of one study. `device` holds all samples, `splits` the rows of each fold's two parts."""

    def __init__(self, spec: StudySpec, dataset: Dataset) -> None:
        self._spec, self.dataset = spec, dataset
        self.splits = splits_of(dataset, spec.data)
        self.device = on_device(dataset)
        self._shapes = Shapes.of(dataset, spec)
        self._statistics: dict[Hashable, Statistics] = {}
        self._class_weights: dict[Hashable, Any] = {}

    def samples(self, fold: int | None, part: int) -> Samples:
        """What a fold trains on (part 0) or validates with (part 1)."""
        return Samples(self.device.x, self.device.y, self.splits[fold or 0][part], self.device.weight)

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

    @property
    def signature(self) -> Signature:
        """What goes into a model and comes out of it."""
        return self._shapes.signature(self._spec.compile)

    def settled(self, h: Hyperparameters) -> Hyperparameters:
        """With what the data say where the hyperparameters say nothing."""
        return self._shapes.settled(h)

    def fit(self, h: Hyperparameters, fold: int | None) -> Fit:
        """What the training samples of a fold say."""
        rows, statistics = self.splits[fold or 0][0], None
        if columns := self._shapes.columns:
            scaling, least = self._shapes.scaling(h), h.min_level_count
            if (key := (fold, scaling, least)) not in self._statistics:
                self._statistics[key] = fitted(
                    self.dataset.x[rows], columns, scaling=scaling, min_level_count=least
                )
            statistics = self._statistics[key]
        if not self.dataset.task.scales_targets:
            return Fit(statistics, np.zeros(1), np.ones(1))
        y = self.dataset.y[rows].astype(np.float64)
        spread = y.std(axis=0)
        return Fit(statistics, y.mean(axis=0), np.where(spread > 0, spread, 1.0))


def on_device(dataset: Dataset) -> Samples:
    """All samples; how much one counts, it does for each of several outputs."""
    weight = None if dataset.weight is None else mapped(lambda _: dataset.weight, dataset.y)
    return Samples.of(dataset.x, dataset.y, weight)
