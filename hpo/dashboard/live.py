"""What is computed about studies beside the requests, made anew when a study has changed."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from optuna.trial import TrialState

from hpo.errors import HpoError
from hpo.registry import CREATED_ATTRIBUTE, SPEC_ATTRIBUTE, is_ours, sources_of
from hpo.storage import StudyRow

logger = logging.getLogger(__name__)

Made = TypeVar("Made")
Key = TypeVar("Key", bound=Hashable)

# Of a study whose trials end all the time something is made anew so often at the most.
SECONDS = 20.0
# What fails again and again is tried ever less often, up to this.
LONGEST_SECONDS = 640.0
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Attempt:
    """When something was last begun, of which state of the study, and how many failed in a row; why."""

    state: str
    begun: float
    failures: int = 0
    error: Exception | None = None

    def wait(self, state: str, seconds: float) -> float:
        """Seconds from its beginning until the next one, of a study that is now in `state`.

        A study that has changed gets one after `seconds`, and at once if the last one failed. What failed
        is tried again though nothing has changed: a file may be back.

        >>> well, failed = Attempt("3 complete", 0.0), Attempt("3 complete", 0.0, failures=1)
        >>> [attempt.wait("4 complete", 20.0) for attempt in (well, failed)]
        [20.0, 0.0]
        >>> [attempt.wait("3 complete", 20.0) for attempt in (well, failed)]
        [inf, 20.0]
        >>> [Attempt("3 complete", 0.0, failures=n).wait("3 complete", 20.0) for n in (2, 3, 4, 99)]
        [40.0, 80.0, 160.0, 640.0]
        """
        if state != self.state:
            return 0.0 if self.failures == 1 else seconds
        if self.failures == 0:
            return math.inf
        return min(seconds * 2.0 ** min(self.failures - 1, 32), LONGEST_SECONDS)


class Live(Generic[Key, Made]):
    """The last of what was made for each key, one after the other in a thread of its own.

    `what` a key cannot be is what the log says of one for which it fails; of `most` keys it is kept, those
    that were asked for last.
    """

    def __init__(
        self, make: Callable[[Key], Made], what: str, *, seconds: float = SECONDS, most: int = 10_000
    ) -> None:
        self._make, self._what, self._seconds, self._most = make, what, seconds, most
        self._changed = threading.Condition()
        # With the state that it was made of.
        self._made: OrderedDict[Key, tuple[Made, str]] = OrderedDict()
        self._attempts: dict[Key, Attempt] = {}
        self._making: set[Key] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="live")

    def get(self, key: Key, state: str, *, within: float = 0.0) -> Made | None:
        """What was last made, None without any; the next one is made if it is time.

        Waits so many seconds at the most for one that is being made.
        """
        with self._changed:
            last = self._attempts.get(key)
            is_due = last is None or time.monotonic() >= last.begun + last.wait(state, self._seconds)
            if is_due and key not in self._making:
                self._making.add(key)
                self._pool.submit(self._attempt, key, state)
            if within:
                self._changed.wait_for(lambda: key not in self._making, within)
            if key not in self._made:
                return None
            self._made.move_to_end(key)
            return self._made[key][0]

    def known(self) -> dict[Key, tuple[Made, str]]:
        """What was last made of every key, and the state that it was made of."""
        with self._changed:
            return dict(self._made)

    def error(self, key: Key) -> Exception | None:
        """Why the last one could not be made; None if it could."""
        with self._changed:
            last = self._attempts.get(key)
        return None if last is None else last.error

    def close(self) -> None:
        """Begin no more of them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, key: Key, state: str) -> None:
        begun, last = time.monotonic(), self._attempts.get(key)
        made: list[Made] = []
        try:
            made.append(self._make(key))
            attempt = Attempt(state, begun)
        except Exception as error:
            failures = 1 if last is None else last.failures + 1
            attempt = Attempt(state, begun, failures, error)
            self._tell(key, error, before=None if last is None else last.error)
        with self._changed:
            self._making.discard(key)
            self._attempts[key] = attempt
            for one in made:
                self._made[key] = one, state
                self._made.move_to_end(key)
            while len(self._made) > self._most:
                forgotten, _ = self._made.popitem(last=False)
                self._attempts.pop(forgotten, None)
            self._changed.notify_all()

    def _tell(self, key: Key, error: Exception, *, before: Exception | None) -> None:
        """Log what has failed, unless it was the last time too."""
        if before is not None and (type(before), str(before)) == (type(error), str(error)):
            return
        told = error if isinstance(error, HpoError) else f"{type(error).__name__}: {error}"
        trace = None if isinstance(error, HpoError) else error
        logger.error("study %r cannot be %s now: %s", key, self._what, told, exc_info=trace)


def states(rows: Iterable[StudyRow]) -> dict[str, str]:
    """What things about each of hpo's studies depend on, by name.

    Its specification, the trials that have ended, and those of its finals.
    """
    ours = [row for row in rows if is_ours(row.attributes)]
    ended = {row.name: f"{row.name} {[row.counts.get(state, 0) for state in FINISHED]}" for row in ours}
    found = {
        row.name: [
            f"{row.study_id} {row.attributes[CREATED_ATTRIBUTE]}",
            json.dumps(row.attributes[SPEC_ATTRIBUTE]),
            ended[row.name],
        ]
        for row in ours
    }
    for row in ours:
        for source in sources_of(row.attributes):
            if source in found:
                found[source].append(ended[row.name])
    return {name: "\n".join(texts) for name, texts in found.items()}
