"""How much a study trains at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpo.spec import ComparisonSpec, Hyperparameters, SearchSpec, StudySpec, dimensions


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


def _worst_cases(spec: StudySpec) -> list[tuple[Hyperparameters, int]]:
    """Hyperparameters, and of how many trials: each arm's, or those of a search with its smallest batch."""
    if isinstance(spec, ComparisonSpec):
        return [(spec.hyperparameters_for(arm.params), spec.seeds) for arm in spec.arms]
    assert isinstance(spec, SearchSpec)
    fixed = spec.hyperparameter_table()
    varied = spec.drawn.get("batch_size")
    batches = dimensions.ends(varied) if varied is not None else ()
    if varied is None or varied.when:
        batches = (*batches, fixed.batch_size)
    smallest: Any = min((batch for batch in batches if batch != "full"), default="full")
    return [(Hyperparameters(batch_size=smallest, epochs=fixed.epochs), spec.trials)]
