"""Hyperparameters of a space that rules tie together: whether all that can be drawn of them goes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from hpo.spec import conditions, dimensions
from hpo.spec.base import RuleError
from hpo.spec.hyperparameters import TrainingTable

# Combinations tried of each group of keys; hyperparameters_for checks each trial's again.
MAX_CHECKED = 10_000


def check(table: type[TrainingTable], params: Mapping[str, Any], space: conditions.Space) -> None:
    """Raises RuleError unless every combination that can be drawn is valid."""
    for fixed, varied in combinations(table, params, space):
        try:
            table.model_validate(fixed | varied).check_together()
        except RuleError as broken:
            if not varied:
                broken.path = ("params", *broken.path)
                raise
            raise RuleError(
                f"{broken.path[0]} {broken.rule}",
                "space",
                got=fixed | varied,
                remedy=f"{broken.remedy} Every combination must be valid.".strip(),
            ) from None


def combinations(
    table: type[TrainingTable], params: Mapping[str, Any], space: conditions.Space
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Fixed and active varied values of each group of keys that rules tie together."""
    drawn = conditions.drawn(space)
    for group in table.coupled:
        fixed = {key: params[key] for key in group if key in params}
        names = _with_parents(space, drawn, [key for key in group if key in space])
        values = {name: _telling(space, drawn, name) for name in names}
        seen = list[dict[str, Any]]()
        for found in islice(product(*values.values()), MAX_CHECKED):
            of = conditions.active(drawn, dict(zip(values, found, strict=True)))
            varied = conditions.joined(space, of)
            varied = {key: varied[key] for key in group if key in varied}
            if varied not in seen:
                seen.append(varied)
                yield fixed, varied


def _with_parents(space: conditions.Space, drawn: conditions.Drawn, keys: list[str]) -> list[str]:
    """What is drawn for these keys, and for all that it depends on, parents first."""
    wanted, left = set[str](), [name for key in keys for name in conditions.drawn_for(space, key)]
    while left:
        wanted.add(name := left.pop())
        left += drawn[name].when.keys() - wanted
    return [name for name in drawn if name in wanted]


def _telling(space: conditions.Space, drawn: conditions.Drawn, name: str) -> tuple[Any, ...]:
    """Values of what is drawn that between them meet every rule; of a list, each number of layers."""
    if name in space:
        return conditions.landmarks(drawn, name)
    dimension = drawn[name]
    if name.endswith("_layers"):
        return tuple(dimensions.value(dimension, at) for at in range(dimensions.size(dimension) or 0))
    # What is in a layer matters to no other key.
    return dimensions.ends(dimension)[:1]
