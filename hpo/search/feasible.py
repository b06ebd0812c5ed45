"""Draws of a sampler that meet the constraints on hyperparameters, and that no trial of the study has yet.

Optuna stores a value as soon as it is drawn, and asks no sampler twice. So here it is asked for drafts,
of which nothing is stored, until one is free and meets them all; what was drawn before it has no influence on
the next. (TPE as it is accepts 12 trials of 6 configurations, draws 5 of them, and trains those again to the
same bits.)
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from hpo.errors import SpecError
from hpo.search.encoding import decode, encode
from hpo.search.marks import confirms
from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec import dimensions as of_space
from hpo.spec.conditions import is_active

# Drafts that the sampler is asked for, of thousands of trials fewer: one of TPE takes 10 to 60 ms.
DRAFTS, DRAFTS_BY_TRIALS = 20, 10_000
# Then random ones, of which the nearest to its last is taken: 15 ms. More, for 2 s, where few meet the
# constraints.
RANDOM_DRAFTS, MOST_RANDOM_DRAFTS = 300, 20_000
# Configurations of a finite space that are looked through, one after the other.
MOST_LISTED = 5000

# A value of each hyperparameter of the space; None of one that is not active.
Key = tuple[Any, ...]


def draw_feasible(
    trial: optuna.trial.Trial, spec: SearchSpec, distributions: Mapping[str, BaseDistribution]
) -> None:
    """Have the trial draw, of what it has no value of yet, values that meet the constraints and are free.

    Raises:
        SpecError: none do beside the values that it has.
    """
    had = {name: decode(value) for name, value in _given(trial).items()}
    if is_drawn(spec, _given(trial)) and spec.allows(spec.active(had)):
        return  # a run of a race, one that was taken over, or one that somebody has enqueued
    is_asked_again = may_repeat(spec) or bool(spec.constraints_of("drawn"))
    trials = trial.study.get_trials(deepcopy=False) if is_asked_again else []
    taken = Taken(spec, trials if may_repeat(spec) else [], trial.number)

    def is_free(draft: Mapping[str, Any]) -> bool:
        return {name: encode(value) for name, value in draft.items()} not in taken

    draft: dict[str, Any] = {}
    for _ in range(max(1, min(DRAFTS, DRAFTS_BY_TRIALS // (len(trials) + 1)))):
        draft = _draft(trial, spec, distributions, had)
        if spec.allows(draft) and is_free(draft):
            break
    else:
        generator = random.Random(f"{spec.sampler.seed} {trial.number}")
        # Of a finite space nearly all may be taken, and of its constraints those that are met are known.
        if had or spec.size is None or spec.size > MOST_LISTED:
            draft = _nearest(spec, draft, _others(spec, draft, had, generator), is_free, enough=RANDOM_DRAFTS)
        else:
            every = map(spec.configuration, range(spec.size))
            draft = _nearest(spec, draft, every, is_free, enough=spec.size)
    # As what a sampler draws all at once: it is stored by the calls that store everything else.
    trial.relative_search_space = {name: distributions[name] for name in draft}
    trial._relative_params = {name: encode(value) for name, value in draft.items()}


def is_drawn(spec: SearchSpec, params: Mapping[str, Any]) -> bool:
    """Whether stored parameters have a value of all that is active with them."""
    found = {name: decode(value) for name, value in params.items()}
    return all(name in found for name, one in spec.drawn.items() if is_active(one, found))


def may_repeat(spec: SearchSpec) -> bool:
    """Whether a sampler could draw what the study has already, and is not to.

    Ranges that are not always active leave configurations that are finite in a space without end.
    """
    is_finite = spec.size is not None or any(one.when for one in spec.drawn.values())
    return spec.is_adaptive and not spec.repeats and is_finite


class Taken:
    """The configurations that the other trials of a study have, finished or not; asked by stored parameters.

    To look for one takes a fifth of what a set of thousands does, and one is often all: what a model draws is
    free. So the first is looked for.
    """

    def __init__(self, spec: SearchSpec, trials: Sequence[FrozenTrial], number: int) -> None:
        self._names, self._trials, self._number = tuple(spec.drawn), trials, number
        self._is_asked = False

    def __contains__(self, params: Mapping[str, Any]) -> bool:
        if self._is_asked:
            return self._key(params) in self._keys
        self._is_asked = True
        had = params.items()
        return self._key(params) in self._keys_of(one for one in self._trials if had <= one.params.items())

    @cached_property
    def _keys(self) -> frozenset[Key]:
        return self._keys_of(self._trials)

    def _keys_of(self, trials: Iterable[FrozenTrial]) -> frozenset[Key]:
        names, own = self._names, self._number
        return frozenset(
            tuple(map(params.get, names))
            for one in trials
            if (params := one.params) and one.number != own and confirms(one) is None
        )

    def _key(self, params: Mapping[str, Any]) -> Key:
        return tuple(map(params.get, self._names))


def _given(trial: optuna.trial.Trial) -> dict[str, Any]:
    """What the trial has: values that were drawn, and those that somebody enqueued it with."""
    return {**trial._fixed_params, **trial.params}


def _draft(
    trial: optuna.trial.Trial,
    spec: SearchSpec,
    distributions: Mapping[str, BaseDistribution],
    had: Mapping[str, Any],
) -> dict[str, Any]:
    study, sampler = trial.study, trial.study.sampler
    frozen: FrozenTrial = trial._get_latest_trial()
    space = sampler.infer_relative_search_space(study, frozen)
    relative = sampler.sample_relative(study, frozen, space)
    found: dict[str, Any] = {}
    for name, distribution in distributions.items():
        if not is_active(spec.drawn[name], found):
            continue
        if name in had:
            found[name] = had[name]
        elif distribution.single():
            found[name] = of_space.ends(spec.drawn[name])[0]
        elif name in relative and distribution._contains(distribution.to_internal_repr(relative[name])):
            found[name] = _spelt(spec.drawn[name], decode(relative[name]))
        else:
            drawn = sampler.sample_independent(study, frozen, name, distribution)
            found[name] = _spelt(spec.drawn[name], decode(drawn))
    return found


def _spelt(dimension: Dimension, value: Any) -> Any:
    """A value as the space has it: 0.3, which is Optuna's 0.30000000000000004, and another configuration."""
    if not isinstance(dimension, Range) or dimension.step is None:
        return value
    return of_space.value(dimension, round((value - dimension.low) / dimension.step))


def _others(
    spec: SearchSpec, draft: Mapping[str, Any], had: Mapping[str, Any], generator: random.Random
) -> Iterator[dict[str, Any]]:
    """Configurations at random: the first have most of the draft's values, later ones none of them."""
    for at in range(1, MOST_RANDOM_DRAFTS + 1):
        drawn = {
            name: draft[name]
            if name in draft and generator.random() * RANDOM_DRAFTS > at
            else of_space.quantile(one, generator.random())
            for name, one in spec.drawn.items()
        }
        yield spec.active({**drawn, **had})


def _nearest(
    spec: SearchSpec,
    draft: Mapping[str, Any],
    others: Iterable[dict[str, Any]],
    is_free: Callable[[Mapping[str, Any]], bool],
    *,
    enough: int,
) -> dict[str, Any]:
    """The nearest free one to a draft, of so many others.

    Of ten times as many if all of these are taken, and of as many as there are if none meets the constraints.
    """
    best, least = None, (True, math.inf)
    for at, found in enumerate(others):
        if at >= enough and best is not None and (not least[0] or at >= 10 * enough):
            break
        far = _distance(spec, draft, found)
        if (False, far) >= least or not spec.allows(found):
            continue
        if is_free(found):
            best, least = found, (False, far)
        elif best is None:
            # What people have enqueued may leave none that is free: one that is taken is not trained again.
            best = found
    if best is None:
        rule = "must be met, and no configuration was found that does"
        raise SpecError("constraints", rule, remedy="Widen the space, or loosen them.")
    return best


def _distance(spec: SearchSpec, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Of two configurations: what is active in one alone, or another choice, is as far as can be."""
    names = one.keys() | other.keys()
    return sum(
        _apart(spec.drawn[name], one[name], other[name]) if name in one and name in other else 1.0
        for name in names
        if name in spec.drawn
    )


def _apart(dimension: Dimension, one: Any, other: Any) -> float:
    if not isinstance(dimension, Range):
        return float(one != other)
    if dimension.log:
        return abs(math.log(one / other)) / math.log(dimension.high / dimension.low)
    return float(abs(one - other) / (dimension.high - dimension.low))
