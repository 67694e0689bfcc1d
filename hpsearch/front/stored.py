"""What a database in Optuna's form holds of an ended trial: values and constraints."""

from __future__ import annotations

from hpsearch.front.goals import ONE, Goals
from hpsearch.trial import TrialRecord

CONSTRAINT = "constraints:trainable"


def stored_values(trial: TrialRecord, goals: Goals = ONE) -> tuple[float, ...] | None:
    """Return the values that Optuna's tables hold of an ended trial, None for none.

    Of several objectives only complete trials have values: the others of a pruned trial would
    stand beside an error that is not final.
    """
    if goals.several:
        return goals.point(trial) if trial.state == "complete" else None
    held = trial.state in ("complete", "pruned") and trial.value is not None
    return (float(trial.value or 0.0),) if held else None


def stored_constraints(trial: TrialRecord, goals: Goals = ONE) -> dict[str, float]:
    """Return the system attributes from which Optuna knows an ended trial's constraints."""
    known = {f"constraints:{key}": value for key, value in goals.excesses(trial.figures).items()}
    return known if trial.trainable else {**known, CONSTRAINT: 1.0}
