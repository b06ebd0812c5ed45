"""One study: its specification, its trials, what runs and reads it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from hpo.analysis import Comparison, Confirmation, compare, confirmation, front_of, headline, rank, unmet
from hpo.data.archive import DAMAGE
from hpo.errors import StorageError, StudyError
from hpo.files import check_new_file, new_file
from hpo.own import refuse_inside
from hpo.registry import StoredStudy, StudySummary, place_of
from hpo.search import is_raced, race_of, room
from hpo.spec import SearchSpec
from hpo.studies.frame import trials_frame
from hpo.studies.kept import kept_model
from hpo.studies.lists import TrialList
from hpo.studies.tables import best_table, front_table, study_table
from hpo.tables import html
from hpo.training.device import prepare_tensorflow
from hpo.trials import (
    CHECKPOINT_SECONDS,
    CURVES_FILE,
    PREDICTIONS_FILE,
    VALIDATION_FILE,
    Trial,
    Validated,
    read_validation,
)
from hpo.workers import check_workers, of_this_process, run_here, run_workers
from hpo.workers.engines import EngineOptions, make_engine

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

logger = logging.getLogger(__name__)

SEE = "See: hpo trials {}."
LOOSEN = "Loosen them, or widen the space, in a study of a new name."


class Study(StoredStudy):
    """A study in its storage. Get one from `create_study` or `open_study`."""

    def __repr__(self) -> str:
        try:
            summary = self.summary
            front = self.front if len(self.spec.judged_by) > 1 else None
            best = self.best if self.has_values and front is None else None
        except Exception as error:  # it is told, but what is only shown does not fail
            return f"Study {self.name!r}: {error}"
        lines = [f"Study {self.name!r} in {self.storage.place}", f"  {summary.progress}"]
        if best is not None:
            lines.append(f"  best: {best!r}")
        if front:
            lines.append(f"  front: {', '.join(f'#{trial.number}' for trial in front)}")
        if (none := self.unmet) is not None:
            lines.append(f"  {none}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        try:
            summary = self.summary
            tables = [study_table(summary)]
            if len(self.spec.judged_by) > 1:
                tables.append(front_table(self.spec, self.front))
            elif self.has_values:
                tables.append(best_table(self.spec, self.best, self.confirmation))
        except Exception:
            return f"<p>{escape(repr(self))}</p>"
        return "".join(f"<p><b>{escape(t.caption)}</b></p>\n{html.rendered(t)}" for t in tables)

    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by number: its value, hyperparameters and metrics, a column each."""
        return trials_frame(self.spec, self.all_trials)

    @property
    def all_trials(self) -> TrialList:
        """Every trial, by number."""
        return TrialList(super().all_trials)

    def plot(self, name: str) -> go.Figure:
        """A figure of the study's report, by name: `history`, `curves` ...; see `hpo.plot`.

        Raises:
            StudyError: the study has no figure of that name, or none yet.
        """
        # Figures are of a room above this one, and reached as everybody reaches them.
        import hpo

        return hpo.plot(self, name)

    @property
    def best(self) -> Trial:
        """The complete trial with the best value; once leaders are raced, the winner on fresh seeds.

        Raises:
            StudyError: no trial is complete, none meets the constraints, or there are several objectives, and
                no one best trial.
        """
        if len(self.spec.judged_by) > 1:
            rule, remedy = (
                "has several objectives, and no best trial",
                f"See its front: hpo best {self.name}.",
            )
            raise StudyError(place_of(self.name), rule, remedy=f"{remedy} Choose one by --trial.")
        trials = self.all_trials
        confirmed = self.confirmation
        if confirmed is not None and confirmed.winner is not None:
            winner = confirmed.winner.number
            return next(trial for trial in trials if trial.number == winner)
        complete = [trial for trial in trials if trial.value is not None and trial.confirms is None]
        if not complete:
            raise self._nothing_yet()
        return min(complete, key=lambda trial: rank(trial.value, self.spec.objective.direction))

    def _nothing_yet(self) -> StudyError:
        """Why it has no best trial, and what can be done for one."""
        more = f"Run: hpo resume {self.name}." if self.storage.unfinished(self.id) else ""
        if (none := self.unmet) is None:
            return StudyError(
                place_of(self.name), "has no complete trial yet", remedy=more or SEE.format(self.name)
            )
        rule = "has no trial that meets the constraints"
        return StudyError(place_of(self.name), rule, remedy=f"{none} {more or LOOSEN}")

    @property
    def has_values(self) -> bool:
        """Whether a trial has a value: it is complete, and meets the constraints."""
        return any(trial.value is not None for trial in self.all_trials)

    @property
    def unmet(self) -> str | None:
        """That none of the trials meets the constraints, and the nearest; None while that cannot be said."""
        if not isinstance(self.spec, SearchSpec) or not self.spec.constraints:
            return None
        return unmet(self.all_trials, {trial.number: trial.constraints for trial in self.frozen_trials})

    @property
    def front(self) -> list[Trial]:
        """The complete trials that no other beats in all objectives, the best of the first one first.

        With one objective those are its best, all that have the best value.
        """
        return front_of(self.spec, self.all_trials)

    @property
    def confirmation(self) -> Confirmation | None:
        """What the race of a search's leaders has shown on fresh seeds; None before it begins."""
        if not isinstance(self.spec, SearchSpec):
            return None
        held = self.frozen_trials
        is_over = is_raced(self.spec, held)
        return confirmation(race_of(self.spec, held), super().all_trials, is_over=is_over)

    def curves(self, number: int) -> pd.DataFrame:
        """The learning curves of a trial: seed, fold, epoch and its metrics, a row an epoch and replicate.

        Raises:
            StudyError: there is no such trial, or it has not finished.
        """
        import pandas as pd

        content = self._artifact(number, CURVES_FILE)
        if content is None:
            raise StudyError(place_of(self.name), f"there are no learning curves of trial {number}")
        return pd.read_csv(io.BytesIO(content))

    def predictions(self, number: int) -> np.ndarray[Any, Any]:
        """What a trial of a final evaluation makes of the test set: (samples, outputs), float32.

        Raises:
            StudyError: there is no such trial, or it has no predictions.
        """
        import numpy as np

        content = self._artifact(number, PREDICTIONS_FILE)
        if content is None:
            raise StudyError(place_of(self.name), f"there are no predictions of trial {number}")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            found: np.ndarray[Any, Any] = archive["probabilities"]
        return found

    def validated(self, number: int) -> Validated:
        """Targets and outputs of validation samples, at most 20,000, of a trial that was the best so far.

        Raises:
            StudyError: there is no such trial, or it has kept none that can be read.
        """
        content = self._artifact(number, VALIDATION_FILE)
        if content is None:
            raise StudyError(place_of(self.name), f"there are no validation outputs of trial {number}")
        try:
            return read_validation(content)
        except DAMAGE:
            raise StudyError(
                place_of(self.name), f"the validation outputs of trial {number} are damaged"
            ) from None

    def compare(self) -> Comparison:
        """What every arm, or every configuration, has reached, and the verdicts on a comparison's arms."""
        return compare_studies([self])

    @property
    def headline(self) -> str:
        """What the study has shown so far, in two or three sentences."""
        return headline(
            self.spec,
            self.all_trials,
            self.compare(),
            finals=self.evaluated_by,
            has_test=self.test_digest is not None,
            confirmed=self.confirmation,
            why=self.ended_by,
            unmet=self.unmet,
        )

    @property
    def ended_by(self) -> str | None:
        """What has ended a search before all its trials had begun, in words."""
        return room(self.spec, self.frozen_trials).why if isinstance(self.spec, SearchSpec) else None

    def _artifact(self, number: int, filename: str) -> bytes | None:
        frozen = next((t for t in self.frozen_trials if t.number == number), None)
        found = self.storage.artifact(frozen, filename) if frozen is not None else None
        try:
            return None if found is None else self.storage.artifacts.read(found)
        except FileNotFoundError:
            return None
        except OSError as error:
            place = f"artifact folder {self.storage.artifacts.place}"
            raise StorageError(place, f"cannot be read: {error.strerror or error}") from None

    def run(
        self,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        max_worker_memory: float | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        progress: bool = True,
        watch: Callable[[Sequence[FrozenTrial]], None] | None = None,
        log: Callable[[str], None] | None = None,
        engine: str = "local",
        address: str | None = None,
        cpus_per_worker: float = 1.0,
        gpus_per_worker: float = 0.0,
    ) -> StudySummary:
        """Train what is left, by workers that an engine starts, and wait until they end.

        Args:
            workers: how many; by default one for each core. A model whose function no file has is trained by
                this process alone, one trial at a time.
            timeout: seconds, after which the workers stop and their trials go back into the queue.
            max_worker_memory: MiB, beyond which a worker is replaced; by default its share of four fifths of
                the machine's memory.
            checkpoint_seconds: how often a trial's state is saved, to go on from if its worker dies.
            progress: show on standard error how far it is, as `hpo run` does; not with `watch` or `log`.
            watch: called about twice a second with the study's trials.
            log: called with each line that a worker writes; without progress it goes to standard error.
            engine: "local", child processes of this one, or "ray", tasks of a Ray cluster.
            address: of the cluster: "auto" or HOST:PORT; by default one is started on this machine.
            cpus_per_worker: of the cluster, which are its threads too.
            gpus_per_worker: of the cluster; a share of one is possible.

        Raises:
            CodeError: a file of a person's own is not here, or has changed since the study was made.
            HpoError: there is no such engine, or its cluster does not answer.
            WorkerError: workers died again and again, or cannot train the study, and trials are left.
            ModelError: its model's function is of another Python session, or of this one, and several workers
                are asked for.
        """

        from hpo.progress import StudyProgress  # with rich, for who looks at it

        refuse_inside("train a study")
        options = EngineOptions(address, cpus_per_worker, gpus_per_worker)
        left = self.plan()
        if left:
            check_workers(self.spec, workers, engine)
            self.check_code()
        self.go_on()
        is_shown = progress and watch is None and log is None and left > 0
        with StudyProgress(self.spec) if is_shown else nullcontext() as shown:
            if shown is not None:
                watch, log = shown.watch, shown.log

            def look() -> None:
                if watch is not None:
                    watch(self.frozen_trials)

            if of_this_process(self.spec) and left:
                run_here(self, timeout=timeout, checkpoint_seconds=checkpoint_seconds, look=look, log=log)
                return self.summary
            run_workers(
                self,
                workers=workers,
                timeout=timeout,
                max_worker_memory=max_worker_memory,
                checkpoint_seconds=checkpoint_seconds,
                look=look,
                log=log,
                engine=partial(make_engine, engine, options),
            )
        return self.summary

    def export(self, path: Path | str, *, trial: int | None = None, force: bool = False) -> Path:
        """Write a complete trial's model, with its preprocessing, as a .keras file.

        A trial that was the best so far has kept its model, which is copied. Any other is trained again: the
        same seed, data and number of threads give the same weights, bit for bit on the same kind of machine;
        a warning says if the recorded metrics are not met.

        Args:
            path: the file, which ends in .keras.
            trial: its number; by default the best. Of several replicates the first one is exported.
            force: replace a file that is there.

        Raises:
            HpoError: the file cannot be written, or is there already.
            StudyError: there is no such trial, or it is not complete.
            CodeError: it is trained again, and a file of a person's own has changed.
            DataError: it is trained again, and the data cannot be had, or have changed.
        """
        chosen, path = self._exported(trial), Path(path)
        check_new_file(path, suffix=".keras", force=force)
        kept, fault = kept_model(self, self.frozen_trials[chosen.number])
        if kept is not None:
            with new_file(path, force=force) as draft:
                draft.write_bytes(kept)
            return path
        self.check_code()
        if fault is not None:
            place = f"{place_of(self.name)} trial {chosen.number}"
            logger.warning("%s is trained again: the model that it kept %s", place, fault)
        if self.spec.data.code is not None:
            # A person's function may import it, and it takes its threads when it is imported.
            prepare_tensorflow(chosen.threads or 1)
        dataset, test = self.load_data(), self.load_test_data()
        prepare_tensorflow(chosen.threads or 1)
        from hpo.studies.export import export

        export(self.spec, chosen, dataset, path, test=test, force=force)
        return path

    def has_model(self, number: int) -> bool:
        """Whether a complete trial has kept its model, so that to export it takes no training."""
        return kept_model(self, self.frozen_trials[self._exported(number).number])[0] is not None

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
        if None not in (other.test_digest, first.test_digest) and other.test_digest != first.test_digest:
            rule = f"cannot be compared with {place_of(first.name)}, which has another test part"
            raise StudyError(f"{place_of(other.name)}: data", rule, got=other.spec.data.name)
    return compare(*((study.spec, study.all_trials) for study in studies))
