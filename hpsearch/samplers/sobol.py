"""Points of a Sobol sequence: evenly spread for any number of points and dimensions.

Even points are not the best start. People set ranges such that the optimum lies inside. In many
dimensions nearly every even point has a coordinate near an end of its range, and one such value
can spoil a network. `recentred` pulls points towards the middle of the search space, and begins
with the middle itself.

Reference:
    Sobol (1967); scrambled after Owen (1998), by scipy.
    Cauwet et al. (2020), "Fully Parallel Hyperparameter Search: Reshaped Space-Filling",
    section 3, Recentering: a quantile u becomes Phi(spread x Phi^-1(u)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

EVEN = (1.0,)
"""Leave all points unchanged."""
RECENTRED = (0.3, 0.5, 1.0)
"""Spreads of consecutive points: two of three near the middle, the third unchanged. So a search
space whose middle is bad costs little."""
MIDDLE = 0.0
"""Spread of the first recentred point: the middle of the search space, as in Ax 1.3."""
SMALLEST = 1e-12
"""Smallest quantile; the normal distribution has no finite value at 0."""


class SobolSampler:
    """Takes the point with the trial's number from a scrambled sequence.

    Points are even only within one scrambling. So all trials use the study's seed, and a redraw
    takes the same place in another scrambling.
    """

    redraws = 64

    def __init__(self, problem: SearchProblem, number: int, spreads: Sequence[float]) -> None:
        """Store the problem, the trial's number, and the spreads of consecutive points."""
        self._cube, self._number = problem.cube, number
        self._spread = spreads[number % len(spreads)]
        if number == 0 and self._spread < 1:
            self._spread, self.redraws = MIDDLE, 1  # if it is not feasible, a point beside it is

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the parameters at the trial's place in the sequence that the seed scrambles."""
        from scipy.stats.qmc import Sobol

        dimensions = len(self._cube.names)
        if not dimensions:
            return self._cube.params([])
        sequence = Sobol(dimensions, scramble=True, rng=seed)
        if self._number:
            sequence.fast_forward(self._number)
        shares = sequence.random(1)[0]
        if self._spread != 1.0:
            shares = np.where(self._cube.ordered, recentre(shares, self._spread), shares)
        return self._cube.params(shares.tolist())


def recentre(shares: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Pull shares of a range towards its middle.

    Args:
        shares: From 0 to 1, float64 [coordinates].
        spread: Factor on the scale of the normal distribution; 1 changes nothing.
    """
    from scipy.stats import norm

    normal = norm.ppf(np.clip(shares, SMALLEST, 1 - SMALLEST))
    return np.asarray(norm.cdf(spread * normal))
