"""The specification of a final evaluation: chosen configurations, fresh seeds, the test set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetPydanticSchema

from hpo.spec.comparison import Arm, ComparisonSpec, arm_schema, tables
from hpo.spec.hyperparameters import Count, Seed
from hpo.spec.metrics import METRICS
from hpo.spec.parts import Text


class FinalSpec(ComparisonSpec):
    """What `hpo final` trains: arms of other studies with seeds that those have not used.

    Its trials are evaluated on the test set. It is made from studies, not written in files.
    """

    kind: Literal["final"] = Field(  # type: ignore[assignment]
        description="Chosen configurations, evaluated on the test set."
    )
    arms: Annotated[
        tuple[Annotated[Arm, GetPydanticSchema(arm_schema)], ...],
        BeforeValidator(tables, json_schema_input_type=list[dict[str, object]]),
    ] = Field(description="The configurations, best first.")
    sources: tuple[Text, ...] = Field(description="The studies that they were chosen from.")
    first_seed: Seed = Field(description="The first seed; the others follow it.")
    evaluation: Count = Field(description="The how manieth look at the test set this is, of these studies.")

    @property
    def seed_range(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def table_metrics(self) -> tuple[str, ...]:
        return (*(name for name, metric in METRICS.items() if metric.is_test), *super().table_metrics)
