"""What a trial's epochs report, kept aside for a moment: several are written in one transaction.

A commit costs 4 ms of SQLite, as much as an epoch of a small network, and 2 ms of PostgreSQL's processor, as
much as the rest of a trial once it takes seconds. So what is reported within half a second is written
together, later within a fifth of the time that the trial has trained, at most 15 s; and whatever else is
written of the trial takes along what is kept. No pruner of ours reads what others have reported before they
end, or reach a rung, and its own trial it knows. A worker that is killed loses as much, which is trained
again from the last checkpoint.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from optuna.storages._rdb import models

from hpo.storage.dialects import insert_rows
from hpo.storage.pace import Pace

REPORT_SECONDS = 0.5
LONGEST_SECONDS = 15.0


class Reports:
    """The values of steps of one trial that are not written yet."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}
        self._written = time.monotonic()
        self._pace = Pace(0.0, LONGEST_SECONDS)

    def add(self, step: int, value: float) -> None:
        """Keep a value until it is written."""
        self.values[step] = value

    def are_due(self, seconds: float) -> bool:
        """Whether the last ones were written so long ago, and a fifth of the time since the begin."""
        return time.monotonic() - self._written >= max(seconds, self._pace.seconds)

    def write_in(self, connection: sa.Connection, trial_id: int) -> None:
        """Write what is kept; of a step that is there, whose reply was lost, nothing."""
        if not self.values:
            return
        model = models.TrialIntermediateValueModel
        rows = []
        for step, value in self.values.items():
            stored, kind = model.intermediate_value_to_stored_repr(value)
            rows.append(
                {
                    "trial_id": trial_id,
                    "step": step,
                    "intermediate_value": stored,
                    "intermediate_value_type": kind.name,
                }
            )
        insert_rows(connection, model.__tablename__, rows, otherwise="(trial_id, step) DO NOTHING")

    def clear(self) -> None:
        """Forget what has been committed."""
        self.values.clear()
        self._written = time.monotonic()
