"""Lists of studies and of trials, as Python and notebooks show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hpo.registry import StudySummary
from hpo.studies.tables import studies_table, trials_table
from hpo.tables import html
from hpo.tables.kinds import counts
from hpo.tables.numbers import counted
from hpo.trials import STATES, Trial

if TYPE_CHECKING:
    from typing import Self

# Of a repr, and of a notebook's cell.
SHOWN, SHOWN_ROWS = 3, 60


class StudyList(list[StudySummary]):
    """Summaries of studies, oldest first."""

    def __repr__(self) -> str:
        older, latest = self[:-SHOWN], self[-SHOWN:]
        before = [f"and {len(older)} older:"] if older else []
        return "\n  ".join([counted_studies(len(self)), *before, *map(str, latest)])

    def _repr_html_(self) -> str:
        return html.rendered(studies_table(self))


class TrialList(list[Trial]):
    """Trials of a study, by number. A call gives the list itself: `study.all_trials()` is as good."""

    def __call__(self) -> Self:
        return self

    def __repr__(self) -> str:
        found = Counter(trial.state for trial in self)
        said = counts({state: found[state] for state in STATES.values()})
        more = [f"and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        head = f"{counted(len(self), 'trial')}: {said}" if self else "no trials"
        return "\n  ".join([head, *map(repr, self[:SHOWN]), *more])

    def _repr_html_(self) -> str:
        more = len(self) - SHOWN_ROWS
        rest = f"<p>And {more} more; study.trials() has all.</p>\n" if more > 0 else ""
        return html.rendered(trials_table(self[:SHOWN_ROWS])) + rest


def counted_studies(count: int) -> str:
    """How many studies there are.

    >>> counted_studies(0), counted_studies(1), counted_studies(2)
    ('no studies', '1 study', '2 studies')
    """
    return "1 study" if count == 1 else f"{count or 'no'} studies"
