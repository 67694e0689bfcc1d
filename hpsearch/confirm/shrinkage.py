"""Posterior of the errors of a few measured configurations: the best one, with an interval.

The lowest of several measurements is biased low; a posterior is not. Under the prior a
configuration is either as good as the others or differs from them uniformly within a reach, and an
error rate is in [0, 1].

Letters: K configurations, M settings of (sigma, w, L), G values of mu, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIFFERING = (0.25, 0.5, 1.0)
"""Grid of w times the root of K, with w the share of configurations that differ."""
MOST_DIFFER = 0.5
"""Maximum of w."""
WIDENED = 0.7
"""An interval of level p is the posterior's of level 1 - WIDENED (1 - p), because the plain one
under-covers if one configuration is better by two to four standard errors (docs/trust.md)."""
REACHES = (10.0, 20.0, 40.0)
"""Grid of L, the maximum difference, in standard errors of one configuration's mean."""
WIDEST = 20.0
"""If the means span more standard errors than this, every L is widened to cover them."""
SIGMAS = 15
"""Number of grid values of sigma, the standard deviation of one measurement."""
CENTRES = 81
"""Minimum number of grid values of mu."""
DRAWS = 10_000

Array = NDArray[np.float64]
Bounds = tuple[float, float]
"""The least and the greatest true value."""
RATES: Bounds = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of each configuration's true value.

    Args:
        draws: [R, K].
        sigma: Estimated standard deviation of one measurement.
    """

    draws: Array
    sigma: float

    @property
    def mean(self) -> Array:
        """The shrunken estimates, [K]."""
        return np.asarray(self.draws.mean(axis=0))

    @property
    def sd(self) -> Array:
        """Their standard errors, [K]."""
        return np.asarray(self.draws.std(axis=0))

    @property
    def best(self) -> int:
        """The configuration with the lowest shrunken estimate; the first of equal ones."""
        return int(np.argmin(self.mean))

    def interval(self, index: int, level: float = 0.95) -> tuple[float, float]:
        """Return an interval of one configuration with at least the coverage `level`."""
        tail = WIDENED * (1 - level) / 2
        low, high = np.quantile(self.draws[:, index], [tail, 1 - tail])
        return float(low), float(high)

    def chance_best(self) -> Array:
        """Return each configuration's probability of being the lowest, [K]; ties share it."""
        lowest = self.draws == self.draws.min(axis=1, keepdims=True)
        return np.asarray((lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0))


def pooled_variance(measurements: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the variance within configurations, and its degrees of freedom."""
    squares = sum(float(np.var(m) * len(m)) for m in measurements)
    freedom = sum(len(m) - 1 for m in measurements)
    return (squares / freedom if freedom else 0.0), freedom


def shrink(
    measurements: Sequence[Sequence[float]],
    seed: int,
    *,
    sigma: float | None = None,
    bounds: Bounds = RATES,
) -> Posterior:
    """Estimate true values from measurements of several configurations.

    theta_k = mu with probability 1 - w, else it is uniform within mu +- L; a measurement of k is
    drawn from N(theta_k, sigma^2). mu is flat, sigma^2 has the density of its scaled inverse
    chi-square, w and L take the values above; all are integrated on a grid, theta exactly.
    The prior of mu and theta is cut to the bounds.

    Args:
        measurements: At least one per configuration; lower is better.
        seed: Seed of the draws.
        sigma: Standard deviation of one measurement if it is known; None estimates it from
            repeated measurements.
        bounds: Of a true value; an error rate's are 0 and 1.

    Reference:
        Mitchell and Beauchamp (1988), "Bayesian variable selection in linear regression": the
        spike and the uniform slab.
    """
    mean = np.array([np.mean(m) for m in measurements])  # [K]
    count = np.array([len(m) for m in measurements])
    variance, freedom = pooled_variance(measurements)
    if sigma is not None:
        variance, sigmas = sigma**2, np.array([sigma])
    elif variance > 0:
        sigmas = _sigmas(variance, freedom)
    if variance <= 0:  # no variance, or no repetition: nothing to shrink
        return Posterior(np.tile(mean, (DRAWS, 1)), 0.0)
    error = float(np.sqrt(variance / np.median(count)))
    reaches = np.multiply(REACHES, max(error, float(np.ptp(mean)) / WIDEST))
    shares = np.minimum(np.divide(DIFFERING, np.sqrt(len(mean))), MOST_DIFFER)
    settings = np.reshape(np.meshgrid(sigmas, shares, reaches, indexing="ij"), (3, -1, 1, 1))
    draws = _draw(mean, count, _centres(mean, error, bounds), settings, seed, bounds)
    return Posterior(draws, float(np.sqrt(variance)))


def _sigmas(variance: float, freedom: int) -> Array:
    from scipy.stats import chi2

    quantiles = (np.arange(SIGMAS) + 0.5) / SIGMAS
    return np.asarray(np.sqrt(variance * freedom / chi2.ppf(quantiles, freedom)))


def _centres(mean: Array, error: float, bounds: Bounds) -> Array:
    """Return a grid of mu beyond every mean, finer than the means' standard errors."""
    low = max(bounds[0], float(mean.min()) - 3 * error)
    high = min(bounds[1], float(mean.max()) + 3 * error)
    return np.linspace(low, high, max(CENTRES, min(1000, int((high - low) / error * 4))))


def _draw(
    mean: Array, count: Array, centre: Array, settings: Array, seed: int, bounds: Bounds
) -> Array:
    """Draw theta, [R, K]: first a cell of the grid, then spike or slab, then a value.

    Args:
        mean: [K].
        count: [K], numbers of measurements.
        centre: [G], mu.
        settings: [3, M, 1, 1]: sigma, w and L.
        seed: Seed of the draws.
        bounds: Of theta.
    """
    from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

    sigma, differing, reach = settings
    noise = sigma / np.sqrt(count)  # [M, 1, K]
    middle = centre[None, :, None]  # [1, G, 1]
    bottom = np.maximum(middle - reach, bounds[0])  # [M, G, 1]
    top = np.minimum(middle + reach, bounds[1])
    high, low = (mean - bottom) / noise, (mean - top) / noise  # [M, G, K]
    inside = np.maximum(ndtr(high) - ndtr(low), 1e-300)
    log_slab = np.log(differing) + np.log(inside / (2 * reach))
    log_spike = np.log1p(-differing) - 0.5 * (
        np.log(2 * np.pi * noise**2) + ((mean - middle) / noise) ** 2
    )
    log_each = np.logaddexp(log_spike, log_slab)
    log_weight = log_each.sum(axis=-1)
    weight = np.exp(log_weight - logsumexp(log_weight)).ravel()

    rng = np.random.default_rng(seed)
    cells = rng.choice(weight.size, size=DRAWS, p=weight / weight.sum())
    m, g = np.unravel_index(cells, log_weight.shape)
    differs = rng.random((DRAWS, len(mean))) < np.exp(log_slab - log_each)[m, g]
    # theta = mean - noise z, with z between `low` and `high`: within reach and within bounds
    share = rng.random((DRAWS, len(mean)))
    below, above = np.exp(log_ndtr(low[m, g])), np.exp(log_ndtr(high[m, g]))
    z = ndtri(np.clip(below + share * (above - below), 1e-12, 1 - 1e-12))
    slab = np.clip(mean - noise[m, 0] * z, bottom[m, g], top[m, g])
    return np.where(differs, slab, centre[g, None])


def predicted_optimism(
    values: Sequence[float], sigma: float, seed: int, bounds: Bounds = RATES
) -> float:
    """Return the expected optimism of the lowest of single measurements.

    Args:
        values: One measurement per configuration.
        sigma: Standard deviation of a measurement around its configuration's true value.
        seed: Seed of the draws.
        bounds: Of a true value.
    """
    lowest = int(np.argmin(values))
    posterior = shrink([[value] for value in values], seed, sigma=sigma, bounds=bounds)
    return float(posterior.mean[lowest] - values[lowest])
