"""Studies from Python: create, open, list."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.data import digest_of_test, doubts_about, load_test
from hpo.errors import SpecError
from hpo.files import expanded
from hpo.registry import checked_data, exists, find, register, scaling_of, settled, summaries
from hpo.spec import StudySpec, load, parse
from hpo.spec.base import Shown
from hpo.spec.kinds import WRITTEN
from hpo.storage import Storage
from hpo.studies.lists import StudyList
from hpo.studies.study import Study

logger = logging.getLogger(__name__)


def create_study(
    spec: StudySpec | Mapping[str, Any] | str | os.PathLike[str],
    *,
    storage: Storage | str | None = None,
    artifact_dir: str | Path | None = None,
) -> Study:
    """Register a study and plan its trials, or open the one that is there.

    A specification that only adds to the one stored (more trials, seeds or arms, or what tables show)
    extends the study.

    Args:
        spec: the path of a study file, a dict of what such a file says, or a specification.
        storage: a database URL; by default `HPO_STORAGE`, then `sqlite:///hpo.db`.
        artifact_dir: by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`.

    Raises:
        SpecError: the file or the dict breaks a rule.
        DataError: the data cannot be had, or cannot be split as declared.
        StorageError: the database cannot be opened.
        StudyError: the name is taken by a study with another specification.
    """
    spec = _spec_of(spec)
    # First: a study that cannot be trained creates no database.
    dataset = checked_data(spec)
    # A table is read for its test part, which is looked at below; of arrays there may be much more.
    test = load_test(spec.data, task=spec.task) if dataset.columns and spec.data.test is not None else None
    test_digest = digest_of_test(spec.data, task=spec.task) if test is None else test.digest
    if dataset.said and spec.task is None:
        logger.warning("%s: %s", spec.data.name, dataset.said)
    spec = settled(spec, dataset)
    opened = (
        storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir, create=True)
    )
    is_new = not exists(spec.name, opened)
    study = Study(opened, register(spec, dataset, opened, test_digest=test_digest))
    study.go_on()
    study.plan()
    if is_new:
        for line in doubts_about(dataset, spec.data, test=test, scaling=scaling_of(spec)):
            logger.warning("%s: %s", spec.data.name, line)
    return study


def _spec_of(given: object) -> StudySpec:
    if isinstance(given, StudySpec):
        return given
    if isinstance(given, str | os.PathLike):
        return load(expanded(os.fspath(given)))
    if isinstance(given, Mapping):
        return parse(given, kinds=WRITTEN)
    rule = "must be the path of a study file, a dict of what such a file says, or an hpo.StudySpec"
    raise SpecError("create_study: spec", rule, got=Shown(given))


def open_study(
    name: str, *, storage: Storage | str | None = None, artifact_dir: str | Path | None = None
) -> Study:
    """The study of that name.

    Raises:
        StorageError: the database cannot be opened.
        StudyError: there is no study of that name.
    """
    opened = storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir)
    return Study(opened, find(name, opened))


def list_studies(
    *, storage: Storage | str | None = None, artifact_dir: str | Path | None = None
) -> StudyList:
    """What studies there are, oldest first; studies that hpo did not create are left out.

    Raises:
        StorageError: the database cannot be opened.
    """
    opened = storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir)
    return StudyList(summaries(opened))
