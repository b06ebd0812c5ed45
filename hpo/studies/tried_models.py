"""Models of studies that are created: tried once, in another process, before anything is stored."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from hpo import errors
from hpo.data import Dataset
from hpo.errors import HpoError, ModelError
from hpo.registry import StoredStudy, find
from hpo.spec import OwnModel, StudySpec, changes, to_json
from hpo.storage import Storage
from hpo.tables.console import stderr
from hpo.training.device import prepare_tensorflow
from hpo.trials.model_check import Found, check_model
from hpo.trials.shapes import Shapes
from hpo.workers import cores

logger = logging.getLogger(__name__)

# Seconds that the other process may take.
LONGEST = 600.0
# Where there is no GPU, a model is built sooner.
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def tried(spec: StudySpec, dataset: Dataset, *, storage: Storage | str | None) -> StudySpec:
    """The specification, with what building its own model has told.

    A study that is stored with the same code and space has been tried. Of a model of hpo's there is something
    to try if the study has the key compile.

    Raises:
        ModelError: the model cannot be built, or trained on these data.
        SpecError: the study asks for what its model does not have.
    """
    if not isinstance(spec.model, OwnModel) and spec.compile is None:
        return spec
    stored = _stored_spec(spec.name, storage)
    if stored is not None and type(stored.model) is type(spec.model) and not _is_new(stored, spec):
        return _with(spec, stored.model)
    shapes = Shapes.of(dataset, spec)
    console = stderr()
    shown = console.is_terminal and not console.is_jupyter
    with console.status(f"{spec.name}: checking the model") if shown else nullcontext():
        if isinstance(spec.model, OwnModel) and spec.model.is_of_session:
            prepare_tensorflow(cores())
            found = check_model(spec, shapes)
        else:
            found = _in_child(spec, shapes)
    for line in found.losses:
        logger.warning("%s", line)
    return _with(spec, found)


def _stored_spec(name: str, storage: Storage | str | None) -> StudySpec | None:
    """The specification of the study that is there, if it can be read."""
    try:
        opened = storage if isinstance(storage, Storage) else Storage(storage)
        return StoredStudy(opened, find(name, opened)).spec
    except HpoError:  # of which there is none, or it is told when the study is to be stored
        return None


def _is_new(stored: StudySpec, spec: StudySpec) -> bool:
    """Whether a study asks for configurations that it did not; another change is refused anyway."""
    return any(change.key.startswith("arms ") and change.extends for change in changes(stored, spec))


def _with(spec: StudySpec, known: str | OwnModel | Found) -> StudySpec:
    if not isinstance(spec.model, OwnModel) or isinstance(known, str):
        return spec
    return spec.model_copy(update={"model": spec.model.model_copy(update={"structure": known.structure})})


def _in_child(spec: StudySpec, shapes: Shapes) -> Found:
    """What a process of its own finds. Raises HpoError."""
    place = str(spec.model) if isinstance(spec.model, OwnModel) else "compile"
    asked = json.dumps({"spec": to_json(spec), "shapes": shapes.to_json()})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hpo.trials.model_check"],
            input=asked,
            capture_output=True,
            text=True,
            env=os.environ | WITHOUT_GPU,
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        got = f"nothing after {LONGEST / 60:.0f} min"
        raise ModelError(place, "must build a model", got=_Verbatim(got)) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        # A fault of hpo's own leaves a traceback.
        last = done.stderr.strip().splitlines()[-1:] if done.returncode == 1 else []
        said = ": ".join(["a process that ended with exit code " + str(done.returncode), *last])
        raise ModelError(place, "must build a model", got=_Verbatim(said[:200])) from None
    if "error" in answer:
        raise _error(answer)
    return Found(tuple(answer["structure"]), tuple(answer["losses"]))


def _error(told: Mapping[str, Any]) -> HpoError:
    kind: type[HpoError] = getattr(errors, told["error"])
    got = {} if told["got"] is None else {"got": _Verbatim(told["got"])}
    return kind(told["place"], told["rule"], remedy=told["remedy"], **got)


class _Verbatim(str):
    """A value as another process shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
