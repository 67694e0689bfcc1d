"""Asynchronous successive halving, promotion form: pause trials, and resume the best of them.

Reference: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.execution import Decision
from hpsearch.pruners.asha import AshaPruner
from hpsearch.pruners.base import Pruner
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class PromotionPruner(Pruner):
    """Pauses a trial when `rule` would stop it; promotes it when the rule no longer would.

    As more trials reach a rung, its best share grows. A paused trial that enters this share is
    promoted: it resumes from its checkpoint. A paused trial holds no worker. Trials that are never
    promoted count as pruned when the study ends.

    Args:
        rule: Decides at which rungs a trial falls behind.
    """

    rule: AshaPruner

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Decide what a trial does after an epoch; see `Pruner.decide`."""
        stops = self.rule.decide(history, trial, epoch) is Decision.STOP
        return Decision.PAUSE if stops else Decision.GO

    def promote(self, history: Sequence[TrialRecord]) -> int | None:
        """Return the best paused trial that may resume, from the highest rung that has one."""
        paused = [t for t in history if t.state == "paused"]
        for rung in reversed(self.rule.rungs()):
            here = [t for t in paused if self.rule.last_rung(t, t.last_epoch) == rung]
            if not here:
                continue
            best = self.rule.best_of(here)  # if it may not resume, no other of this rung may
            if self.rule.decide(history, best, best.last_epoch) is Decision.GO:
                return best.number
        return None
