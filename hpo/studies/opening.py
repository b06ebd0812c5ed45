"""Studies from Python: create, open, list."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hpo.data import digest_of_test, doubts_about, load_parts
from hpo.errors import DataError, ModelError, SpecError, StudyError
from hpo.files import expanded
from hpo.own import model_of, refuse_inside
from hpo.registry import (
    SPEC_ATTRIBUTE,
    check_code,
    check_data,
    exists,
    find,
    has_same_code,
    place_of,
    register,
    scaling_of,
    settled,
    summaries,
)
from hpo.search import missing_starts
from hpo.spec import (
    FinalSpec,
    OwnModel,
    SearchSpec,
    StudySpec,
    as_written,
    from_json,
    load,
    parse,
    reread,
    to_table,
    with_data,
    with_model,
)
from hpo.spec.base import Shown
from hpo.spec.kinds import WRITTEN
from hpo.spec.strategies import check_installed
from hpo.storage import DATA, Place, Storage, place_at
from hpo.studies.given import PLACE, Kept, keep
from hpo.studies.lists import StudyList
from hpo.studies.names import numbered_names
from hpo.studies.study import Study
from hpo.studies.tried_models import tried
from hpo.tables.numbers import counted

logger = logging.getLogger(__name__)


def create_study(
    spec: StudySpec | Mapping[str, Any] | str | os.PathLike[str],
    *,
    storage: Storage | str | None = None,
    artifact_dir: str | Path | None = None,
    data: object = None,
    model: Callable[..., Any] | None = None,
    accept_code: bool = False,
) -> Study:
    """Register a study and plan its trials, or open the one that is there.

    A specification that only adds to the one stored (more trials, seeds or arms, or what tables show)
    extends the study.

    Args:
        spec: the path of a study file, a dict of what such a file says, or a specification.
        storage: a database URL; by default `HPO_STORAGE`, then `sqlite:///hpo.db`.
        artifact_dir: a folder or `s3://BUCKET/PREFIX`; by default `HPO_ARTIFACT_DIR`, then `hpo-artifacts`.
        data: in place of the specification's `data.name`, (x, y) of numpy arrays or of pandas or polars
            frames, or one frame with `data.target` in the specification. It is kept in the artifact folder,
            in `data/`, by its digest. A file or a dict may leave `data.name` out.
        model: in place of the specification's `model`, a function that builds a Keras model. If a Python file
            has it, workers run it from there; of a notebook's cell, a closure or a lambda this process alone
            trains the study.
        accept_code: a file of a person's own that has changed since the study was made is taken as it is now,
            in a new study: that of the next free name, NAME-2 and so on. The old one stays as it is.

    Raises:
        CodeError: a file of a person's own has changed since the study was made.
        ModelError: the function fails, or its model cannot be trained on the data.
        SpecError: the file or the dict breaks a rule.
        DataError: the data cannot be had, or cannot be split as declared.
        StorageError: the database cannot be opened.
        StudyError: the name is taken by a study with another specification.
    """
    refuse_inside("create a study")
    set_keys = {} if model is None else {"model": model_of(model)}
    if data is None:
        spec = _spec_of(spec, model=set_keys)
        return _created(spec, storage, artifact_dir, place=spec.data.name, accept_code=accept_code)
    place = storage.artifacts.place if isinstance(storage, Storage) else place_at(artifact_dir)
    with _kept(data, place) as kept:
        spec = _spec_of(spec, kept.keys, model=set_keys)
        return _created(spec, storage, artifact_dir, place=PLACE, accept_code=accept_code)


def _created(
    spec: StudySpec,
    storage: Storage | str | None,
    artifact_dir: str | Path | None,
    *,
    place: str,
    accept_code: bool,
) -> Study:
    """The study, registered and planned; `place` names its data to people."""
    # A final evaluation is of the code that its configurations were chosen with.
    accept_code = accept_code and bool(spec.own_code) and not isinstance(spec, FinalSpec)
    if accept_code:
        spec = reread(spec)
    check_code(place_of(spec.name), spec, {})
    _check_installed(spec)
    # First: a study that cannot be trained creates no database.
    dataset, test = load_parts(spec.data, task=spec.task)
    check_data(spec, dataset)
    test_digest = digest_of_test(spec.data, task=spec.task) if test is None else test.digest
    if dataset.said and spec.task is None:
        logger.warning("%s: %s", place, dataset.said)
    spec = settled(spec, dataset)
    spec = tried(spec, dataset, storage=storage)
    if getattr(spec, "start_from", None) is not None and not isinstance(storage, Storage):
        # What it starts from must be there: else a wrong name leaves an empty database.
        Storage(storage, artifact_dir=artifact_dir)
    opened = (
        storage if isinstance(storage, Storage) else Storage(storage, artifact_dir=artifact_dir, create=True)
    )
    if accept_code:
        spec = spec.model_copy(update={"name": _name_of_code(spec, opened)})
    is_new = not exists(spec.name, opened)
    study = Study(opened, register(spec, dataset, opened, test_digest=test_digest))
    study.go_on()
    study.plan()
    asked = study.asked
    if isinstance(asked, SearchSpec) and (untried := missing_starts(asked, study.frozen_trials)):
        what = counted(len(untried), "configuration")
        logger.warning("%s: no trial is left for %s of start_with. Raise trials.", spec.name, what)
    if is_new:
        for line in doubts_about(dataset, spec.data, test=test, scaling=scaling_of(spec)):
            logger.warning("%s: %s", place, line)
    return study


def _check_installed(spec: StudySpec) -> None:
    if isinstance(spec, SearchSpec):
        try:
            check_installed(spec.strategy)
        except SpecError as error:
            raise error.inside(place_of(spec.name)) from None


def _name_of_code(spec: StudySpec, storage: Storage) -> str:
    """The name of the study of this code: the first that no study has, or that one of the same code has."""
    there = {row.name: row.attributes.get(SPEC_ATTRIBUTE) for row in storage.overview()}
    for name in numbered_names(spec.name, there):
        if name not in there:
            break
        # One that cannot be read is another one.
        with suppress(SpecError):
            if has_same_code(spec, from_json(there[name])):
                break
    return name


@contextmanager
def _kept(data: object, place: Place) -> Iterator[Kept]:
    """A file of given data, which is gone again, if it is new, when no study comes of it."""
    kept = keep(data, place.path / DATA)
    shared = f"{DATA}/{kept.path.name}"
    try:
        place.share(kept.path, shared)
        yield kept
    except (DataError, ModelError, SpecError, StudyError) as error:
        # After any other error, of the database for one, a study may be there.
        if kept.is_new:
            kept.path.unlink(missing_ok=True)
            place.remove(shared)
        if isinstance(error, DataError):
            # People know it as what they gave, and not as a file.
            raise error.elsewhere(str(kept.path), PLACE) from None
        raise


def _spec_of(
    given: object, data: Mapping[str, Any] | None = None, *, model: Mapping[str, OwnModel]
) -> StudySpec:
    """The specification, with keys of its data table set, and the model if one is given."""
    if isinstance(given, StudySpec):
        if data is None and not model:
            return given
        if data is not None:  # it had to name something
            given = given.model_copy(update={"data": given.data.model_copy(update={"name": data["name"]})})
        return parse(with_data(with_model(to_table(given), model), data), kinds=WRITTEN)
    if isinstance(given, str | os.PathLike):
        return load(expanded(os.fspath(given)), data=data, model=model)
    if isinstance(given, Mapping):
        return parse(with_data(with_model(as_written(given), model), data), kinds=WRITTEN)
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
