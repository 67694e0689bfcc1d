"""One sentence about a study's best trial, shared by all commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.confirm.certificate import best_of, in_words
from hpsearch.driver.stopping import tasks_behind
from hpsearch.intervals import wilson
from hpsearch.storage.view import StudyView
from hpsearch.trial import TrialRecord
from hpsearch.wording import count, interval, percent


def best_in_words(view: StudyView) -> str:
    """Return a study's best trial and its certainty."""
    best, certificate = best_of(view)
    tried = [t for t in view.trials if t.trainable and t.value is not None]
    lowest = min(tried, key=lambda t: t.value or 0, default=None)
    tasks = tasks_behind(view.config, view.dataset)
    on = "all tasks (dense)" if view.config.objective == "dense" else f"{tasks} tasks"
    ends = wilson(best.value, tasks) if best is not None and best.value is not None else (0, 1)
    return describe_best(best, lowest, certificate, f" {interval(ends)} on {on}")


def describe_best(
    best: TrialRecord | None,
    lowest: TrialRecord | None,
    certificate: Mapping[str, Any] | None,
    certainty: str,
) -> str:
    """Return the best trial as confirmed, as searched, or as trained so far.

    Args:
        best: The best complete trial.
        lowest: The trial with the lowest error in any state.
        certificate: The certificate of `best`.
        certainty: Text after the error of an unconfirmed best trial.
    """
    if best is None or best.value is None:
        if lowest is None or lowest.value is None:
            return "no epoch has ended yet"
        return (
            f"no complete trial yet; lowest: trial {lowest.number} ({lowest.state}), validation "
            f"error {percent(lowest.value)} after {count(lowest.last_epoch, 'epoch')}"
        )
    if certificate is not None:
        return in_words(certificate)
    error = percent(best.value)
    return f"best: trial {best.number}, validation error {error}{certainty}, unconfirmed"
