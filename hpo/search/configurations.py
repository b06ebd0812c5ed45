"""The configurations of a grid or random search, each of which follows from the seed and its index alone."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec import space as dimensions

# Up to this size a finite space is shuffled whole; a larger one is drawn from, skipping repeats.
SHUFFLED_SIZE = 100_000


def configurations(spec: SearchSpec) -> Iterator[dict[str, Any]]:
    """The search's configurations in order; a longer search begins with those of a shorter one."""
    if spec.sampler.name == "grid":
        return (spec.configuration(index) for index in itertools.count())
    if spec.size is None:
        return (_draw(spec, index) for index in itertools.count())
    return (spec.configuration(index) for index in _without_repeats(spec.size, spec.sampler.seed))


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


def _draw(spec: SearchSpec, index: int) -> dict[str, Any]:
    generator = np.random.default_rng([spec.sampler.seed, index])
    return {name: _value(dimension, generator) for name, dimension in spec.space.items()}


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
