"""How much hypervolume a configuration would add to a front, if its costs are known.

Where all objectives but the first are known before training, only the first is uncertain. The
space of the costs falls into boxes by the front's own costs; within a box the front's lowest
error is constant. So the expected gain is a sum of expected improvements, each times the part of
its box that the configuration reaches: a closed form, without sampling.

Reference: Emmerich, Giannakoglou and Naujoks (2006), "Single- and Multiobjective Evolutionary
Optimization Assisted by Gaussian Random Field Metamodels", section III, with all objectives but
one degenerate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_BOXES = 20_000
"""With more boxes the front's least valuable points would have to go; three costs reach 27 points
a side."""
_ERF = np.frompyfunc(math.erf, 1, 1)
_ROOT2, _DENSITY = math.sqrt(2.0), 1 / math.sqrt(2 * math.pi)


def expected_gain(
    front: Array, reference: Array, means: Array, deviations: Array, costs: Array
) -> Array:
    """Return the expected hypervolume that each configuration adds, float64 [configurations].

    Args:
        front: Points, error first, on the scale of hypervolumes, float64 [points, objectives].
        reference: The point up to which volume counts, float64 [objectives].
        means: Expected error of each configuration, float64 [configurations].
        deviations: Standard deviation of that.
        costs: Its other objectives, float64 [configurations, objectives - 1].
    """
    lows, highs, lowest = _boxes(front, reference)
    below = np.minimum(lowest, reference[0])
    gain = _improvement(below[None], means[:, None], deviations[:, None])
    reach = np.maximum(highs[None] - np.maximum(lows[None], costs[:, None]), 0.0).prod(axis=2)
    return np.asarray((gain * reach).sum(axis=1))


def _boxes(front: Array, reference: Array) -> tuple[Array, Array, Array]:
    """Return the boxes of the cost space: lower and upper corners, the front's error inside."""
    most = int(MOST_BOXES ** (1 / (front.shape[1] - 1))) - 1
    sides = []
    for k in range(1, front.shape[1]):
        cuts = np.unique(front[front[:, k] < reference[k], k])
        cuts = cuts[np.unique(np.linspace(0, len(cuts) - 1, min(len(cuts), most)).astype(int))]
        sides.append(np.array([-np.inf, *cuts, reference[k]]))
    grid = np.meshgrid(*(np.arange(len(side) - 1) for side in sides), indexing="ij")
    places = np.stack([g.ravel() for g in grid], axis=1)
    lows = np.stack([side[places[:, k]] for k, side in enumerate(sides)], axis=1)
    highs = np.stack([side[places[:, k] + 1] for k, side in enumerate(sides)], axis=1)
    within = (front[None, :, 1:] <= lows[:, None]).all(axis=2)
    lowest = np.where(within, front[None, :, 0], np.inf).min(axis=1, initial=np.inf)
    return lows, highs, np.asarray(lowest)


def _improvement(bar: Array, mean: Array, deviation: Array) -> Array:
    """Return the expected amount by which a normal value lies below a bar."""
    z = (bar - mean) / deviation
    share = 0.5 * (1 + np.asarray(_ERF(z / _ROOT2), np.float64))
    density = _DENSITY * np.exp(-0.5 * z * z)
    return np.asarray(np.maximum((bar - mean) * share + deviation * density, 0.0))
