"""Every callback that Keras ships does in every loop what it does in `model.fit`: calls, logs, weights."""

from __future__ import annotations

import csv
import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import hpo
from hpo.training.callbacks import TEST_HOOKS, TRAIN_HOOKS, need_batches
from hpo.training.runs import Run, Trainer
from hpo.training.samples import Samples
from tests.marks import often
from tests.training.models import (
    OFTEN,
    X_HELD,
    X_TRAIN,
    Y_HELD,
    Y_TRAIN,
    assert_same_logs,
    from_start,
    mlp,
    rows_of,
)

callbacks = keras.callbacks
# 46 samples in three batches, the last one short; 20 to validate with in two.
BATCH, EPOCHS = 16, 3
WITH_NAN = X_TRAIN.copy()
WITH_NAN[20] = np.nan
Made = list[keras.callbacks.Callback]


class Recorder(callbacks.Callback):
    """Notes each call, with its number and logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []
        for name in (name for name in dir(callbacks.Callback) if name.startswith("on_")):
            setattr(self, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any, logs: Any = None) -> None:
            numbers = [value for value in arguments if isinstance(value, int)]
            logs = next((value for value in arguments if isinstance(value, dict)), logs)
            if name == "on_train_begin":
                numbers.append(dict(self.params))
            self.calls.append((name, numbers, dict(logs or {})))

        return note


class Rates(callbacks.Callback):
    """Sets another rate after each batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.4 / (batch + 1)


class Stops(callbacks.Callback):
    """Stops the training in the second batch of the second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (1, 1):
            self.model.stop_training = True


class StopsBefore(callbacks.Callback):
    """Stops the training before its second epoch: Keras trains one batch of it."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 1


class StopsEvaluating(callbacks.Callback):
    """Ends each evaluation after a batch."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_evaluating = True


CASES: dict[str, Callable[[Path], Made]] = {
    "Callback": lambda folder: [],
    "BackupAndRestore": lambda folder: [
        callbacks.BackupAndRestore(str(folder / "backup"), delete_checkpoint=False)
    ],
    "BackupAndRestore of batches": lambda folder: [
        callbacks.BackupAndRestore(str(folder / "backup"), save_freq=2, delete_checkpoint=False)
    ],
    "CSVLogger": lambda folder: [callbacks.CSVLogger(str(folder / "log.csv"))],
    "EarlyStopping": lambda folder: [
        callbacks.EarlyStopping("val_loss", patience=0, min_delta=1e9, restore_best_weights=True)
    ],
    "History": lambda folder: [callbacks.History()],
    "LambdaCallback": lambda folder: [
        callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: (folder / f"{batch}.txt").write_text(f"{logs['loss']}\n")
        )
    ],
    "LearningRateScheduler": lambda folder: [
        callbacks.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1))
    ],
    "ModelCheckpoint": lambda folder: [
        callbacks.ModelCheckpoint(str(folder / "{epoch}.keras")),
        callbacks.ModelCheckpoint(
            str(folder / "best.weights.h5"), save_weights_only=True, save_best_only=True
        ),
    ],
    "ModelCheckpoint of batches": lambda folder: [
        callbacks.ModelCheckpoint(
            str(folder / "{epoch}-{batch}.weights.h5"), save_weights_only=True, save_freq=2
        )
    ],
    "ProgbarLogger": lambda folder: [callbacks.ProgbarLogger()],
    "ReduceLROnPlateau": lambda folder: [
        callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    ],
    "SwapEMAWeights": lambda folder: [callbacks.SwapEMAWeights()],
    "SwapEMAWeights of epochs": lambda folder: [
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.ModelCheckpoint(str(folder / "{epoch}.weights.h5"), save_weights_only=True),
    ],
    "TerminateOnNaN": lambda folder: [callbacks.TerminateOnNaN()],
    "a rate for each batch": lambda folder: [Rates()],
    "stopping within an epoch": lambda folder: [Stops()],
    "stopping before an epoch": lambda folder: [StopsBefore()],
    "stopping an evaluation": lambda folder: [StopsEvaluating()],
}
# These have tests of their own below.
ELSEWHERE = {"CallbackList", "OrbaxCheckpoint", "RemoteMonitor", "TensorBoard"}


def test_every_callback_that_keras_ships_is_covered() -> None:
    shipped = {
        name
        for name, kind in vars(callbacks).items()
        if inspect.isclass(kind) and issubclass(kind, callbacks.Callback)
    }
    assert shipped == {name.split(" ")[0] for name in CASES if name[0].isupper()} | ELSEWHERE


def trained(user: str, folder: Path, made: Made, *, averaging: bool = False, x: Any = X_TRAIN) -> Any:
    """What is left of a training from the start: calls, logs, weights, the folder's files."""
    model = from_start("averaging" if averaging else "plain", user)
    recorder = Recorder()
    options: Any = {
        "validation_data": (X_HELD, Y_HELD), "batch_size": BATCH, "epochs": EPOCHS, "shuffle": False,
        "verbose": 0, "callbacks": [*made, recorder],
    }  # fmt: skip
    if user == "keras":
        history = model.fit(x, Y_TRAIN, **options)
    else:
        history = hpo.fit(model, x, Y_TRAIN, loop=user, **options)
    return recorder.calls, history, model.get_weights(), files(folder)


def files(folder: Path) -> dict[str, Any]:
    """What was written: rows, numbers and weights, without what differs each time."""
    return {str(path.relative_to(folder)): _content(path) for path in folder.rglob("*") if path.is_file()}


def _content(path: Path) -> Any:
    if path.suffix == ".csv":
        with path.open() as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".txt":
        return float(path.read_text())
    if path.suffix == ".keras":
        return keras.models.load_model(path, compile=False).get_weights()
    model = mlp()
    model.load_weights(path, skip_mismatch=True)
    return model.get_weights()


def assert_alike(got: Any, wanted: Any, place: str = "") -> None:
    """Equal, numbers to rounding."""
    if isinstance(wanted, dict):
        assert set(got) == set(wanted), place
        for name in wanted:
            # XLA and TensorFlow each have their own greatest one of outputs that are NaN.
            if name == "accuracy" and np.isnan(wanted["loss"]).any():
                continue
            assert_alike(got[name], wanted[name], f"{place}.{name}")
    elif isinstance(wanted, list | tuple):
        assert len(got) == len(wanted), place
        for index, pair in enumerate(zip(got, wanted, strict=True)):
            assert_alike(*pair, f"{place}[{index}]")
    elif isinstance(wanted, str):
        assert got == wanted, place
    else:
        np.testing.assert_allclose(got, wanted, atol=1e-5, rtol=1e-5, err_msg=place)


def of_case(case: str, user: str, folder: Path) -> Any:
    data = WITH_NAN if "NaN" in case else X_TRAIN
    return trained(user, folder, CASES[case](folder), averaging="EMA" in case, x=data)


@pytest.fixture(scope="module")
def in_keras(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What is left of a case's training in plain Keras, trained once."""
    return cache(lambda case: of_case(case, "keras", tmp_path_factory.mktemp("keras")))


@pytest.mark.parametrize("case", often([case for case in CASES if " of " not in case], CASES))
@pytest.mark.parametrize("loop", OFTEN)
def test_a_callback_does_what_it_does_in_kerass_fit(
    case: str, loop: str, tmp_path: Path, in_keras: Callable[[str], Any]
) -> None:
    results = of_case(case, loop, tmp_path), in_keras(case)
    (calls, history, weights, written), (wanted_calls, wanted_history, *wanted) = results
    assert [call[:2] for call in calls] == [call[:2] for call in wanted_calls]
    assert_alike(calls, wanted_calls)
    assert_alike(history.history, wanted_history.history)
    assert history.epoch == wanted_history.epoch
    assert_alike([weights, written], wanted)


@pytest.mark.parametrize("loop", OFTEN)
def test_the_lines_of_an_epoch_are_kerass(
    loop: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def lines(user: str, verbose: int | str) -> list[str]:
        model = from_start("plain", user)
        options: Any = {"epochs": 2, "batch_size": BATCH, "shuffle": False, "verbose": verbose}
        if user == "keras":
            model.fit(X_TRAIN, Y_TRAIN, **options)
        else:
            hpo.fit(model, X_TRAIN, Y_TRAIN, loop=user, **options)
        plain = re.sub(r"\x1b\[\d*m|\x08", "", capsys.readouterr().out)
        last = [line.split("\r")[-1] for line in plain.splitlines()]
        kept = [line for line in last if line.startswith(("Epoch", "3/3"))]
        return [re.sub(r"\d+[mu]?s(/step)?", "…", line) for line in kept]

    for verbose in (1, 2, "auto", 0):
        got, wanted = lines(loop, verbose), lines("keras", verbose)
        assert [line.split(" - ")[0] for line in got] == [line.split(" - ")[0] for line in wanted]
        assert len(got) == (4 if verbose else 0)


# Which callbacks need batches


@pytest.mark.parametrize(
    ("make", "train", "test"),
    [
        (lambda: callbacks.ModelCheckpoint("a.keras"), False, False),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_freq=2), True, False),
        (lambda: callbacks.BackupAndRestore("a"), False, False),
        (lambda: callbacks.BackupAndRestore("a", save_freq=2), True, False),
        (lambda: callbacks.TensorBoard("a"), False, False),
        (lambda: callbacks.TensorBoard("a", update_freq=2), True, True),
        (lambda: callbacks.TerminateOnNaN(), True, False),
        (lambda: callbacks.LambdaCallback(on_train_batch_begin=print), True, False),
        (lambda: callbacks.LambdaCallback(on_epoch_end=print), False, False),
        (lambda: callbacks.ProgbarLogger(), False, False),
        (lambda: StopsEvaluating(), False, True),
    ],
)
def test_only_what_acts_on_batches_needs_them(make: Callable[[], Any], train: bool, test: bool) -> None:
    made = [callbacks.History(), make()]
    assert (need_batches(made, TRAIN_HOOKS), need_batches(made, TEST_HOOKS)) == (train, test)


def test_a_checkpoint_of_a_person_s_own_needs_batches() -> None:
    class Mine(callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_end(batch, logs)

    assert need_batches([Mine("a.keras")], TRAIN_HOOKS)


# Those that need something of their own


@pytest.fixture
def published() -> Iterator[tuple[str, list[Any]]]:
    """A server on this machine, and what has been posted to it."""
    posted: list[Any] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("loop", OFTEN)
def test_the_remote_monitor_posts_each_epoch(
    loop: str, published: tuple[str, list[Any]], tmp_path: Path
) -> None:
    root, posted = published
    for user in (loop, "keras"):
        trained(user, tmp_path, [callbacks.RemoteMonitor(root, send_as_json=True)])
    assert len(posted) == 2 * EPOCHS
    assert_alike(posted[:EPOCHS], posted[EPOCHS:])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs tensorboard, which hpo does not")
@pytest.mark.parametrize("update", ["epoch", 2])
@pytest.mark.parametrize("loop", OFTEN)
def test_tensorboard_s_events_are_kerass(loop: str, update: Any, tmp_path: Path) -> None:
    def events(user: str) -> dict[Any, Any]:
        folder = tmp_path / user
        board = callbacks.TensorBoard(str(folder), update_freq=update, write_graph=False)
        trained(user, folder / "none", [board])
        found = {}
        for path in folder.rglob("events.*"):
            for record in tf.data.TFRecordDataset(str(path)):
                event = tf.compat.v1.Event.FromString(record.numpy())
                for value in event.summary.value:
                    key = path.parent.name, event.step, value.tag
                    found["/".join(map(str, key))] = (
                        tf.make_ndarray(value.tensor) if value.tensor.ByteSize() else None
                    )
        return found

    got, wanted = events(loop), events("keras")
    assert len(wanted) >= 3 * 4
    assert_alike(got, wanted)


@pytest.mark.slow
def test_a_list_of_callbacks_is_flattened() -> None:
    told = Recorder()
    for given in (told, [[told], None], callbacks.CallbackList([told])):
        told.calls.clear()
        hpo.fit(mlp(), X_TRAIN, Y_TRAIN, callbacks=given)
        assert [name for name, *_ in told.calls].count("on_epoch_end") == 1
    mine = callbacks.History()
    assert hpo.fit(mlp(), X_TRAIN, Y_TRAIN, callbacks=[mine]) is mine


@pytest.mark.parametrize("loop", OFTEN)
@pytest.mark.parametrize("freq", ["epoch", 2])
def test_a_backup_is_gone_on_from(loop: str, freq: Any, tmp_path: Path) -> None:
    def interrupted(user: str) -> tuple[list[Any], list[np.ndarray], int]:
        def fail(epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

        def train(*more: Any) -> Any:
            backup = callbacks.BackupAndRestore(str(tmp_path / user), save_freq=freq)
            options: Any = {"epochs": 5, "batch_size": BATCH, "shuffle": False, "callbacks": [backup, *more]}
            if user == "keras":
                return model.fit(X_TRAIN, Y_TRAIN, verbose=0, **options)
            return hpo.fit(model, X_TRAIN, Y_TRAIN, loop=user, **options)

        model = from_start("plain", user)
        with pytest.raises(KeyboardInterrupt):
            train(callbacks.LambdaCallback(on_epoch_begin=fail))
        history = train()
        return history.epoch, model.get_weights(), int(model.optimizer.iterations)

    got = interrupted(loop)
    assert_alike(got, interrupted("keras"))
    # Of batches, Keras keeps the epoch that is being trained, and trains it again.
    assert (got[0], got[2]) == (([2, 3, 4], 15) if freq == "epoch" else ([1, 2, 3, 4], 18))
    again = hpo.fit(from_start("plain", loop), X_TRAIN, Y_TRAIN, loop=loop, batch_size=BATCH, epochs=3)
    assert again.epoch == [0, 1, 2]


# What they may do to a run


@pytest.mark.parametrize("loop", OFTEN)
def test_an_error_in_a_callback_comes_through_and_leaves_the_model_usable(loop: str) -> None:
    layer = keras.layers.Dropout(0.5)
    model = mlp("sgd", layer)

    def fail(number: int, logs: Any = None) -> None:
        raise OSError("disk full")

    for hook in ("on_epoch_end", "on_train_batch_end"):
        with pytest.raises(OSError, match="disk full"):
            hpo.fit(model, X_TRAIN, Y_TRAIN, loop=loop, callbacks=[callbacks.LambdaCallback(**{hook: fail})])
    assert layer.call == type(layer).call.__get__(layer)
    model.fit(X_TRAIN, Y_TRAIN, verbose=0)
    assert len(hpo.fit(model, X_TRAIN, Y_TRAIN, loop=loop, epochs=2).history["loss"]) == 2


@pytest.mark.parametrize("loop", OFTEN)
def test_watching_batches_changes_no_result(loop: str) -> None:
    histories = []
    for told in ([], [callbacks.TerminateOnNaN()]):
        model = from_start("plain", loop)
        options: Any = {"batch_size": BATCH, "epochs": 2, "callbacks": told, "seed": 3}
        histories.append(rows_of(hpo.fit(model, X_TRAIN, Y_TRAIN, loop=loop, **options)))
    assert_same_logs(*histories)


@pytest.mark.slow
def test_runs_in_lockstep_stop_each_for_itself() -> None:
    model = mlp()
    samples = Samples.of(X_TRAIN, Y_TRAIN)
    trainer = Trainer(model, "graph")
    trainer.build(samples)
    start = trainer.state
    runs = [
        Run(trainer, samples, batch_size=BATCH, epochs=4, callbacks=told, initial_state=start)
        for told in ([Stops()], [])
    ]
    while not all(run.finished for run in runs):
        for run in runs:
            if not run.finished:
                run.advance()
    assert [run.history.epoch for run in runs] == [[0, 1], [0, 1, 2, 3]]
