"""Configurations that have results, from which people and final evaluations choose."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo.analysis import rank
from hpo.errors import SpecError, StudyError
from hpo.spec import ComparisonSpec, StudySpec, Vocabulary
from hpo.studies.names import arm_name
from hpo.studies.study import Study, compare_studies
from hpo.trials.record import Trial


@dataclass(frozen=True)
class Candidate:
    """A configuration, and the mean of its values. `params` are what its study file says of it.

    That of a search's leader whose race is over is the mean on fresh seeds, if it was not dropped: it
    `is_confirmed`.
    """

    vocabulary: Vocabulary
    name: str
    params: dict[str, Any]
    hyperparameters: dict[str, Any]
    value: float
    is_confirmed: bool = False

    @property
    def content(self) -> str:
        """What is trained, the same for all spellings of it."""
        try:
            content = self.vocabulary.effective(**self.hyperparameters).canonical.model_dump(mode="json")
        except SpecError:  # another version of hpo trained it
            content = self.hyperparameters
        return json.dumps(content, sort_keys=True)

    @property
    def arm(self) -> dict[str, Any]:
        """The arm of a study that trains just what the trials did.

        Raises:
            SpecError: this version of hpo cannot train it.
        """
        try:
            trained = self.vocabulary.effective(**self.hyperparameters)
        except SpecError as error:
            raise error.inside(self.name) from None
        # What the study file says may mean something else today, since a default has changed.
        if self.vocabulary.effective(**self.params) == trained:
            return {"name": self.name, **self.params}
        return {"name": self.name, **trained.model_dump(mode="json", exclude_none=True)}


def candidates(studies: Sequence[Study]) -> list[Candidate]:
    """Configurations that have results, best first by their studies' objective, each once."""
    first = studies[0].spec.objective
    for study in studies[1:]:
        if study.spec.judged_by != studies[0].spec.judged_by:
            rule = f"must have the objective of study {studies[0].name!r} to be ranked with it"
            raise StudyError(f"study {study.name!r}", rule, got=study.spec.objective.metric)
        if study.spec.model != studies[0].spec.model:
            rule = f"must have the model of study {studies[0].name!r} to be ranked with it"
            raise StudyError(f"study {study.name!r}", rule, got=str(study.spec.model))
    compare_studies(studies)  # refuses what is not comparable
    found = [candidate for study in studies for candidate in candidates_of(study, several=len(studies) > 1)]
    if not found:
        names = ", ".join(study.name for study in studies)
        raise StudyError(f"study {names}", "has no complete trial yet", remedy="Train it first: hpo resume.")
    # What fresh seeds say goes before what is the best of many.
    found.sort(key=lambda candidate: (not candidate.is_confirmed, rank(candidate.value, first.direction)))
    first_of = {candidate.content: candidate for candidate in reversed(found)}
    return [candidate for candidate in found if first_of[candidate.content] is candidate]


def candidates_of(study: Study, *, several: bool) -> list[Candidate]:
    spec, groups = study.spec, dict[str, list[Trial]]()
    raced = study.confirmation
    fresh = {f"#{one.number}": one.mean for one in raced.tied} if raced is not None and raced.is_over else {}
    # With several objectives the first alone says nothing of the others.
    for trial in study.front if len(spec.judged_by) > 1 else study.all_trials:
        if trial.confirms is not None:
            continue
        groups.setdefault(trial.arm or f"#{trial.number}", []).append(trial)
    return [
        Candidate(
            vocabulary=spec.vocabulary,
            name=arm_name(study.name, name, several=several),
            params={**spec.params, **_own_params(spec, name, complete[0])},
            hyperparameters=complete[0].hyperparameters,
            value=statistics.fmean(trial.value for trial in complete if trial.value is not None)
            if (mean := fresh.get(name)) is None
            else mean,
            is_confirmed=fresh.get(name) is not None,
        )
        for name, trials in groups.items()
        # One that failed with some seed is not what anybody wants to use.
        if all(trial.state != "failed" for trial in trials)
        and (complete := [trial for trial in trials if trial.value is not None])
    ]


def _own_params(spec: StudySpec, name: str, trial: Trial) -> dict[str, Any]:
    return dict(spec.arm(name).params) if isinstance(spec, ComparisonSpec) else trial.params
