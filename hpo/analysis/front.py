"""The trials of a search with several objectives that are on its front, and in words."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.search import hypervolume, losses_of, on_front, reference_of
from hpo.spec import StudySpec
from hpo.tables.numbers import counted, number
from hpo.trials.record import Trial


def front_of(spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that none dominates, the best of the first objective first."""
    complete = _complete(spec, trials)
    losses = [losses_of(spec.judged_by, trial.values.values()) for trial in complete]
    found = [
        (own, trial.number, trial)
        for own, trial, is_on in zip(losses, complete, on_front(losses), strict=True)
        if is_on
    ]
    return [trial for _, _, trial in sorted(found, key=lambda one: one[:2])]


def dominated_volume(spec: StudySpec, trials: Sequence[Trial]) -> list[tuple[int, float]]:
    """Number of each complete trial, in order, and the hypervolume of those up to it.

    It is measured from the worst value of each objective that any of them has.
    """
    complete = sorted(_complete(spec, trials), key=lambda trial: trial.number)
    losses = [losses_of(spec.judged_by, trial.values.values()) for trial in complete]
    reference = reference_of(losses)
    return [
        (trial.number, hypervolume(losses[: count + 1], reference)) for count, trial in enumerate(complete)
    ]


def front_sentence(spec: StudySpec, trials: Sequence[Trial]) -> str:
    """How many trials are on the front, and from where to where it reaches."""
    front, complete = front_of(spec, trials), _complete(spec, trials)
    names = " and ".join(objective.metric for objective in spec.judged_by)
    if not front:
        return f"No trial has finite values of {names}."
    are = "is" if len(front) == 1 else "are"
    said = f"{len(front)} of {counted(len(complete), 'complete trial')} {are} on the front of {names}"
    ends = front[:1] if len(front) == 1 else [front[0], front[-1]]
    return f"{said}: {' to '.join(f'{_values(spec, trial)} (#{trial.number})' for trial in ends)}."


def _values(spec: StudySpec, trial: Trial) -> str:
    return ", ".join(f"{o.metric} {number(trial.values[o.metric])}" for o in spec.judged_by)


def _complete(spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    wanted = len(spec.judged_by)
    return [trial for trial in trials if trial.confirms is None and len(trial.values) == wanted]
