"""Keras callbacks of a person's own, made for each training run of a study by a function of their file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import keras

from hpo.errors import HpoError, ModelError
from hpo.own import file_of, own_function, told
from hpo.spec import Hyperparameters, OwnCallbacks, OwnModel, StudySpec
from hpo.spec.base import plain
from hpo.training.callbacks import begins_anew, flat_callbacks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOf:
    """A training run as a function that gives callbacks may know it; `trial` is the trial's number."""

    trial: int
    seed: int
    fold: int | None
    hyperparameters: Hyperparameters


@dataclass(frozen=True)
class _Own:
    """The function of a study that gives callbacks, and the file that it is run from."""

    code: OwnCallbacks
    function: Callable[..., Any]
    file: Path


class RunCallbacks:
    """What a study's function makes for its runs; nothing, if the study has none.

    `folder` is where each trial may have a folder, by its number; without it a run has one that goes away.

    Raises:
        ModelError: the file is not there, is another one by now, or does not run.
    """

    def __init__(self, spec: StudySpec, folder: Path | None = None) -> None:
        self._study, self._folder = spec.name, folder
        code, model = spec.callbacks, spec.model
        self._own = None if code is None else _Own(code, own_function(code), file_of(code))
        self._is_of_model = isinstance(model, OwnModel) and code is not None and model.file == code.file
        self._made: list[keras.callbacks.Callback] = []
        self._said: set[str] = set()
        self._passing: list[tempfile.TemporaryDirectory[str]] = []

    def begin(self) -> None:
        """A trial begins: those of the one before are gone."""
        self._made = []
        for folder in self._passing:
            folder.cleanup()
        self._passing = []

    def of(self, run: RunOf) -> list[keras.callbacks.Callback]:
        """The callbacks of a run. Raises ModelError: the function raises, or gives something else."""
        if (own := self._own) is None:
            return []
        known: dict[str, Callable[[], Any]] = {
            "study": lambda: self._study,
            "trial": lambda: run.trial,
            "seed": lambda: run.seed,
            "fold": lambda: run.fold,
            "folder": partial(self._folder_of, run.trial),
            "hyperparameters": lambda: plain(run.hyperparameters.model_dump(mode="json")),
        }
        place = str(own.code)
        try:
            given = own.function(**{name: known[name]() for name in own.code.takes})
        except HpoError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(place, "must give callbacks", got=told(error, own.file)) from error
        try:
            made = flat_callbacks(given)
        except TypeError:
            rule = "must return Keras callbacks, one or a list"
            raise ModelError(place, rule, got=type(given).__name__) from None
        if any(callback is other for callback in made for other in self._made):
            rule = "must make new callbacks for each run, as their state is of one run"
            raise ModelError(place, rule, remedy="Make them inside the function.")
        self._made += made
        return made

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Whatever one of them raises inside is a ModelError, with the line of the person's file."""
        try:
            yield
        except HpoError:
            raise
        except (Exception, SystemExit) as error:
            own = self._own
            culprit = None if own is None else self._raised_in(own, error.__traceback__)
            if own is None or culprit is None:
                raise
            said = told(error, own.file)
            raise ModelError(f"{own.code}{culprit}", "must run without an error", got=said) from error

    def say_what_begins_anew(self, number: int) -> None:
        """Trial `number` goes on from a checkpoint: say once of which callbacks nothing was kept."""
        kinds = {type(callback).__name__ for callback in self._made if begins_anew(callback)} - self._said
        self._said |= kinds
        if kinds:
            logger.warning(
                "trial %d goes on from its checkpoint, but of %s nothing is kept, which begins anew; "
                "get_state and set_state would keep it",
                number,
                ", ".join(sorted(kinds)),
            )

    def _raised_in(self, own: _Own, trace: TracebackType | None) -> str | None:
        """Which callback an error arose in, as a line says it; None if it arose elsewhere."""
        # A model of the same file may be at fault as well.
        file = None if self._is_of_model else str(own.file)
        found = None
        while trace is not None:
            acting = trace.tb_frame.f_locals.get("self")
            for callback in self._made:
                if callback is acting:
                    return f": {type(callback).__name__}"
            if trace.tb_frame.f_code.co_filename == file:
                found = ""  # a function that a callback of Keras's calls
            trace = trace.tb_next
        return found

    def _folder_of(self, trial: int) -> Path:
        if self._folder is None:
            self._passing.append(tempfile.TemporaryDirectory(prefix="hpo-callbacks-"))
            return Path(self._passing[-1].name)
        folder = (self._folder / str(trial)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
