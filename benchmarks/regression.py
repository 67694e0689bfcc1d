"""Regressions of the surrogate: a Gaussian process, trees, and the choice between them.

A process follows a smooth problem of few parameters from few trials; trees find the thresholds of
many parameters. Which of the two a table asks for is seen on held-out trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpsearch.seeding import generator

Array = NDArray[np.float64]
FOLDS = 5
FEW_COLUMNS = 10
FORESTS = 3
"""Boosted models that are averaged: each sees its own samples."""


class Regression(Protocol):
    """A model of one number, fitted when it is made."""

    def __init__(self, inputs: Array, values: Array) -> None: ...

    def mean(self, inputs: Array) -> Array:
        """Return the expected value of each row, float64 [rows]."""
        ...


def choose(
    inputs: Array, values: Array, kinds: Sequence[type[Regression]] = ()
) -> type[Regression]:
    """Return the kind of model whose squared error on held-out rows is smallest.

    Args:
        inputs: float64 [rows, columns].
        values: float64 [rows].
        kinds: Those to choose from; by default a process and trees.
    """
    fold = generator(0, "regression").permutation(len(values)) % FOLDS

    def error(kind: type[Regression]) -> float:
        total = 0.0
        for k in range(FOLDS):
            fitted = kind(inputs[fold != k], values[fold != k])
            total += float(np.square(fitted.mean(inputs[fold == k]) - values[fold == k]).sum())
        return total

    return min(kinds or (Process, Trees), key=error)


class Process:
    """A Gaussian process; its lengths, by marginal likelihood, are one per column if these are few."""

    def __init__(self, inputs: Array, values: Array) -> None:
        """Fit; inputs [rows, columns], values [rows]."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._mean, self._scale = float(np.mean(values)), float(np.std(values)) or 1.0
        columns = inputs.shape[1]
        lengths = np.full(columns if columns <= FEW_COLUMNS else 1, 3.0)
        kernel: Any = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(
            lengths, (0.3, 100.0), nu=2.5
        ) + WhiteKernel(0.3, (1e-6, 1.0))
        self._model = GaussianProcessRegressor(kernel, optimizer="fmin_l_bfgs_b")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length at its bound says that nothing is told
            self._model.fit(self._place(inputs), (values - self._mean) / self._scale)

    def _place(self, inputs: Array) -> Array:
        placed: Array = (inputs - self._centre) / self._spread
        return placed

    def mean(self, inputs: Array) -> Array:
        """Return the posterior mean, float64 [rows]."""
        predicted: Array = self._model.predict(self._place(inputs))
        return predicted * self._scale + self._mean


class Trees:
    """Gradient boosting, averaged over seeds.

    Reference:
        Friedman (2002), "Stochastic Gradient Boosting".
    """

    def __init__(self, inputs: Array, values: Array) -> None:
        """Fit; inputs [rows, columns], values [rows]."""
        from sklearn.ensemble import GradientBoostingRegressor

        self._models = [
            GradientBoostingRegressor(
                n_estimators=400, learning_rate=0.03, max_depth=3, subsample=0.6, max_features=0.2,
                random_state=seed,
            ).fit(inputs, values)
            for seed in range(FORESTS)
        ]  # fmt: skip

    def mean(self, inputs: Array) -> Array:
        """Return the mean of the models, float64 [rows]."""
        predicted: Array = np.mean([model.predict(inputs) for model in self._models], axis=0)
        return predicted


class Forest:
    """Extremely randomised trees: of values that are 0 or 1, the share of ones.

    Reference:
        Geurts, Ernst and Wehenkel (2006), "Extremely randomized trees".
    """

    def __init__(self, inputs: Array, values: Array) -> None:
        """Fit; inputs [rows, columns], values [rows]."""
        from sklearn.ensemble import ExtraTreesRegressor

        self._model = ExtraTreesRegressor(
            200, min_samples_leaf=2, max_features=0.5, random_state=0
        ).fit(inputs, values)

    def mean(self, inputs: Array) -> Array:
        """Return the expected value of each row, float64 [rows]."""
        predicted: Array = self._model.predict(inputs)
        return predicted
