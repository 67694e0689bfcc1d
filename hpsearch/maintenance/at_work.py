"""Finds the interrupted trials: unfinished, but run by no search until the next one."""

from __future__ import annotations

from hpsearch.storage.optuna_tables import leased
from hpsearch.storage.view import StudyView
from hpsearch.study.plan import SEARCH, lock_holder
from hpsearch.trial import TrialRecord

STATES = ("complete", "pruned", "failed", "running", "paused", "interrupted")
"""The states that commands show."""


def standings(view: StudyView) -> dict[int, str]:
    """Return each trial's state, by number: interrupted where it is running but no search is.

    Args:
        view: The study.

    Raises:
        EnvironmentFailure: The study's server does not answer.
    """
    found: dict[int, str] = {t.number: t.state for t in view.trials}
    if left := [t for t in view.trials if t.state == "running"]:
        found |= dict.fromkeys(_interrupted(view, left), "interrupted")
    return found


def _interrupted(view: StudyView, running: list[TrialRecord]) -> set[int]:
    numbers = {t.number for t in running}
    if view.database.is_server:
        with view.database.opened() as storage:
            return numbers - leased(storage, view.name).keys()
    holder = lock_holder(view.folder)
    if holder is None:
        return numbers
    named = holder.endswith(")")  # 0.1.0 did not write the command
    return numbers if named and not holder.endswith(f"({SEARCH})") else set()
