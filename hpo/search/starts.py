"""Configurations by what they say: those that a search starts with, and those that its trials have.

A configuration of a listed strategy follows from its index. But a search that begins with given ones, or
whose space has grown, has trials of other indices or of none: so configurations are compared.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.distributions import active
from hpo.search.encoding import encode
from hpo.search.marks import INDEX_ATTRIBUTE, START_ATTRIBUTE, is_listed
from hpo.search.strategies import configurations_of
from hpo.spec import SearchSpec

# Of an endless space, whose ranges may be of few whole numbers, that many in a row that are held already.
MOST_REPEATS = 10_000


def key(params: Mapping[str, Any]) -> str:
    """What two configurations have in common that are the same, of parameters as Optuna stores them."""
    return json.dumps(dict(params), sort_keys=True)


def missing_starts(spec: SearchSpec, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that are to be added so that each configuration that it starts with has one."""
    starts = spec.starts
    if not starts:
        return []
    held = list(trials)
    done = {trial.user_attrs.get(START_ATTRIBUTE) for trial in held}
    seen = {key(trial.params) for trial in held}
    return [
        configured(spec, values, {START_ATTRIBUTE: place})
        for place, values in enumerate(starts)
        if place not in done and key(_encoded(values)) not in seen
    ]


def missing_configurations(spec: SearchSpec, trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """So many trials of the next configurations that none of these has; fewer where there are no more."""
    found: list[FrozenTrial] = []
    if count <= 0:
        return found
    listed = list(filter(is_listed, trials))
    by_index = {index: one for one in listed if (index := one.user_attrs.get(INDEX_ATTRIBUTE)) is not None}
    following = iter(configurations_of(spec) or ())
    before: list[dict[str, Any]] = []
    # Where all is as planned, what is held follows from the indices: an endless space may repeat itself.
    compared = len(by_index) < len(listed)
    if by_index and not compared:
        before = list(itertools.islice(following, max(by_index) + 1))
        compared = len(before) <= max(by_index) or any(
            key(trial.params) != key(_encoded(before[index])) for index, trial in by_index.items()
        )
    seen = {key(trial.params) for trial in listed} if compared else set()
    repeats = 0
    # A trial is made of what is missing alone: that takes far longer than to compare.
    for index, values in enumerate(itertools.chain(before, following)):
        if len(found) == count:
            break
        is_held = (own := key(_encoded(values))) in seen if compared else index in by_index
        if is_held and repeats < MOST_REPEATS + len(trials):
            repeats += 1
            continue
        if compared:
            seen.add(own)
        found.append(configured(spec, values, {INDEX_ATTRIBUTE: index}))
        repeats = 0
    return found


def configured(spec: SearchSpec, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> FrozenTrial:
    """A trial that waits with these drawn values."""
    return create_trial(
        state=TrialState.WAITING,
        params=_encoded(values),
        distributions=active(spec, values),
        user_attrs=dict(attributes),
    )


def _encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: encode(value) for name, value in values.items()}
