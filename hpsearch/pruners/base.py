"""The interface of pruners, and the values they compare. Lower is better, NaN is worst.

A trial's value at an epoch is its lowest validation error up to this epoch, as in the objective
(Koch et al. 2015, section 3.2: the best epoch counts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpsearch.execution import Decision
from hpsearch.trial import TrialRecord


class Pruner:
    """Decides after each epoch whether a trial goes on, and which paused trial resumes.

    By itself it never ends or pauses a trial.
    """

    def decide(
        self,
        history: Sequence[TrialRecord],  # noqa: ARG002
        trial: TrialRecord,  # noqa: ARG002
        epoch: int,  # noqa: ARG002
    ) -> Decision:
        """Decide what a trial does after an epoch.

        Args:
            history: All trials of the study, with or without this one.
            trial: The trial, with its values up to `epoch`.
            epoch: The epoch that has just ended, from 1.
        """
        return Decision.GO

    def promote(self, history: Sequence[TrialRecord]) -> int | None:  # noqa: ARG002
        """Return the number of the paused trial to resume next, None if there is none."""
        return None


def value_at(trial: TrialRecord, epoch: int) -> float | None:
    """Return a trial's lowest validation error up to an epoch.

    Returns:
        Infinity if no error is finite; None if the trial has not reached the epoch. A complete
        trial that ended early has reached every epoch: its last value counts.
    """
    lowest = trial.lowest
    value = lowest.get(epoch)
    if value is not None or not lowest:
        return value
    if next(reversed(lowest)) < epoch and trial.state != "complete":
        return None
    return min((v for e, v in lowest.items() if e <= epoch), default=math.inf)


def best_value(trial: TrialRecord) -> float:
    """Return a trial's lowest validation error, infinity if none is finite."""
    return next(reversed(trial.lowest.values()), math.inf)


def peers(history: Sequence[TrialRecord], trial: TrialRecord) -> list[TrialRecord]:
    """Return the other trials of a history."""
    return [other for other in history if other.number != trial.number]


def is_best_so_far(others: Sequence[TrialRecord], value: float) -> bool:
    """Return whether no other trial has had a lower error at any epoch."""
    return math.isfinite(value) and all(value <= best_value(other) for other in others)
