"""The hyperparameters that every network has: how it is trained, how its samples are prepared."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hpo.spec.base import Model, Must, OneOf, RuleError, UnknownKeyError, either, nearest, plain

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
# Keras has them too.
OTHER_OPTIMIZERS = ("adamw", "adadelta", "adafactor", "ftrl", "lion", "lamb", "muon")
Optimizer = Annotated[
    Literal["sgd", "adam", "adamax", "nadam", "adagrad", "rmsprop"], OneOf(others=OTHER_OPTIMIZERS)
]
Schedule = Annotated[Literal["constant", "inverse_time", "exponential", "cosine"], OneOf()]
Scaling = Annotated[Literal["standard", "robust", "quantile", "none"], OneOf()]
Levels = Annotated[int, Field(strict=True, ge=0, le=1000), Must("an integer from 0 to 1000")]
BatchSize = Annotated[Count | Literal["full"], Must(f'an integer from 1 to {MAX_COUNT}, or "full"')]
ClassWeight = Annotated[
    Literal["balanced", "none"] | Mapping[str, Strength],
    Must('"balanced", "none" or a table of weights by class, each a number of at least 0'),
]
# These defaults follow another key.
FOLLOWS = {"learning_rate": "optimizer", "decay_rate": "schedule", "decay_steps": "schedule"}
DECAY_RATES = {"inverse_time": 0.01, "exponential": 0.96}
DECAY_STEPS = {"inverse_time": 1, "exponential": 1000}
# What a model that comes compiled takes no notice of.
OF_OPTIMIZER = ("optimizer", "learning_rate", "momentum", "nesterov", "schedule", "decay_rate", "decay_steps")
# These have an effect only with one of a few values of another key.
TAKES = {
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "decay_rate": ("schedule", ("inverse_time", "exponential")),
    "decay_steps": ("schedule", ("inverse_time", "exponential", "cosine")),
}


class TrainingTable(Model):
    """How any network is trained and its samples are prepared, each key checked by itself; unset: default."""

    # Whether samples may have several inputs, and targets several outputs.
    takes_several: ClassVar[bool] = False
    # The keys that rules tie together: checking each group's combinations checks every rule.
    coupled: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("optimizer", "momentum", "nesterov"),
        ("schedule", "decay_rate", "decay_steps"),
    )
    # The keys that can take a range, and what its ends must be.
    ranged: ClassVar[Mapping[str, Any]] = {
        "learning_rate": Positive,
        "momentum": Rate,
        "decay_rate": Positive,
        "decay_steps": Count,
        "one_hot_levels": Levels,
        "embedding_width": Count,
        "min_level_count": Count,
        "batch_size": Count,
        "early_stopping_patience": Count,
    }

    # The keys that can take a list of layers: the fewest, and what each value is, as a choice and in a range.
    layered: ClassVar[Mapping[str, tuple[int, Any, Any]]] = {}

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
    class_weight: ClassWeight | None = Field(
        default=None,
        description="How much the training samples of each class count: balanced (every class as much as any "
        "other), none, or a table of weights by the class's name or number, 1 for those that it does not "
        "name. Default: none.",
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

    def spelt(self) -> dict[str, Any]:
        """JSON values of every key, one spelling for those that have several."""
        return self.model_dump(mode="json") | {"class_weight": plain(self.weighted_classes)}

    @property
    def weighted_classes(self) -> Literal["balanced"] | Mapping[str, float] | None:
        """How classes are weighted; None if they are not."""
        given = self.class_weight
        return None if given is None or given == "none" or not given else given

    def check_together(self) -> None:
        """Raises RuleError when effective values exclude each other."""
        for key, (switch, names) in TAKES.items():
            value = getattr(self, key)
            if value and getattr(self, switch) not in names:
                chosen = getattr(self, switch)
                raise RuleError(
                    f"has no effect with {switch} = {chosen!r}",
                    key,
                    got=value,
                    remedy=f"It takes {switch} {' or '.join(names)}.",
                )
        if self.schedule == "exponential" and self.decay_rate is not None and self.decay_rate > 1:
            rule = "must be at most 1 with schedule = 'exponential'"
            raise RuleError(rule, "decay_rate", got=self.decay_rate)

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        return of_another_model(cls, key) or super().unknown_key(key)

    def check_samples(self, shape: tuple[int, ...]) -> None:
        """Raises RuleError if no network can be made of them for samples of this shape."""


def of_another_model(table: type[Model], key: object) -> RuleError | None:
    """The error for a key that a table of a built model has not, if it is a hyperparameter of another one."""
    from hpo.spec.vocabulary import VOCABULARIES

    names = {model: set(vocabulary.names) for model, vocabulary in VOCABULARIES.items()}
    models = [model for model in names if key in names[model]]
    # A space has all of them but the epochs, an arm its name too.
    is_built = any(known - {"epochs"} <= table.model_fields.keys() for known in names.values())
    if not models or not is_built or nearest(key, table.model_fields) is not None:
        return None
    return UnknownKeyError(key, remedy=f"It is one of model {either(models)}.")


class Hyperparameters(TrainingTable):
    """The effective hyperparameters of one training run, of whatever network.

    Raises SpecError when a value, or a combination of values, breaks a rule.
    """

    source: ClassVar[str] = "hyperparameters"

    @model_validator(mode="after")
    def _together(self) -> Self:
        self.check_together()
        return self

    @property
    def canonical(self) -> Self:
        """The same training run in one spelling: equal for all that differ in how they are written."""
        spelt = {"nesterov": self.nesterov and self.momentum > 0, "class_weight": self.weighted_classes}
        return self.model_copy(update=spelt)

    @property
    def network_key(self) -> Hashable:
        """What of them changes the shape of the network and of what trains it."""
        return (
            self.optimizer,
            self.schedule,
            self.nesterov and self.momentum > 0,
            self.momentum if self.optimizer == "rmsprop" else self.momentum > 0,
            # Of tables alone.
            self.scaling,
            self.one_hot_levels,
            self.embedding_width,
        )

    @property
    def compile_key(self) -> Hashable:
        """What of them changes the shape of a compiled program: the network, and its batches."""
        key = self.network_key, self.batch_size
        # What it trains on has an array more.
        return key if self.weighted_classes is None else (*key, "weighted")

    def steps_per_epoch(self, samples: int) -> int:
        """Optimizer steps in an epoch over so many samples, a short last batch included."""
        return 1 if self.batch_size == "full" else -(-samples // self.batch_size)


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


def given(table: TrainingTable) -> dict[str, Any]:
    """What `table` sets itself, in the vocabulary's order. Raises RuleError for None, which no file has."""
    values = {key: getattr(table, key) for key in type(table).model_fields if key in table.model_fields_set}
    for key, value in values.items():
        if value is None:
            raise RuleError("must have a value", key, got=None, remedy="Leave the key out for its default.")
    return values


def fixed_values(
    table: type[TrainingTable], params: Mapping[str, Any], *, varied: Collection[str] = ()
) -> dict[str, Any]:
    """JSON values of all hyperparameters that neither vary nor follow one that does, defaults included."""
    values = table.model_validate(dict(params)).spelt()
    free = {key for key, switch in FOLLOWS.items() if switch in varied and key not in params}
    return {key: value for key, value in values.items() if key not in varied and key not in free}
