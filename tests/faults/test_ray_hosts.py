"""A study on two nodes of Ray, one of which is cut off and comes back, and a worker of which is killed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil
import pytest

from hpo import Study, create_study
from hpo.storage import Storage
from hpo.workers.crew import run_workers
from tests.faults.network import NetworkRefusedError
from tests.faults.places import CLUSTER, new_place
from tests.faults.ray_hosts import NODE, nodes, run
from tests.tiny_studies import eventually, expire_leases, leases, results, states, training

pytestmark = pytest.mark.long

CUT_SECONDS = 8.0
# A killed worker's place: a process that begins, imports, compiles, and trains on.
AGAIN_SECONDS = 10.0
STUDY = """
name = "hosts"
kind = "comparison"
data = { name = "digits" }
seeds = 4
[params]
hidden_units = [16]
epochs = 400
[[arms]]
name = "slow"
learning_rate = 0.01
dropout = 0.2
[[arms]]
name = "fast"
learning_rate = 0.1
"""


def test_a_node_that_is_cut_off_and_a_worker_that_is_killed_change_nothing_of_a_study(tmp_path):
    spec = tmp_path / "hosts.toml"
    spec.write_text(STUDY)
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(new_place(CLUSTER, megabytes=48))
        except NetworkRefusedError as error:
            pytest.skip(f"no hosts of their own: {error}")
        storage = Storage(place.url, artifact_dir=place.artifacts, create=True)
        study = create_study(spec, storage=storage)
        address = stack.enter_context(nodes(place))
        process = run(place, address, spec)
        stack.callback(process.kill)
        eventually(lambda: len(training(study)) == 2)

        # Others take up what the node's worker had, while it trains on and cannot say so.
        assert place.network is not None
        place.network.cut_off(NODE)
        begun = time.monotonic()
        expire_leases(storage)
        eventually(lambda: sum(trial.retries for trial in study.all_trials) > 0)
        time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - begun)))
        place.network.rejoin(NODE)
        eventually(lambda: len(training(study)) == 2)

        again = seconds_until_it_trains_again(study)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert states(study) == ["complete"] * 8
        assert leases(storage) == 0
        assert results(study) == results(undisturbed(tmp_path))
    print(f"a killed worker of Ray: {again:.1f} s until its trial went on")
    assert again < AGAIN_SECONDS


def seconds_until_it_trains_again(study: Study) -> float:
    """Kill the worker of a trial that trains, and wait until the trial has reported more than before."""
    trial = training(study)[0]
    found = psutil.process_iter(["cmdline"])
    (worker,) = [
        p for p in found if trial.worker in (p.info["cmdline"] or ()) and "worker" in p.info["cmdline"]
    ]
    worker.kill()
    begun, reported = time.monotonic(), len(study.all_trials[trial.number].reported)
    eventually(lambda: len(study.all_trials[trial.number].reported) > reported)
    return time.monotonic() - begun


def undisturbed(folder: Path) -> Study:
    """The same study, trained by one worker of this machine."""
    storage = Storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts", create=True)
    study = create_study(folder / "hosts.toml", storage=storage)
    run_workers(study, workers=2)
    return study
