"""Uniform over all feasible configurations: the baseline, and a start for other samplers."""

from __future__ import annotations

import numpy as np

from hpsearch.space.problem import SearchProblem
from hpsearch.trial import Value


class RandomSampler:
    """Draws each coordinate from its own distribution."""

    redraws = 64

    def __init__(self, problem: SearchProblem) -> None:
        """Store the problem's unit cube."""
        self._cube = problem.cube

    def draw(self, seed: int) -> dict[str, Value]:
        """Return uniformly drawn parameters."""
        shares = np.random.default_rng(seed).random(len(self._cube.names))
        return self._cube.params(shares.tolist())
