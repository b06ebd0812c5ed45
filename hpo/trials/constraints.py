"""What of a search's constraints a trial breaks: by the network that it has, and by what it has measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from hpo.search import confirms
from hpo.spec import Hyperparameters, SearchSpec, StudySpec
from hpo.spec.constraints import PARAMETERS


@dataclass(frozen=True)
class Kept:
    """How far a trial is from breaking each constraint that is known of it, as Optuna has it: at most 0.

    `broken` says what is broken, for people; it is empty if nothing is.
    """

    violations: Mapping[str, float] = field(default_factory=dict)
    broken: str = ""


def kept_by(
    spec: StudySpec,
    trial: optuna.trial.Trial,
    hyperparameters: Hyperparameters,
    model: Any,
    metrics: Mapping[str, float] | None = None,
) -> Kept:
    """What a trial keeps and breaks once its Keras model is built; with `metrics`, once it is measured.

    One that trains a leader again breaks nothing: that has kept all.
    """
    if not isinstance(spec, SearchSpec) or not spec.constraints or confirms(trial) is not None:
        return Kept()
    known = spec.constraints_of("built")
    if metrics is not None:
        known += spec.constraints_of("measured")
    values = {**vars(hyperparameters), PARAMETERS: parameters_of(model), **(metrics or {})}
    said = [text for one in known if (text := one.broken(values))]
    return Kept({one.text: one.violation(values) for one in known}, "; ".join(said))


def parameters_of(model: Any) -> int:
    """The weights of a Keras model that training changes."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
