"""Asynchronous successive halving that pauses and promotes: nothing is given up for good.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.pruners.asha import AshaPruner
from hpsearch.pruners.base import best_value
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class PromotionPruner:
    """Pauses a trial where `rule` would stop it, and lets it go on once the rule no longer would.

    The more trials reach a rung, the more of them belong to its best share: a paused trial that
    has come to belong to it is promoted, and goes on from its checkpoint. A paused trial holds no
    worker; those never promoted count as pruned when the study ends.

    Args:
        rule: Says at which rungs a trial falls behind.
    """

    rule: AshaPruner

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Say what a trial does after an epoch; see `Pruner.decide`."""
        stops = self.rule.decide(history, trial, epoch) is Decision.STOP
        return Decision.PAUSE if stops else Decision.GO

    def promote(self, history: Sequence[TrialRecord]) -> int | None:
        """Return the best paused trial that may go on, of the highest rung that has one."""
        paused = [t for t in history if t.state == "paused"]
        for rung in reversed(self.rule.rungs()):
            here = [t for t in paused if self.rule.last_rung(t, t.last_epoch) == rung]
            ranked = [(best_value(t), t.number) for t in here]
            if not ranked:
                continue
            number = min(ranked)[1]  # behind whom no other of this rung may go on either
            best = next(t for t in here if t.number == number)
            if self.rule.decide(history, best, best.last_epoch) is Decision.GO:
                return number
        return None
