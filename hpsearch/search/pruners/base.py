"""What every pruner is, and the values pruners compare. Lower is better, NaN is worst.

A trial's value at an epoch is the lowest validation error of any epoch up to it, because that is
what the objective is (Koch et al. 2015, section 3.2: the best epoch counts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from hpsearch.search.history import TrialRecord


class Pruner(Protocol):
    """Decides, after an epoch, whether a trial should stop."""

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> bool:
        """Say whether a trial should stop.

        Args:
            history: All trials of the study; the trial itself may be among them.
            trial: The trial, with its values up to `epoch`.
            epoch: The epoch that has just ended, from 1.
        """
        ...


class NoPruner:
    """Trains every trial to its end."""

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> bool:  # noqa: ARG002
        """Say no."""
        return False


def value_at(trial: TrialRecord, epoch: int) -> float | None:
    """Return a trial's lowest validation error up to an epoch.

    Returns:
        Infinity where no epoch gave a finite error; None where the trial has not come so far. A
        complete trial that ended early has come as far as any: its error stands.
    """
    if not trial.values:
        return None
    if max(trial.values) < epoch and trial.state != "complete":
        return None
    values = [v for e, v in trial.values.items() if e <= epoch and math.isfinite(v)]
    return min(values, default=math.inf)


def peers(history: Sequence[TrialRecord], trial: TrialRecord) -> list[TrialRecord]:
    """Return the other trials of a history."""
    return [other for other in history if other.number != trial.number]


def is_best_so_far(others: Sequence[TrialRecord], value: float) -> bool:
    """Say whether no other trial has had a lower error at any epoch."""
    if not math.isfinite(value):
        return False
    lowest = (
        min((v for v in t.values.values() if math.isfinite(v)), default=math.inf) for t in others
    )
    return all(value <= other for other in lowest)
