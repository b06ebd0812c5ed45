"""The specification of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from hpo.errors import SpecError
from hpo.spec.base import Must, RuleError, plain, suggest, within
from hpo.spec.hyperparameters import (
    Count,
    Hyperparameters,
    HyperparameterTable,
    Positive,
    Seed,
    check_together,
    check_used,
    fixed_values,
    given,
)
from hpo.spec.parts import FinalMetric, Text
from hpo.spec.study import StudySpec

Alpha = Annotated[float, Field(strict=True, gt=0, lt=0.5), Must("a number between 0 and 0.5, both excluded")]


@dataclass(frozen=True)
class Arm:
    """One named configuration of a comparison: what it sets on top of [params]."""

    name: str
    params: Mapping[str, Any]


def printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("not printable")
    return name


class ArmTable(HyperparameterTable):
    """An arm as the file has it."""

    name: Annotated[
        str,
        Field(strict=True, min_length=1, max_length=64),
        AfterValidator(printable),
        Must("1 to 64 printable characters"),
    ] = Field(description="The arm's name, unique in the study.")


def _flat(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, **plain(arm.params)}


def arm_type(table: type[ArmTable]) -> Any:
    """The type of an arm: this table in the file, an `Arm` in memory."""

    def schema(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda checked: Arm(checked.name, given(checked)),
            core_schema.no_info_before_validator_function(
                lambda arm: _flat(arm) if isinstance(arm, Arm) else arm, handler(table)
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(_flat),
        )

    return Annotated[Arm, GetPydanticSchema(schema)]


def tables(arms: Any) -> Any:
    if not isinstance(arms, list | tuple):
        raise RuleError("must be a list of tables", got=arms, remedy="Write each arm below [[arms]].")
    return arms


def _several(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    if len(arms) < 2:
        raise RuleError("must be at least two", got=len(arms))
    return arms


if TYPE_CHECKING:
    FileArm = Arm
else:
    FileArm = arm_type(ArmTable)

Arms = Annotated[
    tuple[FileArm, ...],
    BeforeValidator(tables, json_schema_input_type=list[ArmTable]),
    AfterValidator(_several),
]


class ComparisonSpec(StudySpec):
    """A comparison: named arms, each trained with the same seeds.

    >>> arms = [{"name": "SGD", "optimizer": "sgd"}, {"name": "Adam", "optimizer": "adam"}]
    >>> ComparisonSpec(name="two", kind="comparison", data={"name": "digits"}, seeds=5, arms=arms).planned
    10
    """

    kind: Literal["comparison"] = Field(description="A comparison of named arms.")
    seeds: Count = Field(default=5, description="Trials of each arm, one per seed.")
    first_seed: Seed = Field(default=0, description="The first of them; the others follow it.")
    arms: Arms = Field(description="The configurations to compare, at least two.")
    baseline: Text = Field(
        default_factory=lambda given: given["arms"][0].name,
        description="The arm that the others are compared with. Default: the first.",
    )
    min_effect: Mapping[FinalMetric, Positive] = Field(
        default={},
        description="For a metric, the smallest difference that matters: val_accuracy = 0.005 by default,"
        " val_loss = 0.01, train_seconds = 0.1, which is a tenth of it, and so on.",
    )
    alpha: Alpha = Field(default=0.05, description="The level of the tests.")

    if TYPE_CHECKING:

        def __init__(self, /, **table: Any) -> None: ...

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [arm.name for arm in self.arms]
        for index, name in enumerate(names):
            if name in names[:index]:
                rule = f"must be unique, but arms[{names.index(name) + 1}] has it too"
                raise RuleError(rule, "arms", index, "name")
        if self.baseline not in names:
            remedy = suggest(self.baseline, names, otherwise=_listed(names))
            raise RuleError("must name an arm", "baseline", got=self.baseline, remedy=remedy)
        self._check_hyperparameters()
        return self

    def _check_hyperparameters(self) -> None:
        seen: list[Hyperparameters] = []
        for index, arm in enumerate(self.arms):
            with within("arms", index):
                values = {**self.params, **arm.params}
                self._check_declared(values)
                check_together(HyperparameterTable.model_validate(values))
                canonical = self.hyperparameters_for(arm.params).canonical
                if canonical in seen:
                    twin = seen.index(canonical)
                    name = f'arms[{twin + 1}] "{self.arms[twin].name}"'
                    raise RuleError(f"must differ from {name} in at least one hyperparameter")
            seen.append(canonical)

    def _check_declared(self, values: Mapping[str, Any]) -> None:
        """Raises RuleError for a key that an arm declares in vain."""
        check_used(values)

    @property
    def seed_range(self) -> range:
        """The seeds that each arm is trained with."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def sets(self, name: str) -> bool:
        return name in self.params or any(name in arm.params for arm in self.arms)

    @property
    def replicates(self) -> int:
        return self.data.splits or 1

    @property
    def planned(self) -> int:
        return len(self.arms) * self.seeds

    def smallest_effect(self, metric: str) -> float:
        own: dict[str, float] = {name: effect for name, effect in self.min_effect.items()}  # noqa: C416
        return own.get(metric, super().smallest_effect(metric))

    def arm(self, name: str) -> Arm:
        """The arm of that name. Raises SpecError."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        names = [arm.name for arm in self.arms]
        remedy = suggest(name, names, otherwise=_listed(names))
        raise SpecError(f"study {self.name!r}", f"has no arm {name!r}", remedy=remedy)

    def content(self) -> dict[str, Any]:
        content = super().content()
        params = content.pop("params")
        arms = {arm.name: fixed_values(params | dict(arm.params)) for arm in self.arms}
        return content | {"arms": arms}


def _listed(names: list[str]) -> str:
    return f"The arms are {', '.join(map(repr, names))}."
