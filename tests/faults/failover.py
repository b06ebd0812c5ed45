"""A round in which the server fails while its copy lags: what was acknowledged meanwhile is named as lost."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hpo import create_study
from hpo.storage import Storage
from tests.faults import ledger
from tests.faults.checker import Evidence, check
from tests.faults.crew import Crew
from tests.faults.losses import losses, without_losses
from tests.faults.monitor import Monitor
from tests.faults.places import Place
from tests.faults.rounds import Report, settle
from tests.faults.standby import Standby
from tests.faults.studies import STUDIES, spec_of

WAIT_SECONDS = 60.0


@dataclass
class Failover:
    """How it went: what was lost by name, and what else is wrong."""

    lost: list[str]
    report: Report


def play_failover(place: Place, *, size: int, results: int, workers: int, lease_seconds: float) -> Failover:
    """Train, let the copy fall behind by so many results, let it take over, and train to the end."""
    assert place.server is not None
    storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
    for name in STUDIES:
        create_study(spec_of(name, size), storage=storage)
    standby = Standby(place.server, place.ledgers.parent / "server")
    crew = Crew(place, count=workers, lease_seconds=lease_seconds, seed=0, planning=False)
    report = Report(processes=crew.ended, said=crew.said)
    try:
        with Monitor(storage) as monitor:
            crew.start()
            _wait(place, results)
        standby.fall_behind()
        _wait(place, results + _finished(place))
        lag = standby.take_over()
        report.faults["failover"] += 1
        last_size = settle(crew, storage, report, size)
    finally:
        crew.end()
        standby.stop()
        storage.engine.dispose()
    report.violations += [f"process: {fault}" for fault in crew.faults]
    fresh = Storage(place.url, artifact_dir=place.artifacts)
    evidence = Evidence(fresh, ledger.read(place.ledgers), monitor.seen, last_size)
    report.violations += check(without_losses(evidence, lag))
    return Failover(losses(evidence, lag), report)


def _finished(place: Place) -> int:
    return len(ledger.of_kind(ledger.read(place.ledgers), "finished"))


def _wait(place: Place, results: int) -> None:
    """Until so many results have been acknowledged."""
    until = time.monotonic() + WAIT_SECONDS
    while _finished(place) < results:
        assert time.monotonic() < until, f"fewer than {results} results"
        time.sleep(0.05)
