"""Models of what a search has found: what a configuration will reach, and how far that is known.

All learn from columns (trials, columns) and values, normal scores of which more is better, and predict mean
and standard deviation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Objective = Callable[..., tuple[float, Floats]]

TREES = 40
# A leaf of one trial would take its noise for the truth.
LEAF = 2
# Of L-BFGS on the marginal likelihood, from the same start each time: a trial's draw is to follow from its
# seed and the results before it, and from nothing that a worker remembers.
ITERATIONS = 8


class Surrogate(Protocol):
    """A model of values. `most` is how many trials it can learn from within some tens of milliseconds."""

    most: int

    def fit(self, columns: Floats, values: Floats, seed: int) -> None: ...

    def suppose(self, columns: Floats) -> None:
        """Take for true what it expects of these."""

    def predict(self, columns: Floats) -> tuple[Floats, Floats]: ...


class GaussianProcess:
    """A Gaussian process (Matern 5/2, a length for each column, noise) by maximum marginal likelihood.

    Where it knows nothing it expects 0, the middle of all scores: of thousands of trials it learns from the
    best and some others, and were it the mean of those, it would go wherever these others are not.
    """

    # To learn from 120 took up to twice as long.
    most = 100

    def fit(self, columns: Floats, values: Floats, seed: int) -> None:
        """Learn from columns (trials, columns) and values."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        smooth = Matern(np.full(columns.shape[1], 0.7), (0.05, 20.0), nu=2.5)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * smooth + WhiteKernel(0.1, (1e-4, 2.0))
        self._model = GaussianProcessRegressor(kernel, optimizer=_some_steps, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a length is at its bound
            self._model.fit(columns, values)

    def suppose(self, columns: Floats) -> None:
        """Take for true what it expects of these: less is unknown near them, and all else stays."""
        model = self._model
        known, values = np.vstack([model.X_train_, columns]), model.predict(columns)
        model.set_params(kernel=model.kernel_, optimizer=None)
        model.fit(known, np.concatenate([model.y_train_, values]))

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, of the value without noise."""
        mean, spread = self._model.predict(columns, return_std=True)
        noise = float(np.exp(self._model.kernel_.theta[-1]))
        spread = np.sqrt(np.maximum(spread**2 - noise, 1e-9))
        return mean, spread


class Forest:
    """Extremely randomized trees (Geurts et al. 2006); their spread says how far a value is known."""

    most = 500

    def fit(self, columns: Floats, values: Floats, seed: int) -> None:
        """Learn from columns (trials, columns) and values."""
        from sklearn import config_context
        from sklearn.tree import ExtraTreeRegressor

        self._columns, self._values, self._seed = columns, values, seed
        # One after the other: scikit-learn's forest of them takes twice as long, to look at itself.
        seeds = np.random.default_rng(seed).integers(2**31, size=TREES).tolist()
        self._trees = [ExtraTreeRegressor(min_samples_leaf=LEAF, random_state=one) for one in seeds]
        known = columns.astype(np.float32)
        with config_context(skip_parameter_validation=True):
            for tree in self._trees:
                tree.fit(known, values, check_input=False)

    def suppose(self, columns: Floats) -> None:
        """Take for true what it expects of these."""
        expected, _ = self.predict(columns)
        known, values = np.vstack([self._columns, columns]), np.concatenate([self._values, expected])
        self.fit(known, values, self._seed)

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the trees."""
        asked = columns.astype(np.float32)
        by_tree = np.stack([tree.tree_.predict(asked)[:, 0] for tree in self._trees])
        return by_tree.mean(axis=0), by_tree.std(axis=0)


class Mixed:
    """The mean of a Gaussian process and a forest: the one sees slopes through noise, the other steps."""

    most = GaussianProcess.most

    def __init__(self) -> None:
        self._models: tuple[Surrogate, ...] = (GaussianProcess(), Forest())

    def fit(self, columns: Floats, values: Floats, seed: int) -> None:
        """Learn from columns (trials, columns) and values."""
        for model in self._models:
            model.fit(columns, values, seed)

    def suppose(self, columns: Floats) -> None:
        """Take for true what each of them expects of these."""
        for model in self._models:
            model.suppose(columns)

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Means of their means and standard deviations."""
        found = [model.predict(columns) for model in self._models]
        return np.mean([mean for mean, _ in found], axis=0), np.mean([spread for _, spread in found], axis=0)


def _some_steps(objective: Objective, start: Floats, bounds: Floats) -> tuple[Any, float]:
    from scipy.optimize import minimize

    found = minimize(
        objective, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return found.x, float(found.fun)
