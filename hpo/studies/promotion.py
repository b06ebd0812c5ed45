"""From the luck of a search to a verdict: its best configurations as a comparison over fresh seeds."""

from __future__ import annotations

from typing import Any

from hpo.errors import StudyError
from hpo.registry import place_of
from hpo.spec import ComparisonSpec, SearchSpec, of_training, parse, without_idle
from hpo.spec.dimensions import Range, value
from hpo.spec.starts import lies_in
from hpo.studies.candidates import candidates
from hpo.studies.names import promoted_name
from hpo.studies.study import Study

TOP, SEEDS = 3, 5


def promoted(study: Study, *, top: int = TOP, seeds: int = SEEDS) -> ComparisonSpec:
    """A comparison of the best `top` configurations of a search on `seeds` seeds that it has not used.

    The best one is the baseline: whether it is better than the next ones is the question.

    Raises:
        CodeError: a file of a person's own has changed since the study was made.
        StudyError: it is no search, or has fewer than two complete configurations.
        SpecError: this version of hpo cannot train one of them.
    """
    spec = study.spec
    if not isinstance(spec, SearchSpec):
        rule = "must be a search, whose best configurations a comparison can confirm"
        raise StudyError(place_of(study.name), rule, got=spec.kind)
    study.check_code()
    chosen = candidates([study])[:top]
    if len(chosen) < 2:
        rule = "must have two complete configurations that differ, to compare them"
        raise StudyError(place_of(study.name), rule, got=len(chosen), remedy=f"Run: hpo resume {study.name}.")
    arms = [without_idle(_on_steps(spec, candidate.arm)) for candidate in chosen]
    common = {key: value for key, value in spec.params.items() if all(arm.get(key) == value for arm in arms)}
    made = parse(
        {
            "name": promoted_name(study.name, len(chosen)),
            "kind": "comparison",
            "description": f"The best of {study.name} on seeds that it has not used.",
            "data": spec.data,
            # Without what follows from the task, it says nothing.
            **({"objective": spec.objective} if spec.objective.model_fields_set else {}),
            **of_training(spec),
            "metrics": list(dict.fromkeys((*spec.table_metrics, *spec.learned.shown))),
            "seeds": seeds,
            "first_seed": spec.seeds + (spec.race.seeds if spec.race is not None else 0),
            "baseline": chosen[0].name,
            "params": common,
            "arms": [{key: arm[key] for key in arm if key not in common} for arm in arms],
        },
        source=place_of(study.name),
    )
    assert isinstance(made, ComparisonSpec)
    return made


def _on_steps(spec: SearchSpec, arm: dict[str, Any]) -> dict[str, Any]:
    """An arm with the numbers of steps as a file has them: of 0.3 Optuna makes 0.30000000000000004."""
    found = dict(arm)
    for name, of in spec.space.items():
        if isinstance(of, Range) and of.step is not None and lies_in(of, arm.get(name)):
            found[name] = value(of, round((arm[name] - of.low) / of.step))
    return found
