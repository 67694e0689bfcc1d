"""Converts Optuna's trials, as the database holds them, into the search's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpsearch.front.stored import CONSTRAINT
from hpsearch.seeding import trial_seed
from hpsearch.trial import ADDED, State, TrialRecord

STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def is_ours(trial: FrozenTrial, study_seed: int | None = None) -> bool:
    """Return whether a search entered a trial: then it has the seed of its number.

    Args:
        trial: As the database holds it.
        study_seed: The study's seed; None where it is unknown, then any seed counts.
    """
    held = trial.user_attrs.get("seed")
    if study_seed is None:
        return held is not None
    return bool(held == trial_seed(study_seed, trial.number))


def to_record(trial: FrozenTrial, study_seed: int | None = None) -> TrialRecord:
    """Turn Optuna's trial into the search's record.

    A trial that Optuna's own functions added was not trained here. It counts as failed, so that
    samplers do not learn from it and it is never the best. One that they enqueued counts as
    running, without parameters.
    """
    if trial.state is TrialState.WAITING:
        return TrialRecord(trial.number, "running", {})
    if not is_ours(trial, study_seed):
        return TrialRecord(trial.number, "failed", {}, cause=ADDED)
    names = {stored: state for state, stored in STATES.items() if stored.is_finished()}
    unfinished: State = "paused" if trial.user_attrs.get("paused") else "running"
    state = names.get(trial.state, unfinished)
    values = dict(sorted(trial.intermediate_values.items()))
    lowest = None if state == "failed" else min(values.values(), default=None)
    value = trial.values[0] if trial.values else lowest
    figures = attribute(trial.user_attrs, "figures", dict) or {}
    return TrialRecord(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        values=values,
        value=value,
        trainable=not (attribute(trial.system_attrs, CONSTRAINT, float, int) or 0) > 0,
        cause=attribute(trial.user_attrs, "cause", str),
        audit=attribute(trial.user_attrs, "audit", int),
        seconds=attribute(trial.user_attrs, "seconds", float, int),
        result=attribute(trial.user_attrs, "result", float, int),
        figures={key: figures[key] for key in figures if _is_number(figures, key)},
    )


def attribute(attributes: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """Return an attribute; None where it is missing or has none of these types."""
    value = attributes.get(key)
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None


def _is_number(values: Mapping[str, Any], key: str) -> bool:
    return attribute(values, key, float, int) is not None
