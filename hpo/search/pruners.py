"""The table of pruners: what `pruner.name` of a search stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from hpo.search.dominance import DominancePruner, rungs_of
from hpo.search.marks import confirms
from hpo.search.shown import ShownStudy
from hpo.spec import SearchSpec, StudySpec


class MedianPruner(optuna.pruners.MedianPruner):
    """Optuna's, by the trials that search: a race is of leaders, whose median says nothing of a search.

    The other pruners judge by what trials have passed of their rungs, and a race passes none.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """See Optuna."""
        return super().prune(ShownStudy(study, _those_that_search), trial)


def _those_that_search(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if confirms(trial) is None]


@dataclass(frozen=True)
class Pruning:
    """A way to prune: its pruner, and whether that can end a trial after an epoch, if asked after each."""

    make: Callable[[SearchSpec], optuna.pruners.BasePruner]
    may_end: Callable[[SearchSpec, int], bool]


def _median(spec: SearchSpec) -> optuna.pruners.BasePruner:
    pruner = spec.pruner
    return MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.min_epochs)


def _halving(spec: SearchSpec) -> optuna.pruners.BasePruner:
    pruner = spec.pruner
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=pruner.min_epochs, reduction_factor=pruner.reduction_factor
    )


def _hyperband(spec: SearchSpec) -> optuna.pruners.BasePruner:
    pruner, epochs = spec.pruner, spec.hyperparameter_table().epochs
    return optuna.pruners.HyperbandPruner(
        min_resource=pruner.min_epochs, max_resource=epochs, reduction_factor=pruner.reduction_factor
    )


def _is_rung(spec: SearchSpec, epoch: int) -> bool:
    # The brackets of Hyperband begin at different rungs of the same ladder.
    rung = spec.pruner.min_epochs
    while rung < epoch:
        rung *= spec.pruner.reduction_factor
    return rung == epoch


NO_PRUNING = Pruning(lambda spec: optuna.pruners.NopPruner(), lambda spec, epoch: False)
# By `pruner.name`, of searches with one objective.
PRUNERS: Mapping[str, Pruning] = {
    "none": NO_PRUNING,
    "median": Pruning(_median, lambda spec, epoch: epoch >= spec.pruner.min_epochs),
    "successive_halving": Pruning(_halving, _is_rung),
    "hyperband": Pruning(_hyperband, _is_rung),
}
# Of several objectives, whichever pruner is named: its keys say where the rungs are.
BY_FRONTS = Pruning(DominancePruner, lambda spec, epoch: epoch in rungs_of(spec))


def make_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """The pruner that the specification declares; steps are epochs, counted from 1."""
    return _pruning(spec).make(spec) if isinstance(spec, SearchSpec) else optuna.pruners.NopPruner()


def may_prune(spec: StudySpec, epoch: int) -> bool:
    """Whether the declared pruner can end a trial after this epoch, if it is asked after each.

    >>> pruner = {"name": "hyperband", "min_epochs": 2, "reduction_factor": 3}
    >>> data, space = {"name": "digits"}, {"dropout": [0.1, 0.2]}
    >>> spec = SearchSpec(name="s", kind="search", data=data, space=space, trials=2, pruner=pruner)
    >>> [epoch for epoch in range(1, 50) if may_prune(spec, epoch)]
    [2, 6, 18]
    """
    return isinstance(spec, SearchSpec) and _pruning(spec).may_end(spec, epoch)


def _pruning(spec: SearchSpec) -> Pruning:
    found = PRUNERS[spec.pruner.name]
    return BY_FRONTS if len(spec.objectives) > 1 and found is not NO_PRUNING else found
