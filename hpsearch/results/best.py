"""One sentence about a study's best trial, shared by all commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.driver.stopping import tasks_behind
from hpsearch.results.certificate import in_words
from hpsearch.results.intervals import wilson
from hpsearch.wording import count, interval, percent

if TYPE_CHECKING:
    from hpsearch.storage.view import StudyView
    from hpsearch.trial import TrialRecord


def best_in_words(
    view: StudyView, best: TrialRecord | None, certificate: Mapping[str, Any] | None
) -> str:
    """Return the best trial and its certainty: the certificate if there is one."""
    if best is None or best.value is None:
        tried = [t for t in view.trials if t.trainable and t.value is not None]
        lowest = min(tried, key=lambda t: t.value or 0, default=None)
        if lowest is None:
            return "no epoch has ended yet"
        return (
            f"no complete trial yet; lowest: trial {lowest.number}, validation error "
            f"{percent(lowest.value or 0)} after {count(lowest.last_epoch, 'epoch')}"
        )
    if certificate is not None:
        return in_words(certificate)
    tasks = tasks_behind(view.config, view.dataset)
    dense = view.config.objective == "dense"
    on = "all tasks (dense)" if dense else f"{tasks} tasks"
    return (
        f"best: trial {best.number}, validation error {percent(best.value)} "
        f"{interval(wilson(best.value, tasks))} on {on}, unconfirmed"
    )
