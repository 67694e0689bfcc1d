"""Finds the interrupted trials: unfinished, but run by no search until the next one."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import text

from hpsearch.storage.engine import closing, is_server, open_storage
from hpsearch.storage.view import StudyView
from hpsearch.study.plan import SEARCH, lock_holder
from hpsearch.trial import TrialRecord

STATES = ("complete", "pruned", "failed", "running", "paused", "interrupted")
"""The states that commands show."""
LEASED = """
SELECT number FROM trials JOIN studies USING (study_id) JOIN hpsearch_leases USING (trial_id)
WHERE study_name = :name AND until > clock_timestamp()"""


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
    if is_server(view.config.storage):
        return numbers - _leased(view)
    holder = lock_holder(view.folder)
    if holder is None:
        return numbers
    named = holder.endswith(")")  # 0.1.0 did not write the command
    return numbers if named and not holder.endswith(f"({SEARCH})") else set()


def _leased(view: StudyView) -> set[int]:
    with closing(open_storage(view.folder, view.config.storage)) as storage:
        if not sqlalchemy.inspect(storage.engine).has_table("hpsearch_leases"):
            return set()
        with storage.engine.connect() as connection:
            return set(connection.execute(text(LEASED), {"name": view.name}).scalars())
