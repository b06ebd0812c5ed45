"""The JSON Schema of a study file, by which editors complete and check it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from hpo.spec.comparison import arm_table
from hpo.spec.hyperparameters import TrainingTable
from hpo.spec.kinds import WRITTEN
from hpo.spec.space import space_table
from hpo.spec.study import StudySpec
from hpo.spec.vocabulary import VOCABULARIES

OWN = "own"


def json_schema() -> dict[str, Any]:
    """JSON Schema of a study file of either kind, whose hyperparameters are those of the model it names."""
    schema = WRITTEN.json_schema()
    defined = schema["$defs"]
    tables = {model: vocabulary.table for model, vocabulary in VOCABULARIES.items()} | {OWN: TrainingTable}
    for model, table in tables.items():
        kinds = {"params": table, "space": space_table(table), "arms": arm_table(table)}
        for key, kind in kinds.items():
            defined |= _defined(f"{model}_{key}", kind, open_ended=model == OWN)
    for spec in defined.values():
        keys = [key for key in ("params", "space", "arms") if key in spec["properties"]]
        if keys:
            spec["allOf"] = [{"if": _names(model), "then": _takes(model, keys)} for model in tables]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hpo study", **schema}


def _defined(name: str, table: type[Any], *, open_ended: bool) -> dict[str, Any]:
    """A table by that name, and those that it refers to; `open_ended`: it takes any other name too."""
    schema = TypeAdapter(table).json_schema()
    further = schema.pop("$defs", {})
    schema["title"] = name
    if open_ended:
        del schema["additionalProperties"]
    return {**further, name: schema}


def _names(model: str) -> dict[str, Any]:
    """Whether a study names this model; one that names none has the default."""
    told = {"type": "object"} if model == OWN else {"const": model}
    is_default = model == StudySpec.model_fields["model"].default
    return {"properties": {"model": told}} | ({} if is_default else {"required": ["model"]})


def _takes(model: str, keys: list[str]) -> dict[str, Any]:
    references: dict[str, Any] = {key: {"$ref": f"#/$defs/{model}_{key}"} for key in keys}
    if "arms" in references:
        references["arms"] = {"items": references["arms"]}
    return {"properties": references}
