"""Optuna's pruners as a specification declares them."""

from __future__ import annotations

from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.dominance import DominancePruner, rungs_of
from hpo.search.marks import confirms
from hpo.spec import SearchSpec, StudySpec


class MedianPruner(optuna.pruners.MedianPruner):
    """Optuna's, by the trials that search: a race is of leaders, whose median says nothing of a search.

    The other pruners judge by what trials have passed of their rungs, and a race passes none.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """See Optuna."""
        return super().prune(_Searching(study), trial)


class _Searching(optuna.Study):
    """An Optuna study of which `get_trials` gives those that search."""

    def __init__(self, study: optuna.Study) -> None:
        # A new one would ask the database for its key by its name.
        self.__dict__.update(study.__dict__)
        self._of = study

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See Optuna."""
        return [trial for trial in self._of.get_trials(deepcopy, states) if confirms(trial) is None]


def make_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """The pruner that the specification declares; steps are epochs, counted from 1."""
    if not isinstance(spec, SearchSpec) or spec.pruner.name == "none":
        return optuna.pruners.NopPruner()
    if len(spec.objectives) > 1:
        return DominancePruner(spec)
    pruner = spec.pruner
    if pruner.name == "median":
        return MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.min_epochs)
    if pruner.name == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=pruner.min_epochs, reduction_factor=pruner.reduction_factor
        )
    return optuna.pruners.HyperbandPruner(
        min_resource=pruner.min_epochs,
        max_resource=spec.hyperparameter_table().epochs,
        reduction_factor=pruner.reduction_factor,
    )


def may_prune(spec: StudySpec, epoch: int) -> bool:
    """Whether the declared pruner can end a trial after this epoch, if it is asked after each.

    >>> pruner = {"name": "hyperband", "min_epochs": 2, "reduction_factor": 3}
    >>> data, space = {"name": "digits"}, {"dropout": [0.1, 0.2]}
    >>> spec = SearchSpec(name="s", kind="search", data=data, space=space, trials=2, pruner=pruner)
    >>> [epoch for epoch in range(1, 50) if may_prune(spec, epoch)]
    [2, 6, 18]
    """
    if not isinstance(spec, SearchSpec) or spec.pruner.name == "none":
        return False
    if len(spec.objectives) > 1:
        return epoch in rungs_of(spec)
    pruner = spec.pruner
    if pruner.name == "median":
        return epoch >= pruner.min_epochs
    # The brackets of Hyperband begin at different rungs of the same ladder.
    rung = pruner.min_epochs
    while rung < epoch:
        rung *= pruner.reduction_factor
    return rung == epoch
