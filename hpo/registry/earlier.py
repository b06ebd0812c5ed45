"""What a study takes over from an earlier one when it is made, so that the earlier one may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from hpo.errors import StudyError
from hpo.registry.finding import find
from hpo.registry.stored import DIGEST_ATTRIBUTE, StoredStudy, place_of
from hpo.search import best_of, earlier_rows, earlier_values, hyperparameters_of
from hpo.spec import SearchSpec
from hpo.spec.base import plain
from hpo.storage import Storage
from hpo.tables.numbers import counted, settings


def taken_over(spec: SearchSpec, storage: Storage) -> dict[str, Any]:
    """What `start_from` gives a new study: which study it is of, its best configuration, rows of its trials.

    Raises:
        StudyError: there is no such study, or its values are no such values.
    """
    assert spec.start_from is not None
    source = StoredStudy(storage, find(spec.start_from, storage, asked=f"{place_of(spec.name)}: start_from"))
    of, place, rule = source.spec, place_of(spec.name), "must be a search of the same objective"
    if not isinstance(of, SearchSpec) or len(of.objectives) > 1:
        raise StudyError(f"{place}: start_from", rule, got=source.name)
    asked, there = spec.objective, of.objective
    if (asked.metric, asked.direction) != (there.metric, there.direction):
        rule = f"must be a search of the same objective ({asked.direction} {asked.metric})"
        raise StudyError(f"{place}: start_from", rule, got=f"{there.direction} {there.metric}")
    trials = source.frozen_trials
    best = best_of(of, trials)
    values = None if best is None else earlier_values(spec, best, of=of)
    rows = earlier_rows(spec, trials, of=of) if spec.is_adaptive else []
    return {
        "study": source.name,
        "number": None if best is None or values is None else best.number,
        "best": None if values is None else plain(spec.joined(values)),
        "otherwise": [] if best is None or values is None else _otherwise(spec, values, best, of=of),
        "known": len(rows),
        "trials": sum(trial.state.is_finished() for trial in trials),
        "rows": rows,
        "digest": source.storage.study_attribute(source.id, DIGEST_ATTRIBUTE),
    }


def sentence(spec: SearchSpec, found: Mapping[str, Any], *, same_data: bool) -> str:
    """What a study takes over, in words."""
    name = found["study"]
    begins = f"starts with #{found['number']} of {name}"
    if found["number"] is None:
        outside = f"the best of {name} lies outside this space"
        begins = outside if found["trials"] else f"{name} has no results"
    known = f"its sampler knows {found['known']} of {counted(found['trials'], 'trial')} of {name}"
    if found["number"] is not None:
        known = f"its sampler knows {found['known']} of its {counted(found['trials'], 'trial')}"
    if not spec.is_adaptive:
        known = f"sampler {spec.sampler.name!r} learns from no trials"
    other = "" if same_data else f" ({name} is of other data)"
    otherwise = f"; else than there: {', '.join(found['otherwise'])}" if found["otherwise"] else ""
    return f"{begins}, and {known}{other}{otherwise}"


def _otherwise(
    spec: SearchSpec, values: Mapping[str, Any], best: FrozenTrial, *, of: SearchSpec
) -> list[str]:
    """What is fixed here, and was something else in the trial that it starts with."""
    here, there = spec.hyperparameters_for(spec.joined(values)), hyperparameters_of(of, best)
    before = plain(there.model_dump())
    return [
        settings({name: value})
        for name, value in plain(here.model_dump()).items()
        if name not in spec.space and name in before and before[name] != value
    ]
