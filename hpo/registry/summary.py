"""How far a study is, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hpo.tables.kinds import COUNTS
from hpo.tables.numbers import counted, number


@dataclass(frozen=True)
class StudySummary:
    """One line about a study. `counts` has an entry for every state of a trial.

    `lost` counts those of the running trials whose worker is gone; the next one takes them up. `problem` says
    why this version of hpo cannot read the study; what only its specification tells is then None. `metric`
    names all of several objectives, which have no direction and no best value.
    """

    name: str
    kind: str | None
    metric: str | None
    direction: str | None
    planned: int | None
    counts: dict[str, int]
    best_value: float | None
    created: datetime | None
    lost: int = 0
    problem: str | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.name}: {self.problem}"
        best = "" if self.best_value is None else f"; best {self.metric} {number(self.best_value)}"
        return f"{self.name}: {self.progress}{best}"

    def __repr__(self) -> str:
        return f"<StudySummary {self}>"

    @property
    def progress(self) -> str:
        """`search of 20 trials: 18 complete, 2 waiting`."""
        return f"{self.kind} of {counted(self.planned or 0, 'trial')}: {COUNTS.text(self.counts, self.lost)}"
