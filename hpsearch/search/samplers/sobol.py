"""Points of a Sobol sequence: as even as a grid, at any number of points and dimensions.

Reference: Sobol (1967); scrambled after Owen (1998), by scipy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.search.history import Value

if TYPE_CHECKING:
    from hpsearch.search.coordinates import Coordinates


class SobolSampler:
    """The point of a trial's number in the sequence that a seed scrambles.

    Its points are even among each other only while the seed stays: so the seed is the study's,
    and a redraw takes the same place of another scrambling.
    """

    redraws = 64

    def __init__(self, coordinates: Coordinates, number: int) -> None:
        """Note the problem and the trial's number."""
        self._cube, self._number = coordinates.cube, number

    def draw(self, seed: int) -> dict[str, Value]:
        """Return the parameters at the trial's place in the sequence of a seed."""
        from scipy.stats.qmc import Sobol

        dimensions = len(self._cube.names)
        if not dimensions:
            return self._cube.params([])
        sequence = Sobol(dimensions, scramble=True, rng=seed)
        if self._number:
            sequence.fast_forward(self._number)
        return self._cube.params(sequence.random(1)[0].tolist())
