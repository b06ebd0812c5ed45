"""The vocabularies of the networks that hpo builds: what each is made of, and how it is trained."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from hpo.spec.base import Model, Must, OneOf, RuleError
from hpo.spec.hyperparameters import MAX_COUNT, Count, Flag, Hyperparameters, Rate, Strength, TrainingTable

BatchNorm = Annotated[Flag | Literal["before", "after"], Must('false, "before" or "after"')]
Activation = Annotated[
    Literal["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "leaky_relu", "linear"], OneOf()
]
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


class MlpNetwork(Model):
    """What an MLP is made of."""

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


class MlpTable(TrainingTable, MlpNetwork):
    """Every hyperparameter of an MLP, each checked by itself; what a table does not set has its default."""

    coupled: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("hidden_units", "dropout", "l2"),
        *TrainingTable.coupled,
    )
    ranged: ClassVar[Mapping[str, Any]] = {"dropout": Rate, "l2": Strength, **TrainingTable.ranged}

    def spelt(self) -> dict[str, Any]:
        return super().spelt() | {"batch_norm": normalization(self.batch_norm) or False}

    def check_together(self) -> None:
        layers = len(self.hidden_units)
        for key in ("dropout", "l2"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != layers:
                raise RuleError(f"must have one value per hidden layer ({layers})", key, got=value)
        super().check_together()


class MlpHyperparameters(Hyperparameters, MlpTable):
    """The effective hyperparameters of one training run of an MLP.

    Raises SpecError when a value, or a combination of values, breaks a rule.
    """

    @property
    def normalization(self) -> Literal["before", "after"] | None:
        """Where a hidden layer has its batch normalisation: before or after its activation; None without."""
        return normalization(self.batch_norm)

    @property
    def canonical(self) -> Self:
        """The same training run in one spelling: equal for all that differ in how they are written.

        >>> MlpHyperparameters(dropout=0.2).canonical == MlpHyperparameters(dropout=[0.2, 0.2]).canonical
        True
        """
        spelt: dict[str, Any] = {name: self.per_layer(name) for name in ("dropout", "l2")}
        return super().canonical.model_copy(update=spelt | {"batch_norm": self.normalization or False})

    def per_layer(self, name: Literal["dropout", "l2"]) -> tuple[float, ...]:
        """`dropout` or `l2` of each hidden layer."""
        value: float | tuple[float, ...] = getattr(self, name)
        return value if isinstance(value, tuple) else (value,) * len(self.hidden_units)

    @property
    def network_key(self) -> Hashable:
        return (
            self.hidden_units,
            self.activation,
            self.normalization,
            tuple(rate > 0 for rate in self.per_layer("dropout")),
            tuple(strength > 0 for strength in self.per_layer("l2")),
            super().network_key,
        )


def normalization(batch_norm: Any) -> Literal["before", "after"] | None:
    """What `batch_norm` asks for, in either spelling."""
    return "before" if batch_norm is True else batch_norm or None
