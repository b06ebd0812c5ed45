"""A worker: claim a trial, train it, record how it ended, repeat.

TensorFlow is imported only once there is something to train.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import optuna
import pandas as pd
import sqlalchemy as sa
from optuna.trial import TrialState

from hpo import program_cache
from hpo.planning import hyperparameters_of, suggest
from hpo.spec import FINAL_METRICS, SearchSpec
from hpo.storage import Claim, Lease
from hpo.study import CURVES_FILE, Study

if TYPE_CHECKING:
    from hpo.objective import Objective, Outcome

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
IDLE_SECONDS = 0.5


class Worker:
    """Trains the trials of some studies, one at a time.

    Args:
        studies: gives the studies to serve, the first first; asked again before each claim.
        threads: of TensorFlow; takes effect if TensorFlow has not been imported yet.
        name: shown with each trial; by default host name and process id.
    """

    def __init__(
        self, studies: Callable[[], Sequence[Study]], *, threads: int = 1, name: str | None = None
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._studies, self._threads = studies, threads
        self._stopping = threading.Event()
        self._objective: tuple[int, Objective] | None = None

    def stop(self) -> None:
        """Ask the worker to put its trial back into the queue after the epoch it is in, and to return."""
        self._stopping.set()

    def stop_on_signals(self) -> None:
        """Stop on SIGINT and SIGTERM; a second one ends the process at once."""

        receiving, sending = socket.socketpair()
        sending.setblocking(False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        # Python's own handlers wait until TensorFlow comes back from an epoch; this is written at once.
        signal.set_wakeup_fd(sending.detach())

        def listen() -> None:
            while received := receiving.recv(1):
                if self._stopping.is_set():
                    os._exit(128 + received[0])
                self.stop()

        threading.Thread(target=listen, daemon=True).start()

    def stop_on_end_of_input(self) -> None:
        """Stop when standard input ends: when the parent that holds it dies, however it dies."""

        def wait() -> None:
            # Not through sys.stdin, whose lock a thread that waits would hold at the end of the process.
            while os.read(0, 1024):
                pass
            self.stop()

        threading.Thread(target=wait, daemon=True).start()

    def run(self, *, max_trials: int | None = None, exit_when_idle: bool = False) -> int:
        """Train until told to stop; returns how many trials have been finished.

        With `exit_when_idle` it ends once every trial of its studies has finished, by whichever worker.
        """
        finished = 0
        while not self._stopping.is_set() and (max_trials is None or finished < max_trials):
            studies = self._studies()
            found = self._claim(studies)
            if found is not None:
                finished += self._train(*found)
            elif exit_when_idle and not any(study.plan() for study in studies):
                break
            else:
                self._stopping.wait(IDLE_SECONDS)
        return finished

    def _claim(self, studies: Sequence[Study]) -> tuple[Study, Claim] | None:
        for study in studies:
            claim = study.storage.claim(study.id, owner=self.name, seconds=LEASE_SECONDS)
            if claim is not None:
                return study, claim
        return None

    def _train(self, study: Study, claim: Claim) -> bool:
        """Train one claimed trial; False if it went back into the queue, or is no longer this worker's."""
        with _kept_alive(claim.lease) as lost:
            try:
                if self._finish(study, claim, lost):
                    claim.lease.release()
                    return True
            except BaseException as error:
                if study.storage.requeue(claim) or not isinstance(error, Exception):
                    raise
            else:
                if study.storage.requeue(claim):
                    return False
        logger.warning("%s of %s is no longer this worker's", claim.lease.key, study.name)
        return False

    def _finish(self, study: Study, claim: Claim, lost: threading.Event) -> bool:
        """Train a trial to its end and record it; False if it was stopped, or another worker has it now."""
        study.refresh()
        number = study.storage.rdb.get_trial(claim.trial_id).number
        trial = optuna.trial.Trial(study.optuna_for(number), claim.trial_id)
        outcome = self._outcome(study, trial, lambda: self._stopping.is_set() or lost.is_set())
        # Renewed first: from here on there is time to record it before another worker may take it.
        if outcome is None or not claim.lease.renew():
            return False
        _record(study, trial, outcome)
        return True

    def _outcome(
        self, study: Study, trial: optuna.trial.Trial, should_stop: Callable[[], bool]
    ) -> Outcome | None:
        """Train the trial; what goes wrong with it alone is its outcome. None if it was stopped."""
        _prepare_tensorflow(self._threads)
        from hpo.objective import Outcome, StoppedError

        objective = self._objective_of(study)
        try:
            if isinstance(study.spec, SearchSpec):
                suggest(trial, study.spec)
            hyperparameters = hyperparameters_of(study.spec, trial)
            trial.set_user_attr("worker", self.name)
            trial.set_user_attr("hyperparameters", hyperparameters.model_dump(mode="json"))
            return objective(trial, hyperparameters, should_stop=should_stop)
        except StoppedError:
            return None
        except (sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError):
            # Of the storage: says nothing about the trial.
            raise
        except Exception as error:
            logger.error("trial %d of %s failed:\n%s", trial.number, study.name, traceback.format_exc())
            reason = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            )
            return Outcome(TrialState.FAIL, None, reason.rstrip(": "), {}, [])

    def _objective_of(self, study: Study) -> Objective:
        """The study's objective, with its data on the device; only the last study's is kept."""
        from hpo.objective import Objective

        if self._objective is None or self._objective[0] != study.id:
            self._objective = None
            self._objective = (study.id, Objective(study.spec, study.load_data()))
        return self._objective[1]


@contextlib.contextmanager
def _kept_alive(lease: Lease) -> Iterator[threading.Event]:
    """Renew a lease from a thread of its own; the event is set once somebody else has it."""
    lost, done = threading.Event(), threading.Event()

    def renew() -> None:
        while not done.wait(lease.seconds / 4):
            try:
                if not lease.renew():
                    lost.set()
                    return
            except sa.exc.SQLAlchemyError as error:
                logger.warning("the lease of %s could not be renewed yet: %s", lease.key, error)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join()


def _record(study: Study, trial: optuna.trial.Trial, outcome: Outcome) -> None:
    """Write how a trial ended: first what belongs to it, last its state, which makes it final."""
    for name in FINAL_METRICS:
        if name in outcome.metrics:
            trial.set_user_attr(name, outcome.metrics[name])
    replicates = [{"seed": r.seed, "fold": r.fold, **r.metrics} for r in outcome.replicates]
    trial.set_user_attr("replicates", replicates)
    if outcome.reason is not None:
        trial.set_user_attr("reason", outcome.reason)
    if outcome.curves:
        curves = pd.DataFrame(outcome.curves).to_csv(index=False)
        study.storage.save_artifact(trial._trial_id, CURVES_FILE, curves.encode())
    trial.study.tell(trial, outcome.value, state=outcome.state, skip_if_finished=True)


def _prepare_tensorflow(threads: int) -> None:
    """Import TensorFlow with a number of threads, and without what it prints about its own build."""
    if "tensorflow" in sys.modules:
        return
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    program_cache.enable()
    with _silenced(sys.stderr.fileno()):
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _silenced(descriptor: int) -> Iterator[None]:
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
