"""A trial by the objectives of its study: what it has reached of each in the end, and at a pruner's rungs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from hpo.search import RUNGS_ATTRIBUTE, may_prune
from hpo.spec import Objective, StudySpec
from hpo.spec.constraints import PARAMETERS
from hpo.training.runs import Run
from hpo.training.samples import Logs
from hpo.trials.constraints import parameters_of


def size_of(spec: StudySpec, model: Any) -> dict[str, float]:
    """The weights of a Keras model that training changes, where the study asks for their number."""
    return {PARAMETERS: float(parameters_of(model))} if PARAMETERS in spec.table_metrics else {}


def undefined(spec: StudySpec, metrics: Mapping[str, float]) -> str | None:
    """The first objective that is no metric of the trial; None if all are."""
    return next((one.metric for one in spec.judged_by if one.metric not in metrics), None)


class Standing:
    """Tells its trial, at the rungs of a pruner of several objectives, what it has reached of each.

    Of several runs those are means; seconds are those that it would take to the end at this pace.
    """

    def __init__(self, spec: StudySpec, trial: optuna.trial.Trial) -> None:
        self.runs: Sequence[Run] = ()
        self._spec, self._trial = spec, trial
        self._latest: dict[int, Logs] = {}
        self._is_asked = len(spec.judged_by) > 1

    def take(self, replicate: int, epoch: int, logs: Logs) -> None:
        """Take one replicate's epoch."""
        if self._is_asked and may_prune(self._spec, epoch):
            self._latest[replicate] = logs

    def tell(self, epoch: int) -> None:
        """Let the trial know, if this is a rung."""
        if not self._latest:
            return
        known = self._trial.user_attrs.get(RUNGS_ATTRIBUTE, {})
        if str(epoch) not in known:
            reached = [self._reached(objective, epoch) for objective in self._spec.judged_by]
            self._trial.set_user_attr(RUNGS_ATTRIBUTE, {**known, str(epoch): reached})
        self._latest.clear()

    def _reached(self, objective: Objective, epoch: int) -> float:
        first = self.runs[0]
        if objective.metric == PARAMETERS:
            return float(parameters_of(first.trainer.model))
        if objective.metric == "train_seconds":
            return float(np.mean([run.train_seconds for run in self.runs])) * first.epochs / epoch
        found = [logs.get(objective.metric, math.nan) for logs in self._latest.values()]
        return float(np.mean(found))
