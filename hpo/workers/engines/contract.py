"""What every engine does: start workers, hear of them, end them."""

from __future__ import annotations

import math
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from hpo.storage import Storage

# With this exit code a worker of a crew says that it can train nothing of what is left: another one would
# not either.
CANNOT_TRAIN = 3
# With this one, that it has come near to its memory, and has ended between two trials.
IS_FULL = 4

# What is said of a storage that is one machine's.
SHARED = "Use PostgreSQL: postgresql+psycopg://user@host/database."

Log = Callable[[str], None]


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker of a study is started with.

    `name`: as it calls itself, with which its trials are shown. `threads`: of TensorFlow. `memory`: bytes
    that it may take. `log`: is given each line that it writes.
    """

    name: str
    study: str
    storage: Storage
    threads: int
    memory: float
    checkpoint_seconds: float
    log: Log

    @property
    def arguments(self) -> list[str]:
        """Of `hpo worker`, which ends with its work, or with the input that whoever started it holds."""
        return [
            *(self.study, "--name", self.name, "--threads", str(self.threads)),
            *("--checkpoint-seconds", str(self.checkpoint_seconds)),
            *(("--max-memory", str(max(1.0, self.memory / 1024**2))) if math.isfinite(self.memory) else ()),
            *("--exit-when-idle", "--stop-on-end-of-input"),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Where it finds the study."""
        return {
            "HPO_STORAGE": self.storage.given,
            "HPO_ARTIFACT_DIR": self.storage.artifacts.place.given,
        }


class Handle(ABC):
    """A worker that an engine has started; it ends once every trial of its study has.

    `told`: whether it was told to stop. `last_line`: what it wrote last.
    """

    def __init__(self, name: str) -> None:
        self.name, self.told, self.last_line = name, False, ""

    @property
    @abstractmethod
    def exit_code(self) -> int | None:
        """None while it runs; minus a signal's number if that ended it."""

    @property
    @abstractmethod
    def memory(self) -> int:
        """Resident bytes; 0 of a worker that does not run, or of which nothing is known yet."""

    @abstractmethod
    def insist(self) -> None:
        """Tell it to stop; told again, it ends at once."""

    @abstractmethod
    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended, so long at most."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it: it stops, if it still runs."""

    @abstractmethod
    def close(self) -> None:
        """Release it, and wait for its end and its last lines."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, be it that it waits for a machine."""
        return self.exit_code is None

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun, as there is no machine for it yet."""
        return False

    @property
    def is_lost(self) -> bool:
        """Whether it has ended before its work: it died, or had to make room for another one."""
        return not self.is_running and (self.told or self.exit_code not in (0, CANNOT_TRAIN))

    @property
    def is_full(self) -> bool:
        """Whether it has ended to make room for another one, between two trials."""
        return self.exit_code == IS_FULL

    @property
    def cannot_train(self) -> bool:
        """Whether it has ended because what is left cannot be trained, as its last line says."""
        return self.exit_code == CANNOT_TRAIN

    @property
    def ending(self) -> str:
        """How it has ended."""
        code = self.exit_code
        if code is None:
            return "it runs"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def stop(self) -> None:
        """Let it put its trial back after its epoch; it may have been told to already."""
        if not self.told:
            self.insist()


class Engine(ABC):
    """Starts workers somewhere."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many workers there are, unless somebody asks for another number."""

    @abstractmethod
    def threads(self, workers: int) -> int:
        """TensorFlow's threads of each of so many workers."""

    @abstractmethod
    def memory(self, workers: int) -> float:
        """Bytes that each of so many workers may take, beyond which it is replaced."""

    def check(self, storage: Storage) -> None:  # noqa: B027
        """Raises HpoError if workers of this engine could not use a storage."""

    @property
    def notice(self) -> str | None:
        """What people should know of where workers run; None if that is nothing."""
        return None

    @abstractmethod
    def start(self, options: WorkerOptions) -> Handle:
        """A worker that has been asked for; it may have to wait for a machine."""

    def close(self) -> None:  # noqa: B027
        """Give back what the engine holds, when all its workers have ended."""
