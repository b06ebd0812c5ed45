"""The processes under test, and those that ended otherwise than they should."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import COLD_PYTHON
from tests.faults.clock import Clock
from tests.faults.ledger import SUFFIX
from tests.faults.places import WORKER_HOSTS, Place
from tests.faults.worker import GAVE_UP, NOT_OPENED

ROOT = Path(__file__).parents[2]
MOST_PLACES = 8
# Trials a worker that the planner keeps ahead, since it takes half a second for a request.
BACKLOG = 10
# What workers say, and how often is told at the end.
PHRASES = (
    "begins anew",
    "checkpoint could not be written",
    "no longer this worker's",
    "could not be renewed yet",
    "trying again",
)


@dataclass
class Process:
    """A process under test. `fate` is what the nemesis did to end it; None if it should go on."""

    name: str
    popen: subprocess.Popen[bytes]
    ledger: Path
    errors: Path
    clock: Clock | None = None
    fate: str | None = None
    is_suspended: bool = False
    was_suspended: bool = False

    @property
    def runs(self) -> bool:
        return self.popen.poll() is None

    @property
    def has_begun(self) -> bool:
        """Whether it has got beyond its imports."""
        return self.ledger.exists()

    def kill(self) -> None:
        """As kill -9."""
        self.fate = "killed"
        self.popen.kill()

    def stop(self) -> None:
        """Let it put its trial back."""
        self.fate = "stopped"
        self.popen.terminate()

    def suspend(self) -> None:
        self.is_suspended = self.was_suspended = True
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.is_suspended = False
        self.popen.send_signal(signal.SIGCONT)

    @property
    def fault(self) -> str | None:
        """What is wrong with the way it ended."""
        code = self.popen.returncode
        # What is told to stop before it can listen ends by the signal.
        told = {"killed": {-signal.SIGKILL}, "stopped": {-signal.SIGTERM, GAVE_UP}}.get(
            self.fate or "", set()
        )
        if code in {0, NOT_OPENED} | told:
            return None
        gist = _gist(self.errors.read_text(errors="replace"))
        return f"{self.name} ended by itself with code {code}:\n    " + "\n    ".join(gist)


def _gist(errors: str) -> list[str]:
    """Where in hpo an error came from, and what it is."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    places = [line for line in lines if line.startswith('File "') and "/hpo/" in line]
    return [*places[-MOST_PLACES:], *lines[-1:]]


@dataclass
class Crew:
    """Workers and, unless it has ended, a planner; each that ends is replaced while `replacing`."""

    place: Place
    count: int
    lease_seconds: float
    seed: int
    planning: bool = True
    replacing: bool = True
    workers: list[Process] = field(default_factory=list)
    planner: Process | None = None
    ended: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    past: list[Process] = field(default_factory=list)
    _started: int = 0

    def start(self) -> None:
        """Start all."""
        self.workers = [self._new_worker() for _ in range(self.count)]
        self.planner = self._new_planner() if self.planning else None

    def tend(self) -> None:
        """Note how processes have ended, and replace them."""
        for index, worker in enumerate(self.workers):
            if not worker.runs and self.replacing:
                self._note(worker)
                self.workers[index] = self._new_worker()
        if self.planner is not None and not self.planner.runs:
            self._note(self.planner)
            self.planner = self._new_planner()

    def add_worker(self) -> None:
        """Start one more."""
        self.workers.append(self._new_worker())

    def end_planner(self) -> None:
        """Let the planner end its last request."""
        planner, self.planner = self.planner, None
        if planner is not None:
            planner.stop()
            planner.popen.wait()
            self._note(planner)

    def has_ended(self) -> bool:
        """Whether every worker has."""
        return not any(worker.runs for worker in self.workers)

    def end(self) -> None:
        """Kill what still runs, and note how the others ended."""
        for process in (*self.workers, *([self.planner] if self.planner else [])):
            if process.runs:
                process.kill()
                process.popen.wait()
            self._note(process)

    def _note(self, process: Process) -> None:
        code = process.popen.returncode
        how = "could not open the storage" if code == NOT_OPENED else process.fate or f"exit code {code}"
        self.ended[how] += 1
        self.past.append(process)
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        text = process.errors.read_text(errors="replace")
        self.said.update({phrase: text.count(phrase) for phrase in PHRASES})
        if process.fault is not None:
            self.faults.append(process.fault)

    def _new_worker(self) -> Process:
        return self._new("worker", "--lease-seconds", str(self.lease_seconds))

    def _new_planner(self) -> Process:
        return self._new(
            "planner", "--seed", f"{self.seed} {self._started}", "--backlog", str(10 * self.count)
        )

    def _new(self, module: str, *options: str) -> Process:
        self._started += 1
        return launch(self.place, module, f"{module}-{self._started}", *options)


def launch(place: Place, module: str, name: str, *options: str) -> Process:
    """Start a worker or planner of that name."""
    ledger, errors = (place.ledgers / f"{name}{suffix}" for suffix in (SUFFIX, ".err"))
    if module == "worker":
        options = ("--name", name, *options)
    command = [COLD_PYTHON, "-m", f"tests.faults.{module}", "--ledger", str(ledger), *options]
    clock = None
    if place.network is not None:
        # Of two after each other, one on each.
        host = WORKER_HOSTS[sum(path.suffix == ".err" for path in place.ledgers.iterdir()) % 2]
        command = [*place.network.prefix(host), *command]
        clock = Clock(place.ledgers / f"{name}.clock") if Clock.is_there() else None
    with errors.open("wb") as file:
        popen = subprocess.Popen(
            command,
            env=os.environ | place.environment | (clock.environment if clock else {}),
            cwd=ROOT,
            # Which ends when this process does, however it does; then they end too.
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Process(name, popen, ledger, errors, clock)
