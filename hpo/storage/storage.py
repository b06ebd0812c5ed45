"""A database of studies with its leases and artifacts."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import StorageError
from hpo.storage import attributes, planned
from hpo.storage.artifacts import ArtifactFolder, artifacts_of
from hpo.storage.begun import BegunTrial, begun_trials, configurations, waiting_trials
from hpo.storage.bulk import BulkReadingStorage
from hpo.storage.cache import TrialCache
from hpo.storage.claims import CHECKPOINT_ATTRIBUTE, CONFIRMS_ATTRIBUTE, Claim, held, leased, trial_key
from hpo.storage.connections import room_for_workers
from hpo.storage.dialects import to_read
from hpo.storage.engine import checked, explained, located, make_engine, optuna_storage, tell_damage
from hpo.storage.fence import LeaseLostError, fenced
from hpo.storage.growth import grow
from hpo.storage.handles import quiet, trial_id
from hpo.storage.identity import find_identity, give_identity
from hpo.storage.leases import Lease, acquire, leases, new_token
from hpo.storage.places import place_at
from hpo.storage.queue import claim_first
from hpo.storage.results import TrialResult, feasible, holders, results
from hpo.storage.schema import check_schema, create_schema
from hpo.storage.sharing import confirm

LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class StudyRow:
    """A study as `Storage.overview` finds it; `attributes` are its user attributes."""

    study_id: int
    name: str
    attributes: dict[str, Any]
    counts: dict[TrialState, int]
    best_value: float | None


class Storage:
    """An open database and its artifact folder.

    Args:
        url: `sqlite:///FILE`, `postgresql+psycopg://...`, or `@FILE` for the URL in a file; by default
            `HPO_STORAGE`, then `sqlite:///hpo.db`.
        artifact_dir: a folder or `s3://BUCKET/PREFIX`; by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`.
        create: create the database if it is not there.

    Raises:
        StorageError: the database cannot be opened, is not there, or is no Optuna database of this version.
    """

    def __init__(
        self, url: str | None = None, *, artifact_dir: Path | str | None = None, create: bool = False
    ) -> None:
        given = url or os.environ.get("HPO_STORAGE") or ""
        url, self.place = located(url)
        # For child processes: a URL that came from a file is theirs to read.
        self.given = f"@{Path(given[1:]).expanduser().resolve()}" if given.startswith("@") else url
        self.artifacts = ArtifactFolder(place_at(artifact_dir), lambda: self.identity)
        with explained(self.place):
            self.url = checked(url, place=self.place, create=create)
            if create:
                create_schema(self.url)
            self.engine = make_engine(self.url)
            tell_damage(self.engine, place=self.place)
            # Readers need not wait for those who write.
            self.reading = to_read(self.engine)
            check_schema(self.engine, place=self.place, create=create)

    @property
    def is_file(self) -> bool:
        """Whether the database is a file of this machine, an SQLite one."""
        return self.engine.dialect.name == "sqlite"

    @cached_property
    def rdb(self) -> RDBStorage:
        """Optuna's storage on this engine; opened at first use, since that takes a fifth of a second."""
        with explained(self.place):
            return optuna_storage(self.url, self.engine)

    @cached_property
    def optuna(self) -> TrialCache:
        """The storage to hand to Optuna: finished trials are read once."""
        return TrialCache(self.rdb)

    @cached_property
    def identity(self) -> str:
        """What tells this database from all others; that of an earlier version gets it when asked for it."""
        with self.reading.connect() as connection:
            found = find_identity(connection)
        if found is None:
            with self.engine.begin() as connection:
                found = give_identity(connection)
        return found

    def opened_as(
        self, kind: type[BulkReadingStorage], *, reading: bool, cache: type[TrialCache] = TrialCache
    ) -> BaseStorage:
        """The same storage by Optuna's of this kind; only to read, it never makes writers wait."""
        with explained(self.place):
            engine = self.reading if reading else self.engine
            return cache(optuna_storage(self.url, engine, kind))

    # Leases

    def acquire(self, key: str, *, owner: str, seconds: float) -> Lease | None:
        """Take the lease of `key` if nobody holds it or it has expired."""
        return acquire(self.engine, key, owner=owner, seconds=seconds)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold `key` alone; waits for whoever has it, for as long as their lease lasts.

        Who is suspended inside for longer is no longer alone: what Optuna would then write is refused.

        Raises:
            StorageError: another process has the key by now.
        """
        while (lease := self.acquire(key, owner="lock", seconds=LOCK_SECONDS)) is None:
            time.sleep(0.05)
        try:
            with fenced(lease):
                yield
        except LeaseLostError as error:
            if error.args != (key,):
                raise
            rule = f"the lock {key!r} was held for more than {LOCK_SECONDS:g} s, and is another process's now"
            raise StorageError(self.place, rule, remedy="Try again.") from None
        finally:
            lease.release()

    # Trials

    def add_trials(
        self,
        study_id: int,
        trials: Sequence[FrozenTrial],
        *,
        after: int,
        given: Mapping[str, Any] | None = None,
    ) -> bool:
        """Add all of these trials to a study that has `after` ones and the attributes `given`; else none."""
        with planned.in_turn(self.engine, study_id) as session:
            of_study = models.TrialModel.study_id == study_id
            there = session.scalar(sa.select(sa.func.count()).where(of_study))
            if there != after or not planned.has(session, study_id, given or {}):
                return False
            session.add_all(
                planned.row(study_id, number, trial) for number, trial in enumerate(trials, after)
            )
        return True

    def withdraw_trials(self, study_id: int, *, first: int, given: Mapping[str, Any]) -> int:
        """Remove a study's last trials, from number `first` on, on which nobody has begun; returns how many.

        None if the study no longer has these user attributes.
        """
        with planned.in_turn(self.engine, study_id) as session:
            is_so = planned.has(session, study_id, given)
            return planned.withdraw(session, study_id, first=first) if is_so else 0

    def set_study_attribute(self, study_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a study, in turn with those who add trials or withdraw them."""
        with planned.in_turn(self.engine, study_id) as session:
            planned.set_attribute(session, study_id, key, value)

    def grow(
        self,
        study_id: int,
        space: Mapping[str, BaseDistribution],
        constants: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> None:
        """Set user attributes of a study, and make its trials' parameters some of a space that has grown.

        `constants` are parameters that its trials had without saying. See `hpo.storage.growth`.
        """
        with planned.in_turn(self.engine, study_id) as session:
            grow(session, study_id, space, constants)
            for key, value in attributes.items():
                planned.set_attribute(session, study_id, key, value)
        self.optuna.forget(study_id)

    def unfinished(self, study_id: int) -> list[int]:
        """Ids of the trials that are left to hpo's workers, by number: that wait, or that one has begun."""
        waits, runs = (models.TrialModel.state == state for state in (TrialState.WAITING, TrialState.RUNNING))
        return self._trials(study_id, waits | (runs & leased()))

    def in_training(self, study_id: int) -> list[int]:
        """Ids of the trials that a worker holds, by number."""
        return self._trials(study_id, (models.TrialModel.state == TrialState.RUNNING) & held(self.engine))

    def lost(self, study_id: int) -> list[int]:
        """Ids of the trials whose worker's lease is over, by number: the next worker takes them up."""
        runs = models.TrialModel.state == TrialState.RUNNING
        return self._trials(study_id, runs & leased() & ~held(self.engine))

    def running_elsewhere(self, study_id: int) -> list[int]:
        """Ids of the trials that another program runs, which knows of no leases, by number."""
        return self._trials(study_id, (models.TrialModel.state == TrialState.RUNNING) & ~leased())

    def claim(
        self,
        studies: Sequence[int],
        *,
        owner: str,
        seconds: float,
        token: str | None = None,
        deferred: Collection[int] = (),
    ) -> Claim | None:
        """Take the first trial of these studies that waits, or whose worker has lost it, and make it RUNNING.

        Of a study, those that were lost come first, the waiting ones with `deferred` ids last.
        With the `token` of a claim whose reply was lost, the same trial is found.
        """
        token = token or new_token()
        return claim_first(self.engine, studies, owner=owner, seconds=seconds, token=token, deferred=deferred)

    def begun(self, studies: Sequence[int], *, since: datetime) -> list[BegunTrial]:
        """Of the first of these studies in which a trial waits, those that run, or have ended since then."""
        with self.reading.connect() as connection:
            return begun_trials(connection, studies, since=since)

    def waiting(self, study_id: int, *, after: int, limit: int) -> list[FrozenTrial]:
        """The next trials of a study that wait, after an id, at most `limit`, as configurations."""
        with self.reading.connect() as connection:
            return waiting_trials(connection, study_id, after=after, limit=limit)

    def configurations(self, trial_ids: Collection[int]) -> list[FrozenTrial]:
        """These trials, by id, with their parameters and user attributes and nothing else."""
        with self.reading.connect() as connection:
            return configurations(connection, trial_ids)

    def expire_leases(self, owner: str) -> None:
        """Let the leases of a worker that is known to have ended be over at once."""
        with self.engine.begin() as connection:
            connection.execute(leases.update().where(leases.c.owner == owner).values(expires=0.0))

    def _trials(self, study_id: int, condition: sa.ColumnElement[bool]) -> list[int]:
        trial = models.TrialModel
        found = sa.select(trial.trial_id).where(trial.study_id == study_id, condition)
        with self.reading.connect() as connection:
            return list(connection.execute(found.order_by(trial.number)).scalars())

    # Artifacts and studies

    def room_for_workers(self) -> int | None:
        """How many workers more the database has connections for; None if that is not limited."""
        with explained(self.place):
            return room_for_workers(self.reading)

    def confirm_artifacts(self) -> None:
        """Check, before anything is trained, that artifacts will be where all workers look for them.

        Raises:
            StorageError: their place cannot be used, or workers on other machines have another one.
        """
        with explained(f"artifact folder {self.artifacts.place}"):
            confirm(self.engine, self.artifacts.place)

    def create_study(self, name: str, *, directions: Sequence[Literal["minimize", "maximize"]]) -> Study:
        """A study of that name, or the one that is there, without Optuna's lines about it."""
        with quiet():
            return optuna.create_study(
                study_name=name, storage=self.optuna, directions=directions, load_if_exists=True
            )

    def studies_with(self, attribute: str, *, without: str) -> list[int]:
        """Ids of the studies that have one user attribute and lack another, or have it as null."""
        with self.reading.connect() as connection:
            return attributes.studies_with(connection, attribute, without=without)

    def best_value(self, study_id: int, *, direction: str) -> float | None:
        """The best value of the study's complete trials, of its first objective; None if it has none."""
        with self.reading.connect() as connection:
            ends = connection.execute(_extremes().where(models.TrialModel.study_id == study_id)).first()
        return None if ends is None else ends[2 if direction == "maximize" else 1]

    def study_attribute(self, study_id: int, key: str) -> Any:
        """One user attribute of a study; None if it has none."""
        with self.reading.connect() as connection:
            return attributes.study_attribute(connection, study_id, key)

    def study_attributes(self, study_id: int) -> dict[str, Any] | None:
        """The user attributes of a study; None if there is no such study."""
        with self.reading.connect() as connection:
            return attributes.study_attributes(connection, study_id)

    def overview(self) -> list[StudyRow]:
        """Every study with its attributes, trial counts and best value, by id, in four queries.

        The best value is that of the first objective.
        """
        study, trial = models.StudyModel, models.TrialModel
        attribute, direction = models.StudyUserAttributeModel, models.StudyDirectionModel
        tallies = sa.select(trial.study_id, trial.state, sa.func.count()).group_by(
            trial.study_id, trial.state
        )
        with explained(self.place), self.reading.connect() as connection:
            studies = connection.execute(
                sa.select(study.study_id, study.study_name, direction.direction)
                .join(direction, (direction.study_id == study.study_id) & (direction.objective == 0))
                .order_by(study.study_id)
            ).all()
            attributes: dict[int, dict[str, Any]] = {}
            for key, name, text in connection.execute(
                sa.select(attribute.study_id, attribute.key, attribute.value_json)
            ):
                attributes.setdefault(key, {})[name] = json.loads(text)
            counts: dict[int, dict[TrialState, int]] = {}
            for key, state, count in connection.execute(tallies):
                counts.setdefault(key, {})[state] = count
            ends = {key: (low, high) for key, low, high in connection.execute(_extremes())}
        return [
            StudyRow(
                study_id=key,
                name=name,
                attributes=attributes.get(key, {}),
                counts=counts.get(key, {}),
                best_value=ends.get(key, (None, None))[towards == StudyDirection.MAXIMIZE],
            )
            for key, name, towards in studies
        ]

    def results(
        self, study_ids: Collection[int], attributes: tuple[str, ...]
    ) -> dict[int, list[TrialResult]]:
        """The trials of these studies that have begun, with these user attributes, in one query."""
        with explained(self.place), self.reading.connect() as connection:
            return results(connection, study_ids, attributes)

    def holders(self) -> dict[int, list[str]]:
        """The workers that hold trials just now, by study."""
        with explained(self.place), self.reading.connect() as connection:
            return holders(connection)

    def delete_study(self, study_id: int) -> None:
        """Remove a study with its trials, leases and artifacts."""
        trials = self.rdb.get_all_trials(study_id, deepcopy=False)
        attributes = [self.rdb.get_study_system_attrs(study_id), *(trial.system_attrs for trial in trials)]
        self.optuna.delete_study(study_id)
        # Last: what is gone cannot be claimed again.
        keys = [trial_key(trial_id(trial)) for trial in trials]
        with self.engine.begin() as connection:
            connection.execute(leases.delete().where(leases.c.key.in_(keys)))
        for own in attributes:
            for name in (*artifacts_of(own), own.get(CHECKPOINT_ATTRIBUTE)):
                if name is not None:
                    with explained(f"artifact folder {self.artifacts.place}"):
                        self.artifacts.remove(name)

    def artifact(self, trial: FrozenTrial, filename: str) -> str | None:
        """The id of a trial's artifact of that name, if it has one; `artifacts.read` has its content."""
        for artifact_id, name in artifacts_of(trial.system_attrs).items():
            if name == filename:
                return artifact_id
        return None


def _extremes() -> sa.Select[Any]:
    """Study, lowest and highest value of its complete trials, but for those that train another one again.

    Infinities, stored apart, count.
    """
    trial, value, attribute = models.TrialModel, models.TrialValueModel, models.TrialUserAttributeModel
    confirms = sa.exists().where(attribute.trial_id == trial.trial_id, attribute.key == CONFIRMS_ATTRIBUTE)
    kinds = models.TrialValueModel.TrialValueType
    number = sa.case(
        (value.value_type == kinds.INF_POS, sa.literal(math.inf, sa.Double)),
        (value.value_type == kinds.INF_NEG, sa.literal(-math.inf, sa.Double)),
        else_=value.value,
    )
    return (
        sa.select(trial.study_id, sa.func.min(number), sa.func.max(number))
        .join(value, (value.trial_id == trial.trial_id) & (value.objective == 0))
        .where(trial.state == TrialState.COMPLETE, feasible(), ~confirms)
        .group_by(trial.study_id)
    )
