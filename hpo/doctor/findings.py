"""What `hpo doctor` finds, what it looks at, and how it mends without disturbing a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models

from hpo.storage.artifacts import ArtifactFolder
from hpo.storage.bulk import READING
from hpo.storage.leases import Lease, new_token, take
from hpo.storage.patience import reason

# The lease is given up by the transaction that takes it, long before.
LEASE_SECONDS = 60.0
OWNER = "hpo doctor"
# What a database, a disk and Optuna's migrations raise; all else is a fault of ours.
FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    AssertionError,
    sa.exc.SQLAlchemyError,
    optuna.exceptions.OptunaError,
)


@dataclass(frozen=True)
class Finding:
    """A fault of a storage. `remedy` is what would mend it or, once it is `repaired`, what was done."""

    place: str
    fault: str
    remedy: str
    repaired: bool = False


@dataclass(frozen=True)
class Examination:
    """A database and its artifact folder while they are examined, and whether to repair them."""

    url: str
    place: str
    engine: sa.Engine
    folder: ArtifactFolder
    repair: bool

    @property
    def reading(self) -> sa.Engine:
        """The engine for what only reads, for which no writer waits."""
        return self.engine.execution_options(**READING)

    def found(self, place: str, fault: str, *, cure: str, action: Callable[[], bool]) -> Iterator[Finding]:
        """A fault that `action` mends. None if, as `action` then says, it is no longer there."""
        if not self.repair:
            yield Finding(place, fault, f"with --repair: {cure}")
            return
        try:
            if action():
                yield Finding(place, fault, f"done: {cure}", repaired=True)
        except FAILURES as error:
            yield Finding(place, fault, f"--repair could not {cure}: {reason(error)}")

    @contextlib.contextmanager
    def alone(self, trial_id: int) -> Iterator[sa.Connection | None]:
        """A transaction during which no worker has the trial or gets it; None if one has it."""
        trial = models.TrialModel
        lease = Lease(self.engine, f"trial:{trial_id}", new_token(), LEASE_SECONDS)
        # In the order of a worker that claims: the trial's row, then the lease's, which decides.
        own = sa.select(trial.trial_id).where(trial.trial_id == trial_id)
        with self.engine.begin() as connection:
            locked = connection.execute(own.with_for_update(of=trial, skip_locked=True)).first()
            if locked is None or not take(connection, lease, owner=OWNER):
                yield None
                return
            yield connection
            lease.release_in(connection)
