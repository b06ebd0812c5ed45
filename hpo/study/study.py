"""One study: its specification, its trials, what runs and reads it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from hpo.compare import Comparison, compare
from hpo.data import Dataset, load_test, load_train
from hpo.errors import DataError, StudyError
from hpo.files import check_new_file
from hpo.launch import run_workers
from hpo.planning import make_pruner, make_sampler, plan
from hpo.spec import FinalSpec, from_json
from hpo.storage import Storage, StudyRow
from hpo.tensorflow_setup import prepare_tensorflow
from hpo.trial import STATES, Trial

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SPEC_ATTRIBUTE = "spec"
DIGEST_ATTRIBUTE = "data_digest"
CREATED_ATTRIBUTE = "created"
STOPPED_ATTRIBUTE = "stopped"
ATTRIBUTES = frozenset({SPEC_ATTRIBUTE, DIGEST_ATTRIBUTE, CREATED_ATTRIBUTE})
CURVES_FILE = "curves.csv"
PREDICTIONS_FILE = "test-predictions.npz"


@dataclass(frozen=True)
class StudySummary:
    """One line about a study. `counts` has an entry for every state of a trial."""

    name: str
    kind: str
    metric: str
    direction: str
    planned: int
    counts: dict[str, int]
    best_value: float | None
    created: datetime


class Study:
    """A study in its storage. Get one from `create_study` or `open_study`."""

    def __init__(self, storage: Storage, optuna_study: optuna.Study) -> None:
        self.storage, self.optuna = storage, optuna_study
        if not is_ours(optuna_study.user_attrs):
            raise StudyError(place_of(optuna_study.study_name), "must have been created by hpo, and was not")
        self.refresh()

    def refresh(self) -> None:
        """Read the specification again: somebody may have extended the study.

        Raises:
            StudyError: somebody has deleted it.
        """
        try:
            attributes = self.optuna.user_attrs
        except KeyError:
            raise _deleted(self.optuna.study_name) from None
        self.spec = from_json(attributes[SPEC_ATTRIBUTE])
        self.data_digest: str = attributes[DIGEST_ATTRIBUTE]

    @property
    def name(self) -> str:
        """The study's name, unique in its storage."""
        return self.spec.name

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called after the study was last created, run or resumed."""
        return self.storage.study_attribute(self.id, STOPPED_ATTRIBUTE) is not None

    @property
    def id(self) -> int:
        """Optuna's key of the study in its storage."""
        return self.optuna._study_id

    @property
    def frozen_trials(self) -> list[FrozenTrial]:
        """Every trial, by number, as Optuna has it. Not to be changed.

        Raises:
            StudyError: the study has been deleted.
        """
        try:
            return self.optuna.get_trials(deepcopy=False)
        except KeyError:
            raise _deleted(self.name) from None

    @property
    def all_trials(self) -> list[Trial]:
        """Every trial, by number."""
        return [Trial.of(self.spec, frozen) for frozen in self.frozen_trials]

    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by number; params, metrics and hyperparameters in columns of their own."""
        import pandas as pd

        rows = [trial.to_json() for trial in self.all_trials]
        table = (
            pd.json_normalize(rows, sep=".") if rows else pd.DataFrame(columns=["number", "state", "value"])
        )
        return table.drop(columns=["replicates", "curve"], errors="ignore").set_index("number")

    @property
    def best(self) -> Trial:
        """The complete trial with the best value.

        Raises:
            StudyError: no trial is complete.
        """
        complete = [trial for trial in self.all_trials if trial.value is not None]
        if not complete:
            raise StudyError(
                place_of(self.name), "has no complete trial yet", remedy=f"Run: hpo resume {self.name}."
            )
        better = max if self.spec.objective.direction == "maximize" else min
        return better(complete, key=lambda trial: trial.value or 0.0)

    @property
    def summary(self) -> StudySummary:
        """How far the study is."""
        for row in self.storage.overview():
            if row.study_id == self.id:
                return summarise(row)
        raise _deleted(self.name)

    def curves(self, number: int) -> pd.DataFrame:
        """The learning curves of a trial: seed, fold, epoch and its metrics, a row an epoch and replicate.

        Raises:
            StudyError: there is no such trial, or it has not finished.
        """
        import pandas as pd

        path = self._artifact(number, CURVES_FILE)
        if path is None:
            raise StudyError(place_of(self.name), f"there are no learning curves of trial {number}")
        return pd.read_csv(path)

    def predictions(self, number: int) -> np.ndarray[Any, Any]:
        """What a trial of a final evaluation predicts for the test set: (samples, classes), float32.

        Raises:
            StudyError: there is no such trial, or it has no predictions.
        """
        import numpy as np

        path = self._artifact(number, PREDICTIONS_FILE)
        if path is None:
            raise StudyError(place_of(self.name), f"there are no predictions of trial {number}")
        with np.load(path, allow_pickle=False) as archive:
            found: np.ndarray[Any, Any] = archive["probabilities"]
        return found

    def compare(self) -> Comparison:
        """What every arm, or every configuration, has reached, and the verdicts on a comparison's arms."""
        return compare_studies([self])

    def _artifact(self, number: int, filename: str) -> Path | None:
        frozen = next((t for t in self.frozen_trials if t.number == number), None)
        path = self.storage.artifact(frozen, filename) if frozen is not None else None
        return path if path is not None and path.exists() else None

    def plan(self) -> int:
        """Add the trials that the study still lacks; returns how many it has to train in all."""
        self.refresh()
        held = self.frozen_trials
        while missing := plan(self.spec, held):
            if self.storage.add_trials(self.id, missing, after=len(held)):
                break
            # Somebody else has added some at the same time.
            held = self.storage.rdb.get_all_trials(self.id, deepcopy=False)
        return len(self.storage.unfinished(self.id))

    def stop(self) -> None:
        """Let the study's workers, wherever they are, end after their epoch and put their trials back.

        Nobody trains the study until it is created, run or resumed again.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.optuna.set_user_attr(STOPPED_ATTRIBUTE, now)

    def go_on(self) -> None:
        """Let workers train the study again after a `stop`."""
        if self.is_stopped:
            self.optuna.set_user_attr(STOPPED_ATTRIBUTE, None)

    def load_data(self) -> Dataset:
        """The training part of the study's data set.

        Raises:
            DataError: it cannot be had, or is not the data that the study began with.
        """
        dataset = load_train(self.spec.data.name)
        if dataset.digest != self.data_digest:
            rule = "must be the data that the study began with, and has changed since"
            raise DataError(f"data {self.spec.data.name}", rule, remedy="Give the study a new name.")
        return dataset

    def load_test_data(self) -> Dataset | None:
        """The test part of the study's data set, for a final evaluation; None for any other study.

        Raises:
            DataError: there is none.
        """
        return load_test(self.spec.data.name) if isinstance(self.spec, FinalSpec) else None

    def run(
        self,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        max_worker_memory: float | None = None,
        checkpoint_seconds: float = 30.0,
        watch: Callable[[Sequence[FrozenTrial]], None] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> StudySummary:
        """Train what is left in child processes and wait until they end.

        Args:
            workers: how many; by default one for each core.
            timeout: seconds, after which the workers stop and their trials go back into the queue.
            max_worker_memory: MiB, beyond which a worker is replaced; by default its share of four fifths of
                the machine's memory.
            checkpoint_seconds: how often a trial's state is saved, to go on from if its worker dies.
            watch: called about twice a second with the study's trials.
            log: called with each line that a worker writes; by default it goes to standard error.

        Raises:
            WorkerError: workers died again and again, and trials are left.
        """

        def look() -> None:
            if watch is not None:
                watch(self.frozen_trials)

        self.go_on()
        self.plan()
        run_workers(
            self.storage,
            self.name,
            left=lambda: len(self.storage.unfinished(self.id)),
            workers=workers,
            timeout=timeout,
            max_worker_memory=max_worker_memory,
            checkpoint_seconds=checkpoint_seconds,
            look=look,
            log=log,
        )
        return self.summary

    def export(self, path: Path | str, *, trial: int | None = None, force: bool = False) -> Path:
        """Train a complete trial again and write its model, with its preprocessing, as a .keras file.

        Weights are not kept with trials. The same seed, data and number of threads give the same ones again,
        bit for bit on the same kind of machine; a warning says if the recorded metrics are not met.

        Args:
            path: the file, which ends in .keras.
            trial: its number; by default the best. Of several replicates the first one is exported.
            force: replace a file that is there.

        Raises:
            HpoError: the file cannot be written, or is there already.
            StudyError: there is no such trial, or it is not complete.
            DataError: the data cannot be had, or has changed.
        """
        chosen, path = self._exported(trial), Path(path)
        check_new_file(path, suffix=".keras", force=force)
        dataset = self.load_data()
        prepare_tensorflow(chosen.threads or 1)
        from hpo.export import export

        export(self.spec, chosen, dataset, path, force=force)
        return path

    def _exported(self, number: int | None) -> Trial:
        number = self.best.number if number is None else number
        place, chosen = f"{place_of(self.name)}: trial", {t.number: t for t in self.all_trials}.get(number)
        if chosen is None:
            remedy = f"See: hpo trials {self.name}."
            raise StudyError(place, "must be one of the study's", got=number, remedy=remedy)
        if chosen.state != "complete":
            rule = "must be complete, trained to its end, to be exported"
            raise StudyError(f"{place} {number}", rule, got=chosen.state)
        if not chosen.replicates:
            raise StudyError(f"{place} {number}", "must have been trained by hpo, and was not")
        return chosen

    def optuna_for(self, number: int) -> optuna.Study:
        """The Optuna study with the sampler and the pruner of trial `number`."""
        sampler, pruner = make_sampler(self.spec, number), make_pruner(self.spec)
        return optuna.study.Study(self.name, self.storage.optuna, sampler=sampler, pruner=pruner)

    def delete(self) -> None:
        """Remove the study with its trials and artifacts.

        Raises:
            StudyError: a worker is training it.
        """
        if busy := len(self.storage.in_training(self.id)):
            rule = f"cannot be deleted while workers train it (trials in training: {busy})"
            raise StudyError(place_of(self.name), rule, remedy="Stop them first.")
        self.storage.delete_study(self.id)


def compare_studies(studies: Sequence[Study]) -> Comparison:
    """The arms of studies in one ranking, judged against the baseline of the first.

    Raises:
        StudyError: their data or its split are not the same.
    """
    first = studies[0]
    for other in studies[1:]:
        if other.data_digest != first.data_digest:
            rule = f"cannot be compared with {place_of(first.name)}, whose data is {first.spec.data.name!r}"
            raise StudyError(f"{place_of(other.name)}: data", rule, got=other.spec.data.name)
    return compare(*((study.spec, study.all_trials) for study in studies))


def predictions_file(probabilities: np.ndarray[Any, Any]) -> bytes:
    """The content of an artifact from which `Study.predictions` reads."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, probabilities=probabilities.astype(np.float32))
    return buffer.getvalue()


def is_ours(attributes: Mapping[str, Any]) -> bool:
    """Whether user attributes are those of a study that hpo created."""
    return attributes.keys() >= ATTRIBUTES


def summarise(row: StudyRow) -> StudySummary:
    """The summary of a study that hpo created."""
    spec = from_json(row.attributes[SPEC_ATTRIBUTE])
    return StudySummary(
        name=spec.name,
        kind=spec.kind,
        metric=spec.objective.metric,
        direction=spec.objective.direction,
        planned=spec.planned,
        counts={name: row.counts.get(state, 0) for state, name in STATES.items()},
        best_value=row.best_value,
        created=datetime.fromisoformat(row.attributes[CREATED_ATTRIBUTE]),
    )


def _deleted(name: str) -> StudyError:
    return StudyError(place_of(name), "has been deleted")


def place_of(name: str) -> str:
    """A study, as error messages name it."""
    return f"study {name!r}"
