"""The specification of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    create_model,
    model_validator,
)

from hpo.errors import SpecError
from hpo.spec.base import Must, RuleError, plain, suggest, within
from hpo.spec.hyperparameters import (
    Count,
    Hyperparameters,
    Positive,
    Seed,
    TrainingTable,
    check_used,
    fixed_values,
    given,
)
from hpo.spec.metrics import OWN_EFFECT, is_own
from hpo.spec.parts import FinalMetric, Text
from hpo.spec.study import StudySpec
from hpo.spec.vocabulary import vocabulary_beside

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


ArmName = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=64),
    AfterValidator(printable),
    Must("1 to 64 printable characters"),
]


def _flat(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, **plain(arm.params)}


def _as_table(arm: Any) -> Any:
    return _flat(arm) if isinstance(arm, Arm) else arm


def _as_arm(table: Any) -> Arm:
    return Arm(table.name, {key: value for key, value in given(table).items() if key != "name"})


@cache
def arm_table(table: type[TrainingTable], name: Any = ArmName) -> type[TrainingTable]:
    """An arm of these hyperparameters as the file has it."""
    described = Field(description="The arm's name, unique in the study.")
    return create_model(
        "ArmTable", __base__=table, __doc__="An arm as the file has it.", name=(name, described)
    )


@cache
def _adapter(table: type[TrainingTable], name: Any) -> TypeAdapter[tuple[Arm, ...]]:
    arm: Any = Annotated[arm_table(table, name), BeforeValidator(_as_table), AfterValidator(_as_arm)]
    return TypeAdapter(tuple[arm, ...])


def checked_arms(name: Any = ArmName) -> Any:
    """The validator of a list of arms, whose names are of such a type."""

    def checked(arms: Any, info: ValidationInfo) -> Any:
        if not isinstance(arms, list | tuple):
            raise RuleError("must be a list of tables", got=arms, remedy="Write each arm below [[arms]].")
        vocabulary = vocabulary_beside(info)
        return arms if vocabulary is None else _adapter(vocabulary.table, name).validate_python(arms)

    return PlainValidator(checked, json_schema_input_type=list[dict[str, Any]])


def _several(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    if len(arms) < 2:
        raise RuleError("must be at least two", got=len(arms))
    return arms


def written_arms(arms: tuple[Arm, ...]) -> list[dict[str, Any]]:
    """Arms as the file has them."""
    return [_flat(arm) for arm in arms]


Arms = Annotated[tuple[Arm, ...], checked_arms(), AfterValidator(_several), PlainSerializer(written_arms)]


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
        " val_loss = 0.01, train_seconds = 0.1, which is a tenth of it, and so on; of an objective that"
        f" is the model's own {OWN_EFFECT}.",
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
        for name in self.min_effect:
            if is_own(name) and not self.metric(name).is_judged:
                remedy = "Verdicts are passed on the objective's and on those that hpo knows."
                raise RuleError(
                    "must be of a metric whose direction is known", "min_effect", name, remedy=remedy
                )
        self._check_hyperparameters()
        return self

    def _check_hyperparameters(self) -> None:
        seen: list[Hyperparameters] = []
        for index, arm in enumerate(self.arms):
            with within("arms", index):
                values = {**self.params, **arm.params}
                self._check_declared(values)
                self.check_given(values, remedy="Set it in [params] or in each arm.")
                self.vocabulary.table.model_validate(values).check_together()
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

    def values_of(self, name: str) -> tuple[Any, ...]:
        return (*super().values_of(name), *(arm.params[name] for arm in self.arms if name in arm.params))

    def sets(self, name: str) -> bool:
        return name in self.params or any(name in arm.params for arm in self.arms)

    def tables(self) -> Iterator[TrainingTable]:
        for arm in self.arms:
            yield self.hyperparameters_for(arm.params)

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
        arms = {arm.name: fixed_values(self.vocabulary.table, params | dict(arm.params)) for arm in self.arms}
        return content | {"arms": arms}


def _listed(names: list[str]) -> str:
    return f"The arms are {', '.join(map(repr, names))}."
