"""What a study has shown, in words. Computed beside the requests: it takes all trials of the study."""

from __future__ import annotations

from hpo.dashboard.live import SECONDS, Live
from hpo.storage import Storage
from hpo.studies import Study, open_study


def result_line(study: Study) -> str:
    """What the home page says of a study's result."""
    return study.headline


class ResultLines:
    """The lines of all studies, as far as they have been made."""

    def __init__(self, storage: Storage, *, seconds: float = SECONDS) -> None:
        self._storage = storage
        self._live = Live(self._make, "put in a line", seconds=seconds)

    def known(self) -> dict[str, str]:
        """The last line of every study that has one."""
        return self._live.known()

    def ask_for(self, states: dict[str, str]) -> None:
        """Have those made that it is time for, of studies in these states; of the last study first."""
        for name, state in reversed(states.items()):
            self._live.get(name, state)

    def close(self) -> None:
        """Begin no more of them."""
        self._live.close()

    def _make(self, name: str) -> str:
        return result_line(open_study(name, storage=self._storage))
