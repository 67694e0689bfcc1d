"""Hyperband: brackets of successive halving whose first rungs lie ever later.

Reference: Li et al. (2018), "Hyperband", algorithm 1, R -> the whole amount, eta ->
reduction_factor; the asynchronous brackets are those of Li et al. (2020), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hpsearch.execution import Decision
from hpsearch.pruners.base import Pruner
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class HyperbandPruner:
    """Successive halving among the trials of one bracket.

    A trial's bracket follows from its number alone, so it is the same after a restart.

    Args:
        brackets: The halving of each bracket, the one that ends trials earliest first.
        reduction_factor: One trial in so many goes on.
    """

    brackets: tuple[Pruner, ...]
    reduction_factor: int

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

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Say what a trial does after an epoch; see `Pruner.decide`."""
        own = self.bracket(trial.number)
        return self.brackets[own].decide(self._within(history, own), trial, epoch)

    def promote(self, history: Sequence[TrialRecord]) -> int | None:
        """Return a bracket's next promotion, the bracket that ends trials earliest first."""
        for own, bracket in enumerate(self.brackets):
            number = bracket.promote(self._within(history, own))
            if number is not None:
                return number
        return None

    def _within(self, history: Sequence[TrialRecord], own: int) -> list[TrialRecord]:
        return [t for t in history if self.bracket(t.number) == own]
