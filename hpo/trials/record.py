"""One trial as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from hpo.errors import SpecError
from hpo.search import AS_ATTRIBUTE, confirms, drawn_of, hyperparameters_of, is_drawn, runs_of
from hpo.spec import Objective, SearchSpec, StudySpec, metrics_in
from hpo.spec.base import plain
from hpo.storage import INFEASIBLE_ATTRIBUTE
from hpo.tables import Column, Table, html
from hpo.tables.kinds import LENGTH, MOMENT, NUMBER, VALUE
from hpo.tables.numbers import counted, duration, number, settings

if TYPE_CHECKING:
    import pandas as pd

# Columns of a trial's curves, and what a trial has of its own beside `train_`: no metric has such a name.
TAKEN = ("seed", "fold", "epoch", "seconds")
# Of a trial whose network fits no program that its worker had: one is compiled before its first epoch.
COMPILED_ATTRIBUTE = "compiled_anew"
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Trial:
    """A trial of a study; what it does not have yet is None or empty.

    `params` are the hyperparameters that the search varied, `hyperparameters` all effective ones, `metrics`
    the final metrics as means over the replicates, `replicates` the metrics of each with its seed and fold.
    Times are local, as Optuna keeps them; `reported` is what each epoch reported, from epoch 1. `threads` are
    TensorFlow's in its worker, `loop` is what ran its epochs (version 0.1 had "xla" alone, and did not say),
    `versions` those of hpo, of the packages that it trained with and of Python, `other_versions` those that
    its study was made with and that were others there, `retries` counts the workers that were lost while they
    trained it. `reason` says why it failed or was pruned, or, of one that waits, why a worker could not train
    it; of a complete one that breaks a constraint, which, and it has no value. `confirms` is the number of
    the leader of a search that it trains again, `same_as` that of the trial whose result it has and which has
    its configuration: it has cost nothing. `runs` is how many training runs it has. `objective` is its
    study's first, whose value is `value`; `values` has those of all, `reported_metric` is what stands for it
    while it trains. One is `lost` that runs, and whose worker is gone.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    hyperparameters: dict[str, Any]
    arm: str | None
    seed: int | None
    confirms: int | None
    metrics: dict[str, float]
    epochs_run: float | None
    started: datetime | None
    finished: datetime | None
    worker: str | None
    threads: int | None
    versions: dict[str, str] | None
    other_versions: dict[str, str] | None
    loop: str | None
    retries: int
    reason: str | None
    replicates: list[dict[str, Any]]
    reported: list[float]
    objective: Objective
    reported_metric: str
    lost: bool = False
    same_as: int | None = None
    runs: int = 1
    values: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: StudySpec, frozen: FrozenTrial) -> Trial:
        """The record of an Optuna trial of a study with this specification."""
        attributes = frozen.user_attrs
        metrics = {name: attributes[name] for name in metrics_in(attributes)}
        is_valued = frozen.state == TrialState.COMPLETE and not attributes.get(INFEASIBLE_ATTRIBUTE)
        reached = frozen.values if is_valued else None
        return cls(
            number=frozen.number,
            state=STATES[frozen.state],
            value=reached[0] if reached else None,
            params=params_of(spec, frozen),
            hyperparameters=_effective(spec, frozen),
            arm=attributes.get("arm"),
            seed=attributes.get("seed"),
            confirms=confirms(frozen),
            metrics=metrics,
            epochs_run=metrics.get("epochs_run"),
            started=frozen.datetime_start,
            finished=frozen.datetime_complete,
            worker=attributes.get("worker"),
            threads=attributes.get("threads"),
            versions=attributes.get("versions"),
            other_versions=attributes.get("other_versions"),
            loop=attributes.get("loop"),
            retries=attributes.get("retries", 0),
            reason=attributes.get("reason"),
            replicates=attributes.get("replicates", []),
            reported=[frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)],
            objective=spec.objective,
            reported_metric=spec.reported,
            same_as=attributes.get(AS_ATTRIBUTE),
            runs=runs_of(spec, frozen),
            values=dict(zip((o.metric for o in spec.judged_by), reached or (), strict=False)),
        )

    def __repr__(self) -> str:
        value = "" if self.value is None else f", {self.objective.metric} {number(self.value)}"
        of_race = "" if self.confirms is None else f"confirms #{self.confirms}"
        what = [self.arm or of_race, "" if self.seed is None else f"seed {self.seed}", settings(self.params)]
        parts = [", ".join(filter(None, what)), self._spent, self.reason or ""]
        return f"<Trial {self.number}: {'; '.join([self.state + value, *filter(None, parts)])}>"

    def _repr_html_(self) -> str:
        columns = (
            Column("number", NUMBER),
            Column("state"),
            Column("value", NUMBER),
            Column("arm"),
            Column("seed", NUMBER),
            *(Column(name, VALUE, (f"params.{name}",)) for name in self.params),
            *(Column(name, NUMBER, (f"metrics.{name}",)) for name in self.metrics),
            Column("epochs", LENGTH, ("curve",)),
            Column("started", MOMENT),
            Column("finished", MOMENT),
            Column("worker"),
            Column("reason"),
        )
        return html.rendered(Table("Trial", columns, [self.to_json()], is_record=True))

    @property
    def curve(self) -> pd.DataFrame:
        """What each epoch reported: its number, from 1, and the metric, as a mean over the replicates."""
        import pandas as pd

        epochs = range(1, len(self.reported) + 1)
        return pd.DataFrame({"epoch": epochs, self.reported_metric: pd.Series(self.reported, dtype=float)})

    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 1, of the value of a trial that is valued by its best one; None if not known."""
        if "best_epoch" in self.metrics:
            return int(self.metrics["best_epoch"])
        return self.reported.index(self.value) + 1 if self.value in self.reported else None

    def has_metrics_of_value(self, spec: StudySpec) -> bool:
        """Whether the final metrics, and the model that was kept, are of the weights that `value` is of.

        Version 0.1 measured the last epoch, also of a trial that was valued by its best.
        """
        return spec.objective.at == "last" or "best_epoch" in self.metrics

    def to_json(self) -> dict[str, Any]:
        """The trial as JSON values; times in ISO 8601."""
        values = asdict(self)
        for name in ("started", "finished"):
            values[name] = values[name] and values[name].isoformat(timespec="seconds")
        # As readers of JSON know it.
        values["curve"] = values.pop("reported")
        del values["objective"], values["reported_metric"], values["runs"]
        return values

    @property
    def _spent(self) -> str:
        """Epochs and time, as far as it has trained."""
        if not self.reported:
            return ""
        seconds = self.metrics.get("train_seconds")
        return counted(len(self.reported), "epoch") + ("" if seconds is None else f", {duration(seconds)}")


def params_of(spec: StudySpec, frozen: FrozenTrial) -> dict[str, Any]:
    """The hyperparameters that the search varied and that are active, lists put together."""
    drawn = drawn_of(frozen)
    if not isinstance(spec, SearchSpec):
        return drawn
    # Somebody may have enqueued it with what is not of the space.
    others = {name: value for name, value in drawn.items() if name not in spec.drawn}
    return {**{name: plain(value) for name, value in spec.joined(spec.active(drawn)).items()}, **others}


def _effective(spec: StudySpec, frozen: FrozenTrial) -> dict[str, Any]:
    """What the worker stored when it began; before that, what it will begin with, as far as it is known."""
    begun = frozen.user_attrs.get("hyperparameters")
    if isinstance(begun, dict):
        return begun
    if isinstance(spec, SearchSpec) and not is_drawn(spec, frozen.params):
        return {}
    try:
        return hyperparameters_of(spec, frozen).model_dump(mode="json")
    except (KeyError, SpecError):
        # Somebody enqueued it, without an arm or with values that break a rule.
        return {}
