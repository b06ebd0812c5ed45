"""One round: studies are created, extended and trained while everything goes wrong, and must end whole."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from hpo import create_study
from hpo.storage import Storage
from tests.faults import ledger
from tests.faults.checker import Evidence, check, lost_plans, orphans
from tests.faults.crew import Crew
from tests.faults.monitor import Monitor
from tests.faults.nemesis import Nemesis, Pace
from tests.faults.places import Place
from tests.faults.studies import STUDIES, spec_of

# What workers that wait for the storage may wait at most, and what a busy machine needs for a trial.
PATIENCE_SECONDS, TRIAL_SECONDS = 12.0, 1.0
# A server waits for so long for what was under way of somebody who was killed while cut off.
CUT_OFF_SECONDS = 30.0


@dataclass
class Report:
    """What has happened, and what was wrong."""

    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    trials: Counter[str] = field(default_factory=Counter)
    settled: list[tuple[int, float]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Count another round in."""
        self.seconds += other.seconds
        for name in ("faults", "events", "processes", "said", "orphans", "trials"):
            getattr(self, name).update(getattr(other, name))
        self.settled += other.settled
        self.violations += other.violations


def play(
    place: Place, *, seed: int, seconds: float, workers: int, lease_seconds: float, size: int, pace: Pace
) -> Report:
    """Disturb new studies of a first size for so long, let them end, and check them."""
    begun = time.monotonic()
    storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
    for name in STUDIES:
        create_study(spec_of(name, size), storage=storage)
    crew = Crew(place, count=workers, lease_seconds=lease_seconds, seed=seed)
    nemesis = Nemesis(crew, place, seed, pace)
    report = Report(faults=nemesis.done, processes=crew.ended, said=crew.said)
    with Monitor(storage) as monitor:
        crew.start()
        try:
            nemesis.run(seconds)
            last_size = settle(crew, storage, report, size)
        finally:
            crew.end()
    report.violations += [f"process: {fault}" for fault in crew.faults]
    fresh = Storage(place.url, artifact_dir=place.artifacts)
    killed = frozenset(process.name for process in crew.past if process.fate == "killed")
    suspended = frozenset(process.name for process in crew.past if process.was_suspended)
    events = ledger.read(place.ledgers)
    _judge(Evidence(fresh, events, monitor.seen, last_size, killed, suspended), report)
    storage.engine.dispose()
    report.seconds = time.monotonic() - begun
    return report


def settle(crew: Crew, storage: Storage, report: Report, first_size: int) -> dict[str, int]:
    """Nothing is disturbed any more: let the workers end by themselves, and say how long they took."""
    crew.end_planner()
    events = ledger.read(crew.place.ledgers)
    report.violations += lost_plans(events, storage)
    last_size = dict.fromkeys(STUDIES, first_size) | _asked(events)
    studies = [create_study(spec_of(name, size), storage=storage) for name, size in last_size.items()]
    crew.tend()
    # One that begins now: the others may have found nothing left just before, and be about to end.
    crew.add_worker()
    crew.replacing = False
    begun, left = time.monotonic(), sum(len(storage.unfinished(study.id)) for study in studies)
    bound = crew.lease_seconds + PATIENCE_SECONDS + left * TRIAL_SECONDS
    bound += 0.0 if crew.place.network is None else CUT_OFF_SECONDS
    while not crew.has_ended() and time.monotonic() < begun + 2 * bound:
        time.sleep(0.1)
    took = time.monotonic() - begun
    report.settled.append((left, took))
    if took > bound:
        report.violations.append(f"settling: took {took:.1f} s for {left} trials, more than {bound:.1f}")
    return last_size


def _asked(events: list[ledger.Event]) -> dict[str, int]:
    """The largest sizes that were asked for."""
    sizes: dict[str, int] = {}
    for event in ledger.of_kind(events, "asked"):
        sizes[event["study"]] = max(event["size"], sizes.get(event["study"], 0))
    return sizes


def _judge(evidence: Evidence, report: Report) -> None:
    report.violations += check(evidence)
    report.orphans = orphans(evidence)
    report.events = Counter(event["event"] for event in evidence.events)
    report.events["retries"] = sum(t.user_attrs.get("retries", 0) for t in evidence.trials.values())
    report.trials = Counter(trial.state.name for trial in evidence.trials.values())
