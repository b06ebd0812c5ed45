"""Configurations that a search begins with, and whether a value lies in a dimension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from hpo.spec import conditions
from hpo.spec.base import RuleError, either, plain, suggest, within
from hpo.spec.dimensions import Dimension, Layers, Range, exact
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from hpo.spec.search import SearchSpec


def _tables(starts: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(starts, list | tuple):
        raise RuleError("must be a list of tables", got=starts, remedy="Write [{ learning_rate = 0.01 }].")
    for index, start in enumerate(starts):
        if not isinstance(start, Mapping) or not all(isinstance(name, str) for name in start):
            raise RuleError("must be a table of hyperparameters", index, got=start)
    return tuple(dict(start) for start in starts)


StartWith = Annotated[
    tuple[Mapping[str, Any], ...],
    PlainValidator(_tables, json_schema_input_type=list[dict[str, Any]]),
    PlainSerializer(plain),
]


def lies_in(dimension: Dimension, value: Any) -> bool:
    """Whether a value is one of a dimension's, whatever its conditions.

    >>> lies_in(Range(0.1, 0.5, step=0.1), 0.3), lies_in(Range(0.1, 0.5, step=0.1), 0.35)
    (True, False)
    """
    if not isinstance(dimension, Range):
        return any(_is_same(value, choice) for choice in dimension)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(dimension.low, int) and not isinstance(value, int):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    steps = None if dimension.step is None else (exact(value) - exact(dimension.low)) / exact(dimension.step)
    # What Optuna has kept of a step is the nearest float: 0.30000000000000004.
    return steps is None or abs(steps - round(steps)) < 1e-9


def _is_same(one: Any, other: Any) -> bool:
    return bool(plain(one) == plain(other)) and isinstance(one, bool) == isinstance(other, bool)


def drawn_start(
    space: Mapping[str, Dimension | Layers], drawn: Mapping[str, Dimension], start: Mapping[str, Any]
) -> dict[str, Any]:
    """The drawn values of a configuration that names every active hyperparameter of a space.

    Raises:
        RuleError: it does not, or lies outside.
    """
    for name in start:
        if name not in space:
            raise RuleError(
                "is no hyperparameter of [space]", name, remedy=suggest(name, space, otherwise=_has(space))
            )
    found = conditions.apart(space, start)
    active: dict[str, Any] = {}
    for name, dimension in drawn.items():
        if not conditions.is_active(dimension, active):
            continue
        key = name if name in space else next(n for n in space if name in conditions.drawn_for(space, n))
        if key not in start:
            remedy = "A configuration to start with says every hyperparameter that is active in it."
            raise RuleError("must be given", key, remedy=remedy)
        if name not in found or not lies_in(dimension, found[name]):
            raise RuleError("must lie in the space", key, got=start[key], remedy=_may_be(space[key]))
        value = found[name]
        is_real = isinstance(dimension, Range) and isinstance(dimension.low, float)
        active[name] = float(value) if is_real else _own(dimension, value)
    joined = conditions.joined(space, active)
    for name in start:
        if name not in joined:
            raise RuleError("is not active with the others", name, got=start[name], remedy="Leave it out.")
        if isinstance(space[name], Layers) and list(joined[name]) != plain(start[name]):
            raise RuleError("must lie in the space", name, got=start[name], remedy=_may_be(space[name]))
    return active


def check_starts(spec: SearchSpec) -> None:
    """Raises RuleError unless a search can start with what it says."""
    seen: list[dict[str, Any]] = []
    for index, start in enumerate(spec.start_with):
        with within("start_with", index):
            found = drawn_start(spec.space, spec.drawn, start)
            if found in seen:
                raise RuleError("repeats an earlier configuration", got=dict(start))
            if not spec.allows(found):
                raise RuleError("must meet the constraints", got=dict(start))
        seen.append(found)
    if len(seen) > spec.searched:
        rule = f"must have at most {counted(spec.searched, 'configuration')}, as so many trials search"
        raise RuleError(rule, "start_with", got=len(seen), remedy="Raise trials.")
    if spec.start_from == spec.name:
        raise RuleError("must be another study", "start_from", got=spec.start_from)


def _own(dimension: Dimension, value: Any) -> Any:
    """A choice as the space has it; any other value as it is."""
    if isinstance(dimension, Range):
        return value
    return next(choice for choice in dimension if _is_same(value, choice))


def _has(space: Mapping[str, Any]) -> str:
    return f"It has {either(space)}."


def _may_be(dimension: Dimension | Layers) -> str:
    if isinstance(dimension, Layers):
        return f"It has {dimension.low} to {dimension.high} values. {_may_be(dimension.units)}"
    if isinstance(dimension, Range):
        step = "" if dimension.step is None else f" in steps of {dimension.step}"
        return f"It goes from {dimension.low} to {dimension.high}{step}."
    return f"It may be {either(map(str, map(plain, dimension)))}."
