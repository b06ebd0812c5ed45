"""Why a study that has begun cannot be what a changed file asks for, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.errors import StudyError
from hpo.registry.stored import place_of
from hpo.spec import SearchSpec, StudySpec
from hpo.spec.base import as_toml
from hpo.spec.changes import Change
from hpo.spec.dimensions import Layers, Range


def refusal(old: StudySpec, new: StudySpec, changes: Sequence[Change]) -> StudyError:
    """The error of a study whose name another one has; `changes` are those that it cannot take."""
    moved = _moved(old, new, changes)
    told = [_moved_line(new, change, moved) for change in changes if change.key not in _fixed(moved)]
    add = [
        f"Add {as_toml(value)}, or "
        for name, value in moved.items()
        if isinstance(new, SearchSpec) and not _is_otherwise(new, name)
    ]
    name, start = old.name, ""
    if _may_start(old, new) and any(change.key.startswith("space.") for change in changes):
        start = f' with start_from = "{name}"'
    # What is to be added is not enough if there is more that differs.
    first = f"{add[0]}give" if len(add) == len(told) == 1 else "Give"
    remedy = f"{first} it a new name{start}, or delete the old study: hpo delete {name} --yes."
    return StudyError(place_of(name), f"is taken by another specification: {'; '.join(told)}", remedy=remedy)


def _moved(old: StudySpec, new: StudySpec, changes: Sequence[Change]) -> dict[str, Any]:
    """The hyperparameters that were fixed and are to vary, with the values that all trials have."""
    if not isinstance(old, SearchSpec) or not isinstance(new, SearchSpec):
        return {}
    fixed, keys = old.content()["params"], {change.key for change in changes}
    found = {name: fixed[name] for name in new.space if name not in old.space and name in fixed}
    return {name: value for name, value in found.items() if f"space.{name}" in keys}


def _fixed(moved: dict[str, Any]) -> set[str]:
    """The keys of which the line on the space says enough."""
    return {f"params.{name}" for name in moved}


def _is_otherwise(new: SearchSpec, name: str) -> bool:
    """Whether it cannot vary so, whatever values it is given."""
    return bool(new.space[name].when) or isinstance(new.space[name], Layers)


def _moved_line(new: StudySpec, change: Change, moved: dict[str, Any]) -> str:
    """A change in words, with the rule that it breaks."""
    key, name = change.key, change.key.removeprefix("space.")
    if name == key or name not in moved or not isinstance(new, SearchSpec):
        said = f"{key} was {_shown(change.old)} and is {_shown(change.new)}"
        grows = name != key and change.old is not None and change.new is not None
        return f"{said}, and may only grow" if grows else said
    dimension, fixed = new.space[name], f"{key} was fixed to {as_toml(moved[name])}"
    if dimension.when:
        rule = " in every trial, and cannot have a condition"
    elif isinstance(dimension, Layers):
        rule = " in every trial, and cannot become a list of layers"
    else:
        where = "from low to high" if isinstance(dimension, Range) else "among its choices"
        rule = f", which it must have {where}"
    return f"{fixed}{rule}, and is {as_toml(change.new)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else as_toml(value)


def _may_start(old: StudySpec, new: StudySpec) -> bool:
    """Whether a study of the new specification could start from the old one."""
    if not isinstance(old, SearchSpec) or not isinstance(new, SearchSpec) or new.start_from is not None:
        return False
    one, other = old.judged_by, new.judged_by
    return len(one) == len(other) == 1 and (one[0].metric, one[0].direction) == (
        other[0].metric,
        other[0].direction,
    )
