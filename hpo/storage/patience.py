"""Which errors of a database or disk pass by themselves, and how to wait until they have."""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

import optuna
import sqlalchemy as sa
import tenacity

from hpo.errors import StorageError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 10.0
GIVE_UP_SECONDS = 600.0
# Primary result codes of SQLite: busy, locked, read-only, I/O error, full, cannot open, lock protocol.
SQLITE_PASSING = frozenset({5, 6, 8, 10, 13, 14, 15})
# Classes of PostgreSQL's SQLSTATE: connection, transaction rollback, resources, operator, system.
POSTGRESQL_PASSING = ("08", "40", "53", "57", "58", "55P03", "25P03")
# Corrupt, of another format, not a database; and the same of PostgreSQL: data, index.
SQLITE_DAMAGE = frozenset({11, 24, 26})
POSTGRESQL_DAMAGE = ("XX001", "XX002")
FILES_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT})

# Of this thread.
_tried_again: ContextVar[bool] = ContextVar("tried_again", default=False)


def is_tried_again() -> bool:
    """Whether what this thread does is tried again if the database does not answer."""
    return _tried_again.get()


def passes(error: BaseException) -> bool:
    """Whether an error is of the present state of database or disk: locked, full, out of reach ..."""
    while isinstance(error, optuna.exceptions.StorageInternalError | StorageError) and error.__cause__:
        error = error.__cause__
    # The second: Optuna has gone on with a session whose connection had broken.
    if isinstance(error, sa.exc.TimeoutError | sa.exc.PendingRollbackError):
        return True
    if isinstance(error, OSError):
        return error.errno in FILES_PASSING
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in SQLITE_PASSING
    state = getattr(original, "sqlstate", None)
    if state is None:
        # Nobody answered: the connection was refused or broke.
        return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
    return str(state).startswith(POSTGRESQL_PASSING)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of a database's driver says that what is stored can no longer be read."""
    if isinstance(error, sqlite3.Error):
        # Python's own, without a code, is of text that is none.
        is_garbled = "Could not decode to UTF-8" in str(error)
        return is_garbled or getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE_DAMAGE
    return str(getattr(error, "sqlstate", "")).startswith(POSTGRESQL_DAMAGE)


class Patience:
    """Repeats what the database refuses for now, after growing, jittered delays of at most 10 s.

    Gives up, with the database's error, after `GIVE_UP_SECONDS`, or at once when `stopping` is set.
    """

    def __init__(self, stopping: threading.Event, *, seconds: float = GIVE_UP_SECONDS) -> None:
        self._stopping = stopping
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(passes),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_SECONDS, max=LONGEST_SECONDS),
            stop=tenacity.stop_after_delay(seconds) | tenacity.stop_when_event_set(stopping),
            sleep=tenacity.sleep_using_event(stopping),
            before_sleep=_say,
            reraise=True,
        )

    def __call__(self, action: Callable[[], Result]) -> Result:
        """What `action` returns. It must do the same thing however often it is begun."""
        outer = _tried_again.set(not self._stopping.is_set())
        try:
            return self._retrying(action)
        finally:
            _tried_again.reset(outer)


def _say(state: tenacity.RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        error = state.outcome.exception()
        assert error is not None
        logger.warning("the storage cannot be written, trying again: %s", reason(error))


def reason(error: BaseException) -> str:
    """What the database itself says of an error, in one line."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    text = str(getattr(cause, "orig", None) or cause or error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
