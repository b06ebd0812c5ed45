"""What a search's value is expected to be over two of its hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.analysis.features import Floats, columns_of, features, in_space
from hpo.analysis.importance import FEWEST_TRIALS, MOST_SAMPLES, Importance
from hpo.analysis.ranking import ranked_trials
from hpo.pictures.scales import evenly
from hpo.spec import Dimension, Range, SearchSpec
from hpo.spec.base import plain
from hpo.trials.record import Trial

# Values of a range, trials whose other hyperparameters are averaged over, and trees: 0.3 s in all, of 60
# trials, and 0.7 s of 5000, on one thread of a busy machine.
STEPS = 20
BACKGROUND = 40
TREES = 60
# Of so many choices no picture shows the cells.
MOST_CHOICES = 60


@dataclass(frozen=True, eq=False)
class Surface:
    """Expected values, (values of the second, values of the first), over two hyperparameters.

    `trials` are those that it is estimated from, the best first. Values that are far worse than the better
    half count as the worst of `values` may be.
    """

    names: tuple[str, str]
    first: list[Any]
    second: list[Any]
    values: Floats
    trials: list[Trial]


def surface(spec: SearchSpec, trials: Sequence[Trial], found: Sequence[Importance] | None) -> Surface | None:
    """The values over the two hyperparameters of the greatest importance; None if these are not known.

    The partial dependence (Friedman 2001) of a random forest: the mean of what it expects of the trials, had
    they these two values instead of their own.
    """
    names = [one.name for one in found or () if one.name in spec.drawn and _has_axis(spec.drawn[one.name])][
        :2
    ]
    complete = ranked_trials(in_space(spec, trials), spec.objective.direction)
    complete = [trial for trial in complete if all(name in trial.params for name in names)]
    if len(names) < 2 or len(complete) < FEWEST_TRIALS:
        return None
    first, second = (_steps(spec.drawn[name]) for name in names)
    values = _values(complete)
    low, span = values.min(), np.ptp(values) or 1.0  # float64 values of 1e300 would overflow in squares
    fitted = _forest(spec, complete, (values - low) / span)
    rows = evenly(len(complete), BACKGROUND)
    own = {name: columns[rows] for name, columns in features(spec, complete).items()}
    # All pairs of values, each with all trials of the background.
    cells = len(first) * len(second)
    tiled = {name: np.tile(columns, (cells, 1)) for name, columns in own.items()}
    pairs = [(x, y) for y in second for x in first]
    for name, own_values in zip(names, zip(*pairs, strict=True), strict=True):
        tiled[name] = np.repeat(columns_of(spec.drawn[name], own_values), len(rows), axis=0)
    expected = fitted.predict(np.column_stack(list(tiled.values())).astype(np.float32))
    means = low + span * expected.reshape(len(second), len(first), len(rows)).mean(axis=2)
    return Surface((names[0], names[1]), first, second, means, complete)


def _values(complete: Sequence[Trial]) -> Floats:
    """The values of trials, the best of which is the first."""
    values = np.array([trial.value for trial in complete], np.float64)
    good = values[: math.ceil(len(values) / 2)]
    # As far as the axes of the other pictures go: one diverged training would be the whole picture.
    span = 3 * np.ptp(good)
    return values.clip(good.min() - span, good.max() + span)


def _forest(spec: SearchSpec, complete: Sequence[Trial], values: Floats) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        TREES, max_samples=min(len(values), MOST_SAMPLES), random_state=0, n_jobs=1
    )
    return forest.fit(np.column_stack(list(features(spec, complete).values())), values)


def _has_axis(dimension: Dimension) -> bool:
    return isinstance(dimension, Range) or (
        isinstance(dimension, tuple) and 1 < len(dimension) <= MOST_CHOICES
    )


def _steps(dimension: Dimension) -> list[Any]:
    if not isinstance(dimension, Range):
        return [plain(choice) for choice in dimension]
    low, high = dimension.low, dimension.high
    spaced = np.geomspace(low, high, STEPS) if dimension.log else np.linspace(low, high, STEPS)
    if isinstance(low, int):
        return sorted({round(value) for value in spaced.tolist()})
    return [float(value) for value in spaced]
