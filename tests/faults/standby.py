"""A copy that follows a server without its waiting for it, falls behind, and takes its place."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.places import Server

WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Lag:
    """From when on, and until when, a copy did not hear of what its server acknowledged; ledgers' clock."""

    begun: float
    ended: float


Connection = psycopg.Connection[Any]


class Standby:
    """The copy of a server that has begun."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._data, self._socket = server, folder / "copy", folder / "copy-socket"
        self._socket.mkdir()
        self._socket.chmod(0o777)
        server.execute(
            *("pg_basebackup", "-D", str(self._data), "-h", str(server.socket), "-U", "postgres"),
            *("--write-recovery-conf", "--checkpoint", "fast"),
        )
        server.control(self._data, "start", "-o", f'-h "" -k {self._socket}')
        self._begun = 0.0

    def fall_behind(self) -> None:
        """Hear of nothing that is acknowledged from now on; what was so before is all here."""
        self._begun = time.monotonic()
        with self._server.administer() as primary, self._server.administer(self._socket) as copy:
            written = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
            self._until(copy, f"SELECT pg_last_wal_replay_lsn() >= '{written and written[0]}'")
            copy.execute("ALTER SYSTEM SET primary_conninfo = ''")
            copy.execute("SELECT pg_reload_conf()")
            self._until(copy, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def take_over(self) -> Lag:
        """End the server as if it had crashed, and serve in its place."""
        self._server.stop("immediate")
        self._server.control(self._data, "promote")
        self._server.control(self._data, "stop", "-m", "fast")
        self._server.data = self._data
        lag = Lag(self._begun, time.monotonic())
        self._server.start()
        return lag

    def stop(self) -> None:
        """End it, if it has not taken over."""
        if self._server.data != self._data:
            self._server.control(self._data, "stop", "-m", "immediate")

    @staticmethod
    def _until(connection: Connection, question: str) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while not (connection.execute(question).fetchone() or (False,))[0]:
            assert time.monotonic() < until, question
            time.sleep(0.02)
