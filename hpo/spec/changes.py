"""What differs between two versions of a study, and what a study that has begun may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpo.spec.growth import extends as grown
from hpo.spec.own_code import without
from hpo.spec.search import SearchSpec
from hpo.spec.study import StudySpec

# These say how results are read, not what is trained.
READING = frozenset({"description", "metrics", "baseline", "min_effect", "alpha"})
# These say who trains, and when a trial is given up; those that have finished stay as they are.
LIMITS = frozenset({"max_retries", "trial_timeout", "strict_versions"})
# These say when a search ends; what has begun ends, and what is left is taken up when they are raised.
ENDS = frozenset({"confirm", "max_epochs_total", "stop_at", "patience_trials", "repeats"})
# These may grow, and shrink again: what has finished stays and counts, what only waits is withdrawn.
COUNTS = {"search": ENDS | {"trials"}, "comparison": frozenset({"seeds"}), "final": frozenset[str]()}


@dataclass(frozen=True)
class Change:
    """One key that differs; None stands for an absent one.

    `extends` is whether a study that has begun may change so.
    """

    key: str
    old: Any
    new: Any
    extends: bool


def changes(old: StudySpec, new: StudySpec) -> list[Change]:
    """What `new` asks for that `old` does not, and the reverse, as JSON values; defaults count as written.

    The same code in a file at another place is no change.

    >>> keys = {"name": "s", "kind": "search", "data": {"name": "digits"}, "space": {"dropout": [0.1, 0.2]}}
    >>> old, new = StudySpec(**keys, trials=1), StudySpec(**keys, trials=2, params={"epochs": 5})
    >>> [(change.key, change.old, change.new, change.extends) for change in changes(old, new)]
    [('params.epochs', 10, 5, False), ('trials', 1, 2, True)]
    """
    if old.kind != new.kind:
        return [Change("kind", old.kind, new.kind, extends=False)]
    before, after = old.content(), new.content()
    for key, code in old.own_code.items():
        # Of one digest, so what is filled in of it says the same.
        if code.is_same_as(new.own_code.get(key)):
            apart = code.filled | {"file"}
            before, after = without(before, key, apart), without(after, key, apart)
    found = _arm_changes(before.pop("arms", {}), after.pop("arms", {}))
    for key in sorted(before.keys() | after.keys()):
        extends = key in READING | LIMITS | COUNTS[new.kind]
        found += _differences(key, before.get(key), after.get(key), extends=extends)
    if not isinstance(old, SearchSpec) or not isinstance(new, SearchSpec):
        return found
    may = {**grown(old, new), "sampler.name": old.is_adaptive and new.is_adaptive}
    return [replace(one, extends=one.extends or may.get(one.key, False)) for one in found]


def _arm_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    found: list[Change] = []
    for name in dict.fromkeys([*old, *new]):
        key = f'arms "{name}"'
        if name in old and name in new:
            found += _entries(f"{key}: ", old[name], new[name], extends=False)
        else:
            found.append(Change(key, old.get(name), new.get(name), extends=name in new))
    return found


def _differences(key: str, old: Any, new: Any, *, extends: bool) -> list[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return _entries(f"{key}.", old, new, extends=extends)
    return [Change(key, old, new, extends=extends)] if old != new else []


def _entries(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any], *, extends: bool) -> list[Change]:
    return [
        Change(prefix + key, old.get(key), new.get(key), extends=extends)
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
