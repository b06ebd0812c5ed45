"""The examination of a storage, and the repair of what dead processes and other programs left in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hpo.doctor.artifacts import file_faults
from hpo.doctor.findings import OWNER, Examination, Finding, trial_place
from hpo.doctor.schema import damage, schema_faults
from hpo.registry import SPEC_ATTRIBUTE
from hpo.storage import ArtifactFolder, place_at
from hpo.storage.engine import checked, explained, located, make_engine
from hpo.storage.identity import give_identity
from hpo.storage.inspection import (
    LostTrial,
    delete_lease,
    delete_parentless,
    lost_trials,
    parentless,
    put_back,
    useless_leases,
)

# What a worker of ours writes on a trial when it begins; what a plan of ours writes when it adds one.
TRAINED_BY_US = frozenset({"worker", "retries"})
PLANNED_BY_US = frozenset({"arm", "index"})
# So long no program trains one trial, or nearly none: then what we have planned may be had back.
LONGEST_TRIAL = timedelta(days=1)


def examine(
    url: str | None = None, *, artifact_dir: Path | str | None = None, repair: bool = False
) -> list[Finding]:
    """Every fault of a storage; with `repair`, what can be mended is.

    Workers may train meanwhile: what one of them holds is left to it. Without `repair` nothing is changed.
    Where the file or the schema is at fault, and stays so, nothing else can be examined.

    Args:
        url: as in `Storage`.
        artifact_dir: as in `Storage`.
        repair: mend what can be mended.

    Raises:
        StorageError: the database cannot be opened, is not there, or is another program's.
    """
    url, place = located(url)
    with explained(place):
        url = checked(url, place=place, create=False)
        engine = make_engine(url)

        def identity() -> str:
            with engine.begin() as connection:
                return give_identity(connection)

        folder = ArtifactFolder(place_at(artifact_dir), identity)
        try:
            return list(_faults(Examination(url, place, engine, folder, repair)))
        finally:
            engine.dispose()


def _faults(at: Examination) -> Iterator[Finding]:
    for check in (damage, schema_faults):
        found = list(check(at))
        yield from found
        if not all(finding.repaired for finding in found):
            return
    for check in (_rows_without_parent, _lost_trials, _leases_of_no_use, file_faults):
        yield from check(at)


def _lost_trials(at: Examination) -> Iterator[Finding]:
    """Trials of hpo's studies that run, and that no worker holds."""
    for trial in lost_trials(at.reading, attribute=SPEC_ATTRIBUTE):
        place = trial_place(trial.number, trial.study)
        if not trial.leased and not _is_ours(trial):
            fault = "is running without a lease, so another program may be training it: hpo leaves it alone"
            remedy = f"once none does, end it: optuna tell --study-name {trial.study}"
            remedy += f" --trial-number {trial.number} --state fail"
            yield Finding(place, fault, remedy)
            continue
        fault = f"is running, and its worker {trial.owner or ''}".rstrip() + " is gone"
        action = partial(put_back, at.engine, trial.trial_id, owner=OWNER)
        yield from at.found(place, fault, cure="put it back into the queue", action=action)


def _is_ours(trial: LostTrial) -> bool:
    """Whether a trial without a lease is a worker's of ours, as when the table of leases was lost."""
    if TRAINED_BY_US & trial.attributes.keys():
        return True
    old = trial.begun is not None and datetime.now(UTC) - trial.begun > LONGEST_TRIAL
    return old and bool(PLANNED_BY_US & trial.attributes.keys())


def _leases_of_no_use(at: Examination) -> Iterator[Finding]:
    """Leases of trials that are gone or have finished."""
    for key, token, is_gone in useless_leases(at.reading):
        fault = "its trial is gone" if is_gone else "its trial has finished"
        action = partial(delete_lease, at.engine, key, token)
        yield from at.found(f"lease {key}", fault, cure="delete it", action=action)


def _rows_without_parent(at: Examination) -> Iterator[Finding]:
    """Rows of an SQLite file that another program has left without their trial or study."""
    if not at.is_sqlite:
        return
    with at.reading.connect() as connection:
        found = parentless(connection)
    if found:
        tables = ", ".join(sorted({table for table, _ in found}))
        fault = f"rows whose trial or study is gone: {len(found)}"
        action = partial(_delete_parentless, at)
        yield from at.found(f"tables {tables}", fault, cure="delete them", action=action)


def _delete_parentless(at: Examination) -> bool:
    delete_parentless(at.engine)
    return True
