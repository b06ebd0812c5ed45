"""How far each hyperparameter of a search decides the value."""

from __future__ import annotations

import math
import warnings

import optuna


def importances(study: optuna.Study) -> dict[str, float] | None:
    """The share of the values' spread that each hyperparameter explains, the greatest first.

    By Optuna's PED-ANOVA (Watanabe, Bansal and Hutter 2023) over the complete trials; None if it cannot say.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about what is returned as None here
            found = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):
        return None
    if len(set(found.values())) < 2 or not all(map(math.isfinite, found.values())):
        return None
    return found
