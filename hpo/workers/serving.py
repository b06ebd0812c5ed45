"""The studies that a worker serves: opened before it claims, passed over while they cannot be trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import optuna
import sqlalchemy as sa

from hpo.errors import HpoError, StorageError, StudyError, WorkerError
from hpo.registry import StoredStudy, find, place_of, served_studies
from hpo.storage import LeaseLostError, Patience, Storage

logger = logging.getLogger(__name__)

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


class CannotTrainError(WorkerError):
    """What is left to train is of studies that this worker cannot train."""


class UntrainableError(Exception):
    """A study, not one trial of it, is at fault; the cause says why."""


@contextmanager
def preparing() -> Iterator[None]:
    """What goes wrong inside with the study that is prepared is an UntrainableError; the storage's is not."""
    try:
        yield
    except (LeaseLostError, StorageError, sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError):
        raise
    except Exception as error:
        raise UntrainableError from error


class Delay:
    """A time to let pass, which doubles each time."""

    def __init__(self, first: float) -> None:
        self._next, self._end = first, 0.0

    def begin(self) -> None:
        """Let it begin anew, twice as long as the last time."""
        self._end = time.monotonic() + self._next
        self._next = min(2 * self._next, LONGEST_SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether it has passed; at first it has."""
        return time.monotonic() >= self._end


@dataclass
class _Pause:
    """Why a study is passed over, and for how long."""

    said: str
    delay: Delay


class Serving:
    """The studies that a worker serves: those named, or all that there are, also later.

    One that cannot be read or trained is said once, and tried again after growing delays; it costs the others
    nothing.

    Raises:
        StudyError: there is no study of such a name.
    """

    def __init__(self, storage: Storage, names: Sequence[str], *, retry: Patience) -> None:
        self._storage, self._retry = storage, retry
        named = [self._open(name) for name in names]
        self._opened = {study.id: study for study in named}
        self._named = set(self._opened)
        self._all = not named
        self._found: list[int] = []
        self._pauses: dict[int, _Pause] = {}

    def __getitem__(self, study_id: int) -> StoredStudy:
        return self._opened[study_id]

    def claimable(self) -> list[int]:
        """Ids of the studies whose trials may be claimed now: not stopped, readable, not passed over."""
        found = self._retry(lambda: served_studies(self._storage))
        self._found = [study for study in found if self._all or study in self._named]
        return [study for study in self._found if self._is_open(study) and not self._is_paused(study)]

    def reason_to_pass_over(self, study: StoredStudy, error: UntrainableError) -> str:
        """Serve a study no longer for a while; returns why."""
        return self._pass_over(study.id, study.name, error)

    def has_trained(self, study: StoredStudy) -> None:
        """It can be trained, again or still."""
        self._pauses.pop(study.id, None)

    def is_over(self) -> bool:
        """Whether every study that was named is stopped or deleted.

        Raises:
            StudyError: all are deleted.
        """
        for study_id in self._named - set(self._found):
            try:
                self._retry(lambda key=study_id: self._storage.rdb.get_study_name_from_id(key))  # type: ignore[misc]
            except KeyError:
                self._named.remove(study_id)
                deleted = StudyError(place_of(self._opened[study_id].name), "has been deleted")
                if not self._named:
                    raise deleted from None
                logger.warning("%s", deleted)
        return not self._all and not self._found

    def plan(self) -> bool:
        """Add the trials that the studies lack; whether some are left to train, by whichever worker.

        Raises:
            CannotTrainError: all that are left are of studies that this worker cannot train, and nobody does.
        """
        left = {study: self._left(study) for study in self._found if self._is_open(study)}
        waiting = [study for study, count in left.items() if count]
        if waiting and all(study in self._pauses for study in waiting):
            training = [self._retry(lambda s=study: self._storage.in_training(s)) for study in waiting]  # type: ignore[misc]
            if not any(training):
                raise CannotTrainError(self._pauses[waiting[0]].said)
        return bool(waiting)

    def plan_again(self, study: StoredStudy) -> None:
        """Plan a study whose trials depend on what others have reached."""
        if self._is_open(study.id):
            self._left(study.id)

    def _left(self, study_id: int) -> int:
        study = self._opened[study_id]
        try:
            with preparing():
                return self._retry(study.plan)
        except UntrainableError as error:
            self._pass_over(study_id, study.name, error)
            return len(self._retry(lambda: self._storage.unfinished(study_id)))

    def _open(self, name: str) -> StoredStudy:
        return self._retry(lambda: StoredStudy(self._storage, find(name, self._storage)))

    def _is_open(self, study_id: int) -> bool:
        """Whether a study has been opened, or can be now. So nothing is claimed that cannot be read."""
        if study_id in self._opened:
            return True
        if self._is_paused(study_id):
            return False
        try:
            name = self._retry(lambda: self._storage.rdb.get_study_name_from_id(study_id))
        except KeyError:
            return False  # it has been deleted in between
        try:
            with preparing():
                self._opened[study_id] = self._open(name)
        except UntrainableError as error:
            self._pass_over(study_id, name, error)
            return False
        self._pauses.pop(study_id, None)
        return True

    def _is_paused(self, study_id: int) -> bool:
        return study_id in self._pauses and not self._pauses[study_id].delay.is_over

    def _pass_over(self, study_id: int, name: str, error: UntrainableError) -> str:
        cause = error.__cause__
        is_known = isinstance(cause, HpoError)
        why = str(cause) if is_known else f"{type(cause).__name__}: {cause}".splitlines()[0]
        said = f"{place_of(name)} cannot be trained: {why}"
        pause = self._pauses.setdefault(study_id, _Pause("", Delay(FIRST_SECONDS)))
        if said != pause.said:
            logger.warning("%s", said, exc_info=None if is_known else cause)
        pause.said = said
        pause.delay.begin()
        return why
