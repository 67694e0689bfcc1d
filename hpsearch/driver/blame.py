"""Decides whether a trial or the machine is to blame when workers die.

After an unexplained death the trial is tried again. A trial whose workers died too often is a
suspect: it stays in the queue until another trial has ended well since its first death. Then it
fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from hpsearch.errors import EnvironmentFailure
from hpsearch.storage.trial_store import TrialStore
from hpsearch.trial import TrialRecord

MAX_DEATHS = 3
"""Deaths of workers without a new epoch after which their trial is a suspect."""
MAX_SUSPECTS = 5
"""Suspects after which no new trial starts."""
MORE = "fix the cause, then search on with a larger budget, for example --trials"
AGAIN = "see the logs in the study's folder, then run the same command again"


def ended_well(history: Sequence[TrialRecord]) -> int:
    """Count the trials that prove that the machine can train."""
    return sum(trial.settled and not trial.added and trial.state != "failed" for trial in history)


class Suspects:
    """The trials of one driver whose workers died too often. The store keeps their deaths."""

    def __init__(self, store: TrialStore) -> None:
        """Start without suspects; the store counts deaths."""
        self._store = store
        self._waiting: list[int] = []

    def __len__(self) -> int:
        """Count the suspects."""
        return len(self._waiting)

    def note_death(self, number: int, cause: str, history: Sequence[TrialRecord]) -> bool:
        """Count a death; return whether the trial is now a suspect."""
        deaths = self._store.note_death(history[number], cause, ended_well(history))
        if deaths >= MAX_DEATHS:
            self._waiting.append(number)
        return deaths >= MAX_DEATHS

    def release(self, history: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Return, as failed, the suspects after whose first death another trial has ended well."""
        found = []
        for number in list(self._waiting):
            deaths = self._store.deaths(history[number])
            if ended_well(history) > deaths.ended_well:
                failed = replace(history[number], state="failed", value=None, cause=deaths.cause)
                found.append(failed)
                self.drop(number)
        return found

    def drop(self, number: int) -> None:
        """Remove a trial from the suspects."""
        self._waiting = [n for n in self._waiting if n != number]

    def blame_machine(self, history: Sequence[TrialRecord]) -> NoReturn:
        """End the search; the suspects stay in the queue.

        Raises:
            EnvironmentFailure: Always; it names the first and the last cause.
        """
        causes = [self._store.deaths(history[n]).cause for n in self._waiting]
        if len(causes) > 1:
            raise EnvironmentFailure(_in_a_row(f"{len(causes)} trials failed in a row", causes))
        raise EnvironmentFailure(
            f"trial {self._waiting[0]} died {MAX_DEATHS} times without ending an epoch, and no "
            f"other trial ended well meanwhile: {causes[0]}; {AGAIN}"
        )


def check_some_ended_well(history: Sequence[TrialRecord]) -> None:
    """Refuse to end a search normally when every trial failed.

    Raises:
        EnvironmentFailure: All of them failed.
    """
    if history and all(trial.state == "failed" for trial in history):
        causes = [trial.cause or "unknown" for trial in history]
        number = f"all {len(causes)} trials" if len(causes) > 1 else "the only trial"
        raise EnvironmentFailure(_in_a_row(f"{number} failed", causes, MORE))


def _in_a_row(what: str, causes: Sequence[str], fix: str = AGAIN) -> str:
    return f"{what}, the first: {causes[0]}; the last: {causes[-1]}; {fix}"
