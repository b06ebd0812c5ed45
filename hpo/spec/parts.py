"""The small tables of a study file: data, objective, sampler, pruner; and the metrics they name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.spec.base import Model, Must, OneOf, RuleError
from hpo.spec.hyperparameters import MAX_COUNT, Count, Seed
from hpo.spec.metrics import METRICS, Direction

ObjectiveMetric = Annotated[str, OneOf(name for name, metric in METRICS.items() if metric.is_objective)]
FinalMetric = Annotated[str, OneOf(name for name, metric in METRICS.items() if not metric.is_test)]
EPOCH_OBJECTIVES = tuple(name for name, metric in METRICS.items() if metric.is_epoch)

Text = Annotated[str, Field(strict=True), Must("text")]
AtLeastTwo = Annotated[int, Field(strict=True, ge=2, le=MAX_COUNT), Must(f"an integer from 2 to {MAX_COUNT}")]
Share = Annotated[float, Field(strict=True, gt=0, lt=1), Must("a number between 0 and 1, both excluded")]


class Data(Model):
    """The data set, and how it is split into training and validation data."""

    name: Annotated[
        str, Field(strict=True, min_length=1), Must("a data set's name or a path that ends in .npz")
    ] = Field(
        description="A data set's name, or a path that ends in .npz, relative to the study file; ~ and "
        "$VARIABLE are what a shell makes of them."
    )
    folds: AtLeastTwo | None = Field(
        default=None, description="Cross-validation folds, in place of one validation set."
    )
    validation: Share | None = Field(
        default_factory=lambda given: None if given["folds"] else 0.2,
        description="Share of the training data used for validation. Default: 0.2, unless there are folds.",
    )
    seed: Seed = Field(default=0, description="Seed of the split.")

    @model_validator(mode="after")
    def _one_split(self) -> Self:
        if self.folds is not None and self.validation is not None:
            raise RuleError(
                "cannot be set with folds", "validation", got=self.validation, remedy="Remove one of them."
            )
        return self


class Objective(Model):
    """What a trial's value is."""

    metric: ObjectiveMetric = Field(
        default="val_accuracy", description="The final metric that trials are judged by."
    )
    direction: Annotated[Direction, OneOf()] = Field(
        default_factory=lambda given: METRICS[given["metric"]].direction,
        description="Follows from the metric; may be stated, not chosen.",
    )
    at: Annotated[Literal["last", "best"], OneOf()] = Field(
        default="last",
        description="last: of the weights that training ends with, the last epoch's or, with early stopping "
        "and restore_best, those that it goes back to. best: of the epoch with the best value of the metric "
        "(the mean over replicates; val_loss and val_accuracy only). A trial's metrics and its model are "
        "of the same weights as its value.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        direction = METRICS[self.metric].direction
        if self.direction != direction:
            raise RuleError(f"must be {direction!r} for {self.metric}", "direction", got=self.direction)
        if self.at == "best":
            self.check_epoch_metric("at = 'best'")
        return self

    @property
    def reported(self) -> str:
        """The epoch metric that trials report as they train: the objective's, or else val_accuracy."""
        return self.metric if self.metric in EPOCH_OBJECTIVES else "val_accuracy"

    def check_epoch_metric(self, reason: str) -> None:
        """Raises RuleError unless every epoch reports the metric."""
        if self.metric not in EPOCH_OBJECTIVES:
            needed = " or ".join(EPOCH_OBJECTIVES)
            raise RuleError(f"must be {needed} with {reason}", "metric", got=self.metric)


class Sampler(Model):
    """How a search chooses hyperparameters."""

    name: Annotated[Literal["tpe", "random", "grid"], OneOf()] = Field(
        default="tpe",
        description="tpe learns from finished trials; random draws, in a finite space without repeats; "
        "grid tries every combination.",
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
