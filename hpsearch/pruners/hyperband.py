"""Hyperband: brackets of successive halving, each with a later first rung than the one before.

Reference: Li et al. (2018), "Hyperband", algorithm 1, R -> the full length, eta ->
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
class HyperbandPruner(Pruner):
    """Successive halving among the trials of each bracket.

    A trial's bracket depends on its number only, so it is the same after a restart.

    Args:
        brackets: The rule of each bracket, ordered by first rung, lowest first.
        reduction_factor: The best 1 / reduction_factor of a rung go on.
    """

    brackets: tuple[Pruner, ...]
    reduction_factor: int

    @cached_property
    def order(self) -> list[int]:
        """The brackets of consecutive trials, repeated.

        Bracket b of B gets ceil(B eta^s / (s + 1)) trials of a round, s = B - 1 - b (Hyperband's
        first rungs). Each trial goes to the bracket that is furthest below its share.
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
        """Decide what a trial does after an epoch; see `Pruner.decide`."""
        own = self.bracket(trial.number)
        return self.brackets[own].decide(self._within(history, own), trial, epoch)

    def promote(self, history: Sequence[TrialRecord]) -> int | None:
        """Return the next promotion of the first bracket that has one."""
        for own, bracket in enumerate(self.brackets):
            number = bracket.promote(self._within(history, own))
            if number is not None:
                return number
        return None

    def _within(self, history: Sequence[TrialRecord], own: int) -> list[TrialRecord]:
        return [t for t in history if self.bracket(t.number) == own]
