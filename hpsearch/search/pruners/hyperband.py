"""Hyperband: brackets of successive halving whose first rungs lie ever later.

Reference: Li et al. (2018), "Hyperband", algorithm 1, R -> max_epochs, eta -> reduction_factor;
the asynchronous brackets are those of Li et al. (2020), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hpsearch.search.history import TrialRecord
from hpsearch.search.pruners.asha import AshaPruner


@dataclass(frozen=True)
class HyperbandPruner:
    """Successive halving among the trials of one bracket.

    A trial's bracket follows from its number alone, so it is the same after a restart.

    Args:
        min_resource: Epochs of the first rung of the first bracket.
        reduction_factor: One trial in so many goes on.
        startup_trials: Peers of its bracket that must have reached a rung.
        max_epochs: Epochs of a whole trial.
    """

    min_resource: int
    reduction_factor: int
    startup_trials: int
    max_epochs: int

    @cached_property
    def brackets(self) -> list[AshaPruner]:
        """The brackets, the one that stops earliest first."""
        brackets, first = [], self.min_resource
        while first <= self.max_epochs:
            brackets.append(
                AshaPruner(first, self.reduction_factor, self.startup_trials, self.max_epochs)
            )
            first *= self.reduction_factor
        return brackets or [
            AshaPruner(
                self.min_resource, self.reduction_factor, self.startup_trials, self.max_epochs
            )
        ]

    @cached_property
    def order(self) -> list[int]:
        """The brackets of consecutive trials; it repeats.

        Bracket b of B gets ceil(B eta^s / (s + 1)) trials of a round, s = B - 1 - b (Hyperband's
        first rungs), and each trial goes to the bracket that lags most behind its share.
        """
        last = len(self.brackets) - 1
        shares = [
            math.ceil((last + 1) * self.reduction_factor ** (last - b) / (last - b + 1))
            for b in range(last + 1)
        ]
        order: list[int] = []
        given = [0] * len(shares)
        for position in range(1, sum(shares) + 1):
            lag = [position * s / sum(shares) - g for s, g in zip(shares, given, strict=True)]
            bracket = lag.index(max(lag))
            given[bracket] += 1
            order.append(bracket)
        return order

    def bracket(self, number: int) -> int:
        """Return the bracket of a trial by its number."""
        return self.order[number % len(self.order)]

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> bool:
        """Say whether a trial should stop; see `Pruner.decide`."""
        own = self.bracket(trial.number)
        within = [t for t in history if self.bracket(t.number) == own]
        return self.brackets[own].decide(within, trial, epoch)
