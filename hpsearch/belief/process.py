"""A Gaussian process over columns in groups: one length a group, a linear and a smooth part.

The lengths are chosen on a lattice by comparisons, so that rounding, which differs from one
processor's BLAS to another's, changes no length.

Reference:
    Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning", section 5.4.1;
    rational quadratic, equation 4.19.
    Hvarfner et al. (2024), "Vanilla Bayesian Optimization Performs Great in High Dimensions":
    lengths that grow with the square root of the dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SHAPE = 2
"""Exponent of the rational quadratic kernel: a mixture of lengths, wider for a lower one."""
OFFSET = 0.3
"""Prior variance of the mean."""
LENGTH, LINEAR, AMPLITUDE, NOISE = (0.0, 1.0), (-0.5, 1.0), (0.0, 0.5), (-1.5, 0.7)
"""Mean and standard deviation of what is searched, base 2: of each length beside the square root
of the groups, of the odds of the linear part, of the amplitude, and of the noise between seeds.
These priors hold signal and noise apart: few noisy trials cannot."""
NOISE_ALONE = (-2.0, 1.0)
"""The last of these where trials report once: many such programs have no noise, some have much."""
STEPS = (1.0, 0.5)
"""Distances on the lattice, first the coarse one."""
MOVES = 2
"""Steps in one direction before the next setting is tried."""
BEYOND = 1e6
"""More than the errors' squared solution can be for each of them."""
LEAST_GAIN = 1e-6
"""A log posterior must rise by this to count as better."""


@dataclass(frozen=True)
class Kernel:
    """The covariance of final errors, in standard deviations of them.

    Args:
        weights: What the squared distance in each column counts, float64 [columns].
        linear: Share of the linear part.
        amplitude: Variance.
        noise: Variance between two seeds of one configuration.
    """

    weights: Array
    linear: float
    amplitude: float
    noise: float

    @classmethod
    def of(cls, place: Array, groups: NDArray[np.int64]) -> Kernel:
        """Return the kernel at a place of the lattice.

        Args:
            place: A length of each group, odds, amplitude and noise, base 2, float64 [groups + 3].
            groups: The group of each column.
        """
        count = len(place) - 3
        width = np.bincount(groups, minlength=count)
        inverse = 4.0 ** -place[:count] / np.maximum(width, 1)
        odds, amplitude, noise = place[count:]
        return cls(inverse[groups], 1 / (1 + 4.0**-odds), float(4.0**amplitude), float(4.0**noise))

    @property
    def _scale(self) -> float:
        """The mean variance of the linear part over the space, where columns have spread 1."""
        return float(self.weights.sum()) or 1.0

    def between(self, one: Array, other: Array) -> Array:
        """Return the covariances of two sets of rows, float64 [rows, other rows]; no BLAS."""
        a, b = one * np.sqrt(self.weights), other * np.sqrt(self.weights)
        return self._of(np.einsum("ij,kj->ik", a, b), _squares(a), _squares(b))

    def within(self, rows: Array) -> Array:
        """Return the covariances of rows, float64 [rows, rows]."""
        a = rows * np.sqrt(self.weights)
        return self._of(a @ a.T, _squares(a), _squares(a))

    def _of(self, products: Array, one: Array, other: Array) -> Array:
        distance = np.maximum(one[:, None] + other[None] - 2 * products, 0.0)
        smooth = 1 / np.square(1 + distance / (2 * SHAPE))
        line = products / self._scale
        return self.amplitude * ((1 - self.linear) * smooth + self.linear * line + OFFSET)

    def variances(self, rows: Array) -> Array:
        """Return the prior variance at rows, float64 [rows]."""
        line = _squares(rows * np.sqrt(self.weights)) / self._scale
        return self.amplitude * (1 - self.linear + self.linear * line + OFFSET)


def _squares(rows: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def fit_kernel(
    rows: Array,
    groups: NDArray[np.int64],
    finals: Array,
    variances: Array,
    noise: tuple[float, float] = NOISE,
) -> Kernel:
    """Return the kernel of the highest posterior near the prior's middle.

    Args:
        rows: Columns of the trials, float64 [trials, columns].
        groups: The group of each column.
        finals: Final errors, mean 0 and standard deviation 1, float64 [trials].
        variances: Variance of each, float64 [trials].
        noise: Mean and standard deviation of the noise between seeds, as in `NOISE`.
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    posterior = _Posterior(rows, groups, count, finals, variances, noise)
    place = posterior.middle.copy()
    best = posterior.at(place)
    order = [*range(count, count + 3), *range(count)]
    for step in STEPS:
        for k in order:
            for direction in (step, -step):
                moved = 0
                while moved < MOVES:
                    tried = place.copy()
                    tried[k] += direction
                    value = posterior.at(tried)
                    if value <= best + LEAST_GAIN:
                        break
                    place, best, moved = tried, value, moved + 1
                if moved:
                    break
    return Kernel.of(place, groups)


class _Posterior:
    """The log posterior of kernels; distances and products of each group are computed once."""

    def __init__(
        self,
        rows: Array,
        groups: NDArray[np.int64],
        count: int,
        finals: Array,
        variances: Array,
        noise: tuple[float, float],
    ) -> None:
        self._variances, self._count = variances, count
        n = len(rows)
        self._pairs = np.tril_indices(n)
        self._diagonal = np.arange(n) * (np.arange(n) + 3) // 2
        self._products = np.zeros((count, len(self._pairs[0])))
        self._distances = np.zeros_like(self._products)
        for k in range(count):
            columns = rows[:, groups == k]
            products = columns @ columns.T / columns.shape[1]
            own = np.diag(products)
            self._products[k] = products[self._pairs]
            distances = np.maximum(own[:, None] + own[None] - 2 * products, 0.0)
            self._distances[k] = distances[self._pairs]
        lengths = [LENGTH[0] + math.log2(count) / 2 if count else 0.0] * count
        self.middle = np.array([*lengths, LINEAR[0], AMPLITUDE[0], noise[0]])
        self._spread = np.array([LENGTH[1]] * count + [LINEAR[1], AMPLITUDE[1], noise[1]])
        # The errors are a last row of the matrix: their solution is then the root's last row.
        self._matrix = np.zeros((n + 1, n + 1))
        self._matrix[n, :n], self._matrix[n, n] = finals, BEYOND * max(n, 1)

    def at(self, place: Array) -> float:
        """Return the log posterior of a place, up to a constant."""
        inverse = 4.0 ** -place[: self._count]
        odds, amplitude, noise = place[self._count :]
        linear = 1 / (1 + 4.0**-odds)
        smooth = 1 / np.square(1 + (inverse @ self._distances) / (2 * SHAPE))
        line = (inverse / (inverse.sum() or 1.0)) @ self._products
        pairs = 4.0**amplitude * ((1 - linear) * smooth + linear * line + OFFSET)
        pairs[self._diagonal] += self._variances + 4.0**noise
        self._matrix[self._pairs] = pairs  # those of the trials; the lower triangle is read
        try:
            root = np.linalg.cholesky(self._matrix)
        except np.linalg.LinAlgError:
            return -math.inf
        fit, own = root[-1, :-1], np.diag(root)[:-1]
        prior = np.square((place - self.middle) / self._spread).sum()
        return float(-0.5 * (fit @ fit) - np.log(own).sum() - 0.5 * prior)
