"""What a study has shown. Computed beside the requests: it takes all trials of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpo.dashboard.live import SECONDS, Live
from hpo.storage import Storage
from hpo.studies import Study, open_study


@dataclass(frozen=True)
class Result:
    """What the home page says of a study's result.

    `line` is it in words; `confirmed` the winner of a search's race, and its mean on fresh seeds.
    """

    line: str
    confirmed: tuple[int, float] | None = None

    @classmethod
    def of(cls, study: Study) -> Result:
        """The result of a study, as far as it goes."""
        race = study.confirmation
        winner = None if race is None else race.winner
        if winner is None or winner.mean is None:
            return cls(study.headline)
        return cls(study.headline, (winner.number, winner.mean))


class Results:
    """The results of all studies, as far as they have been made."""

    def __init__(self, storage: Storage, *, seconds: float = SECONDS) -> None:
        self._storage = storage
        self._live = Live(self._make, "put in a line", seconds=seconds)

    def known(self, states: Mapping[str, str]) -> dict[str, Result]:
        """The last result of every study that has one; of another state than its own, only in words."""
        return {
            name: made if of == states.get(name) else Result(made.line)
            for name, (made, of) in self._live.known().items()
        }

    def ask_for(self, states: dict[str, str]) -> None:
        """Have those made that it is time for, of studies in these states; of the last study first."""
        for name, state in reversed(states.items()):
            self._live.get(name, state)

    def close(self) -> None:
        """Begin no more of them."""
        self._live.close()

    def _make(self, name: str) -> Result:
        return Result.of(open_study(name, storage=self._storage))
