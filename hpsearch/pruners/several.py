"""How pruners compare trials of several objectives: an error so far, and figures that are known.

Reference: Schmucker et al. (2021), "Multi-objective Asynchronous Successive Halving".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpsearch.front.goals import Goals, Point
from hpsearch.front.order import place_of_first
from hpsearch.pruners.base import best_value
from hpsearch.trial import TrialRecord


def stands_out(
    goals: Goals, others: Sequence[TrialRecord], trial: TrialRecord, value: float
) -> bool:
    """Return whether no other trial of no higher cost had a lower error at any epoch.

    A trial whose figures are not all known yet stands out.
    """
    if not math.isfinite(value):
        return False
    return all(value <= best_value(t) for t in no_dearer(goals, others, trial))


def no_dearer(
    goals: Goals, others: Sequence[TrialRecord], trial: TrialRecord
) -> list[TrialRecord]:
    """Return the trials that are as good as another in each objective but the first."""
    own = goals.rest(trial.figures)
    if own is None:
        return []
    known = [(t, goals.rest(t.figures)) for t in others if t.trainable]
    return [
        t
        for t, rest in known
        if rest is not None and all(a <= b for a, b in zip(rest, own, strict=True))
    ]


def place_among(
    goals: Goals,
    one: tuple[TrialRecord, float],
    others: Sequence[tuple[TrialRecord, float]],
) -> int | None:
    """Return a trial's place from 0 among others, None where its point is not finite or unknown.

    Args:
        goals: The study's objectives.
        one: The trial and its error.
        others: The trials to compare with, and their errors; those without a point are no rivals.
    """
    own = _point(goals, *one)
    if own is None:
        return None
    points = [own, *(p for t, v in others if (p := _point(goals, t, v)) is not None)]
    return place_of_first(points)


def _point(goals: Goals, trial: TrialRecord, value: float) -> Point | None:
    rest = goals.rest(trial.figures)
    if rest is None or not math.isfinite(value) or not trial.trainable:
        return None
    return goals.scaled((value, *rest))
