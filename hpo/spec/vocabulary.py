"""Which hyperparameters a study may name: those of its model, and those that every training run has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)

from hpo.spec.base import Model, OneOf, RuleError, UnknownKeyError, nearest, plain
from hpo.spec.hyperparameters import Hyperparameters, TrainingTable, given
from hpo.spec.networks import CnnHyperparameters, CnnTable, MlpHyperparameters, MlpTable
from hpo.spec.own_code import GIVEN, OwnModel, is_plain

# The networks that hpo builds; a person's own is named by its file.
Built = Literal["mlp", "cnn"]


def _kind(model: object) -> str:
    return "own model" if isinstance(model, Mapping | OwnModel) else "built"


ModelChoice = Annotated[
    Annotated[Built, OneOf(), Tag("built")] | Annotated[OwnModel, Tag("own model")], Discriminator(_kind)
]


@dataclass(frozen=True)
class Vocabulary:
    """The hyperparameters of a model: `table` has each by itself, `effective` all of a run together."""

    table: type[TrainingTable]
    effective: type[Hyperparameters]

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters, in their order."""
        return tuple(self.table.model_fields)

    @cached_property
    def params(self) -> TypeAdapter[Mapping[str, Any]]:
        """Checks [params]. In memory only what it sets: a default would hide what an arm or [space] sets."""
        checked: Any = Annotated[self.table, AfterValidator(given)]
        return TypeAdapter(checked)


VOCABULARIES = {
    "mlp": Vocabulary(MlpTable, MlpHyperparameters),
    "cnn": Vocabulary(CnnTable, CnnHyperparameters),
}


def vocabulary_of(model: str | OwnModel) -> Vocabulary:
    """The vocabulary of a model."""
    if isinstance(model, OwnModel):
        return _own(model.required, json.dumps(plain(model.defaults)), model.structure)
    return VOCABULARIES[model]


def vocabulary_beside(info: ValidationInfo) -> Vocabulary | None:
    """The vocabulary of the study of which another key is being checked; None if its model is at fault."""
    model = info.data.get("model")
    return None if model is None else vocabulary_of(model)


class OwnTable(TrainingTable):
    """The hyperparameters of a person's own model, each checked by itself. None: the function's own default.

    `arguments`: those that are the function's alone.
    """

    arguments: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        if key in GIVEN:
            return RuleError("is what the data say, and not the study", str(key), remedy="Remove it.")
        if match := nearest(key, cls.model_fields):
            return UnknownKeyError(key, remedy=f"Did you mean {match}?")
        takes = ", ".join(cls.arguments) or "nothing of its own"
        trained = ", ".join(TrainingTable.model_fields)
        return UnknownKeyError(key, remedy=f"The function takes {takes}; every study has {trained}.")


class OwnHyperparameters(Hyperparameters):
    """The effective hyperparameters of a run of a person's own model. None: the function's own default."""

    structure: ClassVar[tuple[str, ...]] = ()

    @property
    def network_key(self) -> Any:
        return tuple(getattr(self, name) for name in self.structure), super().network_key


def _checked(value: object) -> Any:
    if not is_plain(value):
        raise RuleError("must be text, a finite number, true, false or a list of such", got=value)
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_plain(value):
        raise RuleError("must be a finite number", got=value)
    return value


OwnValue = Annotated[Any, PlainValidator(_checked), PlainSerializer(plain), WithJsonSchema({})]
OwnNumber = Annotated[Any, PlainValidator(_number), WithJsonSchema({"type": "number"})]


@cache
def _own(required: tuple[str, ...], defaults: str, structure: tuple[str, ...] | None) -> Vocabulary:
    known = json.loads(defaults)
    fields, shared = dict[str, Any](), dict[str, Any]()
    for name in (*required, *known):
        default = _frozen(known.get(name))
        if (field := TrainingTable.model_fields.get(name)) is None:
            description = f"An argument of the model's function. Default: {default!r}."
            fields[name] = (OwnValue | None, Field(default=default, description=description))
        elif default is not None:
            # The function's own default; the rules of the name are those that it has everywhere.
            annotation: Any = Annotated[(field.annotation, *field.metadata)]
            shared[name] = (annotation, Field(default=default, description=field.description))
    network = create_model("OwnNetwork", __base__=Model, **fields)
    table: Any = create_model("OwnTable", __base__=(OwnTable, network), __doc__=OwnTable.__doc__, **shared)
    table.arguments = tuple(fields)
    table.takes_several = True
    table.ranged = {**dict.fromkeys(fields, OwnNumber), **TrainingTable.ranged}
    table.layered = dict.fromkeys(fields, (0, OwnValue, OwnNumber))
    effective: Any = create_model(
        "OwnHyperparameters", __base__=(OwnHyperparameters, table), __doc__=OwnHyperparameters.__doc__
    )
    effective.structure = (*required, *known) if structure is None else structure
    return Vocabulary(table, effective)
