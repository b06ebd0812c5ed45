"""How long the rest of a study will take."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from hpo.errors import SpecError
from hpo.search import hyperparameters_of
from hpo.spec import StudySpec

# Epochs are counted for so long before anything is said, and of the last minutes only.
LEAST_SECONDS = 3.0
WINDOW_SECONDS = 120.0
# So many trials must have ended before the others are supposed to be as long as they were.
LEAST_TRIALS = 3


class Estimate:
    """Seconds that are left of a study, by the epochs that were reported while it was looked at.

    Counting begins with the first epoch that is seen to be reported: what comes before it is compiling and
    says nothing of the rate. (Taken into it, a study of 15 minutes was said to take 38 hours, then 9, 5, 3.)
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._counted: deque[tuple[float, int]] = deque()
        self._first: int | None = None
        self._epochs: dict[int, int] = {}

    def left(self, trials: Sequence[FrozenTrial], now: float) -> float | None:
        """Seconds from `now`, a monotonic time; None while it is not known."""
        done = sum(len(trial.intermediate_values) for trial in trials)
        if self._first is None:
            self._first = done
        if done == self._first:
            return None
        self._counted.append((now, done))
        while now - self._counted[0][0] > WINDOW_SECONDS:
            self._counted.popleft()
        begun, before = self._counted[0]
        if now - begun < LEAST_SECONDS or done == before:
            return None
        return self._epochs_left(trials) * (now - begun) / (done - before)

    def _epochs_left(self, trials: Sequence[FrozenTrial]) -> float:
        ended = [len(t.intermediate_values) for t in trials if t.state.is_finished()]
        usual = statistics.fmean(ended) if len(ended) >= LEAST_TRIALS else None
        left = 0.0
        for trial in trials:
            if not trial.state.is_finished():
                reported = len(trial.intermediate_values)
                most = self._most(trial) or usual or reported
                # Some stop early, and some are pruned.
                left += max(0.0, min(most, max(usual or most, reported + 1)) - reported)
        return left

    def _most(self, trial: FrozenTrial) -> int | None:
        # Of thousands that wait it takes a tenth of a core to ask each time.
        if trial.number not in self._epochs and (most := epochs_of(self._spec, trial)) is not None:
            self._epochs[trial.number] = most
        return self._epochs.get(trial.number)


def epochs_of(spec: StudySpec, trial: FrozenTrial) -> int | None:
    """How many epochs a trial may have; None before its sampler has drawn that."""
    begun = trial.user_attrs.get("hyperparameters")
    if isinstance(begun, dict) and isinstance(begun.get("epochs"), int):
        return int(begun["epochs"])
    try:
        return hyperparameters_of(spec, trial).epochs
    except (KeyError, SpecError):
        return None
