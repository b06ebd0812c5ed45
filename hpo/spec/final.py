"""The specification of a final evaluation: chosen configurations, fresh seeds, the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from hpo.spec.base import Must
from hpo.spec.comparison import Arm, ComparisonSpec, checked_arms, printable, written_arms
from hpo.spec.hyperparameters import Count, Seed
from hpo.spec.metrics import METRICS, is_own
from hpo.spec.parts import Text

# By where it comes from: `study: arm`, so of any length.
FinalArmName = Annotated[
    str, Field(strict=True, min_length=1), AfterValidator(printable), Must("printable characters")
]


class FinalSpec(ComparisonSpec):
    """What `hpo final` trains: arms of other studies with seeds that those have not used.

    Its trials are evaluated on the test set. It is made from studies, not written in files.
    """

    kind: Literal["final"] = Field(  # type: ignore[assignment]
        description="Chosen configurations, evaluated on the test set."
    )
    arms: Annotated[tuple[Arm, ...], checked_arms(FinalArmName), PlainSerializer(written_arms)] = Field(
        description="The configurations, best first."
    )
    sources: tuple[Text, ...] = Field(description="The studies that they were chosen from.")
    first_seed: Seed = Field(description="The first seed; the others follow it.")
    evaluation: Count = Field(description="Which look at the test set this is, of these studies; from 1.")

    @property
    def table_metrics(self) -> tuple[str, ...]:
        # The others are shown of a study that is ranked by their like on validation data.
        own = f"test_{self.objective.metric.removeprefix('val_')}"
        always = [f"test_{name}" for name in (*self.learned.epoch, "loss")]
        tested = dict.fromkeys([*always, *([own] if own in METRICS or is_own(own) else [])])
        return (*tested, *super().table_metrics)

    def _check_declared(self, values: Mapping[str, Any]) -> None:
        """Nothing is declared: a search may draw what has no effect, as nesterov with a momentum of 0."""
