"""Asynchronous successive halving that stops: at each rung the best share goes on.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", section 3,
r -> min_resource, eta -> reduction_factor, s -> the first rung's power; in its stopping form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.pruners.base import StoppingPruner, is_best_so_far, peers, value_at
from hpsearch.pruners.resource import Resource
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class AshaPruner(StoppingPruner):
    """Compares a trial with every other that has reached the same rung, running ones too.

    Rungs lie at min_resource x reduction_factor^k below the whole amount. A trial goes on while it
    is among the best 1 / reduction_factor of a rung, or the best while there are fewer. It is
    judged at a rung when it comes there, and after every epoch beyond it by what it has reached by
    then: one that came before its peers, and so could not be judged, does not train to its end
    when they turn out to be better. With one worker nothing new comes while a trial trains, so
    only rungs decide.

    Args:
        min_resource: Amount of the first rung.
        reduction_factor: One trial in so many goes on.
        startup_trials: Peers that must have reached a rung before any trial is judged there; until
            then the rung below it counts.
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

    def last_rung(self, trial: TrialRecord, epoch: int) -> int | None:
        """Return the amount of the last rung that a trial has reached by an epoch."""
        passed = (r for r in self.rungs() if self.resource.epoch_at(trial.params, r) <= epoch)
        return max(passed, default=None)

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Say what a trial does after an epoch; see `Pruner.decide`."""
        value, last = value_at(trial, epoch), self.last_rung(trial, epoch)
        if epoch >= self.resource.length(trial.params) or value is None or last is None:
            return Decision.GO
        others = peers(history, trial)
        if is_best_so_far(others, value):
            return Decision.GO
        for rung in reversed([r for r in self.rungs() if r <= last]):
            known = (value_at(t, self.resource.epoch_at(t.params, rung)) for t in others)
            reached = [v for v in known if v is not None]
            if len(reached) >= max(self.startup_trials, 1):
                goes_on = is_promoted(value, reached, self.reduction_factor)
                return Decision.GO if goes_on else Decision.STOP
        return Decision.GO


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
