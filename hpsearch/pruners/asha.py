"""Asynchronous successive halving, stopping form: at each rung only the best share goes on.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", section 3,
r -> min_resource, eta -> reduction_factor, s -> power of the first rung.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.front import ONE, Goals
from hpsearch.pruners.base import Pruner, best_value, is_best_so_far, peers, value_at
from hpsearch.pruners.several import place_among, stands_out
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class AshaPruner(Pruner):
    """Compares a trial with all others that have reached the same rung, running ones too.

    Rungs lie at min_resource x reduction_factor^k, below the full length. A trial goes on while it
    is among the best 1 / reduction_factor of a rung, or is the best of fewer trials.

    A trial is judged when it reaches a rung, and again after each later epoch, by its error so
    far. So a trial that reached a rung before its peers, too early to be judged, ends when they
    turn out to be better. With one worker no peer advances while a trial trains: only rungs
    decide.

    With several objectives a rung's trials are ordered by non-dominated rank, and within a rank by
    the hypervolume that only they add; errors are those of the rung, costs are known.

    Args:
        min_resource: Amount of the first rung.
        reduction_factor: The best 1 / reduction_factor of a rung go on.
        startup_trials: Peers that must have reached a rung before a trial is judged there; until
            then the rung below decides.
        resource: Lengths of trials, and the epochs at which a trial reaches its rungs.
        goals: The study's objectives.
    """

    min_resource: int
    reduction_factor: int
    startup_trials: int
    resource: Resource
    goals: Goals = ONE

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
        """Decide what a trial does after an epoch; see `Pruner.decide`."""
        value, last = value_at(trial, epoch), self.last_rung(trial, epoch)
        if epoch >= self.resource.length(trial.params) or value is None or last is None:
            return Decision.GO
        others = peers(history, trial)
        if self._leads(others, trial, value):
            return Decision.GO
        for rung in reversed([r for r in self.rungs() if r <= last]):
            known = ((t, value_at(t, self.resource.epoch_at(t.params, rung))) for t in others)
            reached = [(t, v) for t, v in known if v is not None]
            if len(reached) >= max(self.startup_trials, 1):
                goes_on = self._is_promoted(trial, value, reached)
                return Decision.GO if goes_on else Decision.STOP
        return Decision.GO

    def _leads(self, others: Sequence[TrialRecord], trial: TrialRecord, value: float) -> bool:
        if not self.goals.several:
            return is_best_so_far(others, value)
        return stands_out(self.goals, others, trial, value)

    def _is_promoted(
        self, trial: TrialRecord, value: float, others: Sequence[tuple[TrialRecord, float]]
    ) -> bool:
        if not self.goals.several:
            return is_promoted(value, [v for _, v in others], self.reduction_factor)
        place = place_among(self.goals, (trial, value), others)
        share = max((len(others) + 1) // self.reduction_factor, 1)
        return place is not None and place < share

    def best_of(self, trials: Sequence[TrialRecord]) -> TrialRecord:
        """Return the best of trials that have reached the same rung, by their errors so far."""
        if not self.goals.several:
            return min(trials, key=lambda t: (best_value(t), t.number))
        ranked = sorted(trials, key=lambda t: t.number)
        points = [(t, best_value(t)) for t in ranked]
        places = [
            place_among(self.goals, one, [p for p in points if p is not one]) for one in points
        ]
        return min(zip(places, ranked, strict=True), key=lambda p: (p[0] is None, p[0] or 0))[1]


def is_promoted(value: float, others: Sequence[float], reduction_factor: int) -> bool:
    """Return whether a value is among the best share of a rung that includes it.

    Args:
        value: The trial's value.
        others: Values of the other trials that reached the rung, infinity for the worst.
        reduction_factor: The share is 1 / reduction_factor of the trials, at least one trial.
    """
    if not math.isfinite(value):
        return False
    ranked = sorted([*others, value])
    share = max(len(ranked) // reduction_factor, 1)
    return value <= ranked[share - 1]
