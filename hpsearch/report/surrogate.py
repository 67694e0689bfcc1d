"""A Gaussian process over the unit cube and the epochs trained: what the report predicts with.

Letters: N trials, D coordinates (the last one is the epochs), M points asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

MOST_TRIALS = 300
"""Trials it learns from at most: its cost grows with their cube."""
LEAST_TRIALS = 5
ROOT5 = math.sqrt(5)
LENGTH_SPREAD = math.sqrt(3)
NOISE_PRIOR = (-3.0, 1.5)
"""Mean and standard deviation of the logarithm of the noise's variance, of values scaled to 1."""
BOUND = 8.0


def thin(errors: Array, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose trials to learn from or to draw: the better half, and chance among the others.

    Args:
        errors: [N].
        most: How many to choose.
        seed: Decides the chance.

    Returns:
        Positions, ascending; all of them where there are no more than `most`.
    """
    if len(errors) <= most:
        return np.arange(len(errors))
    order = np.argsort(errors, kind="stable")
    best, others = order[: most // 2], order[most // 2 :]
    drawn = np.random.default_rng(seed).choice(others, most - len(best), replace=False)
    return np.sort(np.concatenate([best, drawn]))


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A Gaussian process with a Matern 5/2 kernel, a length scale for each coordinate.

    The length scales' prior grows with the number of coordinates, so that few trials in many
    dimensions give a smooth model instead of one that has learnt its trials by heart.

    Args:
        x: [N, D], within 0 to 1.
        y: [N], scaled to mean 0 and standard deviation 1.
        centre: What was taken off the errors.
        scale: What they were divided by.
        theta: Logarithms of D length scales, of the signal's and of the noise's variance.

    Reference:
        Rasmussen and Williams (2006), chapters 2 and 5; the prior of the length scales is that of
        Hvarfner et al. (2024), "Vanilla Bayesian optimization performs great in high dimensions".
    """

    x: Array
    y: Array
    centre: float
    scale: float
    theta: Array

    @cached_property
    def _factor(self) -> Array:
        k = _kernel(self.x, self.x, self.theta)
        k[np.diag_indices_from(k)] += math.exp(self.theta[-1]) + 1e-8
        return np.asarray(cholesky(k, lower=True))

    @cached_property
    def _weights(self) -> Array:
        return np.asarray(cho_solve((self._factor, True), self.y))

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return the expected error and the standard deviation of one measurement of it.

        Args:
            points: [M, D].

        Returns:
            [M] and [M], in units of the errors.
        """
        mean, deviation = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), 4096):
            part = slice(start, start + 4096)
            k = _kernel(points[part], self.x, self.theta)  # [M, N]
            mean[part] = k @ self._weights
            v = solve_triangular(self._factor, k.T, lower=True)
            signal, noise = math.exp(self.theta[-2]), math.exp(self.theta[-1])
            deviation[part] = np.sqrt(np.maximum(signal - (v**2).sum(0), 0) + noise)
        return self.centre + self.scale * mean, self.scale * deviation

    def mean(self, points: Array) -> Array:
        """Return the expected errors [M] of points [M, D]."""
        parts = [
            _kernel(points[start : start + 4096], self.x, self.theta) @ self._weights
            for start in range(0, len(points), 4096)
        ]
        return self.centre + self.scale * np.concatenate(parts)

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return each trial's error as the others predict it, and the standard deviation.

        Reference:
            Rasmussen and Williams (2006), equation 5.12.
        """
        inverse = cho_solve((self._factor, True), np.eye(len(self.y)))
        variance = 1 / np.diag(inverse)
        mean = self.y - self._weights * variance
        return self.centre + self.scale * mean, self.scale * np.sqrt(variance)


def fit(points: Array, errors: Array) -> Surrogate:
    """Fit the length scales and variances to their most probable values.

    Args:
        points: [N, D], within 0 to 1, N at least 2.
        errors: [N].
    """
    centre, scale = float(errors.mean()), float(errors.std())
    scale = scale if scale > 1e-12 else 1.0
    y = (errors - centre) / scale
    dimensions = points.shape[1]
    start = np.concatenate([np.full(dimensions, _length_mean(dimensions)), [0.0, NOISE_PRIOR[0]]])
    squared = (points[:, None, :] - points[None, :, :]) ** 2  # [N, N, D]
    found = minimize(
        _loss,
        start,
        args=(squared, y),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-BOUND, BOUND)] * len(start),
        options={"maxiter": 60},
    )
    return Surrogate(points, y, centre, scale, np.asarray(found.x, np.float64))


def _length_mean(dimensions: int) -> float:
    return math.sqrt(2) + 0.5 * math.log(dimensions)


def _kernel(a: Array, b: Array, theta: Array) -> Array:
    """Return the covariances [A, B] of points [A, D] and [B, D], without noise."""
    scales = np.exp(-theta[:-2])
    p, q = a * scales, b * scales
    squares = (p**2).sum(1)[:, None] + (q**2).sum(1) - 2 * p @ q.T
    r = ROOT5 * np.sqrt(np.maximum(squares, 0))
    return np.asarray(math.exp(theta[-2]) * (1 + r + r**2 / 3) * np.exp(-r))


def _loss(theta: Array, squared: Array, y: Array) -> tuple[float, Array]:
    """Return minus the logarithm of the posterior density of `theta`, and its gradient."""
    lengths, signal, noise = theta[:-2], math.exp(theta[-2]), math.exp(theta[-1])
    weights = np.exp(-2 * lengths)  # [D]
    r = ROOT5 * np.sqrt(squared @ weights)
    decay = np.exp(-r)
    k = signal * (1 + r + r**2 / 3) * decay  # [N, N]
    n = len(y)
    factor = cho_factor(k + (noise + 1e-8) * np.eye(n), lower=True)
    alpha = cho_solve(factor, y)
    loss = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum()
    inner = cho_solve(factor, np.eye(n)) - np.outer(alpha, alpha)  # [N, N]
    gradient = np.empty_like(theta)
    shared = inner * (signal * 5 / 3 * (1 + r) * decay)
    gradient[:-2] = 0.5 * np.einsum("ij,ijd->d", shared, squared) * weights
    gradient[-2] = 0.5 * (inner * k).sum()
    gradient[-1] = 0.5 * noise * np.trace(inner)
    for part, (mean, spread) in (
        (slice(0, len(lengths)), (_length_mean(len(lengths)), LENGTH_SPREAD)),
        (slice(len(theta) - 2, len(theta) - 1), (0.0, 1.0)),
        (slice(len(theta) - 1, len(theta)), NOISE_PRIOR),
    ):
        off = (theta[part] - mean) / spread
        loss += 0.5 * float(off @ off)
        gradient[part] += off / spread
    return float(loss), gradient
