"""The median rule: a trial worse than the median of the complete ones at this epoch stops.

Reference: Golovin et al. (2017), "Google Vizier", section 3.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from hpsearch.search.history import TrialRecord
from hpsearch.search.pruners.base import is_best_so_far, peers, value_at


@dataclass(frozen=True)
class MedianPruner:
    """Compares with complete trials only, at every epoch from `min_resource` on.

    Args:
        min_resource: First epoch at which a trial may stop.
        startup_trials: Complete trials needed before any trial stops.
        max_epochs: Epochs of a whole trial.
    """

    min_resource: int
    startup_trials: int
    max_epochs: int

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> bool:
        """Say whether a trial should stop; see `Pruner.decide`."""
        value = value_at(trial, epoch)
        if value is None or not self.min_resource <= epoch < self.max_epochs:
            return False
        others = peers(history, trial)
        complete = [value_at(t, epoch) for t in others if t.state == "complete"]
        known = [v for v in complete if v is not None]
        if len(known) < max(self.startup_trials, 1) or is_best_so_far(others, value):
            return False
        return value > median(known)
