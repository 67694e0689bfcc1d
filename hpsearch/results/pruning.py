"""Epochs saved by pruning, and the risk that it pruned the best trial, from a study's audits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.execution import Decision
from hpsearch.front.order import front_of
from hpsearch.intervals import wilson
from hpsearch.pruners import make_pruner
from hpsearch.pruners.audit import ended_at_audit, without_audits
from hpsearch.study.config import StudyConfig
from hpsearch.trial import TrialRecord
from hpsearch.wording import interval, percent

ENOUGH_AUDITS = 10
"""Minimum number of audits for an estimate of the share of lost trials."""


@dataclass(frozen=True)
class Pruning:
    """The effect of a study's pruner.

    Args:
        pruned: Number of pruned trials.
        audited: Number of trials that were trained to the end although the pruner would have
            pruned them.
        lost: Number of audited trials that beat the best trial that was not pruned; with several
            objectives, that the front of those misses.
        interval: Wilson's 95 % interval of the share of pruned trials that would have beaten it;
            None below `ENOUGH_AUDITS` audits.
        epochs_saved: Epochs that the pruned trials would have trained, with the mean length of
            complete trials.
        epochs_spent: Epochs that audited trials trained after their pruning.
        share_saved: epochs_saved minus epochs_spent, as a share of all epochs without pruning.
        several: Whether the study has several objectives.
    """

    pruned: int
    audited: int
    lost: int
    interval: tuple[float, float] | None
    epochs_saved: float
    epochs_spent: int
    share_saved: float
    several: bool = False

    @property
    def share_lost(self) -> float | None:
        """The share of audited trials that beat the best; None while unknown."""
        return self.lost / self.audited if self.interval is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        values = {k: v for k, v in asdict(self).items() if k != "several"}
        return {**values, "share_lost": self.share_lost}

    def sentence(self) -> str:
        """Return a one-line summary."""
        if not self.pruned and not self.audited:
            return "pruning: no trial pruned yet"
        if self.interval is None or self.share_lost is None:
            risk = f"unknown ({self.audited} of at least {ENOUGH_AUDITS} audits)"
        else:
            risk = (
                f"{percent(self.share_lost, 0)} {interval(self.interval, 0)} ({self.lost} of "
                f"{self.audited} audits)"
            )
        saved = self.epochs_saved - self.epochs_spent
        what = "been on the front" if self.several else "beaten the best"
        return (
            f"pruning: {self.pruned} pruned, {saved:.0f} epochs saved "
            f"({percent(self.share_saved, 0)}); a pruned trial would have {what}: {risk}"
        )


def pruning(trials: Sequence[TrialRecord], config: StudyConfig) -> Pruning:
    """Return the effect of a study's pruner.

    Args:
        trials: All trials of the study.
        config: The study's configuration.
    """
    length = config.resource.length
    pruned = [t for t in trials if t.state == "pruned" and t.trainable]
    audited = [t for t in trials if _is_audited(t, trials, config)]
    complete = [t for t in trials if t.state == "complete"]
    through = [t for t in complete if t.audit is None and t.value is not None]
    lost = sum(_would_count(t, through, config) for t in audited)
    shares = [len(t.values) / length(t.params) for t in complete]
    lived = sum(shares) / len(shares) if shares else 1.0
    saved = sum(max(0.0, lived * length(t.params) - len(t.values)) for t in pruned)
    spent = sum(len(t.values) - t.audit for t in trials if t.audit is not None)
    trained = sum(len(t.values) for t in trials)
    whole = trained + saved
    enough = len(audited) >= ENOUGH_AUDITS and bool(through)
    return Pruning(
        pruned=len(pruned),
        audited=len(audited),
        lost=lost,
        interval=wilson(lost / len(audited), len(audited)) if enough else None,
        epochs_saved=saved,
        epochs_spent=spent,
        several=config.goals.several,
        share_saved=(saved - spent) / whole if whole else 0.0,
    )


def _would_count(trial: TrialRecord, through: Sequence[TrialRecord], config: StudyConfig) -> bool:
    """Return whether an audited trial beats the best of the others, or adds to their front."""
    if config.goals.several:
        return trial in front_of([*through, trial], config.goals)
    best = min((t.value for t in through if t.value is not None), default=math.inf)
    return trial.value is not None and trial.value < best


def _is_audited(trial: TrialRecord, trials: Sequence[TrialRecord], config: StudyConfig) -> bool:
    """Return whether a trial was trained to the end although the pruner would have pruned it.

    A trial that a promoting pruner would have resumed later is not audited.
    """
    if trial.audit is None or trial.state != "complete":
        return False
    if not config.pruner.name.endswith("-promotion"):
        return True
    pruner = make_pruner(config.pruner, config.resource, goals=config.goals)
    decision = pruner.decide(without_audits(trials), ended_at_audit(trial), trial.audit)
    return decision is not Decision.GO
