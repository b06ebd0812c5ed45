"""Checkpoints: trees that come back bit for bit, and trials that go on from them as if nothing had been."""

from __future__ import annotations

import copy
import itertools
import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hpo.data import Dataset, load_train
from hpo.data.archive import DAMAGE
from hpo.data.dataset import make_dataset
from hpo.spec import MlpHyperparameters, SearchSpec
from hpo.storage import Claim, LeaseLostError, Patience, Storage
from hpo.trials.checkpoints import TrialCheckpoints, dumps, loads
from hpo.trials.outcome import Outcome, StoppedError
from hpo.trials.runner import TrialRunner
from tests.marks import often
from tests.storage.test_storage import claim, expire, new_study

# ------------------------------------------------------------------------------------------------- trees

ARRAYS = arrays.arrays(
    st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"]),
    arrays.array_shapes(min_dims=0),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS
KEYS = st.text().filter(lambda key: key != "array")
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=8)


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, NaN included."""
    if isinstance(one, np.ndarray):
        alike = isinstance(other, np.ndarray) and (one.dtype, one.shape) == (other.dtype, other.shape)
        return bool(alike) and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_a_tree_comes_back_bit_for_bit(tree: Any) -> None:
    assert same(loads(dumps(tree)), tree)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_noticed_or_whole() -> None:
    tree = {"epoch": 3, "state": [np.arange(50, dtype=np.float32)], "best": math.inf}
    whole = dumps(tree)
    for position, bit in itertools.product(range(len(whole)), range(8)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << bit
        for content in (bytes(flipped), bytes(flipped[: position + 1])):
            try:
                found = loads(content)
            except DAMAGE:
                continue
            # A bit of the archive's own that nothing depends on.
            assert same(found, tree)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", tree=np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        loads((tmp_path / "evil.npz").read_bytes())


class Evil:
    """Would raise if it were unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was executed",))


def test_what_a_checkpoint_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="a checkpoint cannot hold <class 'set'>"):
        dumps({"training": {1, 2}})


# --------------------------------------------------------------------------------------- of a claimed trial


@pytest.fixture
def storage(url: str, tmp_path: Path) -> Storage:
    return Storage(url, artifact_dir=tmp_path / "artifacts")


def of(storage: Storage, held: Claim, *, seconds: float = 30.0) -> TrialCheckpoints:
    return TrialCheckpoints(storage.artifacts, held, retry=Patience(threading.Event()), seconds=seconds)


def files(storage: Storage) -> list[Path]:
    folder = storage.artifacts.path
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_next_worker_finds_what_the_last_one_saved(storage: Storage) -> None:
    study = new_study(storage, trials=1)
    first = of(storage, claim(storage, study))
    assert first.load() is None
    first.save({"epoch": 1})
    first.save({"epoch": 2})
    assert len(files(storage)) == 1
    expire(storage)
    assert of(storage, claim(storage, study)).load() == {"epoch": 2}


def test_a_checkpoint_is_gone_with_its_row_once_its_trial_has_finished(storage: Storage) -> None:
    study = new_study(storage, trials=1)
    held = claim(storage, study)
    checkpoints = of(storage, held)
    checkpoints.save({"epoch": 1})
    assert held.finish(optuna.trial.TrialState.COMPLETE, value=1.0)
    checkpoints.discard()
    assert files(storage) == []
    assert not [key for key in study.trials[0].system_attrs if "checkpoint" in key]


def test_a_checkpoint_is_due_after_its_seconds(storage: Storage) -> None:
    held = claim(storage, new_study(storage, trials=1))
    assert not of(storage, held).due
    checkpoints = of(storage, held, seconds=0.0)
    assert checkpoints.due
    checkpoints.save({})
    assert checkpoints.due


def test_a_lost_trial_s_checkpoint_is_not_recorded_and_leaves_no_file(storage: Storage) -> None:
    study = new_study(storage, trials=1)
    lost = of(storage, claim(storage, study))
    expire(storage)
    claim(storage, study)
    with pytest.raises(LeaseLostError):
        lost.save({"epoch": 1})
    assert files(storage) == []


def test_a_worker_that_was_suspended_does_not_replace_what_the_next_one_has_saved(storage: Storage) -> None:
    study = new_study(storage, trials=1)
    stalled = of(storage, claim(storage, study))
    stalled.save({"epoch": 1})
    expire(storage)
    next_ = of(storage, claim(storage, study))
    # As it saves both before and after the next one does.
    with pytest.raises(LeaseLostError):
        stalled.save({"epoch": 99})
    assert next_.load() == {"epoch": 1}
    next_.save({"epoch": 2})
    with pytest.raises(LeaseLostError):
        stalled.save({"epoch": 99})
    assert next_.load() == {"epoch": 2}
    assert len(files(storage)) == 1
    expire(storage)
    assert of(storage, claim(storage, study)).load() == {"epoch": 2}


@dataclass(frozen=True)
class ReplyLostClaim(Claim):
    """Its checkpoints are recorded, and the reply is lost for longer than the lease lasts."""

    meanwhile: Callable[[], None] = field(kw_only=True)

    def keep_checkpoint(self, name: str) -> None:
        super().keep_checkpoint(name)
        self.meanwhile()
        raise sa.exc.OperationalError("COMMIT", {}, ConnectionError("server closed the connection"))


@pytest.mark.parametrize("next_saves", [False, True])
def test_a_checkpoint_whose_reply_was_lost_is_the_next_worker_s_and_no_other_file_is_left(
    storage: Storage, next_saves: bool
) -> None:
    study = new_study(storage, trials=1)

    def take_over() -> None:
        expire(storage)
        next_ = of(storage, claim(storage, study))
        if next_saves:
            next_.save({"epoch": 3})

    held = claim(storage, study)
    of(storage, held).save({"epoch": 1})
    content = vars(held) | {"checkpoint": files(storage)[0].name}
    with pytest.raises(LeaseLostError):
        of(storage, ReplyLostClaim(**content, meanwhile=take_over)).save({"epoch": 2})
    expire(storage)
    assert of(storage, claim(storage, study)).load() == {"epoch": 3 if next_saves else 2}
    assert len(files(storage)) == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_checkpoint_that_is_gone_or_damaged_is_said_and_the_trial_begins_anew(
    storage: Storage, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    study = new_study(storage, trials=1)
    of(storage, claim(storage, study)).save({"epoch": 1})
    damage(files(storage)[0])
    expire(storage)
    assert of(storage, claim(storage, study)).load() is None
    assert "trial begins anew, since its checkpoint" in caplog.text


def test_a_checkpoint_that_cannot_be_written_costs_a_warning(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.artifacts.path.write_text("a file where the folder should be")
    checkpoints = of(storage, claim(storage, new_study(storage, trials=1)))
    checkpoints.save({"epoch": 1})
    assert "the checkpoint could not be written: File exists" in caplog.text
    assert checkpoints.load() is None


# --------------------------------------------------------------------------------------- trials that go on

EPOCHS = 6
# Between them: every optimizer's slots, batch norm's averages, dropout's counters, a schedule's step, early
# stopping that restores and that does not; seeds and folds in lockstep.
CASES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "batch_norm": True, "dropout": 0.3},
    "momentum": {"momentum": 0.9, "nesterov": True, "schedule": "cosine", "l2": 1e-3},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5, "learning_rate": 0.05},
    "early": {"learning_rate": 3.0, "early_stopping_patience": 1, "restore_best": True, "dropout": 0.2},
    "late": {"learning_rate": 3.0, "early_stopping_patience": 2, "restore_best": False},
    "dropout": {"learning_rate": 2.0, "dropout": 0.4},
}


class Kept:
    """Checkpoints in memory, as bytes, saved before each epoch; told to stop after so many epochs."""

    due = True

    def __init__(self, content: bytes | None = None, *, stop_after: int | None = None) -> None:
        self.content, self._left = content, stop_after

    def load(self) -> dict[str, Any] | None:
        return None if self.content is None else loads(self.content)

    def save(self, tree: dict[str, Any]) -> None:
        self.content = dumps(tree)

    def should_stop(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_train("digits")
    return make_dataset("digits", whole.x[:250], whole.y[:250], classes=10, scale=whole.scale)


@pytest.fixture(scope="module")
def processes(digits: Dataset) -> tuple[TrialRunner, TrialRunner]:
    """Two objectives that share nothing, as in two workers: seeds in lockstep."""
    return TrialRunner(spec_of(), digits), TrialRunner(spec_of(), digits)


def spec_of(**values: Any) -> SearchSpec:
    base = {"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 1, "seeds": 2}
    return SearchSpec(**(base | {"space": {"learning_rate": [0.1, 0.2]}} | values))


def train(
    objective: TrialRunner, h: MlpHyperparameters, trial: optuna.trial.Trial, kept: Kept
) -> Outcome | None:
    try:
        return objective(trial, h, should_stop=kept.should_stop, checkpoints=kept)
    except StoppedError:
        return None


def result_of(outcome: Outcome | None, trial: optuna.trial.Trial) -> str:
    assert outcome is not None
    timed = ("train_seconds", "compile_seconds")
    metrics = [
        {name: value for name, value in each.items() if name not in timed}
        for each in (outcome.metrics, *(replicate.metrics for replicate in outcome.replicates))
    ]
    reported = trial.study.trials[0].intermediate_values
    return json.dumps([outcome.state.name, outcome.value, metrics, outcome.curves, reported])


# One of them is enough to see that something broke; all of them compile for a minute.
OFTEN = {"momentum"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case if case in OFTEN else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_trial_goes_on_in_another_worker_as_if_nothing_had_been_bit_for_bit(
    case: str, processes: tuple[TrialRunner, TrialRunner]
) -> None:
    assert_goes_on(processes, of_case(case))


@pytest.mark.parametrize("metric", ["val_accuracy", pytest.param("val_loss", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ["dropout", pytest.param("late", marks=pytest.mark.slow)])
def test_a_trial_judged_by_its_best_epoch_goes_on_with_that_epoch_s_weights(
    case: str, metric: str, processes: tuple[TrialRunner, TrialRunner]
) -> None:
    h = of_case(case)
    whole = assert_goes_on(judged(processes, metric=metric, at="best"), h)
    _, value, metrics, _, reported = json.loads(whole)
    assert value == metrics[0][metric] == reported[str(int(metrics[0]["best_epoch"]))]
    assert metrics[0]["best_epoch"] < len(reported)


@pytest.mark.parametrize("name", often({"diabetes"}, ["breast_cancer", "diabetes"]))
def test_a_trial_on_a_table_goes_on_with_the_statistics_of_its_folds(name: str) -> None:
    spec = spec_of(data={"name": name, "folds": 2}, seeds=1)
    dataset = load_train(spec.data)
    if dataset.task.objective != spec.objective.metric:
        spec = spec_of(data=spec.data, seeds=1, task=dataset.task_name)
    processes = TrialRunner(spec, dataset), TrialRunner(spec, dataset)
    assert_goes_on(processes, of_case("dropout"))


def of_case(case: str) -> MlpHyperparameters:
    base = {"hidden_units": [12], "learning_rate": 0.1, "batch_size": 64, "epochs": EPOCHS}
    return MlpHyperparameters(**(base | CASES[case]))


def judged(processes: tuple[TrialRunner, TrialRunner], **objective: str) -> tuple[TrialRunner, TrialRunner]:
    """The same processes, with what they have compiled, and another objective."""
    first, second = map(copy.copy, processes)
    for runner in (first, second):
        runner.spec = spec_of(objective=objective)
    return first, second


def assert_goes_on(processes: tuple[TrialRunner, TrialRunner], h: MlpHyperparameters) -> str:
    """Stopped before any epoch, a trial ends in the other process as it does undisturbed; returns how."""
    first, second = processes
    direction = first.spec.objective.direction
    trial = optuna.create_study(direction=direction).ask()
    whole = result_of(train(first, h, trial, Kept()), trial)
    longest = max(row["epoch"] for row in json.loads(whole)[3])
    for stop_after in range(longest):
        trial = optuna.create_study(direction=direction).ask()
        stopped = Kept(stop_after=stop_after)
        assert train(first, h, trial, stopped) is None
        again = optuna.trial.Trial(trial.study, trial._trial_id)
        assert result_of(train(second, h, again, Kept(stopped.content)), again) == whole
    return whole


def _lengths(result: str) -> list[list[int]]:
    rows = json.loads(result)[3]
    return [[row["epoch"] for row in rows if row["seed"] == seed] for seed in (0, 1)]


def test_a_trial_that_was_killed_beyond_its_checkpoint_repeats_those_epochs_alike(
    processes: tuple[TrialRunner, TrialRunner],
) -> None:
    first, second = processes
    h = MlpHyperparameters(hidden_units=[12], learning_rate=0.1, batch_size=64, epochs=EPOCHS, dropout=0.2)
    trial = optuna.create_study(direction="maximize").ask()
    whole = result_of(train(first, h, trial, Kept()), trial)
    trial = optuna.create_study(direction="maximize").ask()
    early = Kept(stop_after=2)
    assert train(first, h, trial, early) is None
    # It went on to epoch 4, and died before it could save.
    later = copy.copy(early)
    later._left = 2
    assert train(first, h, optuna.trial.Trial(trial.study, trial._trial_id), later) is None
    again = optuna.trial.Trial(trial.study, trial._trial_id)
    assert len(trial.study.trials[0].intermediate_values) == 4
    assert result_of(train(second, h, again, Kept(early.content)), again) == whole


@pytest.mark.slow
def test_a_checkpoint_of_other_hyperparameters_is_not_used(
    processes: tuple[TrialRunner, TrialRunner],
) -> None:
    first, second = processes
    h = MlpHyperparameters(hidden_units=[12], learning_rate=0.1, batch_size=64, epochs=EPOCHS)
    trial = optuna.create_study(direction="maximize").ask()
    whole = result_of(train(first, h, trial, Kept()), trial)
    other = Kept(stop_after=3)
    trial = optuna.create_study(direction="maximize").ask()
    assert train(first, h.model_copy(update={"learning_rate": 0.2}), trial, other) is None
    trial = optuna.create_study(direction="maximize").ask()
    assert result_of(train(second, h, trial, Kept(other.content)), trial) == whole


def said_by_hpo(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("hpo")]


# What a stored checkpoint may be instead of one of this version, machine and trial.
UNFIT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda tree: tree.update(format=2), "its format is 2, and this version reads 1"),
    "keras": (lambda tree: tree["versions"].update(keras="3.0.0"), "it is of Keras 3.0.0, and this is"),
    "hyperparameters": (
        lambda tree: tree["hyperparameters"].update(learning_rate=0.2),
        "it is of other hyperparameters",
    ),
    "unknown hyperparameter": (lambda tree: tree["hyperparameters"].update(warmup=3), "SpecError: "),
    "nothing but a format": (lambda tree: [tree.pop(name) for name in set(tree) - {"format"}], "KeyError: "),
    "a missing part": (lambda tree: tree.pop("progress"), "KeyError: 'progress'"),
    "fewer replicates": (lambda tree: tree["replicates"].pop(), "ValueError: zip()"),
    "fewer variables": (lambda tree: tree["replicates"][1]["run"]["state"].pop(), "ValueError: zip()"),
    "other shapes": (
        lambda tree: tree["replicates"][1]["run"]["state"].__setitem__(0, np.zeros((3, 3), np.float32)),
        "ValueError: ",
    ),
    "more callbacks": (
        lambda tree: tree["replicates"][0]["run"]["callbacks"].append({}),
        "ValueError: zip()",
    ),
}


@pytest.mark.parametrize("change", UNFIT)
def test_a_trial_begins_anew_with_a_warning_where_its_checkpoint_does_not_fit(
    change: str, processes: tuple[TrialRunner, TrialRunner], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = processes
    h = of_case("dropout")
    trial = optuna.create_study(direction="maximize").ask()
    stopped = Kept(stop_after=3)
    assert train(first, h, trial, stopped) is None
    assert stopped.content is not None
    tree = loads(stopped.content)
    edit, said = UNFIT[change]
    edit(tree)
    outcome = train(second, h, optuna.trial.Trial(trial.study, trial._trial_id), Kept(dumps(tree)))
    (line,) = said_by_hpo(caplog)
    assert line.startswith(f"trial 0 begins anew, since its checkpoint cannot be used: {said}")
    trial = optuna.create_study(direction="maximize").ask()
    caplog.clear()
    undisturbed = result_of(train(first, h, trial, Kept()), trial)
    assert result_of(outcome, trial) == undisturbed
    assert not said_by_hpo(caplog)


@pytest.mark.parametrize("at", ["last", "best"])
def test_a_checkpoint_of_the_version_before_is_gone_on_from_unless_it_lacks_the_best_epoch(
    at: str, processes: tuple[TrialRunner, TrialRunner], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = judged(processes, metric="val_accuracy", at=at)
    h = of_case("dropout")
    trial = optuna.create_study(direction="maximize").ask()
    whole = result_of(train(first, h, trial, Kept()), trial)
    trial = optuna.create_study(direction="maximize").ask()
    stopped = Kept(stop_after=3)
    assert train(first, h, trial, stopped) is None
    assert stopped.content is not None
    tree = loads(stopped.content)
    for name in ("format", "versions"):
        del tree[name]
    for replicate in tree["replicates"]:
        del replicate["run"]["kept"]
    tree["replicates"][0]["run"]["train_seconds"] += 5000.0
    again = optuna.trial.Trial(trial.study, trial._trial_id)
    outcome = train(second, h, again, Kept(dumps(tree)))
    assert result_of(outcome, again) == whole
    assert outcome is not None
    # Bit for bit the same either way, but not the time that it took.
    assert (outcome.metrics["train_seconds"] > 1000) == (at == "last")
    said = "its checkpoint cannot be used: it lacks the weights of the best epoch"
    assert [said in line for line in said_by_hpo(caplog)] == [True] * (at == "best")


def test_times_before_a_checkpoint_count(processes: tuple[TrialRunner, TrialRunner]) -> None:
    first, second = processes
    h = MlpHyperparameters(hidden_units=[12], learning_rate=0.1, batch_size=64, epochs=EPOCHS)
    stopped = Kept(stop_after=3)
    trial = optuna.create_study(direction="maximize").ask()
    train(first, h, trial, stopped)
    assert stopped.content is not None
    tree = loads(stopped.content)
    tree["compile_seconds"] += 1000.0
    for replicate in tree["replicates"]:
        replicate["run"]["train_seconds"] += 2000.0
    outcome = train(second, h, optuna.trial.Trial(trial.study, trial._trial_id), Kept(dumps(tree)))
    assert outcome is not None
    assert 1000 <= outcome.metrics["compile_seconds"] < 1100
    assert 2000 < outcome.metrics["train_seconds"] < 2100
