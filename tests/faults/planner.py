"""The planner under test: creates the studies again and again, and extends them when little is left to train.

    python -m tests.faults.planner --ledger FILE --seed N [--backlog N] [--size N]

Now and then it asks for a smaller one, and then for the same again: what waits is withdrawn and planned
anew. Ends on SIGTERM, and when its standard input ends.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import optuna
import sqlalchemy as sa

from hpo import StorageError, StudyError, create_study, open_study
from hpo.storage import Storage
from hpo.storage import storage as storage_module
from tests.faults.ledger import Ledger
from tests.faults.studies import STUDIES, size_of, spec_of

PAUSE_SECONDS = 0.3
# A planner that is killed inside `create_study` keeps its lock for so long.
LOCK_SECONDS = 5.0

# What `create_study` lets through while the storage does not answer.
OF_THE_STORAGE = (StorageError, sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)

Result = TypeVar("Result")


class Planner:
    """Asks for studies; what it was told is in its ledger."""

    def __init__(self, ledger: Ledger, generator: random.Random, *, size: int, backlog: int) -> None:
        self._ledger, self._random, self._backlog = ledger, generator, backlog
        self._stopping = threading.Event()
        self._storage = self._lasting(lambda: Storage(create=True))
        self._sizes = {name: self._lasting(lambda name=name: self._size(name, size)) for name in STUDIES}

    def stop(self) -> None:
        """Make no further request."""
        self._stopping.set()

    def run(self) -> None:
        """Ask until told to stop."""
        for name, size in self._sizes.items():
            self._ask(name, size)
        while not self._stopping.wait(PAUSE_SECONDS):
            self._step(self._random.choice(list(STUDIES)))

    def _step(self, name: str) -> None:
        if self._lasting(self._left) < self._backlog:
            self._sizes[name] += self._random.randint(1, 3 if name == "arms" else 12)
        elif self._random.random() < 0.3 and self._sizes[name] > 1:
            self._ask_less(name, self._sizes[name] - 1)
        self._ask(name, self._sizes[name])

    def _ask(self, name: str, size: int) -> None:
        self._ledger.write("asked", study=name, size=size)
        if self._lasting(lambda: create_study(spec_of(name, size), storage=self._storage)) is not None:
            self._ledger.write("planned", study=name, size=size)

    def _ask_less(self, name: str, size: int) -> None:
        self._ledger.write("lowering", study=name, size=size)
        try:
            self._lasting(lambda: create_study(spec_of(name, size), storage=self._storage))
        except StudyError:
            # It would have an arm less.
            self._ledger.write("refused", study=name, size=size)
        else:
            self._ledger.write("lowered", study=name, size=size)

    def _size(self, name: str, otherwise: int) -> int:
        """The size that a planner before this one has reached."""
        try:
            return size_of(open_study(name, storage=self._storage).spec)
        except StudyError:
            return otherwise

    def _left(self) -> int:
        return sum(
            len(self._storage.unfinished(open_study(name, storage=self._storage).id)) for name in STUDIES
        )

    def _lasting(self, action: Callable[[], Result]) -> Result:
        """What an action returns once the storage answers; ends the process if it is told to stop first."""
        while True:
            try:
                return action()
            except OF_THE_STORAGE:
                pass
            if self._stopping.wait(PAUSE_SECONDS):
                sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--size", type=int, default=2)
    parser.add_argument("--backlog", type=int, default=10)
    options = parser.parse_args()
    storage_module.LOCK_SECONDS = LOCK_SECONDS
    planner = Planner(
        Ledger(options.ledger), random.Random(options.seed), size=options.size, backlog=options.backlog
    )
    signal.signal(signal.SIGTERM, lambda *_: planner.stop())
    threading.Thread(target=_end_with_input, daemon=True).start()
    planner.run()


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
