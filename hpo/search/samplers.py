"""Optuna's samplers and pruners as a specification declares them."""

from __future__ import annotations

import numpy as np
import optuna

from hpo.spec import SearchSpec, StudySpec


def make_sampler(spec: StudySpec, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for one trial, seeded by the study's seed and the trial's number.

    A sampler with one seed for all would draw the same in every worker, and again after a resume.
    """
    if not isinstance(spec, SearchSpec):
        return optuna.samplers.RandomSampler(seed=0)
    seed = int(np.random.SeedSequence([spec.sampler.seed, number]).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=seed)


def make_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """The pruner that the specification declares; steps are epochs, counted from 1."""
    if not isinstance(spec, SearchSpec) or spec.pruner.name == "none":
        return optuna.pruners.NopPruner()
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
