"""The configurations of a grid or random search, each of which follows from the seed and its index alone."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpo.errors import SpecError
from hpo.spec import Dimension, Range, SearchSpec, dimensions

# Up to this size a finite space is shuffled whole; a larger one is drawn from, skipping repeats.
SHUFFLED_SIZE = 100_000
# Of a space without end, for one configuration that meets the constraints.
MOST_DRAWS = 1_000_000
# Of a configuration that has been drawn before: its ranges may be of few integers.
MOST_REPEATS = 100


def configurations(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """The search's configurations in order; a longer search begins with those of a shorter one."""
    if spec.size is None:
        return _endless(spec)
    is_grid, size = spec.sampler.name == "grid", spec.size
    order = itertools.takewhile(lambda index: index < size, itertools.count()) if is_grid else None
    indices = order or _without_repeats(size, spec.sampler.seed)
    return filter(spec.allows, map(spec.configuration, indices))


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
    seen: set[tuple[tuple[str, Any], ...]] = set()
    may_repeat = any(dimension.when for dimension in spec.drawn.values())
    for index in itertools.count():
        generator = np.random.default_rng([spec.sampler.seed, index])
        for _ in range(MOST_REPEATS):
            found = _draw(spec, generator)
            if not may_repeat or (key := tuple(found.items())) not in seen:
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
