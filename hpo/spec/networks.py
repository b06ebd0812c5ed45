"""The vocabularies of the networks that hpo builds: what each is made of, and how it is trained."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from hpo.spec.base import Model, Must, OneOf, RuleError
from hpo.spec.hyperparameters import MAX_COUNT, Count, Flag, Hyperparameters, Rate, Strength, TrainingTable

BatchNorm = Annotated[Flag | Literal["before", "after"], Must('false, "before" or "after"')]
# Where a layer has its batch normalisation: before or after its activation; None without.
Normalization = Literal["before", "after"] | None
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
BlockDropout = Annotated[
    Rate | tuple[Rate, ...], Must("a number of at least 0 and less than 1, or a list with one per block")
]
IN_A_LIST = BeforeValidator(
    lambda counts: (counts,) if isinstance(counts, int) else counts,
    json_schema_input_type=Count | list[Count],
)
HiddenUnits = Annotated[
    tuple[Count, ...],
    IN_A_LIST,
    Must(f"an integer from 1 to {MAX_COUNT}, or a list with one per hidden layer"),
]
Filters = Annotated[
    tuple[Count, ...],
    Field(min_length=1),
    IN_A_LIST,
    Must(f"an integer from 1 to {MAX_COUNT}, or a list with one per block"),
]
Pooling = Annotated[Literal["max", "average", "none"], OneOf()]
Head = Annotated[Literal["flatten", "average"], OneOf()]
# Samples whose first dimension is one of these, and whose last is not, have their channels first.
CHANNELS = (1, 3, 4)


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
    layered: ClassVar[Mapping[str, tuple[int, Any, Any]]] = {"hidden_units": (0, Count, Count)}

    def spelt(self) -> dict[str, Any]:
        return super().spelt() | {"batch_norm": normalization(self.batch_norm) or False}

    def check_together(self) -> None:
        layers = len(self.hidden_units)
        for key in ("dropout", "l2"):
            _check_length(self, key, layers, "hidden layer")
        super().check_together()


class MlpHyperparameters(Hyperparameters, MlpTable):
    """The effective hyperparameters of one training run of an MLP.

    Raises SpecError when a value, or a combination of values, breaks a rule.
    """

    @property
    def normalization(self) -> Normalization:
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
        return _each(getattr(self, name), len(self.hidden_units))

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


class CnnNetwork(Model):
    """What a convolutional network is made of: blocks, and dense layers on top."""

    filters: Filters = Field(
        default=(32, 64),
        description="Filters of each block's convolutions: an integer for one block, or a list with one per "
        "block.",
    )
    convolutions: Count = Field(default=1, description="Convolutions in each block.")
    kernel_size: Count = Field(default=3, description="Height and width of a convolution's window.")
    pooling: Pooling = Field(
        default="max", description="What halves height and width at the end of each block, if anything."
    )
    activation: Activation = Field(
        default="relu", description="Activation of the convolutions and of the hidden layers."
    )
    batch_norm: BatchNorm = Field(
        default=False,
        description='Batch normalisation of every convolution, "before" or "after" its activation; '
        'true is "before".',
    )
    block_dropout: BlockDropout = Field(
        default=0.0,
        description="Share of values dropped at the end of each block: one number, or a list with one each.",
    )
    head: Head = Field(
        default="flatten",
        description="What the dense layers see of the last block: all of it, or the average of each filter.",
    )
    hidden_units: HiddenUnits = Field(
        default=(64,),
        description="Units of each hidden layer after the blocks: an integer for one layer, or a list with "
        "one per layer. [] for none.",
    )
    dropout: Dropout = Field(
        default=0.0,
        description="Share of units dropped after each hidden layer: one number, or a list with one each.",
    )
    l2: Strength = Field(
        default=0.0, description="L2 penalty on the weights of every convolution and hidden layer."
    )


class CnnTable(TrainingTable, CnnNetwork):
    """Every hyperparameter of a convolutional network, each checked by itself; what is not set: default."""

    coupled: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("filters", "pooling", "block_dropout"),
        ("hidden_units", "dropout"),
        *TrainingTable.coupled,
    )
    ranged: ClassVar[Mapping[str, Any]] = {
        "convolutions": Count,
        "kernel_size": Count,
        "block_dropout": Rate,
        "dropout": Rate,
        "l2": Strength,
        **TrainingTable.ranged,
    }
    layered: ClassVar[Mapping[str, tuple[int, Any, Any]]] = {
        "filters": (1, Count, Count),
        "hidden_units": (0, Count, Count),
    }

    def spelt(self) -> dict[str, Any]:
        return super().spelt() | {"batch_norm": normalization(self.batch_norm) or False}

    def check_together(self) -> None:
        _check_length(self, "block_dropout", len(self.filters), "block")
        _check_length(self, "dropout", len(self.hidden_units), "hidden layer")
        super().check_together()

    def check_samples(self, shape: tuple[int, ...]) -> None:
        if len(shape) not in (2, 3):
            rule = "must be one for such samples, and cnn takes (height, width), with or without channels"
            raise RuleError(rule, "model", got=shape, remedy='Use model = "mlp".')
        height, width = image_axes(shape)[0]
        blocks, most = len(self.filters), min(height, width).bit_length() - 1
        if self.pooling != "none" and blocks > most:
            rule = f"must be at most {most} blocks that pool, for images of {height} x {width}"
            raise RuleError(rule, "filters", got=self.filters, remedy='Or set pooling = "none".')


class CnnHyperparameters(Hyperparameters, CnnTable):
    """The effective hyperparameters of one training run of a convolutional network.

    Raises SpecError when a value, or a combination of values, breaks a rule.
    """

    @property
    def canonical(self) -> Self:
        """The same training run in one spelling: equal for all that differ in how they are written.

        >>> CnnHyperparameters(filters=8).canonical == CnnHyperparameters(filters=[8]).canonical
        True
        """
        spelt = {"block_dropout": self.block_dropouts, "dropout": self.dropouts}
        return super().canonical.model_copy(
            update=spelt | {"batch_norm": normalization(self.batch_norm) or False}
        )

    @property
    def block_dropouts(self) -> tuple[float, ...]:
        """`block_dropout` of each block."""
        return _each(self.block_dropout, len(self.filters))

    @property
    def dropouts(self) -> tuple[float, ...]:
        """`dropout` of each hidden layer."""
        return _each(self.dropout, len(self.hidden_units))

    @property
    def network_key(self) -> Hashable:
        return (
            self.filters,
            self.convolutions,
            self.kernel_size,
            self.pooling,
            self.activation,
            normalization(self.batch_norm),
            tuple(rate > 0 for rate in self.block_dropouts),
            self.head,
            self.hidden_units,
            tuple(rate > 0 for rate in self.dropouts),
            self.l2 > 0,
            super().network_key,
        )


def image_axes(shape: tuple[int, ...]) -> tuple[tuple[int, int], bool]:
    """Height and width of images of a shape, and whether their channels come first.

    >>> image_axes((28, 28)), image_axes((32, 48, 3)), image_axes((3, 32, 48))
    (((28, 28), False), ((32, 48), False), ((32, 48), True))
    """
    is_first = len(shape) == 3 and shape[0] in CHANNELS and shape[2] not in CHANNELS
    height, width = shape[1:] if is_first else shape[:2]
    return (height, width), is_first


def _check_length(table: TrainingTable, key: str, count: int, each: str) -> None:
    value = getattr(table, key)
    if isinstance(value, tuple) and len(value) != count:
        raise RuleError(f"must have one value per {each} ({count})", key, got=value)


def _each(value: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * count


def normalization(batch_norm: Any) -> Normalization:
    """What `batch_norm` asks for, in either spelling."""
    return "before" if batch_norm is True else batch_norm or None
