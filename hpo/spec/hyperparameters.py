"""The vocabulary of hyperparameters: what each takes, its default, and which go together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetPydanticSchema, model_validator
from pydantic_core import CoreSchema, core_schema

from hpo.spec.base import Model, Must, OneOf, RuleError, plain

MAX_COUNT = 2**31 - 1  # TensorFlow counts and indexes in 32 bits

Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT), Must(f"an integer from 1 to {MAX_COUNT}")]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32), Must(f"an integer from 0 to {2**32 - 1}")]
Rate = Annotated[float, Field(strict=True, ge=0, lt=1), Must("a number of at least 0 and less than 1")]
Strength = Annotated[
    float, Field(strict=True, ge=0, allow_inf_nan=False), Must("a finite number of at least 0")
]
Positive = Annotated[
    float, Field(strict=True, gt=0, allow_inf_nan=False), Must("a finite number greater than 0")
]
Flag = Annotated[bool, Field(strict=True), Must("true or false")]
BatchNorm = Annotated[Flag | Literal["before", "after"], Must('false, "before" or "after"')]
Activation = Annotated[
    Literal["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "leaky_relu", "linear"], OneOf()
]
# Keras has them too.
OTHER_OPTIMIZERS = ("adamw", "adadelta", "adafactor", "ftrl", "lion", "lamb", "muon")
Optimizer = Annotated[
    Literal["sgd", "adam", "adamax", "nadam", "adagrad", "rmsprop"], OneOf(others=OTHER_OPTIMIZERS)
]
Schedule = Annotated[Literal["constant", "inverse_time", "exponential", "cosine"], OneOf()]
Scaling = Annotated[Literal["standard", "robust", "quantile", "none"], OneOf()]
Levels = Annotated[int, Field(strict=True, ge=0, le=1000), Must("an integer from 0 to 1000")]
BatchSize = Annotated[Count | Literal["full"], Must(f'an integer from 1 to {MAX_COUNT}, or "full"')]
Dropout = Annotated[
    Rate | tuple[Rate, ...],
    Must("a number of at least 0 and less than 1, or a list with one per hidden layer"),
]
L2 = Annotated[
    Strength | tuple[Strength, ...],
    Must("a finite number of at least 0, or a list with one per hidden layer"),
]
HiddenUnits = Annotated[
    tuple[Count, ...],
    BeforeValidator(
        lambda units: (units,) if isinstance(units, int) else units,
        json_schema_input_type=Count | list[Count],
    ),
    Must(f"an integer from 1 to {MAX_COUNT}, or a list with one per hidden layer"),
]

# The keys that rules tie together: checking each group's combinations checks every rule.
COUPLED = (
    ("hidden_units", "dropout", "l2"),
    ("optimizer", "momentum", "nesterov"),
    ("schedule", "decay_rate", "decay_steps"),
)
# These defaults follow another key.
FOLLOWS = {"learning_rate": "optimizer", "decay_rate": "schedule", "decay_steps": "schedule"}
DECAY_RATES = {"inverse_time": 0.01, "exponential": 0.96}
DECAY_STEPS = {"inverse_time": 1, "exponential": 1000}
# These have an effect only with one of a few values of another key.
TAKES = {
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "decay_rate": ("schedule", ("inverse_time", "exponential")),
    "decay_steps": ("schedule", ("inverse_time", "exponential", "cosine")),
}


class HyperparameterTable(Model):
    """Every hyperparameter, each checked by itself; what a table does not set has its default."""

    hidden_units: HiddenUnits = Field(
        default=(128, 64),
        description="Units of each hidden layer: an integer for one layer, or a list with one per layer. "
        "[] is softmax regression.",
    )
    activation: Activation = Field(default="relu", description="Activation of the hidden layers.")
    dropout: Dropout = Field(
        default=0.0,
        description="Share of units dropped after each hidden layer: one number, or a list with one each.",
    )
    batch_norm: BatchNorm = Field(
        default=False,
        description='Batch normalisation in every hidden layer, "before" or "after" its activation; '
        'true is "before".',
    )
    l2: L2 = Field(
        default=0.0,
        description="L2 penalty on the weights of each hidden layer: one number, or a list with one each.",
    )
    optimizer: Optimizer = Field(default="sgd", description="The Keras optimizer.")
    learning_rate: Positive = Field(
        default_factory=lambda given: 0.01 if given["optimizer"] == "sgd" else 0.001,
        description="Initial learning rate. Default: 0.01 for sgd, 0.001 for the others.",
    )
    momentum: Rate = Field(default=0.0, description="Momentum of sgd or rmsprop.")
    nesterov: Flag = Field(default=False, description="Nesterov momentum; sgd with momentum only.")
    schedule: Schedule = Field(
        default="constant",
        description="How the learning rate falls. inverse_time: learning_rate / (1 + decay_rate * step / "
        "decay_steps). exponential: learning_rate * decay_rate ** (step / decay_steps). "
        "cosine: half a cosine from learning_rate to 0 over decay_steps.",
    )
    decay_rate: Positive | None = Field(
        default_factory=lambda given: DECAY_RATES.get(given["schedule"]),
        description="Rate of the schedule. Default: 0.01 for inverse_time; 0.96 for exponential (at most 1).",
    )
    decay_steps: Count | None = Field(
        default_factory=lambda given: DECAY_STEPS.get(given["schedule"]),
        description="Steps of the schedule. Default: 1 for inverse_time, 1000 for exponential, all the run's "
        "steps for cosine.",
    )
    scaling: Scaling | None = Field(
        default=None,
        description="Numbers of a table: standard (mean 0, standard deviation 1), robust (median and "
        "quartiles, outliers drawn in: x / sqrt(1 + (x / 3) ** 2)), quantile (a normal distribution), none. "
        "Default: standard; of arrays and images none.",
    )
    one_hot_levels: Levels = Field(
        default=9, description="Categories of a table with up to this many levels are one-hot columns."
    )
    embedding_width: Count = Field(
        default=8, description="Numbers that a level of any other category is embedded in."
    )
    min_level_count: Count = Field(
        default=2,
        description="Levels of a category with fewer training rows than this are taken for unknown.",
    )
    batch_size: BatchSize = Field(
        default=32, description='Samples a step; "full" is batch gradient descent, one step an epoch.'
    )
    epochs: Count = Field(default=10, description="Passes over the training data, at most.")
    early_stopping_patience: Count | None = Field(
        default=None, description="Stop after this many epochs without a lower val_loss. Default: never."
    )
    early_stopping_min_delta: Strength = Field(
        default=0.0,
        description="How much lower val_loss must be to count; with early_stopping_patience only.",
    )
    restore_best: Flag = Field(
        default=True,
        description="Go back to the best epoch's weights at the end; with early_stopping_patience only.",
    )


HYPERPARAMETERS: tuple[str, ...] = tuple(HyperparameterTable.model_fields)


class Hyperparameters(HyperparameterTable):
    """The effective hyperparameters of one training run.

    Raises SpecError when a value, or a combination of values, breaks a rule.
    """

    source: ClassVar[str] = "hyperparameters"

    @model_validator(mode="after")
    def _together(self) -> Self:
        check_together(self)
        return self

    @property
    def normalization(self) -> Literal["before", "after"] | None:
        """Where a hidden layer has its batch normalisation: before or after its activation; None without."""
        return normalization(self.batch_norm)

    @property
    def canonical(self) -> Self:
        """The same training run in one spelling: equal for all that differ in how they are written.

        >>> Hyperparameters(dropout=0.2).canonical == Hyperparameters(dropout=[0.2, 0.2]).canonical
        True
        """
        spelt: dict[str, Any] = {name: self.per_layer(name) for name in ("dropout", "l2")}
        spelt["batch_norm"] = self.normalization or False
        spelt["nesterov"] = self.nesterov and self.momentum > 0
        return self.model_copy(update=spelt)

    def per_layer(self, name: Literal["dropout", "l2"]) -> tuple[float, ...]:
        """`dropout` or `l2` of each hidden layer."""
        value: float | tuple[float, ...] = getattr(self, name)
        return value if isinstance(value, tuple) else (value,) * len(self.hidden_units)

    def steps_per_epoch(self, samples: int) -> int:
        """Optimizer steps in an epoch over so many samples, a short last batch included."""
        return 1 if self.batch_size == "full" else -(-samples // self.batch_size)


def normalization(batch_norm: Any) -> Literal["before", "after"] | None:
    """What `batch_norm` asks for, in either spelling."""
    return "before" if batch_norm is True else batch_norm or None


def check_together(table: HyperparameterTable) -> None:
    """Raises RuleError when effective values exclude each other."""
    layers = len(table.hidden_units)
    for key in ("dropout", "l2"):
        value = getattr(table, key)
        if isinstance(value, tuple) and len(value) != layers:
            raise RuleError(f"must have one value per hidden layer ({layers})", key, got=value)
    for key, (switch, names) in TAKES.items():
        value = getattr(table, key)
        if value and getattr(table, switch) not in names:
            chosen = getattr(table, switch)
            raise RuleError(
                f"has no effect with {switch} = {chosen!r}",
                key,
                got=value,
                remedy=f"It takes {switch} {' or '.join(names)}.",
            )
    if table.schedule == "exponential" and table.decay_rate is not None and table.decay_rate > 1:
        raise RuleError("must be at most 1 with schedule = 'exponential'", "decay_rate", got=table.decay_rate)


def check_used(fixed: Mapping[str, Any], varied: Collection[str] = ()) -> None:
    """Raises RuleError for a key that is declared, but has no effect without another that is not."""
    declared = {*fixed, *varied}
    for key in ("early_stopping_min_delta", "restore_best"):
        if key in declared and "early_stopping_patience" not in declared:
            raise RuleError(
                "has no effect without early_stopping_patience",
                key,
                remedy="Set early_stopping_patience too, or remove the key.",
            )
    nesterov = fixed.get("nesterov") or "nesterov" in varied
    if nesterov and not fixed.get("momentum") and "momentum" not in varied:
        raise RuleError("has no effect without momentum", "nesterov", remedy="Set momentum too.")


def without_idle(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those that have no effect: a search may draw them, and no file may declare them.

    >>> without_idle({"optimizer": "sgd", "momentum": 0.0, "nesterov": True})
    {'optimizer': 'sgd', 'momentum': 0.0}
    """
    left = dict(values)
    while True:
        try:
            check_used(left)
            return left
        except RuleError as idle:
            del left[str(idle.path[-1])]


def given(table: HyperparameterTable) -> dict[str, Any]:
    """What `table` sets itself, in the vocabulary's order. Raises RuleError for None, which no file has."""
    values = {key: getattr(table, key) for key in HYPERPARAMETERS if key in table.model_fields_set}
    for key, value in values.items():
        if value is None:
            raise RuleError("must have a value", key, got=None, remedy="Leave the key out for its default.")
    return values


def fixed_values(params: Mapping[str, Any], *, varied: Collection[str] = ()) -> dict[str, Any]:
    """JSON values of all hyperparameters that neither vary nor follow one that does, defaults included."""
    table = HyperparameterTable.model_validate(dict(params)).model_dump(mode="json")
    table["batch_norm"] = normalization(table["batch_norm"]) or False
    free = {key for key, switch in FOLLOWS.items() if switch in varied and key not in params}
    return {key: value for key, value in table.items() if key not in varied and key not in free}


def _params_schema(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.no_info_after_validator_function(
        given,
        handler(HyperparameterTable),
        serialization=core_schema.plain_serializer_function_ser_schema(plain),
    )


# A table in the file, in memory only what it sets: a default there would hide what an arm or [space] sets.
Params = Annotated[Mapping[str, Any], GetPydanticSchema(_params_schema)]
