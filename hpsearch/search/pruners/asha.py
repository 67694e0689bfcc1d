"""Asynchronous successive halving that stops: at each rung the best share goes on.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", section 3,
r -> min_resource, eta -> reduction_factor, s -> the first rung's power; in its stopping form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.search.history import TrialRecord
from hpsearch.search.pruners.base import is_best_so_far, peers, value_at


@dataclass(frozen=True)
class AshaPruner:
    """Compares a trial with every other that has reached the same rung, running ones too.

    Rungs lie at min_resource x reduction_factor^k epochs below max_epochs. At a rung a trial
    goes on when it is among the best 1 / reduction_factor, or the best while there are fewer.

    Args:
        min_resource: Epochs of the first rung.
        reduction_factor: One trial in so many goes on.
        startup_trials: Peers that must have reached a rung before any trial stops there.
        max_epochs: Epochs of a whole trial.
    """

    min_resource: int
    reduction_factor: int
    startup_trials: int
    max_epochs: int

    def rungs(self) -> list[int]:
        """Return the epochs at which trials may stop."""
        rungs, epoch = [], self.min_resource
        while epoch < self.max_epochs:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return rungs

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> bool:
        """Say whether a trial should stop; see `Pruner.decide`."""
        value = value_at(trial, epoch)
        if value is None or epoch not in self.rungs():
            return False
        others = peers(history, trial)
        reached = [v for v in (value_at(t, epoch) for t in others) if v is not None]
        if len(reached) < self.startup_trials or is_best_so_far(others, value):
            return False
        return not is_promoted(value, reached, self.reduction_factor)


def is_promoted(value: float, others: Sequence[float], reduction_factor: int) -> bool:
    """Say whether a value is among the best share of a rung, its own included.

    Args:
        value: The trial's value.
        others: The values of the other trials that reached the rung, infinity for the worst.
        reduction_factor: The share is one in so many, and at least one.
    """
    if not math.isfinite(value):
        return False
    ranked = sorted([*others, value])
    share = max(len(ranked) // reduction_factor, 1)
    return value <= ranked[share - 1]
