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
    for hyperparameters, runs in _worst_cases(spec):
        most = runs * hyperparameters.epochs
        if isinstance(spec, SearchSpec) and spec.max_epochs_total is not None:
            most = min(most, spec.max_epochs_total)
        epochs += most
        steps += most * hyperparameters.steps_per_epoch(trained)
    return Workload(epochs, steps)


def _worst_cases(spec: StudySpec) -> list[tuple[Hyperparameters, int]]:
    """Hyperparameters, and of how many runs: each arm's, or those of a search with its smallest batch."""
    if isinstance(spec, ComparisonSpec):
        runs = spec.seeds * spec.replicates
        return [(spec.hyperparameters_for(arm.params), runs) for arm in spec.arms]
    assert isinstance(spec, SearchSpec)
    fixed = spec.hyperparameter_table()
    varied = spec.drawn.get("batch_size")
    batches = dimensions.ends(varied) if varied is not None else ()
    if varied is None or varied.when:
        batches = (*batches, fixed.batch_size)
    smallest: Any = min((batch for batch in batches if batch != "full"), default="full")
    # A run of its race has one seed.
    runs = spec.searched * spec.replicates + (spec.trials - spec.searched) * (spec.data.splits or 1)
    return [(Hyperparameters(batch_size=smallest, epochs=fixed.epochs), runs)]
