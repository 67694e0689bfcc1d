"""The Gaussian process that the report predicts errors with, over the unit cube and the epochs.

Letters: N trials, D coordinates (the last one is the epochs), M points.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.optimize import minimize

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

Array = NDArray[np.float64]

MOST_TRIALS = 300
"""Maximum number of trials that it predicts from; the cost grows with the cube of their number."""
MOST_FITTED = 150
"""Maximum number of trials that its length scales and variances are fitted to."""
LEAST_TRIALS = 5
LENGTH_SPREAD = math.sqrt(3)
NOISE_PRIOR = (-3.0, 1.5)
"""Mean and standard deviation of the logarithm of the noise variance, of errors scaled to 1."""
BOUNDS = (math.exp(-8.0), math.exp(8.0))
"""The lower and upper bound of length scales and variances."""


def thin(errors: Array, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose trials to fit or to draw: the better half, and a random sample of the others.

    Args:
        errors: [N].
        most: How many to choose.
        seed: Seed of the sample.

    Returns:
        Positions, ascending; all of them if there are no more than `most`.
    """
    if len(errors) <= most:
        return np.arange(len(errors))
    order = np.argsort(errors, kind="stable")
    best, others = order[: most // 2], order[most // 2 :]
    drawn = np.random.default_rng(seed).choice(others, most - len(best), replace=False)
    return np.sort(np.concatenate([best, drawn]))


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted Gaussian process with the trials it was fitted to.

    Args:
        x: [N, D], within 0 to 1.
        errors: [N].
        process: Fitted to the errors, scaled to mean 0 and standard deviation 1.
    """

    x: Array
    errors: Array
    process: GaussianProcessRegressor

    def mean(self, points: Array) -> Array:
        """Return the expected errors [M] of points [M, D]."""
        parts = np.array_split(points, -(-len(points) // 4096))  # bounds the memory
        return np.concatenate([self.process.predict(part) for part in parts])

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return each trial's error as the others predict it, and the standard deviation.

        Reference:
            Rasmussen and Williams (2006), equation 5.12.
        """
        centre, scale = self.errors.mean(), self.errors.std()
        variance = 1 / np.diag(cho_solve((self.process.L_, True), np.eye(len(self.x))))
        mean = (self.errors - centre) / scale - self.process.alpha_ * variance
        return centre + scale * mean, scale * np.sqrt(variance)


def fit(points: Array, errors: Array) -> Surrogate:
    """Fit length scales and variances by their maximum a posteriori, from one start.

    The kernel is Matern 5/2 with a length scale per coordinate. The prior mean of the length
    scales grows with the number of coordinates, so that few trials in many dimensions give a
    smooth model instead of an overfitted one.

    Args:
        points: [N, D], within 0 to 1, N at least 2.
        errors: [N], not all equal.

    Reference:
        Rasmussen and Williams (2006), chapters 2 and 5; the prior of the length scales is that of
        Hvarfner et al. (2024), "Vanilla Bayesian optimization performs great in high dimensions".
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    dimensions = points.shape[1]
    length = math.sqrt(2) + 0.5 * math.log(dimensions)
    # the order of the kernel's own parameters, all logarithms: signal, length scales, noise
    means = np.array([0.0, *[length] * dimensions, NOISE_PRIOR[0]])
    spreads = np.array([1.0, *[LENGTH_SPREAD] * dimensions, NOISE_PRIOR[1]])

    def most_probable(likelihood: Any, start: Array, bounds: Array) -> tuple[Array, float]:
        def loss(theta: Array) -> tuple[float, Array]:
            value, gradient = likelihood(theta)  # of minus the log marginal likelihood
            off = (theta - means) / spreads
            return value + 0.5 * off @ off, gradient + off / spreads

        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
        )
        return found.x, found.fun

    kernel = ConstantKernel(1.0, BOUNDS) * Matern([math.exp(length)] * dimensions, BOUNDS, nu=2.5)
    kernel += WhiteKernel(math.exp(NOISE_PRIOR[0]), BOUNDS)
    settings = {"alpha": 1e-8, "normalize_y": True}
    few = thin(errors, MOST_FITTED)
    fitted = GaussianProcessRegressor(kernel, optimizer=most_probable, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at a bound there is nothing for the user to fix
        kernel = fitted.fit(points[few], errors[few]).kernel_
    whole = GaussianProcessRegressor(kernel, optimizer=None, **settings)
    return Surrogate(points, errors, whole.fit(points, errors))
