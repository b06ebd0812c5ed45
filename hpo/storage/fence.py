"""Fences: what Optuna writes inside one is kept only while a lease is held."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import sqlalchemy as sa
from sqlalchemy import orm

from hpo.storage.leases import Lease

# Of this thread: one fence may stand inside another, as a study's within a lock.
_fences: ContextVar[tuple[Lease, ...]] = ContextVar("fences", default=())


class LeaseLostError(Exception):
    """A write was refused, because another process may have the right to it by now."""


@contextlib.contextmanager
def fenced(lease: Lease) -> Iterator[None]:
    """Inside, what Optuna writes in this thread is kept only if the lease is still this process's.

    Raises:
        LeaseLostError: it is not; nothing was written.
    """
    outer = _fences.set((*_fences.get(), lease))
    try:
        yield
    finally:
        _fences.reset(outer)


def check_fences(connection: sa.Connection) -> None:
    """Before a commit: raises LeaseLostError unless every lease around it is held.

    To look at a lease locks its row until the transaction ends. So nobody takes it between the look and the
    commit, though its time may be over: a lease that has run out, and that nobody has taken, is still held.
    """
    for lease in _fences.get():
        if not lease.is_held_in(connection):
            raise LeaseLostError(lease.key)


def guard(sessions: orm.sessionmaker[orm.Session]) -> None:
    """Let the sessions that this makes heed the fences around their commits."""
    sa.event.listen(sessions, "before_commit", lambda session: check_fences(session.connection()))
