"""What a search varies, as its file has it: choices, a range or a list of layers, maybe on conditions."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from functools import cache, partial, reduce
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

from hpo.spec.base import Model, RuleError, either, plain
from hpo.spec.dimensions import Choices, Condition, Dimension, Layers, Range, When, exact
from hpo.spec.hyperparameters import Count, Flag, Positive, TrainingTable, of_another_model
from hpo.spec.networks import normalization
from hpo.spec.vocabulary import vocabulary_beside

MOST_LAYERS = 100


def _condition(name: str, condition: Any) -> Condition:
    if isinstance(condition, Range):
        return condition
    if isinstance(condition, Mapping):
        if condition.keys() != {"low", "high"} or not _is_pair(tuple(condition.values())):
            raise RuleError("must be a value, a list of values or { low, high }", name, got=condition)
        if condition["low"] > condition["high"]:
            rule = f"must be at least low ({condition['low']})"
            raise RuleError(rule, name, "high", got=condition["high"])
        return Range(condition["low"], condition["high"])
    values = tuple(condition) if isinstance(condition, list | tuple) else (condition,)
    if not values:
        raise RuleError("must have at least one value", name, got=condition)
    return tuple(tuple(one) if isinstance(one, list) else one for one in values)


def _conditions(when: Any) -> When:
    if not isinstance(when, Mapping):
        raise RuleError("must be a table of conditions", got=when, remedy='Write { optimizer = "sgd" }.')
    return {name: _condition(name, condition) for name, condition in when.items()}


WHEN = (
    "Active only where all of these hold: a value of another hyperparameter of the space, a list of values, "
    "or { low, high }."
)
WhenTable = Annotated[
    Mapping[str, Any],
    PlainValidator(_conditions, json_schema_input_type=dict[str, Any]),
    PlainSerializer(plain),
]


class RangeTable(Model):
    """A range as the file has it; `_range_type` says what its numbers must be."""

    low: Any = Field(description="Smallest value, included.")
    high: Any = Field(description="Largest value, included.")
    log: Flag = Field(default=False, description="Uniform in the logarithm; not with step.")
    step: Any = Field(default=None, description="Only low, low + step, and so on up to high; not with log.")
    when: WhenTable = Field(default={}, description=WHEN)

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
        steps = (exact(self.high) - exact(self.low)) / exact(self.step)
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


def _choice_type(table: type[TrainingTable], name: str) -> Any:
    """The type of a value of a hyperparameter; None, which only means absent, is none."""
    known = table.model_fields[name]
    hint: Any = Annotated[known.annotation, *known.metadata] if known.metadata else known.annotation
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(hint) else hint


def _choices_type(name: str, choice: Any) -> Any:
    """The type of a list of choices for a hyperparameter."""
    return Annotated[tuple[choice, ...], AfterValidator(partial(_distinct, name)), Tag("choices")]


def _range_type(name: str, number: Any) -> Any:
    """The type of a range for a hyperparameter: a table in the file, a `Range` in memory."""
    fields: dict[str, Any] = {
        key: (kind, RangeTable.model_fields[key])
        for key, kind in {"low": number, "high": number, "step": _step_type(number) | None}.items()
    }
    made = create_model(f"RangeOf_{name}", __base__=RangeTable, __doc__=f"A range of {name}.", **fields)
    return Annotated[
        made,
        BeforeValidator(_as_file),
        AfterValidator(_range_of),
        Tag("range"),
    ]


def _step_type(number: Any) -> Any:
    """The type of a range's step: whatever its ends may be, more than 0."""
    return {float: Positive, int: Count}.get(get_args(number)[0], number)


def _range_of(checked: RangeTable) -> Range:
    numbers = {"low": checked.low, "high": checked.high, "step": checked.step}
    if any(isinstance(number, float) for number in numbers.values()):
        # Of an argument of a person's own, which may be written as either.
        numbers = {key: None if number is None else float(number) for key, number in numbers.items()}
    return Range(log=checked.log, when=checked.when, **numbers)


class ChoicesTable(Model):
    """Choices that have conditions, as the file has them."""

    choices: Any = Field(description="The values to choose from.")
    when: WhenTable = Field(default={}, description=WHEN)


def _table_of_choices(owner: str, name: str, choice: Any) -> Any:
    """The type of choices with conditions: a table in the file, `Choices` in memory."""
    choices: Any = Annotated[tuple[choice, ...], AfterValidator(partial(_distinct, name))]
    fields: Any = {"choices": (choices, ChoicesTable.model_fields["choices"])}
    made: Any = create_model(
        f"ChoicesOf_{owner}_{name}", __base__=ChoicesTable, __doc__=f"Choices of {name}.", **fields
    )
    joined = AfterValidator(lambda checked: Choices(checked.choices, checked.when))
    return Annotated[made, BeforeValidator(_as_file), joined, Tag("choices table")]


class LayersTable(Model):
    """A list of varying length, as the file has it."""

    layers: Any = Field(description="How many values the list has: [from, to], both included.")
    units: Any = Field(description="What each of them may be: a list of choices or a range.")
    when: WhenTable = Field(default={}, description=WHEN)


def _layers_type(name: str, fewest: int, choice: Any, number: Any) -> Any:
    """The type of a list of varying length: a table in the file, `Layers` in memory."""
    one: Any = _choices_type(name, choice) | _range_type(name, number)
    units: Any = Annotated[
        one,
        Discriminator(_branch),
        BeforeValidator(partial(_check_shape, kinds=("choices", "range"))),
    ]
    count = Annotated[Any, PlainValidator(partial(_counts, fewest), json_schema_input_type=tuple[int, int])]
    kinds: dict[str, Any] = {"layers": count, "units": units}
    fields: Any = {key: (kind, LayersTable.model_fields[key]) for key, kind in kinds.items()}
    made: Any = create_model(
        f"LayersOf_{name}", __base__=LayersTable, __doc__=f"A list of {name} of varying length.", **fields
    )
    return Annotated[made, BeforeValidator(_as_file), AfterValidator(_layers_of), Tag("list of layers")]


def _counts(fewest: int, layers: Any) -> tuple[int, int]:
    is_pair = isinstance(layers, list | tuple) and len(layers) == 2
    if not is_pair or not all(type(count) is int for count in layers):
        raise RuleError("must be the fewest and the most layers: [1, 3]", got=layers)
    low, high = layers
    if not fewest <= low <= high <= MOST_LAYERS or not high:
        rule = f"must be from {fewest} to {MOST_LAYERS} layers, the fewest first"
        raise RuleError(rule, got=layers)
    return low, high


def _layers_of(checked: LayersTable) -> Layers:
    if checked.units.when:
        remedy = "Set it beside layers and units."
        raise RuleError("cannot be set of each layer", "units", "when", remedy=remedy)
    low, high = checked.layers
    return Layers(low, high, checked.units, checked.when)


def _branch(dimension: object) -> str:
    if isinstance(dimension, Layers) or (
        isinstance(dimension, Mapping) and dimension.keys() & {"layers", "units"}
    ):
        return "list of layers"
    if isinstance(dimension, Choices):
        return "choices table" if dimension.when else "choices"
    if isinstance(dimension, Mapping | Range):
        is_range = isinstance(dimension, Range) or "choices" not in dimension
        return "range" if is_range else "choices table"
    return "choices"


# What a dimension of each kind is called.
KINDS = {
    "choices": "a list of choices",
    "range": "a range { low, high }",
    "list of layers": "a list of layers { layers, units }",
}


def _check_shape(dimension: object, *, kinds: tuple[str, ...], layered: Collection[str] = ()) -> object:
    ranged = "range" in kinds
    if ranged and type(dimension) is tuple and _is_pair(dimension):
        low, high = dimension
        raise RuleError(
            "must be a list of choices or a range, and a tuple of two numbers may mean either",
            remedy=f"Write [{low!r}, {high!r}] for a choice of two, or"
            f' {{"low": {low!r}, "high": {high!r}}} for a range, uniform in the logarithm with "log": True.',
        )
    if isinstance(dimension, list | tuple | Mapping | Range | Layers) and _branch(dimension) in kinds:
        return dimension
    remedy = "A fixed value belongs in [params]."
    if _branch(dimension) == "list of layers":
        remedy = f"Such a list can be of {either(layered)} alone." if layered else ""
    *most, last = [KINDS[kind] for kind in kinds if kind in KINDS]
    rule = f"must be {', '.join(most)}{' or ' * bool(most)}{last}"
    raise RuleError(rule, got=_as_file(dimension), remedy=remedy)


def _is_pair(values: tuple[Any, ...]) -> bool:
    """Whether these are two numbers; Python has tuples, study files have none."""
    return len(values) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _dimension_type(table: type[TrainingTable], name: str) -> Any:
    choice = _choice_type(table, name)
    kinds: dict[str, Any] = {
        "choices": _choices_type(name, choice),
        "choices table": _table_of_choices(table.__name__, name, choice),
    }
    if name in table.ranged:
        kinds["range"] = _range_type(name, table.ranged[name])
    if name in table.layered:
        kinds["list of layers"] = _layers_type(name, *table.layered[name])
    every: Any = reduce(operator.or_, kinds.values())
    dimension: Any = Annotated[every, Discriminator(_branch)]
    check = partial(_check_shape, kinds=tuple(kinds), layered=table.layered)
    return Annotated[dimension, BeforeValidator(check, json_schema_input_type=dimension)]


class SpaceTable(Model):
    """What varies: for each hyperparameter a list of choices, a range or a list of layers."""

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
            Field(None, description=known.description, json_schema_extra=_no_default),
        )
        for name, known in table.model_fields.items()
        if name != "epochs"
    }
    return create_model("Space", __base__=SpaceTable, __doc__=SpaceTable.__doc__, **fields)


@cache
def _adapter(table: type[TrainingTable]) -> TypeAdapter[Mapping[str, Dimension | Layers]]:
    checked: Any = Annotated[space_table(table), AfterValidator(_dimensions)]
    return TypeAdapter(checked)


def _dimensions(table: SpaceTable) -> dict[str, Dimension | Layers]:
    if not table.model_fields_set:
        raise RuleError("must vary at least one hyperparameter", got={})
    return {name: getattr(table, name) for name in type(table).model_fields if name in table.model_fields_set}


def as_json(space: Mapping[str, Dimension | Layers]) -> dict[str, Any]:
    """`space` as JSON values, without the defaults of its ranges."""
    return {name: plain(_as_file(dimension)) for name, dimension in space.items()}


def _as_file(dimension: Any) -> Any:
    """A dimension in memory as a file has it, without defaults; anything else as it is."""
    if isinstance(dimension, Layers):
        counts = [dimension.low, dimension.high]
        table: dict[str, Any] = {"layers": counts, "units": _as_file(dimension.units)}
    elif isinstance(dimension, Range):
        table = {"low": dimension.low, "high": dimension.high}
        table |= {"log": True} if dimension.log else {}
        table |= {} if dimension.step is None else {"step": dimension.step}
    elif isinstance(dimension, Choices):
        table = {"choices": list(dimension)}
    else:
        return dimension
    if dimension.when:
        return table | {"when": {name: _condition_as_file(one) for name, one in dimension.when.items()}}
    return table["choices"] if isinstance(dimension, Choices) else table


def _condition_as_file(condition: Condition) -> Any:
    if isinstance(condition, Range):
        return {"low": condition.low, "high": condition.high}
    is_one = len(condition) == 1 and not isinstance(condition[0], tuple)
    return condition[0] if is_one else list(condition)


def _checked(space: Any, info: ValidationInfo) -> Any:
    vocabulary = vocabulary_beside(info)
    return space if vocabulary is None else _adapter(vocabulary.table).validate_python(space)


Space = Annotated[
    Mapping[str, Dimension | Layers],
    PlainValidator(_checked, json_schema_input_type=dict[str, Any]),
    PlainSerializer(as_json),
]
