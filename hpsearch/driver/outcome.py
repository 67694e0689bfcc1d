"""Turns the end of a trial on a worker into its final state in the study."""

from __future__ import annotations

from dataclasses import replace

from hpsearch.execution import Ended, Ending, Lost
from hpsearch.front import ONE, Goals
from hpsearch.measure import VALIDATION_ERROR, Measure
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import OUT_OF_MEMORY, TrialRecord


def checked(result: EpochResult) -> EpochResult:
    """Return an epoch's result; diagnose one whose error is not finite as diverged."""
    if result.finite or result.diagnosis:
        return result
    return replace(result, diagnosis=f"diverged: validation error {result.validation_error}")


def outcome(
    trial: TrialRecord, event: Ended, diagnosis: str | None, goals: Goals = ONE
) -> TrialRecord:
    """Return the trial with its final state: complete, not trainable (pruned), or failed.

    Args:
        trial: The running trial.
        event: The end on its worker, which the pruner did not cause.
        diagnosis: The diagnosis of its last epoch.
        goals: What the study wants; a trial without a figure that this needs has failed.
    """
    if event.ending is Ending.FINISHED and trial.value is not None:
        if broken := goals.violation(trial.figures):
            return replace(trial, state="pruned", trainable=False, cause=broken)
        if missing := goals.missing(trial.figures):
            cause = f"reported no {missing}, which the study's objectives or constraints name"
            return replace(trial, state="failed", value=None, cause=cause)
        value = trial.value if event.result is None else event.result
        ended = replace(trial, state="complete", cause=event.cause)
        return replace(ended, value=value, result=event.result)
    if event.ending in (Ending.DIAGNOSED, Ending.STOPPED):
        cause = diagnosis or event.cause or "cannot be trained"
        return replace(trial, state="pruned", trainable=False, cause=cause)
    return replace(trial, state="failed", value=None, cause=cause_of(event))


def cause_of(event: Ended | Lost) -> str:
    """Return the cause of a failure, in words."""
    if isinstance(event, Lost):
        return event.cause
    memory = f"{OUT_OF_MEMORY}: " if event.ending is Ending.OUT_OF_MEMORY else ""
    return memory + (event.cause or event.ending.value)


def resumed_in_words(number: int, kept: int, known: int, aside: str | None) -> str | None:
    """Return a line about a trial that does not continue where it stopped, None for others.

    Args:
        number: The trial.
        kept: The last epoch in its checkpoint.
        known: The last epoch that the study has recorded.
        aside: The checkpoints that were set aside, and why.
    """
    if kept >= known and aside is None:
        return None
    reason = aside or "its checkpoint is missing or damaged, see the logs"
    if aside and not kept:
        return f"trial {number}: {reason}; the trial starts again"
    return f"trial {number}: {reason}; it continues after epoch {kept} instead of {known}"


def in_words(trial: TrialRecord, shown: Measure = VALIDATION_ERROR) -> str:
    """Describe a trial's end in one line."""
    error = "" if trial.value is None else f", {shown.short} {shown.text(trial.value)}"
    cause = f" ({trial.cause})" if trial.cause else ""
    return f"trial {trial.number} {trial.state}{error}{cause}"
