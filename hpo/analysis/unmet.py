"""A search none of whose trials meets its constraints: how near the nearest comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpo.tables.numbers import counted
from hpo.trials.record import Trial

Violations = Mapping[str, float]


def unmet(trials: Sequence[Trial], violations: Mapping[int, Violations]) -> str | None:
    """That none of the trials which have ended meets the constraints; None if one does, or none breaks any.

    `violations`: how far each trial is from keeping each constraint that is known of it, as Optuna has it.
    """
    if any(trial.value is not None for trial in trials):
        return None
    broken = {
        number: found for number, by in violations.items() if (found := [v for v in by.values() if v > 0])
    }
    apart = [trial for trial in trials if trial.number in broken]
    if not apart:
        return None
    # What was stopped before it trained keeps who knows what else.
    trained = [trial for trial in apart if trial.state == "complete"]
    # Constraints are of different units: first by how many are broken.
    nearest = min(
        trained or apart,
        key=lambda trial: (len(broken[trial.number]), sum(broken[trial.number]), trial.number),
    )
    what = "complete trial" if len(trained) == len(apart) else "trial"
    if len(apart) == 1:
        return f"The one {what} does not meet the constraints, #{nearest.number}: {nearest.reason}."
    none = f"None of {counted(len(apart), what)} meets the constraints"
    return f"{none}; the nearest is #{nearest.number}: {nearest.reason}."
