"""Ledgers: what processes were told by the storage, kept where no fault of the storage reaches."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]
SUFFIX = ".jsonl"


class Ledger:
    """The file of one process: a line an event, on the disk before the process goes on."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def write(self, event: str, **fields: Any) -> None:
        """Add an event, with the time by a clock that all processes of the machine share."""
        line = json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n"
        with self._lock, self._path.open("ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file.fileno())


def read(folder: Path) -> list[Event]:
    """Every event of every process, with its name, by process and in the order of its file."""
    return [
        json.loads(line) | {"process": path.name.removesuffix(SUFFIX)}
        for path in sorted(folder.glob(f"*{SUFFIX}"))
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")  # what was killed within a line was not told anything yet
    ]


def of_kind(events: list[Event], *kinds: str) -> list[Event]:
    """The events of some kinds."""
    return [event for event in events if event["event"] in kinds]
