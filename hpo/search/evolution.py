"""CMA-ES (Hansen and Ostermeier 2001) that follows from the trials alone.

Optuna's own keeps its state as a pickle in the database, which whoever may write to that could have run. Here
it is made anew for each trial from the results before it, by generations in the order in which they ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.search.by_points import PointSampler
from hpo.search.cube import Cube
from hpo.search.distributions import drawn_of
from hpo.search.encoding import encode
from hpo.search.marks import is_feasible
from hpo.spec import directions

SIGMA = 1 / 6
# Of what breaks a constraint or is not finite: it ranks, and infinity is no number to reckon with.
WORST = 1e300


class EvolutionSampler(PointSampler):
    """Draws from the normal distribution that the generations before have shaped, within the unit cube."""

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next configuration."""
        import cmaes

        cube = Cube(self._spec)
        if cube.width == 1:  # it needs two dimensions
            return {}
        bounds = np.tile([0.0, math.nextafter(1.0, 0.0)], (cube.width, 1))
        search = cmaes.CMA(
            np.full(cube.width, 0.5), SIGMA, bounds=bounds, seed=int(self._generator.integers(2**31))
        )
        for generation in self._generations(study.get_trials(deepcopy=False), search.population_size):
            points = cube.points([drawn_of(one) for one in generation])
            search.tell([(point, self._cost(one)) for point, one in zip(points, generation, strict=True)])
        drawn = cube.drawn(search.ask())
        return {name: encode(value) for name, value in drawn.items()}

    def _generations(self, held: Sequence[FrozenTrial], size: int) -> list[list[FrozenTrial]]:
        """Those that have ended, also before they had a value if they break a constraint."""
        ended = [
            trial
            for trial in held
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            and (trial.value is not None or not is_feasible(trial))
        ]
        ended.sort(key=lambda trial: (trial.datetime_complete or datetime.max, trial.number))
        whole = len(ended) - len(ended) % size
        return [ended[at : at + size] for at in range(0, whole, size)]

    def _cost(self, trial: FrozenTrial) -> float:
        sign = -directions.sign(self._spec.objective.direction)
        value = math.inf if trial.value is None or not is_feasible(trial) else sign * trial.value
        return value if math.isfinite(value) else WORST
