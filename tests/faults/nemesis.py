"""What befalls workers, planner and storage: every fault, and when it happens, drawn from one seed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.faults.clock import Clock
from tests.faults.crew import Crew, Process
from tests.faults.network import Network
from tests.faults.places import CLUSTER, POSTGRESQL, SQLITE, WORKER_HOSTS, Place

TICK_SECONDS = 0.05
# How much longer than asked is waited for a kind of fault that has not come about.
GRACE_SECONDS = 60.0
# Names of faults, by the weight with which they are drawn, once each has been.
PROCESS_FAULTS = {"kill": 12, "suspend": 4, "stop": 3, "kill planner": 1}
PLACE_FAULTS = {
    SQLITE: {"full disk": 2, "write lock": 3},
    POSTGRESQL: {"restart fast": 4, "restart immediate": 4, "terminate backends": 3, "full disk": 2},
    CLUSTER: {"restart immediate": 2, "terminate backends": 2, "cut off": 8, "clock": 4},
}
# How far a clock jumps, forwards or backwards: leases are shorter.
JUMP_SECONDS = (10, 10**6)


@dataclass(frozen=True)
class Pace:
    """Seconds from one fault to the next, of processes and of the place: the shortest and the longest."""

    process: tuple[float, float] = (1.6, 4.8)
    place: tuple[float, float] = (10.0, 25.0)
    # How long a disk is full, a lock is held, a server is away; of the server half.
    lasting: tuple[float, float] = (0.5, 6.0)


@dataclass
class Nemesis:
    """Disturbs a crew and its place for some time, and leaves both as they were."""

    crew: Crew
    place: Place
    seed: int
    pace: Pace = field(default_factory=Pace)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[BaseException] = field(default_factory=list)

    @property
    def place_faults(self) -> dict[str, int]:
        """What can befall the place, by weight; no disk that is not mounted, no clock without its library."""
        can = {"full disk": self.place.disk.is_mounted, "clock": Clock.is_there()}
        return {name: of for name, of in PLACE_FAULTS[self.place.kind].items() if can.get(name, True)}

    def run(self, seconds: float) -> None:
        """Disturb for so long, and until every kind of fault has been, if that comes about."""
        until = time.monotonic() + seconds
        place = threading.Thread(target=self._disturb_place, args=(until,))
        place.start()
        self._disturb_processes(until)
        place.join()
        if self.faults:
            raise self.faults[0]

    def _is_over(self, until: float) -> bool:
        every = PROCESS_FAULTS.keys() | self.place_faults.keys()
        late = time.monotonic() - until
        return bool(self.faults) or late > GRACE_SECONDS or (late >= 0 and every <= self.done.keys())

    def _disturb_processes(self, until: float) -> None:
        generator = random.Random(f"{self.seed} processes")
        faults = _drawn(generator, PROCESS_FAULTS)
        suspended: list[tuple[float, Process]] = []
        fault, due = next(faults), time.monotonic() + generator.uniform(*self.pace.process)
        while not (over := self._is_over(until)) or suspended:
            self.crew.tend()
            if not over and time.monotonic() >= due and self._disturb_a_process(fault, generator, suspended):
                fault, due = next(faults), time.monotonic() + generator.uniform(*self.pace.process)
            for resuming in [item for item in suspended if item[0] <= time.monotonic()]:
                suspended.remove(resuming)
                resuming[1].resume()
            time.sleep(TICK_SECONDS)

    def _disturb_a_process(
        self, fault: str, generator: random.Random, suspended: list[tuple[float, Process]]
    ) -> bool:
        """False if there is none to disturb for now."""
        planner, workers = self.crew.planner, self.crew.workers
        processes = [planner] if fault == "kill planner" and planner is not None else workers
        victims = [p for p in processes if p.runs and p.has_begun and p.fate is None and not p.is_suspended]
        if not victims:
            return False
        victim = generator.choice(victims)
        if fault == "suspend":
            victim.suspend()
            seconds = generator.uniform(1.2, 3.0) * self.crew.lease_seconds
            suspended.append((time.monotonic() + seconds, victim))
        elif fault == "stop":
            victim.stop()
        else:
            victim.kill()
        self.done[fault] += 1
        return True

    def _disturb_place(self, until: float) -> None:
        generator = random.Random(f"{self.seed} place")
        faults = _drawn(generator, self.place_faults)
        while not self._is_over(until):
            fault, seconds = next(faults), generator.uniform(*self.pace.lasting)
            time.sleep(generator.uniform(*self.pace.place))
            try:
                self._acts(seconds, generator)[fault]()
            except BaseException as error:
                self.faults.append(error)
            self.done[fault] += 1

    def _acts(self, seconds: float, generator: random.Random) -> dict[str, Callable[[], object]]:
        place, server, network = self.place, self.place.server, self.place.network
        acts: dict[str, Callable[[], object]] = {
            "full disk": lambda: place.disk.fill(seconds),
            "write lock": lambda: place.hold_write_lock(seconds),
        }
        if server is not None:
            acts |= {
                "restart fast": lambda: server.restart("fast", after=seconds / 2),
                "restart immediate": lambda: server.restart("immediate", after=seconds / 2),
                "terminate backends": server.terminate_backends,
            }
        if network is not None:
            acts |= {
                "cut off": lambda: self._cut_off(network, generator),
                "clock": lambda: self._jump(generator),
            }
        return acts

    def _cut_off(self, network: Network, generator: random.Random) -> None:
        """Let a host's workers be alone for longer than their leases last, or shorter."""
        host = generator.choice(WORKER_HOSTS)
        network.cut_off(host)
        try:
            time.sleep(generator.uniform(0.5, 3.0) * self.crew.lease_seconds)
        finally:
            network.rejoin(host)

    def _jump(self, generator: random.Random) -> None:
        """Let the clock of one worker jump."""
        clocks = [worker.clock for worker in self.crew.workers if worker.clock is not None]
        if clocks:
            sign, seconds = generator.choice((-1, 1)), generator.randint(*JUMP_SECONDS)
            generator.choice(clocks).jump(sign * seconds)


def _drawn(generator: random.Random, weights: dict[str, int]) -> Iterator[str]:
    """Every fault once, then by their weights."""
    yield from generator.sample(list(weights), len(weights))
    while True:
        yield from generator.choices(list(weights), list(weights.values()))
