"""How the hypervolume of a front has grown with the trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.front.goals import Goals, Point
from hpsearch.front.hypervolume import hypervolume
from hpsearch.front.order import reference_of
from hpsearch.trial import TrialRecord


def growth(trials: Sequence[TrialRecord], goals: Goals) -> tuple[list[int], list[float]]:
    """Return the numbers of complete trials, and the share of the box dominated up to each.

    The box lies between the best value of each objective and a reference point a little beyond
    the worst, of all complete trials: 0 is nothing, 1 would be one trial that is best in all.
    """
    known: list[tuple[int, Point]] = [
        (t.number, goals.scaled(p))
        for t in trials
        if t.state == "complete" and (p := goals.point(t)) is not None
    ]
    if not known:
        return [], []
    points = np.array([p for _, p in known], np.float64)
    reference = reference_of(points)
    whole = float((reference - points.min(axis=0)).prod())
    shares, kept = list[float](), points[:0]
    for point in points:
        if not (kept <= point).all(axis=1).any():
            kept = np.vstack([kept[~(point <= kept).all(axis=1)], point])
            shares.append(hypervolume(kept, reference.tolist()) / whole)
        else:
            shares.append(shares[-1])
    return [number for number, _ in known], shares
