"""Configurations that are listed: each follows from the seed and its index alone."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.errors import SpecError
from hpo.spec import Dimension, Range, SearchSpec, dimensions

# Up to this size a finite space is shuffled whole; a larger one is drawn from, skipping repeats.
SHUFFLED_SIZE = 100_000
# Points of a sequence that are made at once.
BLOCK = 64
# Of a space without end, for one configuration that meets the constraints.
MOST_DRAWS = 1_000_000
# Of a configuration that has been drawn before: its ranges may be of few integers.
MOST_REPEATS = 100


def all_of(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """Every configuration of a finite space."""
    return filter(spec.allows, map(spec.configuration, range(spec.size or 0)))


def at_random(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """Configurations at random, of a finite space each once."""
    if spec.size is None:
        return _endless(spec)
    indices = _without_repeats(spec.size, spec.sampler.seed)
    return filter(spec.allows, map(spec.configuration, indices))


def evenly(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """Configurations of a scrambled Sobol sequence (Owen 1998), of a finite space each once."""
    seen = set[str]()
    # Ranges that are not always active leave configurations that are finite.
    may_repeat = spec.size is not None or any(one.when for one in spec.drawn.values())
    for start in itertools.count(0, BLOCK):
        before = len(seen)
        for point in sobol(len(spec.drawn), spec.sampler.seed, start, BLOCK):
            shares = zip(spec.drawn.items(), point.tolist(), strict=True)
            found = spec.active({name: dimensions.quantile(one, share) for (name, one), share in shares})
            if spec.allows(found) and (not may_repeat or repr(found) not in seen):
                seen.add(repr(found))
                yield found
        if spec.size is not None and len(seen) == before:
            break  # it comes to the rarest corners late
    yield from (found for found in at_random(spec) if repr(found) not in seen)


def sobol(width: int, seed: int, start: int, count: int) -> npt.NDArray[np.float64]:
    """Points number `start` and on of one sequence in the unit cube, (count, width)."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(width, rng=seed)
    if start:
        sequence.fast_forward(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the count is no power of 2
        return np.asarray(sequence.random(count))


def _without_repeats(size: int, seed: int) -> Iterator[int]:
    if size <= SHUFFLED_SIZE:
        yield from (int(index) for index in np.random.default_rng(seed).permutation(size))
        return
    # Not numpy's, whose integers have 64 bits: ten hyperparameters of a hundred steps have more.
    generator = random.Random(seed)
    seen: set[int] = set()
    while len(seen) < size:
        index = generator.randrange(size)
        if index not in seen:
            seen.add(index)
            yield index


def _endless(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """A configuration for each index; where ranges are not always active, drawn until it is a new one."""
    # As text: a choice may be a table, which has no hash.
    seen: set[str] = set()
    may_repeat = any(dimension.when for dimension in spec.drawn.values())
    for index in itertools.count():
        generator = np.random.default_rng([spec.sampler.seed, index])
        for _ in range(MOST_REPEATS):
            found = _draw(spec, generator)
            if not may_repeat or (key := repr(found)) not in seen:
                break
        if may_repeat:
            seen.add(key)
        yield found


def _draw(spec: SearchSpec, generator: np.random.Generator) -> dict[str, Any]:
    for _ in range(MOST_DRAWS):
        found = {name: _value(dimension, generator) for name, dimension in spec.drawn.items()}
        if spec.allows(drawn := spec.active(found)):
            return drawn
    rule = f"must be met by a configuration, and none of {MOST_DRAWS:,} that were drawn does"
    raise SpecError("constraints", rule, remedy="Widen the space, or loosen them.")


def _value(dimension: Dimension, generator: np.random.Generator) -> Any:
    count = dimensions.size(dimension)
    if count is not None:
        return dimensions.value(dimension, int(generator.integers(count)))
    assert isinstance(dimension, Range)
    low, high = dimension.low, dimension.high
    whole = isinstance(low, int)
    if dimension.log:
        drawn = math.exp(generator.uniform(math.log(low), math.log(high + whole)))
        return min(max(math.floor(drawn) if whole else drawn, low), high)
    return int(generator.integers(int(low), int(high) + 1)) if whole else float(generator.uniform(low, high))
