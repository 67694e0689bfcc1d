"""Asynchronous successive halving that stops: at each rung the best share goes on.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", section 3,
r -> min_resource, eta -> reduction_factor, s -> the first rung's power; in its stopping form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.search.history import TrialRecord
from hpsearch.search.pruners.base import StoppingPruner, is_best_so_far, peers, value_at
from hpsearch.search.resource import Resource


@dataclass(frozen=True)
class AshaPruner(StoppingPruner):
    """Compares a trial with every other that has reached the same rung, running ones too.

    Rungs lie at min_resource x reduction_factor^k below the whole amount. At a rung a trial
    goes on when it is among the best 1 / reduction_factor, or the best while there are fewer.

    Args:
        min_resource: Amount of the first rung.
        reduction_factor: One trial in so many goes on.
        startup_trials: Peers that must have reached a rung before any trial stops there.
        resource: The lengths of trials, and the epochs at which each reaches its rungs.
    """

    min_resource: int
    reduction_factor: int
    startup_trials: int
    resource: Resource

    def rungs(self) -> list[int]:
        """Return the amounts at which trials may stop."""
        rungs, amount = [], self.min_resource
        while amount < self.resource.whole:
            rungs.append(amount)
            amount *= self.reduction_factor
        return rungs

    def decide(
        self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int
    ) -> Decision:
        """Say what a trial does after an epoch; see `Pruner.decide`."""
        if epoch >= self.resource.length(trial.params):
            return Decision.GO
        here = (r for r in self.rungs() if self.resource.epoch_at(trial.params, r) == epoch)
        stops = any(self._stops(history, trial, rung) for rung in here)
        return Decision.STOP if stops else Decision.GO

    def _stops(self, history: Sequence[TrialRecord], trial: TrialRecord, rung: int) -> bool:
        value = value_at(trial, self.resource.epoch_at(trial.params, rung))
        if value is None:
            return False
        others = peers(history, trial)
        known = (value_at(t, self.resource.epoch_at(t.params, rung)) for t in others)
        reached = [v for v in known if v is not None]
        if len(reached) < max(self.startup_trials, 1) or is_best_so_far(others, value):
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
