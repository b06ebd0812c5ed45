"""Studies put into a storage, extended and found there."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.trial import TrialState

from hpo.data import Dataset, check_class_weight, check_splits, flat, splits_of
from hpo.errors import DataError
from hpo.registry.code import CODE_ATTRIBUTE, check_same, texts_of
from hpo.registry.earlier import sentence, taken_over
from hpo.registry.refusal import refusal
from hpo.registry.stored import (
    ATTRIBUTES,
    CREATED_ATTRIBUTE,
    DIGEST_ATTRIBUTE,
    SPEC_ATTRIBUTE,
    STARTED_FROM_ATTRIBUTE,
    STOPPED_ATTRIBUTE,
    TEST_DIGEST_ATTRIBUTE,
    VERSIONS_ATTRIBUTE,
    StoredStudy,
    is_ours,
    place_of,
    summarise,
)
from hpo.registry.summary import StudySummary
from hpo.search import distributions, encode
from hpo.spec import FinalSpec, SearchSpec, StudySpec, changes, parse, to_json, to_table
from hpo.spec.base import RuleError, Shown, key_path
from hpo.spec.growth import constants, growth
from hpo.storage import Storage, set_system_attribute
from hpo.tables.numbers import counted
from hpo.versions import versions

logger = logging.getLogger(__name__)

# Hyperparameters that say how the columns of a table are prepared.
OF_COLUMNS = ("one_hot_levels", "embedding_width", "min_level_count")
# What a study may have when it is half registered, beside what all have.
FURTHER = (TEST_DIGEST_ATTRIBUTE, CODE_ATTRIBUTE, VERSIONS_ATTRIBUTE, STARTED_FROM_ATTRIBUTE)


def check_data(spec: StudySpec, dataset: Dataset) -> None:
    """Raises DataError if a study cannot be made of these data; of samples that are not read none is bad."""
    check_splits(dataset, spec.data)
    _check_objective(spec, dataset)
    if isinstance(spec, FinalSpec):  # which says everything, and declares nothing
        return
    if (dataset.is_nested or not dataset.task.has_one_output) and not spec.vocabulary.table.takes_several:
        what = f"{len(flat(dataset.x))} inputs" if dataset.is_nested else f"{dataset.classes} outputs"
        rule = f"must be a function of your own for data of {what}"
        remedy = 'Write model = { file = "my_model.py", function = "build" }.'
        raise DataError("model", rule, got=str(spec.model), remedy=remedy)
    for asked in spec.values_of("class_weight"):
        if asked not in (None, "none", {}):
            check_class_weight(dataset, asked)
    for name in ("scaling", *OF_COLUMNS):
        # Bytes are scaled to 0..1 already.
        is_row = (
            not dataset.is_nested and len(dataset.sample_shape) == 1 and not dataset.dtype.startswith("int")
        )
        is_scaled = name == "scaling" and is_row and dataset.scale == 1.0
        if not dataset.columns and not is_scaled and spec.sets(name):
            raise DataError(name, f"has no effect on {dataset.name}, which is no table")
    if dataset.is_nested or 0 in dataset.sample_shape:
        return
    for table in spec.tables():
        try:
            table.check_samples(dataset.sample_shape)
        except RuleError as broken:
            place, got = f"{dataset.name}: {key_path(broken.path)}", Shown(broken.got)
            raise DataError(place, broken.rule, got=got, remedy=broken.remedy) from None


def _check_objective(spec: StudySpec, dataset: Dataset) -> None:
    """Raises DataError if a part that validates does not define the metric that trials are judged by."""
    task, y, weight = dataset.task, dataset.y, dataset.weight
    if not task.has_one_output:
        return
    undefined = task.undefined(y[:0], dataset.classes)
    metric = next((o.metric for o in spec.judged_by if o.metric in undefined), None)
    if metric is None:  # what any part defines: to split takes a while
        return
    splits = splits_of(dataset, spec.data)
    for number, (_, rows) in enumerate(splits, 1):
        found = task.undefined(y[rows], dataset.classes, None if weight is None else weight[rows])
        if metric in found:
            part = "the validation part" + (f" of fold {number} of {len(splits)}" if len(splits) > 1 else "")
            remedy = f"Split the data otherwise, or judge by {' or '.join(task.checked)}."
            rule = f"{metric} needs {found[metric]}, which {part} lacks"
            raise DataError("objective.metric", rule, remedy=remedy)


def settled(spec: StudySpec, dataset: Dataset) -> StudySpec:
    """The specification with what follows from the task of its data, unless it is one of several classes.

    Raises:
        SpecError: it asks for metrics that the task has not.
    """
    told = parse(to_table(spec) | {"task": dataset.task_name}, source=place_of(spec.name))
    return spec if spec.task is None and dataset.task_name == "multi-class" else told


def register(spec: StudySpec, dataset: Dataset, storage: Storage, *, test_digest: str | None) -> optuna.Study:
    """Store a specification with its data's digests, or extend the study of its name; plans nothing.

    `test_digest` is that of the data's test part, None if it has none.

    Raises:
        CodeError: the study that is there was made with other code.
        DataError: the study that is there began with other data.
        ModelError: a file of a person's own is not there, or has changed since the specification was made.
        StudyError: the name is taken by a study with another specification.
    """
    texts = texts_of(spec)
    with storage.lock(f"create:{spec.name}"):
        # First: without it there is no study.
        earlier = None
        if isinstance(spec, SearchSpec) and spec.start_from is not None and not _is_there(spec, storage):
            earlier = taken_over(spec, storage)
        found = storage.create_study(spec.name, directions=[o.direction for o in spec.judged_by])
        if _is_half_registered(found, spec):
            _register(found, spec, dataset.digest, test_digest, texts, earlier)
        else:
            _extend(StoredStudy(storage, found), spec, dataset, test_digest, texts)
    return found


def exists(name: str, storage: Storage) -> bool:
    """Whether there is a study of that name."""
    return any(row.name == name for row in storage.overview())


def scaling_of(spec: StudySpec) -> str | None:
    """How all trials of a study scale their numbers; None if it says nothing of that, or varies it."""
    scaling = spec.params.get("scaling")
    return None if scaling is None else str(scaling)


def summaries(storage: Storage) -> list[StudySummary]:
    """The studies that hpo created, oldest first; one that cannot be read says so."""
    return [summarise(row, storage) for row in storage.overview() if is_ours(row.attributes)]


def served_studies(storage: Storage) -> list[int]:
    """Ids of the studies that workers may train: those of hpo, without those that are stopped."""
    return storage.studies_with(SPEC_ATTRIBUTE, without=STOPPED_ATTRIBUTE)


def _is_there(spec: StudySpec, storage: Storage) -> bool:
    return any(row.name == spec.name and is_ours(row.attributes) for row in storage.overview())


def _is_half_registered(study: optuna.Study, spec: StudySpec) -> bool:
    """Whether it is what `create_study` leaves if it is killed: a new study, or one that looks like it."""
    directions = [direction.name.lower() for direction in study.directions]
    return (
        not is_ours(study.user_attrs)
        and study.user_attrs.keys() <= {*ATTRIBUTES, *FURTHER}
        and directions == [o.direction for o in spec.judged_by]
        and not study.get_trials(deepcopy=False)
    )


def _register(
    study: optuna.Study,
    spec: StudySpec,
    digest: str,
    test_digest: str | None,
    texts: dict[str, str],
    earlier: dict[str, Any] | None,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([o.metric for o in spec.judged_by])
    study.set_user_attr(CREATED_ATTRIBUTE, datetime.now(UTC).isoformat(timespec="seconds"))
    study.set_user_attr(VERSIONS_ATTRIBUTE, versions())
    study.set_user_attr(DIGEST_ATTRIBUTE, digest)
    study.set_user_attr(TEST_DIGEST_ATTRIBUTE, test_digest)
    if texts:
        study.set_user_attr(CODE_ATTRIBUTE, texts)
    if earlier is not None:
        # Of the programs alone, since it may be long.
        set_system_attribute(study, STARTED_FROM_ATTRIBUTE, earlier.pop("rows"))
        other = earlier.pop("digest")
        study.set_user_attr(STARTED_FROM_ATTRIBUTE, earlier)
        assert isinstance(spec, SearchSpec)
        logger.warning("%s: %s", spec.name, sentence(spec, earlier, same_data=other == digest))
    # Last: what has a specification is whole.
    study.set_user_attr(SPEC_ATTRIBUTE, to_json(spec))


def _extend(
    study: StoredStudy, spec: StudySpec, dataset: Dataset, test_digest: str | None, texts: dict[str, str]
) -> None:
    """Store a specification by which the trials that have begun stay what the study asks for."""
    same_data = dataset.digest == study.data_digest
    check_same(place_of(study.name), study.spec, spec, study.kept_code, same_data=same_data)
    found = changes(study.spec, spec)
    # The same data may come from another place.
    moved = {"data.name", "data.file", "data.function", "data.digest", "data.beside"} if same_data else set()
    # And the same code, as often as its file is moved.
    moved |= {"model.file"} if spec.model == study.spec.model else set()
    refused = [change for change in found if not change.extends and change.key not in moved]
    if refused:
        raise refusal(study.spec, spec, refused)
    study.check_data(dataset)
    study.check_test(test_digest)
    study.record_test(test_digest)
    if isinstance(spec, SearchSpec) and isinstance(study.spec, SearchSpec):
        _tell_sampler(spec, study.spec)
    if texts != study.kept_code:
        study.storage.set_study_attribute(study.id, CODE_ATTRIBUTE, texts)
    # A file that has moved is no change, and where it is now is where workers look.
    if isinstance(spec, SearchSpec) and isinstance(study.spec, SearchSpec) and spec.space != study.spec.space:
        words = growth(study.spec, spec)
        fixed = {name: encode(value) for name, value in constants(study.spec, spec).items()}
        stored: dict[str, Any] = {SPEC_ATTRIBUTE: to_json(spec)}
        if (earlier := study.started_from) and earlier["best"] is not None:
            of_space = {name: value for name, value in fixed.items() if name in spec.space}
            stored[STARTED_FROM_ATTRIBUTE] = {**earlier, "best": {**of_space, **earlier["best"]}}
        study.storage.grow(study.id, distributions(spec), fixed, stored)
        if words:
            logger.warning("%s: %s", study.name, _told(spec, words, study))
        return
    if found or _files(spec) != _files(study.spec):
        study.storage.set_study_attribute(study.id, SPEC_ATTRIBUTE, to_json(spec))


def _tell_sampler(spec: SearchSpec, before: SearchSpec) -> None:
    """Say that another strategy goes on, if one does."""
    if spec.strategy != before.strategy:
        rule = "%s: sampler was %s and is %s, which learns from all earlier trials"
        logger.warning(rule, spec.name, before.strategy, spec.strategy)


def _told(spec: SearchSpec, words: Sequence[str], study: StoredStudy) -> str:
    """What has grown, and what becomes of the trials that there are."""
    begun = sum(trial.state != TrialState.WAITING for trial in study.frozen_trials)
    earlier = counted(begun, "earlier trial")
    learns = "and the sampler learns from all of them"
    then = learns if spec.is_adaptive else "and the configurations that are new follow"
    stay = "" if not begun else f"; {earlier} {'stay' if begun > 1 else 'stays'}, {then}"
    return f"space has grown: {', '.join(words)}{stay}"


def _files(spec: StudySpec) -> list[tuple[str, str | None, str | None]]:
    return [(code.file, code.digest, code.beside) for code in spec.own_code.values()]
