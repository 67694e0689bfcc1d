"""Audits: train on a share of the trials that the pruner would end, to measure what pruning loses.

Pruners see an audited trial only up to the epoch at which it should have ended, so audits change
no other decision. Samplers see the whole trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.seeding import generator
from hpsearch.trial import TrialRecord


def is_audited(seed: int, number: int, share: float) -> bool:
    """Return whether a trial trains on when the pruner would end it; random by its number.

    Args:
        seed: The study's seed.
        number: The trial's number.
        share: Share of all trials, 0 to 1.
    """
    return bool(generator(seed, "audit", number).random() < share)


def without_audits(history: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the history as if audited trials had ended when the pruner decided."""
    return [t if t.audit is None else ended_at_audit(t) for t in history]


def ended_at_audit(trial: TrialRecord) -> TrialRecord:
    """Return an audited trial as the pruner would have left it."""
    last = trial.audit if trial.audit is not None else max(trial.values, default=0)
    values = {epoch: value for epoch, value in trial.values.items() if epoch <= last}
    return replace(trial, state="pruned", values=values, value=min(values.values(), default=None))
