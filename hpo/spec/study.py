"""The specification of a study: what all kinds have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
from hpo.spec.base import (
    Model,
    Must,
    OneOf,
    RuleError,
    Shown,
    UnknownKeyError,
    either,
    plain,
    suggest,
    within,
)
from hpo.spec.hyperparameters import Count, Hyperparameters, Positive, TrainingTable
from hpo.spec.metrics import METRICS, Metric, is_own, metric_of, reported_name
from hpo.spec.own_code import OwnCallbacks, OwnCode, OwnModel, own_code_in
from hpo.spec.parts import FINAL_METRICS, OBJECTIVES, Compile, Data, FinalMetric, Objective, Text
from hpo.spec.vocabulary import VOCABULARIES, ModelChoice, Vocabulary, vocabulary_beside, vocabulary_of
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
    PlainValidator(_checked_params, json_schema_input_type=dict[str, Any]),
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

    Keys of both kinds: name kind description data model task compile callbacks objective metrics seeds
    max_retries trial_timeout strict_versions loop params. Of a search: objectives space constraints trials
    repeats start_with start_from confirm max_epochs_total stop_at patience_trials sampler pruner. Of a
    comparison: first_seed arms baseline min_effect alpha.
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
        description="What is trained: mlp; cnn, for images; or { file, function }, a function that builds a "
        "Keras model.",
    )
    task: (
        Annotated[Literal["multi-class", "binary", "multi-label", "regression", "several"], OneOf()] | None
    ) = Field(
        default=None,
        description="What is learned: one class of several, one of two, any of several, or quantities; "
        "several outputs at once. Default: told from the targets.",
    )
    compile: Compile | None = Field(
        default=None, description="Loss and metrics by name, of a model that its function does not compile."
    )
    callbacks: OwnCallbacks | None = Field(
        default=None,
        description="{ file, function }: a function that gives Keras callbacks for each training run.",
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
    strict_versions: Annotated[bool, Field(strict=True), Must("true or false")] = Field(
        default=False,
        description="Whether workers with another hpo, Keras, TensorFlow or Python than the study was made "
        "with leave it to others; else they say so once.",
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
        places: dict[tuple[str | int, ...], str] = dict(self._objective_places())
        places |= {("metrics", index): name for index, name in enumerate(self.metrics)}
        for place, name in places.items():
            is_of_other = name not in possible and any(name in task.metrics for task in TASKS.values())
            if is_of_other and not self._may_report(name):
                rule = f"must be one of task {self.task!r}"
                takes = (other for other in possible if METRICS[other].is_objective or place[0] == "metrics")
                remedy = f"It has {', '.join(takes)}."
                raise RuleError(rule, *place, got=name, remedy=remedy)
        return self

    @model_validator(mode="after")
    def _check_own_metrics(self) -> Self:
        """What is no metric of hpo's is one that the model may report."""
        named: dict[tuple[str | int, ...], tuple[str, tuple[str, ...]]]
        named = {place: (name, OBJECTIVES) for place, name in self._objective_places()}
        named |= {("metrics", index): (name, FINAL_METRICS) for index, name in enumerate(self.metrics)}
        for place, (name, known) in named.items():
            if is_own(name) and not self._may_report(name):
                reported = () if self.compile is None else self.compile.reported
                possible = [*known, *(f"val_{own}" for own in reported)]
                remedy = suggest(name, possible)
                raise RuleError(f"must be {either(possible)}", *place, got=name, remedy=remedy)
        return self

    def _objective_places(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if len(self.judged_by) == 1:
            yield ("objective", "metric"), self.objective.metric
            return
        for index, objective in enumerate(self.judged_by):
            yield ("objectives", index, "metric"), objective.metric

    def _may_report(self, metric: str) -> bool:
        """Whether its model may report a metric that its task does not measure."""
        own = reported_name(metric)
        return own is not None and (
            isinstance(self.model, OwnModel) or (self.compile is not None and own in self.compile.reported)
        )

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
        if any(key in vocabulary.names for vocabulary in VOCABULARIES.values()):
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
    def judged_by(self) -> tuple[Objective, ...]:
        """Its objectives, of which all but a search have one."""
        return (self.objective,)

    @property
    def learned(self) -> Task:
        """The task; of one that is to be told from the targets that of one class of several."""
        return TASKS[self.task or "multi-class"]

    @property
    def vocabulary(self) -> Vocabulary:
        """The hyperparameters that it may name."""
        return vocabulary_of(self.model)

    @property
    def reported(self) -> str:
        """The epoch metric that trials report as they train: what stands for the objective's, if need be."""
        reported = self.objective.reported
        has_it = is_own(reported) or reported in self.learned.epoch_metrics
        return reported if has_it else "val_loss"

    @property
    def own_code(self) -> dict[str, OwnCode]:
        """The functions of people's own that it names, by key: `model` and so on."""
        return dict(own_code_in(self))

    def check_given(self, names: Collection[str], *, remedy: str) -> None:
        """Raises RuleError unless these names are all that the model needs to be told."""
        if not isinstance(self.model, OwnModel):
            return
        try:
            self.model.check_given(names)
        except RuleError as broken:
            raise RuleError(broken.rule, *broken.path, remedy=remedy) from None

    def sets(self, name: str) -> bool:
        """Whether a hyperparameter is given, in any place where it can be."""
        return name in self.params

    def tables(self) -> Iterator[TrainingTable]:
        """Hyperparameters that between them meet every rule that those of any trial meet."""
        raise NotImplementedError

    def values_of(self, name: str) -> tuple[Any, ...]:
        """The values that a hyperparameter may have in a trial, of those that are written out."""
        return (self.params[name],) if name in self.params else ()

    @property
    def table_metrics(self) -> tuple[str, ...]:
        """`metrics`, with those objectives first that are missing."""
        missing = [o.metric for o in self.judged_by if o.metric not in self.metrics]
        return (*missing, *self.metrics)

    def smallest_effect(self, metric: str) -> float:
        """The smallest difference of a final metric that matters; of seconds, a share of them."""
        return self.metric(metric).min_effect

    def metric(self, name: str) -> Metric:
        """What is known of one of its final metrics, of hpo's or of the model's own."""
        own = reported_name(name)
        ranked = (o for o in self.judged_by if reported_name(o.metric) == own)
        return metric_of(name, next(ranked, self.objective))

    def hyperparameters_for(self, values: Mapping[str, Any]) -> Hyperparameters:
        """[params] with `values` of an arm or a trial on top. Raises SpecError."""
        return self.vocabulary.effective(**{**self.params, **values})

    def content(self) -> dict[str, Any]:
        """The study as JSON values, defaults filled in: equal for files that ask for the same."""
        content = self.model_dump(mode="json")
        return content if isinstance(self.model, str) else content | {"model": self.model.identity}


def of_training(spec: StudySpec) -> dict[str, Any]:
    """The keys that say what is trained, beside data and hyperparameters, as far as they say anything.

    A study that is made of this one has them too.
    """
    values = {key: getattr(spec, key) for key in ("model", "task", "compile", "callbacks")}
    fields = StudySpec.model_fields
    return {key: value for key, value in values.items() if value != fields[key].default}
