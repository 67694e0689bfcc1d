"""What Optuna Dashboard shows beside an ended trial: how and why it ended, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hpsearch.search.history import TrialRecord

MOST = 2000
"""Characters of a note; the dashboard keeps so many in one attribute."""


def note_attributes(
    trial: TrialRecord, attributes: Mapping[str, Any], trial_id: int
) -> dict[str, Any]:
    """Return the study's system attributes in which the dashboard looks for a trial's note.

    Written here because its own function would load scikit-learn into the driver.

    Args:
        trial: The ended trial.
        attributes: Its user attributes.
        trial_id: Its id in the database.
    """
    return {
        f"dashboard:{trial_id}:note_str:0": _note(trial, attributes)[:MOST],
        f"dashboard:{trial_id}:note_ver": 1,
    }


def _note(trial: TrialRecord, attributes: Mapping[str, Any]) -> str:
    error = "none" if trial.value is None else f"{trial.value:.4f}"
    lines = [f"**{_ending(trial)}**", "", f"- lowest validation error: {error}"]
    finite = {epoch: value for epoch, value in trial.values.items() if math.isfinite(value)}
    if finite:
        best = min(finite, key=lambda epoch: (finite[epoch], epoch))
        lines.append(f"- epochs: {max(trial.values)}, the best was epoch {best}")
    if "seconds" in attributes:
        lines.append(f"- training time: {attributes['seconds']:g} s")
    return "\n".join(lines)


def _ending(trial: TrialRecord) -> str:
    if trial.state == "complete":
        return trial.cause or "complete: trained to its end"
    kind = trial.state if trial.trainable else "cannot be trained"
    return f"{kind}: {trial.cause}" if trial.cause else kind
