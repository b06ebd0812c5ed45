"""Trials as a data frame: a row a trial, and a column for each thing that there is to know once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo.spec import METRICS, ComparisonSpec, SearchSpec, StudySpec, metrics_in
from hpo.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("state", "value")
OF_ARMS = ("arm", "seed")
OF_RACE = ("confirms",)
LAST = ("reason", "started", "finished", "worker", "threads", "loop", "retries")
TIMES = ("started", "finished")
OURS = frozenset({*FIRST, *OF_ARMS, *OF_RACE, *LAST, *METRICS})


def trials_frame(spec: StudySpec, trials: Sequence[Trial]) -> pd.DataFrame:
    """A row a trial, indexed by number.

    Columns: what became of it, the hyperparameters that the study varies, its metrics, when and where it was
    trained, and of the other hyperparameters those that are set. Lists are tuples, which can be grouped by;
    times are local, as Optuna keeps them.
    """
    import pandas as pd

    of_arms: tuple[str, ...] = OF_ARMS if isinstance(spec, ComparisonSpec) else ()
    if any(trial.confirms is not None for trial in trials):
        of_arms = (*of_arms, *OF_RACE)
    settings = [_settings(spec, trial) for trial in trials]
    declared = [_column(name) for name in _declared(spec)]
    is_set = {name for values in settings for name, value in values.items() if value is not None}
    others = [name for name in dict.fromkeys((*spec.vocabulary.names, *sorted(is_set))) if name in is_set]
    measured = dict.fromkeys(name for trial in trials for name in trial.metrics)
    # Before any trial is complete too, those by which one of several objectives is judged.
    judged = [o.metric for o in spec.judged_by] if len(spec.judged_by) > 1 else []
    metrics = [*judged, *(name for name in metrics_in(measured) if name not in judged)]
    columns = dict.fromkeys((*FIRST, *of_arms, *declared, *metrics, *LAST, *others))
    rows = [
        {name: getattr(trial, name) for name in (*FIRST, *of_arms, *LAST)} | trial.metrics | values
        for trial, values in zip(trials, settings, strict=True)
    ]
    index = pd.Index([trial.number for trial in trials], name="number")
    return pd.DataFrame(rows, columns=list(columns), index=index).astype(
        dict.fromkeys(TIMES, "datetime64[us]")
    )


def _declared(spec: StudySpec) -> list[str]:
    """The hyperparameters that a study varies, as its file has them."""
    if isinstance(spec, SearchSpec):
        return list(spec.space)
    arms = spec.arms if isinstance(spec, ComparisonSpec) else ()
    return list(dict.fromkeys(name for arm in arms for name in arm.params))


def _settings(spec: StudySpec, trial: Trial) -> dict[str, Any]:
    """Hyperparameters by column; of what was drawn, the value as it was drawn; not what was not active."""
    idle = spec.space.keys() - trial.params.keys() if isinstance(spec, SearchSpec) else set()
    every = trial.hyperparameters | trial.params
    return {_column(name): _plain(value) for name, value in every.items() if name not in idle}


def _column(name: str) -> str:
    """A hyperparameter's column; others than hpo may have named one as a column of ours."""
    return f"params.{name}" if name in OURS else name


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
