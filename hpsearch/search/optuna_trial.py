"""Between Optuna's trials, as the database holds them, and the search's own records."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from hpsearch.search.history import State, TrialRecord

CONSTRAINT = "constraints:trainable"
STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def to_record(trial: FrozenTrial) -> TrialRecord:
    """Turn Optuna's trial into the search's record."""
    names: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    unfinished: State = "paused" if trial.user_attrs.get("paused") else "running"
    state = names.get(trial.state, unfinished)
    values = dict(sorted(trial.intermediate_values.items()))
    lowest = None if state == "failed" else min(values.values(), default=None)
    value = trial.value if trial.values else lowest
    return TrialRecord(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        values=values,
        value=value,
        trainable=not trial.system_attrs.get(CONSTRAINT, 0.0) > 0,
        cause=trial.user_attrs.get("cause"),
        audit=trial.user_attrs.get("audit"),
        seconds=trial.user_attrs.get("seconds"),
    )
