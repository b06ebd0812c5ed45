"""What a study still has to train: its specification against the trials that the database holds.

A comparison wants every arm with every seed. A grid or random search wants configurations 0 to N - 1, each
of which follows from the sampler's seed and its index alone. An adaptive search wants N trials, whose
parameters the sampler draws when a worker claims them. Failed and pruned trials count: they are results.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.spec import ComparisonSpec, Dimension, Hyperparameters, Range, SearchSpec, StudySpec
from hpo.spec import space as dimensions

# Up to this size a finite space is shuffled whole; a larger one is drawn from, skipping repeats.
SHUFFLED_SIZE = 100_000


def plan(spec: StudySpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The WAITING trials to add to `trials` so that the study has all that `spec` asks for."""
    if isinstance(spec, ComparisonSpec):
        return _plan_comparison(spec, trials)
    assert isinstance(spec, SearchSpec)
    if spec.sampler.name == "tpe":
        return [_waiting() for _ in range(spec.trials - len(trials))]
    return _plan_configurations(spec, trials)


@dataclass(frozen=True)
class Workload:
    """What a study trains at most: epochs over all replicates, and optimizer steps."""

    epochs: int
    steps: int


def workload(spec: StudySpec, samples: int) -> Workload:
    """How much a study trains on so many samples if nothing is pruned or stops early."""
    data = spec.data
    kept = 1 - (1 / data.folds if data.folds else data.validation or 0.0)
    trained = round(samples * kept)
    epochs = steps = 0
    for hyperparameters, times in _worst_cases(spec):
        epochs += times * spec.replicates * hyperparameters.epochs
        steps += times * spec.replicates * hyperparameters.epochs * hyperparameters.steps_per_epoch(trained)
    return Workload(epochs, steps)


def hyperparameters_of(spec: StudySpec, trial: FrozenTrial | optuna.trial.Trial) -> Hyperparameters:
    """The effective hyperparameters of a planned trial that has its parameters."""
    if isinstance(spec, ComparisonSpec):
        return spec.hyperparameters_for(spec.arm(trial.user_attrs["arm"]).params)
    return spec.hyperparameters_for({name: decode(value) for name, value in trial.params.items()})


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """The search space as Optuna's distributions, in the specification's order."""
    return {name: _distribution(dimension) for name, dimension in spec.space.items()}


def suggest(trial: optuna.trial.Trial, spec: SearchSpec) -> None:
    """Give the trial a value of every dimension: its own if it has one, else the sampler's."""
    for name, distribution in distributions(spec).items():
        if isinstance(distribution, CategoricalDistribution):
            trial.suggest_categorical(name, distribution.choices)
        elif isinstance(distribution, FloatDistribution):
            d = distribution
            trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
        elif isinstance(distribution, IntDistribution):
            trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )


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


def encode(value: Any) -> Any:
    """A hyperparameter's value as Optuna stores choices: lists become their JSON."""
    return json.dumps(value) if isinstance(value, tuple | list) else value


def decode(value: Any) -> Any:
    """The value that `encode` was given."""
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def _worst_cases(spec: StudySpec) -> list[tuple[Hyperparameters, int]]:
    """Hyperparameters, and of how many trials: each arm's, or those of a search with its smallest batch."""
    if isinstance(spec, ComparisonSpec):
        return [(spec.hyperparameters_for(arm.params), spec.seeds) for arm in spec.arms]
    assert isinstance(spec, SearchSpec)
    fixed = spec.hyperparameter_table()
    batches = dimensions.ends(spec.space["batch_size"]) if "batch_size" in spec.space else (fixed.batch_size,)
    smallest: Any = min((batch for batch in batches if batch != "full"), default="full")
    return [(Hyperparameters(batch_size=smallest, epochs=fixed.epochs), spec.trials)]


def _plan_comparison(spec: ComparisonSpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    held = {(trial.user_attrs.get("arm"), trial.user_attrs.get("seed")) for trial in trials}
    # By seed first: an interrupted comparison has compared every arm, on fewer seeds.
    wanted = itertools.product(spec.seed_range, (arm.name for arm in spec.arms))
    return [_waiting({"arm": arm, "seed": seed}) for seed, arm in wanted if (arm, seed) not in held]


def _plan_configurations(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    held = {trial.user_attrs.get("index") for trial in trials}
    if held.issuperset(range(spec.trials)):
        return []
    space = distributions(spec)
    return [
        _waiting({"index": index}, {name: encode(value) for name, value in values.items()}, space)
        for index, values in enumerate(itertools.islice(_configurations(spec), spec.trials))
        if index not in held
    ]


def _configurations(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """The search's configurations in order; a longer search begins with those of a shorter one."""
    if spec.sampler.name == "grid":
        return (spec.configuration(index) for index in itertools.count())
    if spec.size is None:
        return (_draw(spec, index) for index in itertools.count())
    return (spec.configuration(index) for index in _without_repeats(spec.size, spec.sampler.seed))


def _without_repeats(size: int, seed: int) -> Iterator[int]:
    if size <= SHUFFLED_SIZE:
        yield from (int(index) for index in np.random.default_rng(seed).permutation(size))
        return
    # Not numpy's, whose integers have 64 bits: ten hyperparameters of a hundred steps have more.
    generator = random.Random(seed)
    seen: set[int] = set()
    while len(seen) < size:
        index = generator.randrange(size)
        if index not in seen:
            seen.add(index)
            yield index


def _draw(spec: SearchSpec, index: int) -> dict[str, Any]:
    generator = np.random.default_rng([spec.sampler.seed, index])
    return {name: _value(dimension, generator) for name, dimension in spec.space.items()}


def _value(dimension: Dimension, generator: np.random.Generator) -> Any:
    count = dimensions.size(dimension)
    if count is not None:
        return dimensions.value(dimension, int(generator.integers(count)))
    assert isinstance(dimension, Range)
    low, high = dimension.low, dimension.high
    whole = isinstance(low, int)
    if dimension.log:
        drawn = math.exp(generator.uniform(math.log(low), math.log(high + whole)))
        return min(max(math.floor(drawn) if whole else drawn, low), high)
    return int(generator.integers(int(low), int(high) + 1)) if whole else float(generator.uniform(low, high))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution([encode(choice) for choice in dimension])
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        step = 1 if dimension.step is None else int(dimension.step)
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _waiting(
    attributes: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    space: Mapping[str, BaseDistribution] | None = None,
) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params=dict(params or {}),
        distributions=dict(space or {}),
        user_attrs=dict(attributes or {}),
    )
