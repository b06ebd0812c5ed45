"""The specification of a study: what both kinds have in common."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hpo.errors import SpecError
from hpo.spec.base import Model, Must, RuleError, Shown, either, explain, suggest
from hpo.spec.hyperparameters import HYPERPARAMETERS, Count, Hyperparameters, Params, Positive
from hpo.spec.metrics import METRICS
from hpo.spec.parts import Data, FinalMetric, Objective, Text

KINDS: dict[str, type[StudySpec]] = {}  # each kind's class, entered when it is defined


def file_kinds() -> dict[str, type[StudySpec]]:
    """The kinds that people write in study files."""
    return {kind: made for kind, made in KINDS.items() if made.in_files}


StudyName = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Must("1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"),
]


Retries = Annotated[int, Field(strict=True, ge=0), Must("an integer of at least 0")]


def _distinct(metrics: tuple[str, ...]) -> tuple[str, ...]:
    for index, metric in enumerate(metrics):
        if metric in metrics[:index]:
            raise RuleError("repeats an earlier metric", index, got=metric)
    return metrics


class StudySpec(Model):
    """What a study file declares. `StudySpec(kind=...)` makes a SearchSpec or a ComparisonSpec.

    Raises SpecError.
    """

    in_files: ClassVar[bool] = True

    name: StudyName = Field(description="The study's name, unique in its database.")
    kind: Literal["search", "comparison", "final"]
    description: Text = Field(default="", description="What the study is for.")
    data: Data = Field(description="The data set, and how it is split.")
    objective: Objective = Field(default=Objective(), description="What a trial's value is.")
    metrics: Annotated[tuple[FinalMetric, ...], AfterValidator(_distinct)] = Field(
        default=("val_accuracy", "val_loss", "train_seconds"),
        description="The final metrics that tables show.",
    )
    seeds: Count
    max_retries: Retries = Field(
        default=2, description="How often a trial is tried again after a worker died or was lost with it."
    )
    trial_timeout: Positive | None = Field(
        default=None,
        description="Seconds that a trial may take; after that it fails, at the end of an epoch.",
    )
    params: Params = Field(default={}, description="Hyperparameters that are the same in every trial.")

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        (kind,) = get_args(cls.model_fields["kind"].annotation)
        KINDS[kind] = cls

    def __new__(cls, /, **data: Any) -> Self:
        # As Path(...) makes a PosixPath.
        kind: type[Any] = _class_of(data, source=cls.source) if cls is StudySpec else cls
        made: Self = super().__new__(kind)
        return made

    @model_validator(mode="before")
    @classmethod
    def _check_misplaced(cls, study: Any) -> Any:
        """A key written below a table's header belongs to that table, which is seldom what was meant."""
        if not isinstance(study, Mapping):
            return study
        for table in ("params", "space"):
            keys = study.get(table)
            for key in keys if isinstance(keys, Mapping) else ():
                if key in cls.model_fields:
                    remedy = "Move it to the top of the file, above the first [table]."
                    raise RuleError(f"unknown key {key!r}", table, remedy=remedy)
        return study

    @classmethod
    def unknown_key(cls, key: object) -> RuleError:
        if key in HYPERPARAMETERS:
            return RuleError(f"unknown key {key!r}", remedy="It is a hyperparameter and belongs in [params].")
        for kind, other in file_kinds().items():
            if key in other.model_fields:
                return RuleError(f"unknown key {key!r}", remedy=f'It belongs to kind = "{kind}".')
        return super().unknown_key(key)

    @property
    @abstractmethod
    def replicates(self) -> int:
        """Training runs inside each trial."""

    @property
    @abstractmethod
    def planned(self) -> int:
        """Trials that the study asks for."""

    @property
    def table_metrics(self) -> tuple[str, ...]:
        """`metrics`, with the objective's first if it is missing."""
        metric = self.objective.metric
        return self.metrics if metric in self.metrics else (metric, *self.metrics)

    def smallest_effect(self, metric: str) -> float:
        """The smallest difference of a final metric that matters; of seconds, a share of them."""
        return METRICS[metric].min_effect

    def hyperparameters_for(self, values: Mapping[str, Any]) -> Hyperparameters:
        """[params] with `values` of an arm or a trial on top. Raises SpecError."""
        return Hyperparameters(**{**self.params, **values})

    def content(self) -> dict[str, Any]:
        """The study as JSON values, defaults filled in: equal for files that ask for the same."""
        return self.model_dump(mode="json")

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the content without its description."""
        content = {key: value for key, value in self.content().items() if key != "description"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def check_in_files(spec: StudySpec, *, source: str) -> StudySpec:
    """The spec, if it is of a kind that is written in files. Raises SpecError."""
    if not spec.in_files:
        raise _no_such_kind(spec.kind, source=source)
    return spec


def _no_such_kind(kind: object, *, source: str) -> SpecError:
    kinds = file_kinds()
    return SpecError(
        f"{source}: kind", f"must be {either(kinds)}", got=Shown(kind), remedy=suggest(kind, kinds)
    )


def _class_of(study: Mapping[str, Any], *, source: str) -> type[StudySpec]:
    kinds = " or ".join(f'kind = "{kind}"' for kind in file_kinds())
    if "kind" not in study:
        raise SpecError(source, "required key 'kind' is missing", remedy=f"Set {kinds}.")
    kind = study["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise _no_such_kind(kind, source=source)
    return KINDS[kind]


def parse(study: object, *, source: str = "study") -> StudySpec:
    """The spec in a mapping as TOML or JSON reads it. `source` opens the line of a SpecError."""
    if not isinstance(study, Mapping):
        raise SpecError(source, "must be a table", got=Shown(study))
    kind = _class_of(study, source=source)
    try:
        return kind.model_validate(dict(study))
    except ValidationError as error:
        raise explain(error, study, source=source) from None
