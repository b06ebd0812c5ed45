"""The small tables of a study file: data, objective, sampler, pruner; and the metrics they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WrapValidator, model_validator

from hpo.spec.base import Model, Must, OneOf, RuleError, suggest
from hpo.spec.directions import Direction
from hpo.spec.hyperparameters import MAX_COUNT, Count, Seed
from hpo.spec.metrics import LONGEST_OWN, METRICS, is_own, metric_of
from hpo.spec.own_code import SUFFIX, File, Identifier, OwnCode, read_function
from hpo.spec.strategies import ABILITIES, NAMES, Ability

OBJECTIVES = tuple(name for name, metric in METRICS.items() if metric.is_objective)
FINAL_METRICS = tuple(name for name, metric in METRICS.items() if not metric.is_test)
EPOCH_OBJECTIVES = tuple(name for name, metric in METRICS.items() if metric.is_epoch)


def _metric(names: tuple[str, ...], *own: str) -> Any:
    """One of these metrics, or an own one that begins with one of `own`; its study says if it is any."""

    def checked(name: Any, known: Callable[[Any], str]) -> str:
        return name if is_own(name) and name.startswith(own) else known(name)

    pattern = rf"^({'|'.join(own)})\S{{1,{LONGEST_OWN}}}$"
    schema: Any = Literal[names] | Annotated[str, Field(pattern=pattern)]
    return Annotated[str, OneOf(names), WrapValidator(checked, json_schema_input_type=schema)]


if TYPE_CHECKING:
    ObjectiveMetric = str
    FinalMetric = str
else:
    ObjectiveMetric = _metric(OBJECTIVES, "val_")
    FinalMetric = _metric(FINAL_METRICS, "val_", "train_", "best_val_")

Text = Annotated[str, Field(strict=True), Must("text")]
AtLeastTwo = Annotated[int, Field(strict=True, ge=2, le=MAX_COUNT), Must(f"an integer from 2 to {MAX_COUNT}")]
Share = Annotated[float, Field(strict=True, gt=0, lt=1), Must("a number between 0 and 1, both excluded")]


ColumnName = Annotated[str, Field(strict=True, min_length=1), Must("a column's name")]
Columns = Annotated[
    tuple[ColumnName, ...],
    BeforeValidator(
        lambda names: (names,) if isinstance(names, str) else names,
        json_schema_input_type=ColumnName | list[ColumnName],
    ),
    Must("a column's name, or a list of them"),
]
Pixels = Annotated[int, Field(strict=True, ge=1, le=4096), Must("an integer from 1 to 4096")]


class Data(Model):
    """The data set, and how it is split into training and validation data.

    `name`: of data that a person's function gives its file, which need not be said twice.
    """

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(
            anyOf=[{"required": ["name"]}, {"required": ["file"]}], required=[]
        )
    )

    name: Annotated[str, Field(strict=True, min_length=1), Must("a data set's name or a path")] = Field(
        description="A data set's name, openml:ID, or the path of a table (.csv .tsv .parquet, .gz too), of "
        "arrays (.npz .npy) or of a folder of images by class, relative to the study file; ~ and $VARIABLE "
        "are what a shell makes of them."
    )
    file: File | None = Field(
        default=None,
        description="A Python file whose function gives the data, in place of name; its path is relative to "
        "the study file.",
    )
    function: Identifier | None = Field(
        default=None, description="Of a Python file: the function that gives the data. Default: load."
    )
    digest: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="SHA-256 of the Python file. Filled in; another file is refused."
    )
    beside: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="SHA-256 of the files beside it that it imports. Filled in; as digest."
    )
    target: Columns | None = Field(
        default=None, description="Of a table: the column to predict, or a list of several."
    )
    features: Columns | None = Field(
        default=None, description="Of a table: the columns to predict from. Default: all others."
    )
    drop: Columns | None = Field(default=None, description="Of a table: columns to leave out.")
    categories: Columns | None = Field(
        default=None, description="Of a table: columns of numbers that are names, as postal codes are."
    )
    weight: ColumnName | None = Field(
        default=None, description="Of a table: the column that says how much each row counts."
    )
    group: ColumnName | None = Field(
        default=None, description="Of a table: rows of one group never stand in two parts."
    )
    time: ColumnName | None = Field(
        default=None, description="Of a table: what validates is later by this column than what trains."
    )
    test: Share | Annotated[str, Field(strict=True, min_length=1)] | None = Field(
        default=None,
        description="Of a table: the file of the test part, or the share of the rows to set aside for it. "
        "Of a Python file: the share.",
    )
    image_size: tuple[Pixels, Pixels] | None = Field(
        default=None, description="Of a folder of images: height and width. Default: their own, if all alike."
    )
    separator: Annotated[str, Field(strict=True, min_length=1, max_length=1)] | None = Field(
        default=None, description="Of a CSV file: what stands between values. Default: told from the file."
    )
    decimal: Annotated[Literal[".", ","], OneOf()] | None = Field(
        default=None, description="Of a CSV file: the decimal mark. Default: told from the file."
    )
    encoding: Annotated[str, Field(strict=True, min_length=1)] | None = Field(
        default=None, description="Of a CSV file: its encoding. Default: told from the file."
    )
    folds: AtLeastTwo | None = Field(
        default=None, description="Cross-validation folds, in place of one validation set."
    )
    repeats: Count = Field(default=1, description="How often the folds are drawn anew.")
    validation: Share | None = Field(
        default_factory=lambda given: None if given["folds"] else 0.2,
        description="Share of the training data used for validation. Default: 0.2, unless there are folds.",
    )
    split: Annotated[Literal["stratified", "random", "group", "time"], OneOf()] | None = Field(
        default=None,
        description="stratified: every part has the classes' shares. group and time: by those columns. "
        "Default: by group or time if they are given, stratified for one class a row, else random.",
    )
    seed: Seed = Field(default=0, description="Seed of the split.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, table: Any) -> Any:
        """Fill in what a Python file says, unless that is known."""
        if not isinstance(table, Mapping):
            return table
        if (file := table.get("file")) is None:
            name = table.get("name")
            for key in ("function", "digest", "beside"):
                if table.get(key) is not None:
                    rule = "needs the file that it is of"
                    raise RuleError(rule, key, got=table[key], remedy="Set data.file.")
            if isinstance(name, str) and name.endswith(SUFFIX):
                rule = "must be named by file, with the function that gives data"
                remedy = f'Write data = {{ file = "{name}", function = "load" }}.'
                raise RuleError(rule, got=name, remedy=remedy if name.isprintable() else "")
            return table
        if not isinstance(file, str):
            return {"name": SUFFIX, **table}
        if table.get("name", file) != file:
            remedy = "Remove one of them."
            raise RuleError("cannot be set with file", "name", got=table["name"], remedy=remedy)
        function = table.get("function", "load")
        if table.get("digest") is None and isinstance(function, str):
            read = read_function(Path(file), function)
            if read.required:
                rule, remedy = f"{function} must take no arguments", "Give them defaults."
                raise RuleError(rule, "function", got=", ".join(read.required), remedy=remedy)
            table = {**table, **read.digests}
        return {**table, "name": file, "function": function}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key, other in (("validation", "folds"), ("drop", "features")):
            if getattr(self, key) is not None and getattr(self, other) is not None:
                got, remedy = getattr(self, key), "Remove one of them."
                raise RuleError(f"cannot be set with {other}", key, got=got, remedy=remedy)
        if self.repeats > 1 and (self.folds is None or self.split_by_column == "time"):
            rule = "must be 1 without folds" if self.folds is None else "must be 1 in order of time"
            raise RuleError(rule, "repeats", got=self.repeats)
        for key in ("group", "time"):
            if self.split == key and getattr(self, key) is None:
                raise RuleError(f"needs the column {key}", "split", got=self.split, remedy=f"Set data.{key}.")
        if self.split is None and self.group is not None and self.time is not None:
            remedy = 'Say split = "group" or split = "time".'
            raise RuleError("cannot be set with group, unless split says by which", "time", remedy=remedy)
        return self

    @property
    def code(self) -> OwnCode | None:
        """The function that gives the data; None of data of any other kind."""
        if self.file is None or self.function is None:
            return None
        return OwnCode(file=self.file, function=self.function, digest=self.digest, beside=self.beside)

    @property
    def split_by_column(self) -> Literal["group", "time"] | None:
        """Whether it is split by the groups or the times of its rows."""
        if self.split is None:
            return "group" if self.group is not None else "time" if self.time is not None else None
        return self.split if self.split in ("group", "time") else None

    @property
    def splits(self) -> int | None:
        """How many folds there are in all; None with one validation set."""
        return self.folds and self.folds * self.repeats


def _direction(metric: str) -> Any:
    """The direction of a metric that hpo knows; None of others, which is refused later."""
    return METRICS[metric].direction if metric in METRICS else None


KerasName = Annotated[
    str,
    Field(strict=True, pattern=r"^([A-Za-z0-9_.]+>)?[A-Za-z_][A-Za-z0-9_]{0,80}$"),
    Must("the name of a loss or metric of Keras's, or of one that is registered with it"),
]


class Compile(Model):
    """What a model is compiled with in place of its task's loss, and beside its task's metrics, by name.

    A name is one of Keras's, or of what a file of the study registers by
    `@keras.saving.register_keras_serializable()`.
    """

    loss: KerasName | None = Field(
        default=None, description="A loss, e.g. huber. Default: the task's, as mean_squared_error."
    )
    metrics: tuple[KerasName, ...] = Field(
        default=(), description="Metrics beside the task's, each reported by its name: mae is val_mae."
    )

    @property
    def reported(self) -> tuple[str, ...]:
        """The names that the metrics are reported by: without the package that they are registered in."""
        return tuple(name.rpartition(">")[2] for name in self.metrics)


class Objective(Model):
    """What a trial's value is."""

    metric: ObjectiveMetric = Field(
        default="val_accuracy",
        description="The final metric that trials are judged by; val_score of a metric of the model's own.",
    )
    direction: Annotated[Direction, OneOf()] = Field(
        default_factory=lambda given: _direction(given["metric"]),
        description="Follows from the metric, and must be stated of a metric of the model's own.",
    )
    at: Annotated[Literal["last", "best"], OneOf()] = Field(
        default="last",
        description="last: of the weights that training ends with, the last epoch's or, with early stopping "
        "and restore_best, those that it goes back to. best: of the epoch with the best value of the metric "
        "(the mean over replicates; epoch metrics only, val_loss and the like). A trial's metrics and its "
        "model are of the same weights as its value.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.metric not in METRICS:
            if self.direction is None:
                rule = "must be one that hpo knows, or have its direction stated beside it"
                remedy = f"{suggest(self.metric, OBJECTIVES)} Of the model's own, set direction.".lstrip()
                raise RuleError(rule, "metric", got=self.metric, remedy=remedy)
        elif self.direction != (direction := METRICS[self.metric].direction):
            raise RuleError(f"must be {direction!r} for {self.metric}", "direction", got=self.direction)
        if self.at == "best":
            self.check_epoch_metric("at = 'best'")
        return self

    @property
    def reported(self) -> str:
        """The epoch metric that trials report as they train: the objective's, or what stands for it."""
        known = metric_of(self.metric, self)
        return self.metric if known.is_epoch else known.reported

    def check_epoch_metric(self, reason: str) -> None:
        """Raises RuleError unless every epoch reports the metric."""
        if not metric_of(self.metric, self).is_epoch:
            rule = f"must be reported by every epoch with {reason}"
            remedy = f"Judge by {self.reported}, and show {self.metric} beside it: add it to metrics."
            raise RuleError(rule, "metric", got=self.metric, remedy=remedy)


def _said(abilities: Mapping[str, Ability]) -> str:
    return ". ".join(f"{name}: {ability.about}" for name, ability in abilities.items())


class Sampler(Model):
    """How a search chooses hyperparameters."""

    name: Annotated[Literal[NAMES], OneOf()] = Field(  # type: ignore[valid-type]
        default="auto",
        description=f"auto: what suits the space. {_said(ABILITIES)}.",
    )
    seed: Seed = Field(default=0, description="Seed of the sampler.")


PRUNER_KEYS: dict[str, tuple[str, ...]] = {
    "none": (),
    "median": ("min_epochs", "startup_trials"),
    "successive_halving": ("min_epochs", "reduction_factor"),
    "hyperband": ("min_epochs", "reduction_factor"),
}


class Pruner(Model):
    """How a search stops poor trials early. A key that the named pruner does not use is refused."""

    name: Annotated[Literal["none", "median", "successive_halving", "hyperband"], OneOf()] = Field(
        default="none", description="The pruner."
    )
    min_epochs: Count = Field(default=1, description="Epochs that every trial may train.")
    reduction_factor: AtLeastTwo = Field(
        default=3, description="successive_halving and hyperband: of each this many trials one goes on."
    )
    startup_trials: Annotated[
        int, Field(strict=True, ge=0, le=MAX_COUNT), Must(f"an integer from 0 to {MAX_COUNT}")
    ] = Field(default=5, description="median: finished trials before any is pruned.")

    @model_validator(mode="after")
    def _keys_apply(self) -> Self:
        used = ("name", *PRUNER_KEYS[self.name])
        for key in type(self).model_fields:
            if key in self.model_fields_set and key not in used:
                raise RuleError(f"has no effect with name = {self.name!r}", key, got=getattr(self, key))
        return self
