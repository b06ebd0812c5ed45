"""A search space as Optuna's distributions, and the values that Optuna stores of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from hpo.errors import SpecError
from hpo.spec import ComparisonSpec, Dimension, Hyperparameters, Range, SearchSpec, StudySpec


def hyperparameters_of(spec: StudySpec, trial: FrozenTrial | optuna.trial.Trial) -> Hyperparameters:
    """The effective hyperparameters of a planned trial that has its parameters.

    Of one that has been begun, those that it was begun with: defaults may be others by now.
    """
    begun = trial.user_attrs.get("hyperparameters")
    if isinstance(begun, dict):
        with contextlib.suppress(SpecError):  # of a later version of hpo
            return spec.vocabulary.effective(**begun)
    if isinstance(spec, ComparisonSpec):
        return spec.hyperparameters_for(spec.arm(trial.user_attrs["arm"]).params)
    return spec.hyperparameters_for({name: decode(value) for name, value in trial.params.items()})


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """The search space as Optuna's distributions, in the specification's order."""
    return {name: _distribution(dimension) for name, dimension in spec.space.items()}


def suggest(trial: optuna.trial.Trial, spec: SearchSpec) -> None:
    """Give the trial a value of every dimension: its own if it has one, else the sampler's."""
    for name, distribution in distributions(spec).items():
        if isinstance(distribution, CategoricalDistribution):
            trial.suggest_categorical(name, distribution.choices)
        elif isinstance(distribution, FloatDistribution):
            d = distribution
            trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
        elif isinstance(distribution, IntDistribution):
            trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )


def encode(value: Any) -> Any:
    """A hyperparameter's value as Optuna stores choices: lists and tables become their JSON."""
    return json.dumps(value) if isinstance(value, tuple | list | dict) else value


def decode(value: Any) -> Any:
    """The value that `encode` was given."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution([encode(choice) for choice in dimension])
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        step = 1 if dimension.step is None else int(dimension.step)
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
