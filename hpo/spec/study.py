"""The specification of a study: what all kinds have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from hpo.errors import SpecError
from hpo.spec.base import Model, Must, OneOf, RuleError, Shown, UnknownKeyError, plain, within
from hpo.spec.hyperparameters import Count, Hyperparameters, Positive
from hpo.spec.metrics import METRICS
from hpo.spec.networks import MlpTable
from hpo.spec.parts import Data, FinalMetric, Objective, Text
from hpo.spec.vocabulary import ModelChoice, Vocabulary, vocabulary_beside, vocabulary_of
from hpo.tasks import TASKS, Task

StudyName = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Must("1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"),
]


def check_name(name: str, place: str) -> None:
    """Raises SpecError unless a study can have this name."""
    try:
        TypeAdapter(StudyName).validate_python(name)
    except ValidationError as error:
        raise SpecError(place, error.errors()[0]["msg"], got=Shown(name)) from None


Retries = Annotated[int, Field(strict=True, ge=0), Must("an integer of at least 0")]


def _checked_params(params: Any, info: ValidationInfo) -> Any:
    vocabulary = vocabulary_beside(info)
    return params if vocabulary is None else vocabulary.params.validate_python(params)


Params = Annotated[
    Mapping[str, Any],
    PlainValidator(_checked_params, json_schema_input_type=MlpTable),
    PlainSerializer(plain),
]


def _distinct(metrics: tuple[str, ...]) -> tuple[str, ...]:
    for index, metric in enumerate(metrics):
        if metric in metrics[:index]:
            raise RuleError("repeats an earlier metric", index, got=metric)
    return metrics


class StudySpec(Model):
    """What a study file declares, its tables as dicts. By its `kind` it is a SearchSpec or a ComparisonSpec.

    >>> search = StudySpec(
    ...     name="first",
    ...     kind="search",
    ...     data={"name": "digits", "validation": 0.2},
    ...     trials=20,
    ...     params={"hidden_units": [64, 32], "epochs": 20},
    ...     space={"dropout": [0.1, 0.2], "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}},
    ... )
    >>> type(search).__name__, search.planned
    ('SearchSpec', 20)
    >>> arms = [{"name": "SGD", "optimizer": "sgd"}, {"name": "Adam", "optimizer": "adam"}]
    >>> comparison = StudySpec(name="second", kind="comparison", data={"name": "digits"}, seeds=5, arms=arms)
    >>> type(comparison).__name__, comparison.planned
    ('ComparisonSpec', 10)

    Keys of both kinds: name kind description data model task objective metrics seeds max_retries
    trial_timeout loop params. Of a search: space trials sampler pruner. Of a comparison: first_seed arms
    baseline min_effect alpha.
    `hpo init` writes an example with comments, `hpo schema` says what each key takes.

    Raises:
        SpecError: a key is not known, or its value breaks a rule.
    """

    name: StudyName = Field(description="The study's name, unique in its database.")
    kind: Literal["search", "comparison", "final"]
    description: Text = Field(default="", description="What the study is for.")
    data: Data = Field(description="The data set, and how it is split.")
    model: ModelChoice = Field(
        default="mlp",
        description="What is trained: mlp, or { file, function }, a function that builds a Keras model.",
    )
    task: Annotated[Literal["multi-class", "binary", "multi-label", "regression"], OneOf()] | None = Field(
        default=None,
        description="What is learned: one class of several, one of two, any of several, or quantities. "
        "Default: told from the targets.",
    )
    objective: Objective = Field(
        default=Objective(),
        description="What a trial's value is. Default: val_accuracy; of a regression val_rmse.",
    )
    metrics: Annotated[tuple[FinalMetric, ...], AfterValidator(_distinct)] = Field(
        default=TASKS["multi-class"].shown,
        description="The final metrics that tables show. Default: as suits the task.",
    )
    seeds: Count
    max_retries: Retries = Field(
        default=2, description="How often a trial is tried again after a worker died or was lost with it."
    )
    trial_timeout: Positive | None = Field(
        default=None,
        description="Seconds that a trial may train, compiling not counted; after that it fails, at the end "
        "of an epoch.",
    )
    loop: Annotated[Literal["auto", "xla", "graph", "fit"], OneOf()] = Field(
        default="auto",
        description="What runs an epoch: one XLA program (the fastest once it is compiled), one TensorFlow "
        "graph, or Keras's fit. auto compiles where the planned steps pay for it.",
    )
    params: Params = Field(default={}, description="Hyperparameters that are the same in every trial.")

    if TYPE_CHECKING:
        # What a type checker makes of the fields would refuse the keys of either kind, and dicts.
        def __init__(
            self,
            *,
            name: str,
            kind: Literal["search", "comparison", "final"],
            data: Mapping[str, Any] | Data,
            **table: Any,
        ) -> None: ...

    def __new__(cls, /, **data: Any) -> Self:
        # StudySpec(kind="search") is a SearchSpec, as Path("x") is a PosixPath.
        if cls is not StudySpec:
            return super().__new__(cls)
        from hpo.spec.kinds import parse

        return cast(Self, parse(data, source=cls.source))

    @model_validator(mode="before")
    @classmethod
    def _task_defaults(cls, study: Any) -> Any:
        """What is ranked by and shown of a task that is given."""
        name = study.get("task") if isinstance(study, Mapping) else None
        task = TASKS.get(name) if isinstance(name, str) else None
        if task is None or task is TASKS["multi-class"]:
            return study
        objective = study.get("objective", {})
        if isinstance(objective, Mapping) and "metric" not in objective:
            study = {**study, "objective": {"metric": task.objective, **objective}}
        return {"metrics": task.shown, **study}

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        """The metrics are of the task, if that is known."""
        if self.task is None:
            return self
        possible = self.learned.metrics
        places: dict[tuple[str | int, ...], str] = {("objective", "metric"): self.objective.metric}
        places |= {("metrics", index): name for index, name in enumerate(self.metrics)}
        for place, name in places.items():
            if name not in possible and any(name in task.metrics for task in TASKS.values()):
                rule = f"must be one of task {self.task!r}"
                takes = (other for other in possible if METRICS[other].is_objective or place[0] == "metrics")
                remedy = f"It has {', '.join(takes)}."
                raise RuleError(rule, *place, got=name, remedy=remedy)
        return self

    @model_validator(mode="before")
    @classmethod
    def _check_misplaced(cls, study: Any) -> Any:
        """A key written below a table's header belongs to that table, which is seldom what was meant."""
        if not isinstance(study, Mapping):
            return study
        for table in ("params", "space"):
            keys = study.get(table)
            for key in keys if isinstance(keys, Mapping) else ():
                if key in cls.model_fields:
                    remedy = "Move it to the top of the file, above the first [table]."
                    with within(table):
                        raise UnknownKeyError(key, remedy=remedy)
        return study

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        if key in MlpTable.model_fields:
            return UnknownKeyError(key, remedy="It is a hyperparameter and belongs in [params].")
        from hpo.spec.kinds import WRITTEN_KINDS

        for kind, other in WRITTEN_KINDS.items():
            if key in other.model_fields:
                return UnknownKeyError(key, remedy=f'It belongs to kind = "{kind}".')
        return super().unknown_key(key)

    # Not abstract: then no type checker would let anybody write StudySpec(...).
    @property
    def replicates(self) -> int:
        """Training runs inside each trial."""
        raise NotImplementedError

    @property
    def planned(self) -> int:
        """Trials that the study asks for."""
        raise NotImplementedError

    @property
    def learned(self) -> Task:
        """The task; of one that is to be told from the targets that of one class of several."""
        return TASKS[self.task or "multi-class"]

    @property
    def vocabulary(self) -> Vocabulary:
        """The hyperparameters that it may name."""
        return vocabulary_of(self.model)

    def sets(self, name: str) -> bool:
        """Whether a hyperparameter is given, in any place where it can be."""
        return name in self.params

    @property
    def table_metrics(self) -> tuple[str, ...]:
        """`metrics`, with the objective's first if it is missing."""
        metric = self.objective.metric
        return self.metrics if metric in self.metrics else (metric, *self.metrics)

    def smallest_effect(self, metric: str) -> float:
        """The smallest difference of a final metric that matters; of seconds, a share of them."""
        return METRICS[metric].min_effect

    def hyperparameters_for(self, values: Mapping[str, Any]) -> Hyperparameters:
        """[params] with `values` of an arm or a trial on top. Raises SpecError."""
        return self.vocabulary.effective(**{**self.params, **values})

    def content(self) -> dict[str, Any]:
        """The study as JSON values, defaults filled in: equal for files that ask for the same."""
        return self.model_dump(mode="json")
