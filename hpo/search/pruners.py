"""Optuna's pruners as a specification declares them."""

from __future__ import annotations

import optuna

from hpo.search.dominance import DominancePruner, rungs_of
from hpo.spec import SearchSpec, StudySpec


def make_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """The pruner that the specification declares; steps are epochs, counted from 1."""
    if not isinstance(spec, SearchSpec) or spec.pruner.name == "none":
        return optuna.pruners.NopPruner()
    if len(spec.objectives) > 1:
        return DominancePruner(spec)
    pruner = spec.pruner
    if pruner.name == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.min_epochs
        )
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
