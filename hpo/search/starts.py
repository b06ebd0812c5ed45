"""Configurations by what they say: those that a search starts with, and those that its trials have.

A configuration of a listed strategy follows from its index. But a search that begins with given ones, or
whose space has grown, has trials of other indices or of none: so configurations are compared.
"""

from __future__ import annotations

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
    found = []
    for place, values in enumerate(starts):
        made = configured(spec, values, {START_ATTRIBUTE: place})
        if place not in done and key(made.params) not in seen:
            found.append(made)
    return found


def missing_configurations(spec: SearchSpec, trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """So many trials of the next configurations that none of these has; fewer where there are no more."""
    found: list[FrozenTrial] = []
    if count <= 0:
        return found
    indices = {trial.user_attrs.get(INDEX_ATTRIBUTE) for trial in trials}
    # Where all is as planned, what is held follows from the indices: an endless space may repeat itself.
    compared = _compared(spec, trials)
    seen = {key(trial.params) for trial in trials if is_listed(trial)} if compared else set()
    repeats = 0
    for index, values in enumerate(configurations_of(spec) or ()):
        if len(found) == count:
            break
        made = configured(spec, values, {INDEX_ATTRIBUTE: index})
        is_held = key(made.params) in seen if compared else index in indices
        if is_held and repeats < MOST_REPEATS + len(trials):
            repeats += 1
            continue
        if compared:
            seen.add(key(made.params))
        found.append(made)
        repeats = 0
    return found


def _compared(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> bool:
    """Whether trials have other configurations than those of the first indices."""
    listed = [trial for trial in trials if is_listed(trial)]
    if any(START_ATTRIBUTE in trial.user_attrs for trial in listed):
        return True
    by_index = {trial.user_attrs[INDEX_ATTRIBUTE]: trial for trial in listed}
    if not by_index:
        return False
    for index, values in enumerate(configurations_of(spec) or ()):
        if index > max(by_index):
            return False
        trial = by_index.get(index)
        if trial is not None and key(trial.params) != key(_encoded(values)):
            return True
    return True


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
