"""Which points are best: ranks of non-dominated points, and their order within a rank.

Reference:
    Deb et al. (2002), "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", section
    III.A, for ranks.
    Emmerich, Beume and Naujoks (2005), "An EMO Algorithm Using the Hypervolume Measure as
    Selection Criterion", for the order within a rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.front.goals import Goals
from hpsearch.front.hypervolume import contributions
from hpsearch.trial import TrialRecord

Array = NDArray[np.float64]
BEYOND = 0.1
"""How far the reference point lies beyond the worst values, as a share of their range."""


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether a point is nowhere worse than another, and somewhere better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def dominated_by(points: Array) -> NDArray[np.bool_]:
    """Return whether point i is dominated by point j, bool [points i, points j].

    Args:
        points: Lower is better, float64 [points, objectives].
    """
    no_worse = (points[None] <= points[:, None]).all(axis=2)
    return np.asarray(no_worse & (points[None] < points[:, None]).any(axis=2))


def ranks(points: Sequence[Sequence[float]]) -> NDArray[np.int64]:
    """Return the rank of each point from 0: that of the points that no other dominates.

    Rank k has those that only points of lower ranks dominate. int64 [points].
    """
    below = dominated_by(np.array(points, np.float64).reshape(len(points), -1))
    found = np.full(len(points), -1)
    rank = 0
    while (left := found < 0).any():
        found[left & ~(below & left[None]).any(axis=1)] = rank
        rank += 1
    return found


def reference_of(points: Array) -> Array:
    """Return a reference point a little beyond the worst values, float64 [objectives]."""
    worst, best = points.max(axis=0), points.min(axis=0)
    return np.asarray(worst + BEYOND * np.where(worst > best, worst - best, 1.0))


def ordered(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the places of points, best first: by rank, then by the hypervolume only they add.

    Of equal points the first comes first.

    Args:
        points: On the scale of hypervolumes, finite, lower is better.
    """
    if not points:
        return []
    held = np.array(points, np.float64)
    rank, reference = ranks(points), reference_of(held)
    order: list[int] = []
    for one in range(int(rank.max()) + 1):
        places = np.flatnonzero(rank == one)
        added = contributions(held[places], reference)
        order += places[np.argsort(-added, kind="stable")].tolist()
    return order


def place_of_first(points: Sequence[Sequence[float]]) -> int:
    """Return the place of the first point among all, from 0; see `ordered`."""
    held = np.array(points, np.float64)
    rank = ranks(points)
    beside = np.flatnonzero(rank == rank[0])
    added = contributions(held[beside], reference_of(held))
    return int((rank < rank[0]).sum() + (added > added[0]).sum())


def front_of(trials: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Return the complete trials that no other complete trial dominates, lowest value first.

    Equal points are all on the front, as in Optuna's `best_trials`.
    """
    known = [(t, p) for t in trials if t.state == "complete" and (p := goals.point(t)) is not None]
    if not known:
        return []
    rank = ranks([p for _, p in known])
    found = [(p, t.number, t) for (t, p), r in zip(known, rank, strict=True) if r == 0]
    return [t for _, _, t in sorted(found, key=lambda one: one[:2])]
