"""What a search varies: a list of choices or a range for each hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache, partial
from typing import Annotated, Any, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    TypeAdapter,
    ValidationInfo,
    create_model,
    model_validator,
)

from hpo.spec.base import Model, RuleError, plain
from hpo.spec.hyperparameters import Flag, TrainingTable, of_another_model
from hpo.spec.networks import normalization
from hpo.spec.vocabulary import vocabulary_beside


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; by `step`, or uniform in the logarithm with `log`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


class Choices(tuple[Any, ...]):
    """Checked choices, as a specification in memory holds them."""

    __slots__ = ()


Dimension = tuple[Any, ...] | Range


def size(dimension: Dimension) -> int | None:
    """How many values `dimension` has; None for a range without a step."""
    if not isinstance(dimension, Range):
        return len(dimension)
    if dimension.step is None:
        return None
    return int((_exact(dimension.high) - _exact(dimension.low)) / _exact(dimension.step)) + 1


def value(dimension: Dimension, index: int) -> Any:
    """The value number `index` of a dimension that has a size."""
    if not isinstance(dimension, Range):
        return dimension[index]
    assert dimension.step is not None
    exact = _exact(dimension.low) + index * _exact(dimension.step)
    return type(dimension.low)(exact)


def ends(dimension: Dimension) -> tuple[Any, ...]:
    """Values that between them meet every rule which any value of `dimension` meets."""
    return (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension


def _exact(number: float) -> Fraction:
    # The decimal number that the file shows: 0.3 is three steps of 0.1.
    return Fraction(str(number))


class RangeTable(Model):
    """A range as the file has it; `_range_type` says what its numbers must be."""

    low: Any = Field(description="Smallest value, included.")
    high: Any = Field(description="Largest value, included.")
    log: Flag = Field(default=False, description="Uniform in the logarithm; not with step.")
    step: Any = Field(default=None, description="Only low, low + step, and so on up to high; not with log.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise RuleError(f"must be greater than low ({self.low})", "high", got=self.high)
        if self.log and self.low <= 0:
            raise RuleError("must be greater than 0 with log = true", "low", got=self.low)
        if self.step is not None:
            self._check_step()
        return self

    def _check_step(self) -> None:
        if self.log:
            remedy = "Remove one of them."
            raise RuleError("cannot be set with log = true", "step", got=self.step, remedy=remedy)
        if self.step <= 0:
            raise RuleError("must be greater than 0", "step", got=self.step)
        steps = (_exact(self.high) - _exact(self.low)) / _exact(self.step)
        if steps.denominator != 1:
            raise RuleError(f"must be low plus a whole number of steps of {self.step}", "high", got=self.high)


def _distinct(name: str, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not choices:
        raise RuleError("must have at least one choice", got=choices)
    # Compared only: Optuna stores the choices, and refuses a study's trials others than it began with.
    spelt = [normalization(choice) for choice in choices] if name == "batch_norm" else choices
    for index, choice in enumerate(spelt):
        if choice in spelt[:index]:
            raise RuleError("repeats an earlier choice", index, got=choices[index])
    return Choices(choices)


def _choices_type(table: type[TrainingTable], name: str) -> Any:
    """The type of a list of choices for a hyperparameter; None, which only means absent, is none of them."""
    field = table.model_fields[name]
    hint: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    choice: Any = kinds[0] if type(None) in get_args(hint) else hint
    return Annotated[tuple[choice, ...], AfterValidator(partial(_distinct, name)), Tag("choices")]


def _range_type(table: type[TrainingTable], name: str) -> Any:
    """The type of a range for a hyperparameter: a table in the file, a `Range` in memory."""
    number = table.ranged[name]
    fields: dict[str, Any] = {
        key: (kind, RangeTable.model_fields[key])
        for key, kind in {"low": number, "high": number, "step": number | None}.items()
    }
    made = create_model(f"RangeOf_{name}", __base__=RangeTable, __doc__=f"A range of {name}.", **fields)
    return Annotated[
        made,
        BeforeValidator(lambda range_: asdict(range_) if isinstance(range_, Range) else range_),
        AfterValidator(_range_of),
        Tag("range"),
    ]


def _range_of(checked: RangeTable) -> Range:
    numbers = {"low": checked.low, "high": checked.high, "step": checked.step}
    if any(isinstance(number, float) for number in numbers.values()):
        # Of an argument of a person's own, which may be written as either.
        numbers = {key: None if number is None else float(number) for key, number in numbers.items()}
    return Range(log=checked.log, **numbers)


def _branch(dimension: object) -> str:
    return "range" if isinstance(dimension, Mapping | Range) else "choices"


def _check_shape(dimension: object, *, ranged: bool) -> object:
    allowed = list | tuple | Mapping | Range if ranged else list | tuple
    if ranged and type(dimension) is tuple and _is_pair(dimension):
        low, high = dimension
        raise RuleError(
            "must be a list of choices or a range, and a tuple of two numbers may mean either",
            remedy=f"Write [{low!r}, {high!r}] for a choice of two, or"
            f' {{"low": {low!r}, "high": {high!r}}} for a range, uniform in the logarithm with "log": True.',
        )
    if isinstance(dimension, allowed):
        return dimension
    either = "a list of choices or a range { low, high }" if ranged else "a list of choices"
    raise RuleError(f"must be {either}", got=dimension, remedy="A fixed value belongs in [params].")


def _is_pair(values: tuple[Any, ...]) -> bool:
    """Whether these are two numbers; Python has tuples, study files have none."""
    return len(values) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _dimension_type(table: type[TrainingTable], name: str) -> Any:
    dimension, ranged = _choices_type(table, name), name in table.ranged
    if ranged:
        dimension = Annotated[dimension | _range_type(table, name), Discriminator(_branch)]
    check = partial(_check_shape, ranged=ranged)
    return Annotated[dimension, BeforeValidator(check, json_schema_input_type=dimension)]


class SpaceTable(Model):
    """What varies: for each hyperparameter a list of choices or a range."""

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        if key == "epochs":
            return RuleError(
                "cannot vary, since it is the budget of every trial",
                "epochs",
                remedy="Set it in [params], and use a pruner or early_stopping_patience to spend less.",
            )
        return of_another_model(cls, key) or super().unknown_key(key)


def _no_default(schema: dict[str, Any]) -> None:
    del schema["default"]


@cache
def space_table(table: type[TrainingTable]) -> type[SpaceTable]:
    """What a study may vary of these hyperparameters."""
    fields: dict[str, Any] = {
        name: (
            _dimension_type(table, name),
            Field(None, description=field.description, json_schema_extra=_no_default),
        )
        for name, field in table.model_fields.items()
        if name != "epochs"
    }
    return create_model("Space", __base__=SpaceTable, __doc__=SpaceTable.__doc__, **fields)


@cache
def _adapter(table: type[TrainingTable]) -> TypeAdapter[Mapping[str, Dimension]]:
    checked: Any = Annotated[space_table(table), AfterValidator(_dimensions)]
    return TypeAdapter(checked)


def _dimensions(table: SpaceTable) -> dict[str, Dimension]:
    if not table.model_fields_set:
        raise RuleError("must vary at least one hyperparameter", got={})
    return {name: getattr(table, name) for name in type(table).model_fields if name in table.model_fields_set}


def as_json(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """`space` as JSON values, without the defaults of its ranges."""
    return {name: _without_defaults(d) if isinstance(d, Range) else plain(d) for name, d in space.items()}


def _without_defaults(range_: Range) -> dict[str, Any]:
    return {key: value for key, value in asdict(range_).items() if value is not None and value is not False}


def _checked(space: Any, info: ValidationInfo) -> Any:
    vocabulary = vocabulary_beside(info)
    return space if vocabulary is None else _adapter(vocabulary.table).validate_python(space)


Space = Annotated[
    Mapping[str, Dimension],
    PlainValidator(_checked, json_schema_input_type=dict[str, Any]),
    PlainSerializer(as_json),
]
