"""Finds the interrupted trials: unfinished, but run by no search until the next one."""

from __future__ import annotations

from hpsearch.storage.optuna_tables import leased
from hpsearch.storage.view import StudyView
from hpsearch.study.lock import SEARCH, lock_holder

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
    running = {number for number, state in found.items() if state == "running"}
    return found | dict.fromkeys(_interrupted(view, running) if running else (), "interrupted")


def _interrupted(view: StudyView, running: set[int]) -> set[int]:
    if view.database.is_server:
        with view.database.opened() as storage:
            return running - leased(storage, view.name).keys()
    holder = lock_holder(view.folder)
    # 0.1.0 did not write the command
    other = holder is not None and holder.endswith(")") and not holder.endswith(f"({SEARCH})")
    return running if holder is None or other else set()
