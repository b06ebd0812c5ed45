"""Hosts with addresses of their own on this machine, each of which can be cut off from all others.

A host is a network namespace; all hang on one bridge, which has a namespace of its own. Nothing of it is
reached from outside of them. Needs root and `ip`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
_counter = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class NetworkRefusedError(Exception):
    """This machine lets nobody make network namespaces."""


class Network:
    """So many hosts, at `10.123.0.1` and on; `remove` undoes all.

    Raises:
        NetworkRefusedError: namespaces cannot be made here.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._prefix = f"hpo{os.getpid()}x{next(_counter)}"
        self._addresses = {host: f"10.123.0.{number}" for number, host in enumerate(hosts, 1)}
        self._made: list[str] = []
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            self.remove()
            raise NetworkRefusedError(getattr(error, "stderr", None) or str(error)) from None

    def address(self, host: str) -> str:
        """Where a host is reached."""
        return self._addresses[host]

    def prefix(self, host: str) -> list[str]:
        """What a command begins with to run on a host."""
        return ["ip", "netns", "exec", self._name(host)]

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Let this thread, and the processes that it starts, be on a host."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(NAMESPACES / self._name(host), os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(before)
            os.close(there)
            os.close(before)

    def cut_off(self, host: str) -> None:
        """Let nothing come to a host or from it: what is sent is lost, and nobody is told."""
        self._set(host, "down")

    def rejoin(self, host: str) -> None:
        """Connect a host again."""
        self._set(host, "up")

    def remove(self) -> None:
        """Undo all; processes that are still on the hosts are ended."""
        while self._made:
            name = self._made.pop()
            found = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
            for process in map(int, found.stdout.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def _make(self) -> None:
        hub = self._add("hub")
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for number, (host, address) in enumerate(self._addresses.items()):
            own = self._add(host)
            _ip("-n", hub, "link", "add", f"to{number}", "type", "veth", "peer", "name", "eth0", "netns", own)
            _ip("-n", hub, "link", "set", f"to{number}", "master", "bridge", "up")
            _ip("-n", own, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", own, "link", "set", device, "up")

    def _add(self, host: str) -> str:
        _ip("netns", "add", self._name(host))
        self._made.append(self._name(host))
        return self._name(host)

    def _set(self, host: str, state: str) -> None:
        _ip("-n", self._name("hub"), "link", "set", f"to{list(self._addresses).index(host)}", state)

    def _name(self, host: str) -> str:
        return f"{self._prefix}-{host}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
