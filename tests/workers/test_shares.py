"""Workers that leave each other's compile keys to each other, and claim by number otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo import Study, StudySpec, create_study
from hpo.spec import Hyperparameters
from hpo.storage import Storage
from hpo.trials import COMPILED_ATTRIBUTE
from hpo.trials.outcome import Outcome
from hpo.workers import shares
from hpo.workers.worker import Worker
from tests.marks import often
from tests.tiny_studies import execute, expire_leases, results, states, worker_process

# Four networks, each with four learning rates; by number the network changes most slowly.
GRID: dict[str, Any] = {
    "name": "grid",
    "kind": "search",
    "sampler": {"name": "grid", "seed": 0},
    "params": {"batch_size": "full", "epochs": 1},
    "space": {
        "hidden_units": [[], [2]],
        "optimizer": ["sgd", "adam"],
        "learning_rate": [0.01, 0.02, 0.05, 0.1],
    },
}
# The same, with the network changing fastest.
ARMS: dict[str, Any] = {
    "name": "arms",
    "kind": "comparison",
    "seeds": 3,
    "params": {"hidden_units": [], "epochs": 1},
    "arms": [{"name": f"{units}", "hidden_units": [units]} for units in (1, 2, 3, 4)],
}
RANDOM = GRID | {"name": "random", "trials": 12, "confirm": False, "sampler": {"name": "random", "seed": 0}}
TPE = GRID | {"name": "tpe", "trials": 6, "sampler": {"name": "tpe", "seed": 0}}
ONE_KEY = GRID | {"name": "one", "space": {"hidden_units": [[2]], "learning_rate": [0.01, 0.02, 0.05, 0.1]}}


@pytest.fixture
def create(tmp_path: Path, storage: Storage, own_data: Path) -> Callable[..., Study]:
    """Creates a study of a table with changes, on data of the test's own and on either kind of database."""

    def make(table: dict[str, Any], **changes: Any) -> Study:
        return create_study(
            StudySpec(**(table | {"data": {"name": str(own_data)}} | changes)), storage=storage
        )

    return make


class Begun:
    """The numbers and keys of the trials that workers have begun, in their order; they train nothing."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.keys: dict[str, list[Any]] = {}

    def worker(self, name: str, *studies: Study, **options: Any) -> Worker:
        keys = self.keys.setdefault(name, [])

        def train(trial: optuna.trial.Trial, hyperparameters: Hyperparameters, **_: Any) -> Outcome:
            self.numbers.append(trial.number)
            keys.append(hyperparameters.compile_key)
            return Outcome(TrialState.COMPLETE, 0.5, None, {}, [])

        names = [study.name for study in studies]
        return Worker(studies[0].storage, names, name=name, runner=lambda _: train, **options)

    @property
    def compiled(self) -> int:
        """How many programs they would have compiled."""
        return sum(len(set(keys)) for keys in self.keys.values())


def take_turns(*workers: Worker, until: Callable[[], bool]) -> None:
    while not until():
        for worker in workers:
            worker.run(max_trials=1, exit_when_idle=True)


def ended(study: Study) -> bool:
    return set(states(study)) == {"complete"}


def queries(storage: Storage, act: Callable[[], object]) -> int:
    """How many statements read or write something meanwhile."""
    said: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    sa.event.listen(storage.engine, "before_cursor_execute", note)
    act()
    sa.event.remove(storage.engine, "before_cursor_execute", note)
    return sum(not statement.startswith(("BEGIN", "COMMIT")) for statement in said)


@pytest.mark.parametrize(
    ("table", "keys"), [(GRID, 4), (RANDOM, 4), (ARMS, 4)], ids=["grid", "random", "comparison"]
)
@pytest.mark.parametrize("count", often({3}, [2, 3]))
def test_workers_that_take_turns_begin_each_key_once_as_long_as_others_are_left(create, table, keys, count):
    study, begun = create(table), Begun()
    workers = [begun.worker(name, study) for name in "abc"[:count]]
    take_turns(*workers, until=lambda: ended(study))
    assert sorted(begun.numbers) == list(range(study.spec.planned))
    # At the end only others' keys may be left: then they are taken.
    assert keys <= begun.compiled <= keys + 2 * count - 3
    assert len({key for own in begun.keys.values() for key in own}) == keys


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
def test_two_workers_train_a_grid_of_four_keys_with_four_programs_and_the_same_results(create):
    alone, shared = create(GRID, name="alone"), create(GRID)
    Worker(alone.storage, ["alone"], name="alone").run(exit_when_idle=True)
    workers = [Worker(shared.storage, ["grid"], name=name) for name in ("one", "two")]
    take_turns(*workers, until=lambda: ended(shared))
    compiled = sum(COMPILED_ATTRIBUTE in trial.user_attrs for trial in shared.frozen_trials)
    assert 4 <= compiled <= 5
    assert {trial.worker for trial in shared.all_trials} == {"one", "two"}
    assert results(shared) == results(alone)


@pytest.mark.parametrize("table", [GRID, RANDOM, ARMS, TPE, ONE_KEY])
def test_a_worker_alone_takes_all_in_the_order_of_their_numbers(create, table):
    study, begun = create(table), Begun()
    begun.worker("a", study).run(exit_when_idle=True)
    assert begun.numbers == list(range(study.spec.planned))


def test_a_worker_leaves_another_s_keys_until_nothing_else_is_left(create):
    study, begun = create(GRID), Begun()
    # The other is in the midst of its first trial, of the first key.
    held = study.storage.claim([study.id], owner="another", seconds=60)
    begun.worker("a", study).run(max_trials=15)
    assert begun.numbers == [*range(4, 16), 1, 2, 3]
    assert held.number == 0


def test_what_a_worker_has_begun_stays_its_own_when_another_begins_it_too(create):
    study, begun = create(GRID), Begun()
    first = begun.worker("a", study)
    first.run(max_trials=1)
    study.storage.claim([study.id], owner="another", seconds=60)
    first.run(max_trials=3)
    assert begun.numbers == [0, 2, 3, 4]


def test_a_worker_that_only_just_holds_nothing_keeps_its_keys_and_one_that_is_gone_does_not(create):
    study, begun = create(GRID), Begun()
    begun.worker("a", study).run(max_trials=1)
    begun.worker("b", study).run(max_trials=1)
    assert begun.numbers == [0, 4]
    later = "UPDATE trials SET datetime_complete = '2020-01-01 00:00:00' WHERE state = 'COMPLETE'"
    execute(study.storage, later)
    begun.worker("c", study).run(max_trials=1)
    assert begun.numbers == [0, 4, 1]


def test_of_many_trials_that_run_workers_read_little(create, monkeypatch):
    study, begun = create(GRID), Begun()
    study.storage.claim([study.id], owner="another", seconds=60)
    worker = begun.worker("a", study)
    each = [queries(study.storage, lambda: worker.run(max_trials=1)) for _ in range(3)][-1]
    # As if a hundred workers had these trials.
    monkeypatch.setattr(shares, "ROWS_A_SECOND", 0.1)
    worker.run(max_trials=1)
    assert queries(study.storage, lambda: worker.run(max_trials=1)) < each
    # It goes by what it knew then.
    assert not {1, 2, 3} & set(begun.numbers)


def test_a_trial_costs_few_statements(create):
    study, begun = create(GRID), Begun()
    worker = begun.worker("a", study)
    worker.run(max_trials=2)
    assert queries(study.storage, lambda: worker.run(max_trials=4)) <= 4 * 16


def test_lost_trials_come_first_and_the_keys_of_who_lost_them_are_free(create):
    study, begun = create(GRID), Begun()
    storage = study.storage
    for _ in range(2):
        storage.claim([study.id], owner="dead", seconds=60)
    expire_leases(storage)
    storage.claim([study.id], owner="another", seconds=60)
    # Number 0 is the other's now, number 1 lost, and the first key the other's.
    begun.worker("a", study).run(max_trials=2)
    assert begun.numbers == [1, 2]
    assert [trial.retries for trial in study.all_trials[:2]] == [1, 1]


def test_a_lost_trial_comes_before_what_waits_with_a_smaller_number(create):
    study, begun = create(GRID), Begun()
    storage = study.storage
    late = [trial._trial_id for trial in study.frozen_trials[:10]]
    storage.claim([study.id], owner="dead", seconds=60, deferred=late)
    expire_leases(storage)
    begun.worker("a", study).run(max_trials=2)
    assert begun.numbers == [10, 0]


def test_a_study_with_work_is_not_left_for_another_one_to_save_a_program(create):
    first, second, begun = create(ONE_KEY), create(GRID), Begun()
    first.storage.claim([first.id], owner="another", seconds=60)
    begun.worker("a", first, second).run(max_trials=5)
    assert begun.numbers == [1, 2, 3, 0, 1]


@pytest.mark.slow
def test_several_studies_adaptive_ones_too_are_trained_to_their_ends(create):
    studies = [create(TPE), create(GRID), create(ARMS)]
    begun = Begun()
    workers = [begun.worker(name, *studies) for name in "ab"]
    take_turns(*workers, until=lambda: all(map(ended, studies)))
    assert len(begun.numbers) == sum(study.spec.planned for study in studies)
    # Of the adaptive one, whose keys nobody knows before, each may begin each.
    assert begun.compiled <= 8 + 5 + 5


def test_what_somebody_enqueued_is_taken_in_its_turn(create):
    study, begun = create(GRID, trials=8), Begun()
    study.optuna.enqueue_trial({"hidden_units": "[]", "optimizer": "sgd", "learning_rate": 0.02})
    study.storage.claim([study.id], owner="another", seconds=60)
    begun.worker("a", study).run(max_trials=8)
    assert begun.numbers == [4, 5, 6, 7, 8, 1, 2, 3]


def test_trials_that_are_added_later_are_shared_too(create):
    study, begun = create(GRID, trials=6), Begun()
    study.storage.claim([study.id], owner="another", seconds=60)
    worker = begun.worker("a", study)
    worker.run(max_trials=2)
    create(GRID, trials=16)
    worker.run(max_trials=13)
    assert begun.numbers == [*range(4, 16), 1, 2, 3]


def test_a_long_queue_is_read_window_by_window(create, monkeypatch):
    monkeypatch.setattr("hpo.workers.shares.WINDOW", 2)
    monkeypatch.setattr("hpo.workers.shares.LONGEST_SEARCH", 4)
    study, begun = create(GRID), Begun()
    study.storage.claim([study.id], owner="another", seconds=60)
    begun.worker("a", study).run(max_trials=15)
    assert begun.numbers == [*range(4, 16), 1, 2, 3]


def test_a_claim_costs_a_worker_alone_one_query_more_and_one_among_others_no_more(create):
    study, begun = create(GRID), Begun()
    served, storage = [study.id], study.storage
    worker = begun.worker("a", study)
    spec = {study.id: study.spec}
    look = worker._shares.left_to_others
    worker.run(max_trials=1)
    assert queries(storage, lambda: look(served, spec.__getitem__)) == 1
    storage.claim(served, owner="another", seconds=60)
    worker.run(max_trials=1)
    assert queries(storage, lambda: look(served, spec.__getitem__)) == 1
    adaptive = create(TPE)
    assert queries(storage, lambda: look([adaptive.id], {adaptive.id: adaptive.spec}.__getitem__)) == 0


@pytest.mark.long
def test_two_worker_processes_compile_a_grid_of_four_keys_at_most_six_times(create):
    study = create(GRID)
    with (
        worker_process(study.storage, "--exit-when-idle") as one,
        worker_process(study.storage, "--exit-when-idle") as two,
    ):
        assert (one.wait(240), two.wait(240)) == (0, 0)
    assert states(study) == ["complete"] * 16
    compiled = sum(COMPILED_ATTRIBUTE in trial.user_attrs for trial in study.frozen_trials)
    # Two that begin in the same moment may begin the same key, and so at the end; by number it would be 8.
    assert 4 <= compiled <= 6
