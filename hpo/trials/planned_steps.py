"""How much a study plans to train with one compiled program: what decides whether to compile it pays."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hpo.errors import SpecError
from hpo.spec import (
    ComparisonSpec,
    Dimension,
    Hyperparameters,
    Layers,
    Range,
    SearchSpec,
    StudySpec,
    conditions,
)
from hpo.spec.conditions import is_active


def planned_steps(spec: StudySpec, hyperparameters: Hyperparameters, *, samples: int) -> int:
    """Optimizer steps of all trials that share a program with these hyperparameters, `samples` in each epoch.

    A function of the specification alone, so that every worker comes to the same number. Of a search it is a
    mean: the trials, spread evenly over the programs that its space has.

    >>> rates = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "batch_size": [32, 64]}
    >>> data = {"name": "digits", "validation": 0.2}
    >>> spec = StudySpec(name="s", kind="search", data=data, trials=20, space=rates)
    >>> planned_steps(spec, spec.hyperparameters_for({"batch_size": 32, "epochs": 5}), samples=1000)
    1600
    """
    if isinstance(spec, ComparisonSpec):
        alike = [spec.hyperparameters_for(arm.params) for arm in spec.arms]
        key = hyperparameters.compile_key
        runs = [arm for arm in alike if arm.compile_key == key]
        return sum(_steps(run, samples) for run in runs) * spec.seeds * (spec.data.splits or 1)
    assert isinstance(spec, SearchSpec)
    programs = math.prod(_programs(spec, hyperparameters, name) for name in spec.space)
    trials = max(1, spec.trials // programs)
    return trials * spec.replicates * _steps(hyperparameters, samples)


def _steps(hyperparameters: Hyperparameters, samples: int) -> int:
    return hyperparameters.epochs * hyperparameters.steps_per_epoch(samples)


def _programs(spec: SearchSpec, hyperparameters: Hyperparameters, name: str) -> int:
    """How many programs a dimension of the space makes, the other hyperparameters as they are."""
    dimension, keys = spec.space[name], set()
    if not is_active(dimension, hyperparameters.model_dump()):
        return 1
    if isinstance(dimension, Layers):
        lists = conditions.Enumeration(conditions.drawn({name: replace(dimension, when={})}))
        return lists.size or spec.trials
    for value in typical(dimension):
        try:
            values = {**hyperparameters.model_dump(), name: value}
            keys.add(spec.hyperparameters_for(values).compile_key)
        except SpecError:  # these two do not go together
            keys.add(value)
    if isinstance(dimension, Range) and len(keys) > 1:
        # Each of its integers.
        return int((dimension.high - dimension.low) / (dimension.step or 1)) + 1
    return len(keys)


def typical(dimension: Dimension) -> tuple[Any, ...]:
    """The choices; of a range not its low end, which has a probability of 0 (no dropout at all)."""
    if not isinstance(dimension, Range):
        return dimension
    kind, width = type(dimension.low), dimension.high - dimension.low
    return kind(dimension.low + width / 3), kind(dimension.high)
