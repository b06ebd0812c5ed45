"""Pruning with several objectives: a trial that others dominate at a rung is stopped there.

Successive halving (Jamieson and Talwalkar 2016, asynchronous as Li et al. 2020 have it) keeps the first share
of those that have reached a rung. With several objectives the order is that of non-dominated sorting (Deb et
al. 2002), and whatever none dominates goes on, be it ever so many.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from hpo.search.front import Losses, losses_of
from hpo.search.marks import confirms
from hpo.spec import SearchSpec

# Of a trial of a search with several objectives: by epoch, as text, what it had reached of each there.
RUNGS_ATTRIBUTE = "rungs"
MEDIAN_SHARE = 2


def is_behind(own: Losses, others: Sequence[Losses], *, share: int) -> bool:
    """Whether some dominate it, and it is not among the first 1/`share` of all by non-dominated sorting.

    Of a front that begins within that share all are. What has a NaN is behind.

    >>> is_behind((2.0, 2.0), [(0.0, 9.0), (1.0, 1.0), (9.0, 0.0)], share=2)
    True
    >>> is_behind((0.5, 3.0), [(0.0, 9.0), (1.0, 1.0), (9.0, 0.0)], share=2)
    False
    """
    if any(map(math.isnan, own)):
        return True
    from optuna.study._multi_objective import _fast_non_domination_rank

    every = np.asarray([own, *(one for one in others if not any(map(math.isnan, one)))], np.float64)
    mine, most = every[0], max(1, (len(others) + 1) // share)
    dominating = int(((every <= mine).all(axis=1) & (every < mine).any(axis=1)).sum())
    # Each of these is on an earlier front. Of thousands most are told by this alone, and faster.
    if not dominating or dominating >= most:
        return bool(dominating)
    ranks = _fast_non_domination_rank(every, n_below=most)
    return int((ranks < ranks[0]).sum()) >= most


def rungs_of(spec: SearchSpec) -> tuple[int, ...]:
    """The epochs after which trials are judged: of the median pruner too, at each twice as many as before."""
    epochs, rung, found = spec.hyperparameter_table().epochs, spec.pruner.min_epochs, list[int]()
    while rung < epochs:
        found.append(rung)
        rung *= _share(spec)
    return tuple(found)


class DominancePruner(optuna.pruners.BasePruner):
    """The pruner of a search with several objectives, by what its trials' rungs say.

    Those of hyperband are halved in brackets of their own, of which each begins a rung later.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self._spec, self._rungs = spec, rungs_of(spec)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """See Optuna. By the last rung that the trial has reached."""
        own, bracket = trial.user_attrs.get(RUNGS_ATTRIBUTE, {}), self._bracket(trial.number)
        rung = next((str(rung) for rung in reversed(self._rungs[bracket:]) if str(rung) in own), None)
        if rung is None:
            return False
        others = [
            losses_of(self._spec.objectives, reached)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and confirms(other) is None
            and self._bracket(other.number) == bracket
            and (reached := other.user_attrs.get(RUNGS_ATTRIBUTE, {}).get(rung))
        ]
        if self._spec.pruner.name == "median" and len(others) < self._spec.pruner.startup_trials:
            return False
        return is_behind(losses_of(self._spec.objectives, own[rung]), others, share=_share(self._spec))

    def _bracket(self, number: int) -> int:
        """Which bracket a trial is of: of each about as many epochs, as hyperband has them."""
        if self._spec.pruner.name != "hyperband" or not self._rungs:
            return 0
        last, share = len(self._rungs), _share(self._spec)
        weights = [math.ceil((last + 1) * share ** (last - at) / (last - at + 1)) for at in range(last + 1)]
        place = zlib.crc32(f"{self._spec.name}_{number}".encode()) % sum(weights)
        return int(np.searchsorted(np.cumsum(weights), place, side="right"))


def _share(spec: SearchSpec) -> int:
    return MEDIAN_SHARE if spec.pruner.name == "median" else spec.pruner.reduction_factor
