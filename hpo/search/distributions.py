"""A search space as Optuna's distributions, and the values that Optuna stores of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
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
from hpo.search.encoding import decode, encode
from hpo.search.feasible import draw_feasible
from hpo.spec import ComparisonSpec, Dimension, Hyperparameters, Range, SearchSpec, StudySpec
from hpo.spec.conditions import is_active


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
    assert isinstance(spec, SearchSpec)
    return spec.hyperparameters_for(spec.joined(drawn_of(trial)))


def drawn_of(trial: FrozenTrial | optuna.trial.Trial) -> dict[str, Any]:
    """The drawn values of a trial, as the specification has them."""
    return {name: decode(value) for name, value in trial.params.items()}


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """All that is drawn as Optuna's distributions, parents before what depends on them."""
    return {name: _distribution(dimension) for name, dimension in spec.drawn.items()}


def active(spec: SearchSpec, values: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Of `distributions` those of drawn values that are active."""
    of = distributions(spec)
    return {name: of[name] for name in spec.active(values)}


def suggest(trial: optuna.trial.Trial, spec: SearchSpec) -> None:
    """Give the trial a value of every dimension that is active: its own if it has one, else the sampler's.

    Values that break a constraint on hyperparameters, or that are taken, are drawn anew; see
    `hpo.search.feasible`.

    Raises:
        SpecError: the values that it had break one, whatever is drawn beside them.
    """
    if spec.constraints_of("drawn") or spec.is_adaptive:
        draw_feasible(trial, spec, distributions(spec))
    found: dict[str, Any] = {}
    for name, distribution in distributions(spec).items():
        if not is_active(spec.drawn[name], found):
            continue
        # What it has stays, though its space has grown since.
        stored = trial.params[name] if name in trial.params else _suggest(trial, name, distribution)
        found[name] = decode(stored)


def _suggest(trial: optuna.trial.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    d = distribution
    if isinstance(d, FloatDistribution):
        return trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    assert isinstance(d, IntDistribution)
    return trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution([encode(choice) for choice in dimension])
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        step = 1 if dimension.step is None else int(dimension.step)
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
