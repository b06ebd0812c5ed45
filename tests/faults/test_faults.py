"""A short run under faults on each kind of storage, and a trial that kills whoever trains it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from hpo import StudySpec, create_study
from hpo.storage import Storage
from tests.command import COLD_PYTHON
from tests.faults import ledger
from tests.faults.checker import Evidence, check
from tests.faults.clock import Clock
from tests.faults.crew import launch
from tests.faults.failover import play_failover
from tests.faults.monitor import Seen
from tests.faults.nemesis import PROCESS_FAULTS, Pace
from tests.faults.network import NetworkRefusedError
from tests.faults.places import CLUSTER, POSTGRESQL, SQLITE, Place, new_place
from tests.faults.rounds import play
from tests.faults.worker import POISONED

SEED = 2024
SECONDS = 12.0
QUICK = Pace(process=(0.8, 1.8), place=(0.5, 2.0), lasting=(0.5, 2.0))
POISON = {
    "name": "poison",
    "kind": "comparison",
    "data": {"name": "digits"},
    "max_retries": 2,
    "seeds": 2,
    "params": {"hidden_units": [8], "epochs": 4},
    "arms": [{"name": "deadly"}, {"name": "harmless", "learning_rate": 0.1}],
}


@contextlib.contextmanager
def place_of(kind: str) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(new_place(kind, megabytes=48))
        except NetworkRefusedError as error:
            pytest.skip(f"no hosts of their own: {error}")
        yield place


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL, CLUSTER])
def test_nothing_acknowledged_is_lost_and_budgets_are_exact_whatever_happens(kind):
    with place_of(kind) as place:
        report = play(place, seed=SEED, seconds=SECONDS, workers=3, lease_seconds=1.5, size=3, pace=QUICK)
        if not place.disk.is_mounted:
            print(f"no full disk: mounting was refused: {place.disk.refusal}")
    assert report.violations == []
    assert report.faults.keys() >= PROCESS_FAULTS.keys()
    assert report.events["retries"] > 0


CLAIM = """
import sys
from hpo.storage import Storage
found = Storage().claim([int(sys.argv[1])], owner="other", seconds=60)
print(None if found is None else found.number)
"""


@pytest.mark.long
@pytest.mark.parametrize("ahead", [-86400, 86400])
def test_a_lease_lasts_by_the_clock_of_the_database_whatever_the_day_is_for_workers(ahead):
    if not Clock.is_there():
        pytest.skip("no clock of one process: there is no C compiler")
    with new_place(POSTGRESQL, megabytes=16) as place:
        storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
        study = create_study(StudySpec(**POISON), storage=storage)
        clock = Clock(place.ledgers / "other.clock")
        clock.jump(ahead)

        def claimed_by_another() -> str:
            environment = os.environ | place.environment | clock.environment
            command = [COLD_PYTHON, "-c", CLAIM, str(study.id)]
            return subprocess.check_output(command, env=environment, text=True).strip()

        day = "import datetime; print(datetime.datetime.now().timestamp())"
        told = subprocess.check_output([COLD_PYTHON, "-c", day], env=os.environ | clock.environment)
        assert float(told) - time.time() == pytest.approx(ahead, abs=60)
        for number in range(3):
            assert storage.claim([study.id], owner="one", seconds=60).number == number
        # Three are held, though it is tomorrow; what it takes is held, though it was yesterday.
        assert claimed_by_another() == "3"
        assert storage.claim([study.id], owner="one", seconds=60) is None
        assert claimed_by_another() == "None"
        storage.expire_leases("one")
        assert claimed_by_another() == "0"
        storage.engine.dispose()


@pytest.mark.long
def test_what_a_lagging_copy_has_not_heard_of_is_named_and_trained_again():
    with new_place(POSTGRESQL, megabytes=48) as place:
        found = play_failover(place, size=12, results=6, workers=2, lease_seconds=1.5)
    assert found.report.violations == []
    assert sum(line.startswith("lost: the result of") for line in found.lost) >= 6


@pytest.mark.slow
def test_a_trial_that_kills_whoever_trains_it_is_given_up_and_all_others_are_trained():
    with new_place(SQLITE, megabytes=16) as place:
        storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
        study = create_study(StudySpec(**POISON), storage=storage)
        codes = []
        while len(codes) < 5 and 0 not in codes:
            options = ("--poison", "deadly", "--lease-seconds", "0.5", "--checkpoint-seconds", "0", "poison")
            codes.append(launch(place, "worker", f"victim-{len(codes)}", *options).popen.wait(60))
        assert codes == [POISONED] * 3 + [0]
        deadly, *others = study.all_trials
        assert (deadly.state, deadly.retries) == ("failed", 3)
        assert deadly.reason == "given up: it lost 3 workers, the last of them victim-2"
        assert [trial.state for trial in others] == ["complete"] * 3
        events = ledger.read(place.ledgers)
        retries = [e["retries"] for e in ledger.of_kind(events, "claimed") if e["trial"] == 1]
        assert retries == [0, 1, 2, 3]
        assert check(Evidence(storage, events, Seen(), {"poison": 2})) == []
