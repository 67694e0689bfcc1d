"""The percentile rule: stop a trial that is worse than a percentile of the complete trials.

Reference: Golovin et al. (2017), "Google Vizier", section 3.2.2, for the median, 50 percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.execution import Decision
from hpsearch.pruners.base import Pruner, is_best_so_far, peers, value_at
from hpsearch.space.resource import Resource
from hpsearch.trial import TrialRecord


@dataclass(frozen=True)
class PercentilePruner(Pruner):
    """Compares with complete trials only, at every epoch from `min_resource` on.

    Args:
        percentile: A trial must be among the best `percentile` percent of the complete trials.
        min_resource: First amount at which a trial may stop.
        startup_trials: Complete trials needed before any trial stops.
        resource: Lengths of trials; trials are compared at equal amounts.
    """

    percentile: float
    min_resource: int
    startup_trials: int
    resource: Resource

    def decide(self, history: Sequence[TrialRecord], trial: TrialRecord, epoch: int) -> Decision:
        """Decide what a trial does after an epoch; see `Pruner.decide`."""
        value = value_at(trial, epoch)
        first = self.resource.epoch_at(trial.params, self.min_resource)
        if value is None or not first <= epoch < self.resource.length(trial.params):
            return Decision.GO
        others = peers(history, trial)
        complete = [
            value_at(t, self.resource.same_amount(trial.params, epoch, t.params))
            for t in others
            if t.state == "complete"
        ]
        known = [v for v in complete if v is not None]
        if len(known) < max(self.startup_trials, 1) or is_best_so_far(others, value):
            return Decision.GO
        finite = [v for v in known if v < np.inf]
        bound = float(np.percentile(finite, self.percentile)) if finite else np.inf
        return Decision.STOP if value > bound or value == np.inf else Decision.GO
