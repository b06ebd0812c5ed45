"""What samplers of points in a space's cube have in common: all is drawn at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from hpo.search.distributions import distributions
from hpo.spec import SearchSpec


class PointSampler(optuna.samplers.BaseSampler):
    """A sampler of one trial, whose draw follows from the study's seed, its number and the results."""

    def __init__(self, spec: SearchSpec, number: int) -> None:
        self._spec, self._number = spec, number
        self._generator = np.random.default_rng([spec.sampler.seed, number])

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All that is drawn, active or not."""
        return distributions(self._spec)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random: what no point was found for."""
        seed = int(self._generator.integers(2**32))
        random = optuna.samplers.RandomSampler(seed=seed)
        return random.sample_independent(study, trial, param_name, param_distribution)
