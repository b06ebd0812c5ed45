"""A round in which `hpo run` trains networks while its workers, itself and the server are disturbed."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hpo import Study, create_study
from hpo.spec import StudySpec
from hpo.storage import Storage
from tests.command import HPO, environment
from tests.faults.places import Place
from tests.faults.repeats import differences
from tests.tiny_studies import expire_leases, training

TICK_SECONDS = 0.1
# A crew whose workers die more than five times a minute gives up, as it should.
PAUSE_SECONDS = (13.0, 20.0)
SUSPENDED_SECONDS = 3.0
END_SECONDS = 600.0


def spec_of(seeds: int, epochs: int) -> StudySpec:
    """Two arms that take about as many seconds as there are hundreds of epochs."""
    return StudySpec(
        name="networks",
        kind="comparison",
        data={"name": "digits"},
        seeds=seeds,
        max_retries=1000,
        params={"hidden_units": [16], "epochs": epochs},
        arms=[
            {"name": "slow", "learning_rate": 0.01, "dropout": 0.2},
            {"name": "fast", "learning_rate": 0.1},
        ],
    )


@dataclass
class Training:
    """What has happened, and what is not as undisturbed."""

    faults: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    violations: list[str] = field(default_factory=list)


class Run:
    """`hpo run`, and `hpo resume` whenever it was killed."""

    def __init__(self, place: Place, study: Study) -> None:
        self._place, self._study = place, study
        self.process = self._begin()

    @property
    def workers(self) -> list[psutil.Process]:
        """Its workers that are in the midst of a trial."""
        names = {trial.worker for trial in training(self._study)}
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if names & set(child.cmdline())]

    def kill(self) -> None:
        """End it as kill -9 does, and let another one go on."""
        self.process.kill()
        self.process.wait()
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [*HPO, "resume", self._study.name, "--workers", "2", "--checkpoint-seconds", "0.3"]
        with (self._place.ledgers / "run.txt").open("ab") as file:
            return subprocess.Popen(
                command,
                env=environment(**self._place.environment),
                cwd=self._place.ledgers,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )


def play_training(
    place: Place, *, seed: int, faults: int, seeds: int, epochs: int, undisturbed: Path
) -> Training:
    """Train under so many faults, then to the end; compare with what the folder `undisturbed` gets."""
    storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
    study = create_study(spec_of(seeds, epochs), storage=storage)
    found, generator = Training(), random.Random(seed)
    run = Run(place, study)
    try:
        acts = _acts(place, study)
        for fault in _drawn(generator, list(acts), faults):
            if not _until(lambda: bool(run.workers) or run.process.poll() is not None):
                break
            if run.process.poll() is not None:
                break
            acts[fault](run)
            found.faults[fault] += 1
            time.sleep(generator.uniform(*PAUSE_SECONDS) if faults > len(acts) else 0)
        if not _until(lambda: run.process.poll() is not None):
            found.violations.append(f"process: hpo run has not ended in {END_SECONDS:.0f} s")
        elif run.process.returncode:
            said = (place.ledgers / "run.txt").read_text().splitlines()[-1:]
            found.violations.append(f"process: hpo run ended with {run.process.returncode}: {said}")
    finally:
        run.process.kill()
    found.retries = sum(trial.retries for trial in study.all_trials)
    found.violations += differences(study, trained(undisturbed, seeds, epochs))
    storage.engine.dispose()
    return found


def trained(folder: Path, seeds: int, epochs: int) -> Study:
    """The study without faults, by as many workers; made once for a folder."""
    storage = Storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts", create=True)
    study = create_study(spec_of(seeds, epochs), storage=storage)
    study.run(workers=2)
    return study


def _acts(place: Place, study: Study) -> dict[str, Callable[[Run], None]]:
    def kill(run: Run) -> None:
        run.workers[0].kill()

    def suspend(run: Run) -> None:
        """Let somebody else take its trial, then let it go on."""
        worker = run.workers[-1]
        worker.suspend()
        expire_leases(study.storage)
        time.sleep(SUSPENDED_SECONDS)
        worker.resume()

    def restart(_: Run) -> None:
        assert place.server is not None
        place.server.restart("immediate", after=1.0)

    acts = {"kill a worker": kill, "suspend a worker": suspend, "kill hpo run": Run.kill}
    return acts if place.server is None else acts | {"restart the server": restart}


def _drawn(generator: random.Random, names: list[str], count: int) -> list[str]:
    """Each once, as far as there is room, then any."""
    first = generator.sample(names, min(count, len(names)))
    return first + generator.choices(names, k=count - len(first))


def _until(true: Callable[[], bool]) -> bool:
    """Whether it comes about in time."""
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        try:
            if true():
                return True
        except psutil.Error:
            pass
        time.sleep(TICK_SECONDS)
    return False
