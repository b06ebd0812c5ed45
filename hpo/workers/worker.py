"""A worker: claim a trial, train it, record how it ended, repeat.

TensorFlow is imported only once there is something to train.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import optuna
import psutil
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import HpoError, StorageError, WorkerError
from hpo.registry import StoredStudy
from hpo.search import (
    AS_ATTRIBUTE,
    confirms,
    hyperparameters_of,
    known_result,
    may_prune,
)
from hpo.search.marks import INDEX_ATTRIBUTE
from hpo.spec import Hyperparameters, SearchSpec
from hpo.storage import (
    OWNER_LENGTH,
    Claim,
    LeasedTrial,
    LeaseLostError,
    Pace,
    Patience,
    Storage,
    new_token,
    passes,
    reason,
)
from hpo.training.device import prepare_tensorflow
from hpo.trials.checkpoints import CHECKPOINT_SECONDS, Checkpoints, TrialCheckpoints
from hpo.trials.outcome import Outcome, StoppedError
from hpo.workers.answering import answered
from hpo.workers.drawing import draw
from hpo.workers.keeper import Keeper
from hpo.workers.recording import record
from hpo.workers.serving import CannotTrainError, Delay, Serving, UntrainableError, preparing
from hpo.workers.shares import Shares
from hpo.workers.trained_with import WorkerVersions

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
IDLE_SECONDS = 0.5
LONGEST_IDLE_SECONDS = 5.0
# Of its memory: what the next trial may compile must fit in the rest.
NEAR = 0.75


class Runner(Protocol):
    """Trains a trial to its end. Raises StoppedError if `should_stop()` says so before an epoch.

    `timeout()` is what the study's `trial_timeout` is now: seconds, None without a limit.
    """

    def __call__(
        self,
        trial: optuna.trial.Trial,
        hyperparameters: Hyperparameters,
        *,
        should_stop: Callable[[], bool],
        checkpoints: Checkpoints,
        timeout: Callable[[], float | None] | None = None,
    ) -> Outcome: ...

    def make_room(self) -> None:
        """Give back the memory of what can be made again."""


class Worker:
    """Trains the trials of studies, one at a time.

    Args:
        storage: where they are.
        studies: the names of those to serve; none for all that there are, also later.
        threads: of TensorFlow; takes effect if TensorFlow has not been imported yet.
        gpu_memory: MiB of each GPU, if there is one; by default as much as is needed.
        max_memory: MiB; a worker that has come near to this makes room after its trial, see `is_full`.
        name: shown with each trial; by default host name and process id.
        checkpoint_seconds: how often the state of a trial is saved, from which it goes on if the worker dies.
        lease_seconds: how long a trial waits for a worker that has died.
        runner: makes what trains the trials of a study; by default its networks.
        on_finished: called with the study and Optuna's id of each trial that this worker has finished.

    Raises:
        StudyError: there is no study of such a name.
    """

    def __init__(
        self,
        storage: Storage,
        studies: Sequence[str] = (),
        *,
        threads: int = 1,
        gpu_memory: float | None = None,
        max_memory: float | None = None,
        name: str | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        runner: Callable[[StoredStudy], Runner] | None = None,
        on_finished: Callable[[StoredStudy, int], None] | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.is_full, self._may_exit = False, False
        self._storage, self._threads, self._gpu_memory = storage, threads, gpu_memory
        self._max_memory = max_memory
        self._checkpoint_seconds, self._lease_seconds = checkpoint_seconds, lease_seconds
        self._make_runner = runner or self._network_runner
        self._on_finished = on_finished or (lambda study, trial_id: None)
        self._stopping = threading.Event()
        self._retry = Patience(self._stopping)
        self._runner: tuple[int, Runner] | None = None
        self._versions = WorkerVersions()
        self._serving = Serving(storage, studies, retry=self._retry)
        self._shares = Shares(storage, self.name[:OWNER_LENGTH])

    def stop(self) -> None:
        """Ask the worker to put its trial back into the queue after the epoch it is in, and to return."""
        self._stopping.set()

    def stop_on_signals(self) -> None:
        """Stop on SIGINT and SIGTERM; a second one ends the process at once."""
        self._may_exit = True
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

        Ends with `is_full` when it has come near to `max_memory`: what it holds only its end gives back.
        Ends once its named studies are stopped, or, with `exit_when_idle`, once every trial of the studies
        that it serves has finished, by whichever worker. A study that cannot be trained is passed over.

        Raises:
            WorkerError: the storage could not be used for a long time, or, with `exit_when_idle`, what is
                left to train is of studies that cannot be trained.
            StorageError: artifacts would be where workers on other machines do not find them.
            StudyError: its named studies have been deleted.
        """
        idle = Pace(IDLE_SECONDS, LONGEST_IDLE_SECONDS, share=0.1 if exit_when_idle else 1.0)
        finished, planning = 0, Delay(IDLE_SECONDS)
        try:
            self._retry(self._storage.confirm_artifacts)
            while not self._stopping.is_set() and (max_trials is None or finished < max_trials):
                claim = self._claim(self._serving.claimable())
                if claim is not None:
                    finished += self._trained(self._serving[claim.study_id], claim)
                    idle.begin()
                    planning = Delay(IDLE_SECONDS)
                    if self._has_no_room():
                        self.is_full = True
                        break
                elif self._is_done(planning, exit_when_idle=exit_when_idle):
                    break
                else:
                    self._stopping.wait(idle.seconds)
        except Exception as error:
            if passes(error):
                raise WorkerError(f"{self._storage.place}: cannot be used: {reason(error)}") from error
            raise
        return finished

    def _has_no_room(self) -> bool:
        """Whether it is near to its memory between two trials, and nothing that it can give back helps.

        XLA keeps what it has compiled for the life of the process, about 20 MiB a program.
        """
        if self._stopping.is_set() or self._max_memory is None or not self._is_near(self._max_memory):
            return False
        if self._runner is not None:
            self._runner[1].make_room()
        return self._is_near(self._max_memory)

    def _is_near(self, limit: float) -> bool:
        return float(psutil.Process().memory_info().rss) > NEAR * limit * 1024**2

    def _claim(self, served: Sequence[int]) -> Claim | None:
        token, seconds = new_token(), self._lease_seconds
        deferred = self._retry(
            lambda: self._shares.left_to_others(served, lambda key: self._serving[key].spec)
        )
        return self._retry(
            lambda: self._storage.claim(
                served, owner=self.name, seconds=seconds, token=token, deferred=deferred
            )
        )

    def _is_done(self, planning: Delay, *, exit_when_idle: bool) -> bool:
        """Whether a worker that has found nothing to claim will find nothing later."""
        if self._serving.is_over():
            return True
        if exit_when_idle:
            return not self._serving.plan()
        # Somebody may have extended a study and died before its trials were added.
        if planning.is_over:
            planning.begin()
            with contextlib.suppress(CannotTrainError):
                self._serving.plan()
        return False

    def _trained(self, study: StoredStudy, claim: Claim) -> bool:
        """Train one claimed trial and tell of it; False if it has not been finished here."""
        if not self._train(study, claim):
            return False
        # By now it is recorded: what fails here fails nothing of it.
        self._retry(lambda: self._on_finished(study, claim.trial_id))
        if isinstance(study.spec, SearchSpec) and study.spec.is_limited:
            # By what it has reached no further trial may be to begin, or more of them.
            self._serving.plan_again(study)
        return True

    def _train(self, study: StoredStudy, claim: Claim) -> bool:
        """Train one claimed trial; False if it went back into the queue, or is no longer this worker's."""
        with Keeper(study, claim, stopping=self._stopping, may_exit=self._may_exit) as keeper:
            try:
                if self._finish(study, claim, keeper):
                    return True
            except LeaseLostError:
                pass
            except UntrainableError as error:
                why = self._serving.reason_to_pass_over(study, error)
                # Not counted as a loss: nothing is amiss with the trial.
                if self._retry(lambda: claim.requeue({"reason": why})):
                    return False
            except BaseException as error:
                if self._retry(claim.requeue) or not isinstance(error, Exception):
                    raise
            else:
                if self._retry(claim.requeue):
                    return False
        logger.warning("%s of %s is no longer this worker's", claim.lease.key, study.name)
        return False

    def _finish(self, study: StoredStudy, claim: Claim, keeper: Keeper) -> bool:
        """Train a trial to its end and record it; False if it was stopped, or another worker has it now."""
        with preparing():
            self._retry(study.refresh)
        checkpoints = TrialCheckpoints(
            self._storage.artifacts, claim, retry=self._retry, seconds=self._checkpoint_seconds
        )
        if claim.retries > study.spec.max_retries:
            if failed := self._fail(claim):
                checkpoints.discard()
            return failed
        with preparing():
            about = self._retry(lambda: self._versions.recorded_for(study))
            optuna_study = self._retry(lambda: study.optuna_for(claim.number))
            runner = self._runner_of(study)
        self._serving.has_trained(study)
        may = partial(may_prune, study.spec)
        trial = LeasedTrial(optuna_study, claim, self._retry, may_prune=may)
        if confirms(trial) is not None:
            # What is compared is trained to its end.
            optuna_study.pruner = optuna.pruners.NopPruner()
        run = partial(runner, checkpoints=checkpoints)
        outcome = self._outcome(study, trial, claim, keeper, run, about=about)
        if outcome is None or not record(self._storage, study, claim, trial, outcome, retry=self._retry):
            return False
        checkpoints.discard()
        return True

    def _fail(self, claim: Claim) -> bool:
        last = f", the last of them {claim.taken_from}" if claim.taken_from else ""
        reason = f"given up: it lost {claim.retries} workers{last}"
        attributes = {"worker": self.name, "reason": reason}
        return self._retry(lambda: claim.finish(TrialState.FAIL, attributes=attributes))

    def _outcome(
        self,
        study: StoredStudy,
        trial: LeasedTrial,
        claim: Claim,
        keeper: Keeper,
        runner: Callable[..., Outcome],
        *,
        about: dict[str, Any],
    ) -> Outcome | None:
        """Train the trial; what goes wrong with it alone is its outcome. None if it was stopped."""
        try:
            if isinstance(study.spec, SearchSpec):
                draw(trial, study.spec, storage=self._storage, retry=self._retry, stopping=self._stopping)
            hyperparameters = hyperparameters_of(study.spec, trial)
            described = about | {
                "worker": self.name,
                "threads": self._threads,
                "hyperparameters": hyperparameters.model_dump(mode="json"),
            }
            known = self._known_result(study, trial, hyperparameters)
            if known is not None:
                described[AS_ATTRIBUTE] = known.number
            # Of a worker that could not train it, or had other versions.
            outdated = [n for n in ("reason", "other_versions") if n in trial.user_attrs and n not in about]
            self._retry(lambda: claim.describe(described, without=outdated))
            if known is not None:
                return answered(trial, known)
            return runner(
                trial,
                hyperparameters,
                should_stop=lambda: keeper.should_stop,
                timeout=lambda: study.spec.trial_timeout,
            )
        except StoppedError:
            return None
        except (LeaseLostError, StorageError, sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError):
            # Of the storage: says nothing about the trial.
            raise
        except Exception as error:
            if passes(error):
                raise
            shown = str(error) if isinstance(error, HpoError) else f"\n{traceback.format_exc()}"
            logger.error("trial %d of %s failed: %s", trial.number, study.name, shown)
            said = str(error).strip().splitlines() or [""]
            return Outcome(TrialState.FAIL, reason=f"{type(error).__name__}: {said[0]}".rstrip(": "))

    def _known_result(
        self, study: StoredStudy, trial: LeasedTrial, hyperparameters: Hyperparameters
    ) -> FrozenTrial | None:
        """The trial that has been trained with these hyperparameters before; none where trials repeat."""
        spec = study.spec
        # What is listed is listed once: to look costs as many statements as all else of a trial.
        if not isinstance(spec, SearchSpec) or spec.repeats or INDEX_ATTRIBUTE in trial.user_attrs:
            return None
        trials = self._retry(lambda: trial.study.get_trials(deepcopy=False))
        return known_result(spec, trials, trial, hyperparameters)

    def _runner_of(self, study: StoredStudy) -> Runner:
        """The study's runner, with its data on the device; only the last study's is kept.

        Whatever keeps it from being made is the study's: data that is gone or has changed, memory.
        """
        if self._runner is None or self._runner[0] != study.id:
            self._runner = None
            self._runner = (study.id, self._make_runner(study))
        return self._runner[1]

    def _network_runner(self, study: StoredStudy) -> Runner:
        # First, without TensorFlow, which may be missing, unless a person's function may import it.
        if study.spec.data.code is not None:
            prepare_tensorflow(self._threads, gpu_memory=self._gpu_memory)
        data, test = study.load_data(), study.load_test_data()
        prepare_tensorflow(self._threads, gpu_memory=self._gpu_memory)
        from hpo.trials.runner import TrialRunner

        folder = self._storage.artifacts.of_callbacks(study.name)
        return TrialRunner(study.spec, data, test=test, folder=folder)
