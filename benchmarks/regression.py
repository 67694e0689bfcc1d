"""Fits the surrogates' regressions: a Gaussian process, trees, small networks, and the choice.

A process follows a smooth problem of few parameters from few trials; trees find the thresholds of
many parameters. Which of the two a table asks for is seen on held-out trials. Networks are of the
second family alone, because no sampler models a study by them. scikit-learn fits;
`benchmarks.fitted` answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.fitted import LEAF, Array, Fitted, NetworkMean, ProcessMean, TreeSum
from hpsearch.seeding import generator

Fit = Callable[[Array, Array], Fitted]
"""Fits inputs, float64 [rows, columns], to values, float64 [rows]."""
FOLDS = 5
FEW_COLUMNS = 10
FORESTS = 3
"""Boosted models that are averaged: each sees its own samples."""
NETWORKS = 10
"""Networks that are averaged: each begins with its own weights."""


def choose(inputs: Array, values: Array, kinds: Sequence[Fit]) -> Fit:
    """Return the fit whose squared error on held-out rows is smallest.

    Args:
        inputs: float64 [rows, columns].
        values: float64 [rows].
        kinds: Those to choose from.
    """
    if len(kinds) == 1:
        return kinds[0]
    fold = generator(0, "regression").permutation(len(values)) % FOLDS

    def error(kind: Fit) -> float:
        total = 0.0
        for k in range(FOLDS):
            fitted = kind(inputs[fold != k], values[fold != k])
            total += float(np.square(fitted.mean(inputs[fold == k]) - values[fold == k]).sum())
        return total

    return min(kinds, key=error)


def process(inputs: Array, values: Array) -> ProcessMean:
    """Fit a Gaussian process by marginal likelihood; few columns have a length each."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
    placed = (inputs - centre) / np.where(spread > 0, spread, 1.0)
    mean, scale = float(np.mean(values)), float(np.std(values)) or 1.0
    columns = inputs.shape[1]
    lengths = np.full(columns if columns <= FEW_COLUMNS else 1, 3.0)
    kernel: Any = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(
        lengths, (0.3, 100.0), nu=2.5
    ) + WhiteKernel(0.3, (1e-6, 1.0))
    model = GaussianProcessRegressor(kernel, optimizer="fmin_l_bfgs_b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length at its bound says that nothing is told
        model.fit(placed, (values - mean) / scale)
    amplitude, matern = model.kernel_.k1.k1.constant_value, model.kernel_.k1.k2
    found = tuple(float(length) for length in np.atleast_1d(matern.length_scale))
    return ProcessMean(inputs, found, model.alpha_ * amplitude * scale, mean)


def trees(inputs: Array, values: Array) -> TreeSum:
    """Fit gradient boosting, averaged over seeds.

    Reference:
        Friedman (2002), "Stochastic Gradient Boosting".
    """
    from sklearn.ensemble import GradientBoostingRegressor

    rate = 0.03
    models = [
        GradientBoostingRegressor(
            n_estimators=400, learning_rate=rate, max_depth=3, subsample=0.6, max_features=0.2,
            random_state=seed,
        ).fit(inputs, values)
        for seed in range(FORESTS)
    ]  # fmt: skip
    grown = [tree for model in models for (tree,) in model.estimators_]
    constant = float(np.mean([model.init_.constant_.item() for model in models]))
    return _sum(grown, rate / FORESTS, constant)


def forest(inputs: Array, values: Array) -> TreeSum:
    """Fit extremely randomised trees: of values that are 0 or 1, the share of ones.

    Reference:
        Geurts, Ernst and Wehenkel (2006), "Extremely randomized trees".
    """
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(200, min_samples_leaf=2, max_features=0.5, random_state=0)
    model.fit(inputs, values)
    return _sum(model.estimators_, 1 / len(model.estimators_), 0.0)


def calm_network(inputs: Array, values: Array) -> NetworkMean:
    """Fit small networks to values that are 0 or 1, which tell less each: a larger penalty."""
    return network(inputs, values, 5.0)


def network(inputs: Array, values: Array, penalty: float = 1.0) -> NetworkMean:
    """Fit small networks, averaged over their first weights.

    Args:
        inputs: float64 [rows, columns].
        values: float64 [rows].
        penalty: L2 penalty of the weights.

    Reference:
        Kingma and Ba (2015), "Adam: A Method for Stochastic Optimization".
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    mean, scale = float(np.mean(values)), float(np.std(values)) or 1.0
    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the passes are counted on purpose
        for seed in range(NETWORKS):
            model = MLPRegressor(
                hidden_layer_sizes=(16,),
                alpha=penalty,
                learning_rate_init=0.01,
                max_iter=100,
                random_state=seed,
            )
            models.append(model.fit(inputs, (values - mean) / scale))
    return NetworkMean(
        hidden=np.hstack([m.coefs_[0] for m in models]),
        bias=np.hstack([m.intercepts_[0] for m in models]),
        output=np.hstack([m.coefs_[1][:, 0] for m in models]) * scale / NETWORKS,
        constant=mean + scale * float(np.mean([m.intercepts_[1][0] for m in models])),
    )


def _sum(models: Sequence[Any], weight: float, constant: float) -> TreeSum:
    """Return scikit-learn's trees, whose nodes are in preorder, as one weighted sum."""
    stored = []
    for model in models:
        tree = model.tree_
        leaf = tree.children_left == LEAF
        numbers = np.where(leaf, weight * tree.value[:, 0, 0], tree.threshold)
        stored.append({"columns": np.where(leaf, LEAF, tree.feature), "numbers": numbers})
    return TreeSum.of(stored, constant)
