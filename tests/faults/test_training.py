"""Networks trained by `hpo run` under faults are those that nobody has disturbed; what differs is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hpo import Study, create_study, open_study
from hpo.storage import Storage
from tests.faults.ledger import Ledger
from tests.faults.places import POSTGRESQL, new_place
from tests.faults.repeats import differences
from tests.faults.training import play_training, spec_of
from tests.faults.worker import WitnessedStorage, worker_of
from tests.tiny_studies import execute

SEED = 3


@pytest.mark.long
def test_networks_of_a_run_that_is_disturbed_are_the_same_to_the_last_bit(tmp_path):
    with new_place(POSTGRESQL, megabytes=48) as place:
        found = play_training(place, seed=SEED, faults=4, seeds=3, epochs=400, undisturbed=tmp_path)
    assert found.violations == []
    assert len(found.faults) == 4
    assert found.retries > 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of what takes a network's place: nothing is compared of it that one has not."""
    folder = tmp_path_factory.mktemp("undisturbed")
    url, artifacts = f"sqlite:///{folder}/hpo.db", folder / "artifacts"
    study = create_study(spec_of(2, 3), storage=Storage(url, artifact_dir=artifacts, create=True))
    own = WitnessedStorage(Ledger(folder / "own.jsonl"), url, artifact_dir=artifacts)
    worker_of(own, name="own", lease_seconds=60, checkpoint_seconds=60).run(exit_when_idle=True)
    own.engine.dispose()
    return study


@pytest.fixture
def disturbed(undisturbed: Study, tmp_path: Path) -> Study:
    folder = shutil.copytree(undisturbed.storage.artifacts.path.parent, tmp_path / "disturbed")
    return open_study(
        "networks", storage=Storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts")
    )


def test_of_two_runs_that_are_the_same_nothing_is_named(undisturbed, disturbed):
    assert differences(disturbed, undisturbed) == []
    assert [trial.state for trial in undisturbed.all_trials] == ["complete"] * 4
    assert all(len(trial.reported) == 3 for trial in undisturbed.all_trials)


@pytest.mark.parametrize(
    ("statement", "begins"),
    [
        ("UPDATE trials SET state = 'RUNNING' WHERE trial_id = 1", "state: slow, seed 0 has running"),
        ("UPDATE trial_values SET value = 7 WHERE trial_id = 1", "value: slow, seed 0 has 7.0"),
        (
            "UPDATE trial_user_attributes SET value_json = '7' WHERE trial_id = 1 AND key = 'val_loss'",
            "metrics: slow, seed 0 has",
        ),
        (
            "DELETE FROM trial_intermediate_values WHERE trial_id = 1 AND step = 2",
            "reports: slow, seed 0 has",
        ),
        (
            "UPDATE trial_user_attributes SET value_json = '1' WHERE trial_id = 1 AND key = 'seed'",
            "budget: slow, seed 0 is there 0 times, not 1",
        ),
        (
            "UPDATE trial_user_attributes SET value_json = '1' WHERE trial_id = 1 AND key = 'seed'",
            "budget: slow, seed 1 is there 2 times, not 1",
        ),
        ("INSERT INTO hpo_leases VALUES ('trial:1', 'somebody', 't', 9e9)", "left: 1 leases"),
    ],
)
def test_what_differs_is_named(undisturbed, disturbed, statement, begins):
    execute(disturbed.storage, statement)
    found = differences(disturbed, undisturbed)
    assert any(line.startswith(begins) for line in found), found


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text(path.read_text()[:-20])])
def test_a_curve_that_is_gone_or_half_is_named(undisturbed, disturbed, damage):
    for path in disturbed.storage.artifacts.path.iterdir():
        damage(path)
    found = differences(disturbed, undisturbed)
    assert sum(line.startswith("curve: ") for line in found) == 4, found
