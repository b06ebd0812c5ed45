"""A study whose model's function only this process has, trained by this process, one trial at a time."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from hpo.errors import ModelError
from hpo.own import is_here
from hpo.registry import StoredStudy
from hpo.spec import OwnModel, StudySpec
from hpo.storage import passes
from hpo.workers.crew import POLL_SECONDS
from hpo.workers.engines import Log
from hpo.workers.engines.local import cores
from hpo.workers.worker import Worker

REMEDY = "Put the function into a .py file, and give it from there: from my_model import build."


def of_this_process(spec: StudySpec) -> bool:
    """Whether no worker elsewhere could train a study."""
    return isinstance(spec.model, OwnModel) and spec.model.is_of_session


def check_workers(spec: StudySpec, workers: int | None, engine: str = "local") -> None:
    """Raises ModelError if a study cannot be trained from here by so many workers of an engine."""
    model = spec.model
    if not isinstance(model, OwnModel) or not model.is_of_session:
        return
    if not is_here(model):
        rule = "is a function of another Python session, and only that one can train it"
        remedy = "Create the study again from the session that has it, or put it into a file."
        raise ModelError(f"study {spec.name!r}: model {model.function}", rule, remedy=remedy)
    if workers is not None and workers > 1:
        rule = "is a function of this Python session, which workers cannot import: workers must be 1"
        raise ModelError(f"study {spec.name!r}: model {model.function}", rule, got=workers, remedy=REMEDY)
    if engine != "local":
        rule = "is a function of this Python session, which workers cannot import: engine must be 'local'"
        raise ModelError(f"study {spec.name!r}: model {model.function}", rule, got=engine, remedy=REMEDY)


def run_here(
    study: StoredStudy,
    *,
    timeout: float | None,
    checkpoint_seconds: float,
    look: Callable[[], None],
    log: Log | None,
) -> None:
    """Train what is left of a study in this process; see `Study.run`.

    In the main thread, whose settings of Keras a person's function may depend on. On KeyboardInterrupt the
    trial goes back into the queue, to go on from its last checkpoint, then it goes on up.

    Raises:
        WorkerError: the study cannot be trained, or the storage could not be used for a long time.
    """
    assert isinstance(study.spec.model, OwnModel)
    say = log or (lambda line: print(line, file=sys.stderr))
    function = study.spec.model.function
    said = "is a function of this Python session, so this process trains its trials, one at a time"
    say(f"{study.name}: {function} {said}")
    worker = Worker(study.storage, [study.name], threads=cores(), checkpoint_seconds=checkpoint_seconds)
    with _looking(look), _stopping(worker, timeout):
        worker.run(exit_when_idle=True)


@contextlib.contextmanager
def _stopping(worker: Worker, timeout: float | None) -> Iterator[None]:
    timer = None if timeout is None else threading.Timer(timeout, worker.stop)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


@contextlib.contextmanager
def _looking(look: Callable[[], None]) -> Iterator[None]:
    """Look about twice a second, and at the end."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            with _outlasting():
                look()
            ended.wait(POLL_SECONDS)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with _outlasting():
            look()


@contextlib.contextmanager
def _outlasting() -> Iterator[None]:
    """While the storage does not answer there is nothing to see; the worker says so."""
    try:
        yield
    except Exception as error:
        if not passes(error):
            raise
