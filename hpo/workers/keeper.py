"""The thread that keeps the claim of a trial while it is trained."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from types import TracebackType

import optuna
import sqlalchemy as sa

from hpo.errors import HpoError, StorageError
from hpo.registry import StoredStudy
from hpo.storage import Claim, Pace, reason

logger = logging.getLogger(__name__)

# How often the study is asked whether it is stopped: see Pace.
KEEPING_SECONDS, LONGEST_SECONDS = 1.0, 5.0
# From the request to stop until a worker no longer waits for the end of its epoch; then until it just ends.
GRACE_SECONDS = 10.0
LAST_SECONDS = 5.0


class Keeper:
    """A thread that renews a claim's lease, and hears when its trial must stop and what its limit is now."""

    def __init__(
        self, study: StoredStudy, claim: Claim, *, stopping: threading.Event, may_exit: bool
    ) -> None:
        self._study, self._claim = study, claim
        self._stopping, self._may_exit = stopping, may_exit
        self._lost, self._halted, self._done = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def should_stop(self) -> bool:
        """Whether the worker or the study is told to stop, or the claim is lost."""
        return self._stopping.is_set() or self._halted.is_set() or self._lost.is_set()

    def _keep(self) -> None:
        lease, renewed = self._claim.lease, time.monotonic()
        told: float | None = None
        asked, pace = renewed, Pace(0.0, LONGEST_SECONDS)
        while not self._done.wait(min(KEEPING_SECONDS, lease.seconds / 4)):
            if not self._lost.is_set():
                try:
                    if time.monotonic() - renewed >= lease.seconds / 4:
                        renewed = time.monotonic()
                        self._renew()
                    if time.monotonic() - asked >= pace.seconds:
                        asked = time.monotonic()
                        if self._study.is_stopped:
                            self._halted.set()
                except StorageError:
                    # Damage does not pass: what the trial ends with meets it too, and says so.
                    self._halted.set()
                except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                    logger.warning("the lease of %s could not be renewed yet: %s", lease.key, reason(error))
            if self._stopping.is_set():
                told = told or time.monotonic()
                if self._may_exit and time.monotonic() - told >= GRACE_SECONDS:
                    self._give_up()

    def _renew(self) -> None:
        if not self._claim.lease.renew():
            self._lost.set()
        # A changed trial_timeout is for the trials in training too. A study that is gone or cannot be read is
        # for the next claim to find.
        with contextlib.suppress(HpoError):
            self._study.refresh()

    def _give_up(self) -> None:
        """End the process in the midst of an epoch; the trial goes on from its last checkpoint."""
        logger.warning("an epoch takes longer than %g s: it is given up", GRACE_SECONDS)
        threading.Timer(LAST_SECONDS, os._exit, [0]).start()
        try:
            self._claim.requeue()
        finally:
            os._exit(0)
