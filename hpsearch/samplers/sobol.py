"""Points of a Sobol sequence: evenly spread for any number of points and dimensions.

Even points are not the best start. People set ranges such that the optimum lies inside. In many
dimensions nearly every even point has a coordinate near an end of its range, and one such value
can spoil a network. `recentred` pulls points towards the middle of the search space, and begins
with the middle itself. `around` pulls them towards the first trial where that was enqueued, by
more: a configuration that somebody typed says more than the middle of a range.

Reference:
    Sobol (1967); scrambled after Owen (1998), by scipy.
    Cauwet et al. (2020), "Fully Parallel Hyperparameter Search: Reshaped Space-Filling",
    section 3, Recentering: a quantile u becomes Phi(spread x Phi^-1(u)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value

EVEN = (1.0,)
"""Leave all points unchanged."""
RECENTRED = (0.3, 0.5, 1.0)
"""Spreads of consecutive points: two of three near the middle, the third unchanged. So a search
space whose middle is bad costs little."""
AROUND = (0.15, 0.25, 0.5)
"""Spreads around a configuration that was enqueued."""
MIDDLE = 0.0
"""Spread of the first recentred point: the middle of the search space, as in Ax 1.3."""
SMALLEST = 1e-12
"""Smallest quantile; the normal distribution has no finite value at 0."""
NEAREST = 1e-3
"""A coordinate nearer to an end of its range is pulled towards this share: one at the end itself
would never move. What lies near an end, as an L2 of 1e-4 in a range up to 0.1, stays near it."""


def make_sobol(
    name: str, problem: SearchProblem, number: int, first: Mapping[str, Value] | None
) -> SobolSampler:
    """Return one of the samplers of this module.

    Args:
        name: sobol, recentred or around.
        problem: The search problem.
        number: Number of the trial to propose.
        first: The first trial's parameters, None where there is none that could be trained.
    """
    if name == "sobol":
        return SobolSampler(problem, number, EVEN)
    width = len(problem.cube.names)
    if name == "recentred" or first is None or first == problem.cube.params([0.5] * width):
        return SobolSampler(problem, number, RECENTRED)
    return SobolSampler(problem, number, AROUND, problem.cube.shares(first))


class SobolSampler:
    """Takes the point with the trial's number from a scrambled sequence.

    Points are even only within one scrambling. So all trials use the study's seed, and a redraw
    takes the same place in another scrambling.
    """

    redraws = 64

    def __init__(
        self,
        problem: SearchProblem,
        number: int,
        spreads: Sequence[float],
        centre: Sequence[float] | None = None,
    ) -> None:
        """Store the problem and the trial's number.

        Args:
            problem: The search problem.
            number: The trial's number.
            spreads: Spreads of consecutive points.
            centre: Shares of the point that they are pulled towards; None is the middle.
        """
        self._cube, self._number = problem.cube, number
        self._centre = np.full(len(problem.cube.names), 0.5) if centre is None else centre
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
            pulled = recentre(shares, self._spread, self._centre)
            shares = np.where(self._cube.ordered, pulled, shares)
        return self._cube.params(shares.tolist())


def recentre(
    shares: NDArray[np.float64], spread: float, centre: ArrayLike = 0.5
) -> NDArray[np.float64]:
    """Pull shares of a range towards its middle, or towards another centre.

    Args:
        shares: From 0 to 1, float64 [coordinates].
        spread: Factor on the scale of the normal distribution; with the middle 1 changes nothing.
        centre: Share that 0.5 becomes, of each coordinate.
    """
    from scipy.stats import norm

    normal = norm.ppf(np.clip(shares, SMALLEST, 1 - SMALLEST))
    return np.asarray(norm.cdf(norm.ppf(np.clip(centre, NEAREST, 1 - NEAREST)) + spread * normal))
