"""The volume that a set of points dominates, up to a reference point.

Reference: Knowles (2002), "Local-Search and Hybrid Evolutionary Algorithms for Pareto
Optimization", section 4.2: slices along one objective.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def hypervolume(points: Array | Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Return the volume between points and a reference point.

    Args:
        points: Lower is better, [points, objectives]; those beyond the reference add nothing.
        reference: A point of the same objectives.
    """
    bound = np.asarray(reference, np.float64)
    held = np.array(points, np.float64).reshape(-1, len(bound))
    return _volume(held[(held < bound).all(axis=1)], bound)


def _volume(points: Array, reference: Array) -> float:
    if not len(points):
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if len(reference) == 2:
        lowest = np.minimum.accumulate(points[:, 0])
        heights = np.diff(np.append(points[:, 1], reference[1]))
        return float(((reference[0] - lowest) * heights).sum())
    total, ends = 0.0, np.append(points[1:, -1], reference[-1])
    for k, end in enumerate(ends):
        if end > points[k, -1]:
            total += _volume(points[: k + 1, :-1], reference[:-1]) * float(end - points[k, -1])
    return total


def contributions(points: Array, reference: Sequence[float] | Array) -> Array:
    """Return the volume that only each point adds, float64 [points]; of equal points none.

    That is a point's own box without what the others, moved into it, cover.
    """
    bound = np.asarray(reference, np.float64)
    if len(bound) == 2 and (added := _between_neighbours(points, bound)) is not None:
        return added
    found = []
    for k, point in enumerate(points):
        inside = _edge(np.maximum(np.delete(points, k, axis=0), point))
        own = float(np.maximum(bound - point, 0.0).prod())
        found.append(own - hypervolume(inside, bound.tolist()))
    return np.array(found)


def _between_neighbours(points: Array, bound: Array) -> Array | None:
    """Return the contributions of a front of two objectives; None if it is no front."""
    order = np.argsort(points[:, 0], kind="stable")
    front = points[order]
    steps = np.diff(front, axis=0)
    if (steps[:, 0] <= 0).any() or (steps[:, 1] >= 0).any():
        return None
    right = np.minimum(np.append(front[1:, 0], bound[0]), bound[0])
    above = np.minimum(np.insert(front[:-1, 1], 0, bound[1]), bound[1])
    sides = np.maximum(np.stack([right - front[:, 0], above - front[:, 1]]), 0.0)
    added = np.empty(len(points))
    added[order] = sides.prod(axis=0)
    return added


def _edge(points: Array) -> Array:
    """Return the points that no other dominates, each once."""
    points = np.unique(points, axis=0)
    no_worse = (points[None] <= points[:, None]).all(axis=2)
    return np.asarray(points[no_worse.sum(axis=1) == 1])
