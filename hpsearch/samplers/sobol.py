"""Points of a Sobol sequence: as even as a grid, at any number of points and dimensions.

Even is not best for a first few points. People set ranges so that the best lies inside rather than
at an end, and in many dimensions nearly every even point has some coordinate near an end, which is
enough to spoil a network. Points pulled towards the middle of the box avoid that, and the first of
all is the middle.

Reference:
    Sobol (1967); scrambled after Owen (1998), by scipy.
    Cauwet et al. (2020), "Fully Parallel Hyperparameter Search: Reshaped Space-Filling", section 3,
    Recentering: a quantile u becomes Phi(spread x Phi^-1(u)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.space.problem import SearchProblem

EVEN = (1.0,)
"""Points as they are."""
RECENTRED = (0.3, 0.5, 1.0)
"""Spreads that points take in turn: two of three near the middle, the third as it is, so that a box
whose middle is bad costs little."""
MIDDLE = 0.0
"""Spread of the first recentred point: the middle of the box, as Ax 1.3 begins too."""
SMALLEST = 1e-12
"""A quantile of 0 has no place on the normal distribution."""


class SobolSampler:
    """The point of a trial's number in the sequence that a seed scrambles.

    Its points are even among each other only while the seed stays: so the seed is the study's,
    and a redraw takes the same place of another scrambling.
    """

    redraws = 64

    def __init__(self, problem: SearchProblem, number: int, spreads: Sequence[float]) -> None:
        """Note the problem, the trial's number, and how far from the middle points lie in turn."""
        self._cube, self._number = problem.cube, number
        self._spread = spreads[number % len(spreads)]
        if number == 0 and self._spread < 1:
            self._spread, self.redraws = MIDDLE, 1  # where it does not fit, a point beside it does

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the parameters at the trial's place in the sequence of a seed."""
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
        spread: Standard deviation on the scale of the normal distribution; 1 changes nothing.
    """
    from scipy.stats import norm

    pulled: NDArray[np.float64] = norm.cdf(
        spread * norm.ppf(np.clip(shares, SMALLEST, 1 - SMALLEST))
    )
    return pulled
