"""A study's database on a server: several drivers write it, each the trials that it has leased."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from hpsearch.paths import StudyFolder
from hpsearch.storage import optuna_tables as tables
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.engine import is_away
from hpsearch.storage.leases import Leases, NumberTakenError, TrialTakenError
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Wait


class ServerRecord(StudyRecord):
    """Writes a server's database, as one of several drivers."""

    shared = True
    busy = "does not answer"

    def _check_before_opening(self, folder: StudyFolder) -> None:
        """Nothing: there is no file."""

    def _prepare(self, lease_s: float) -> None:
        self.leases = Leases(self.storage.engine, lease_s)

    def _number_taken(self, number: int) -> Exception:
        self.leases.behind = True
        return NumberTakenError(f"trial {number} was entered by another driver")

    def _inserted_before(self, session: Session, number: int) -> int | None:
        found = tables.find_trial(session, self.study_id, number)
        ours = self.leases.held(session, [found]) if found is not None else set()
        return next(iter(ours), None)

    def _entered(self, session: Session, trial_id: int) -> None:
        self.leases.take(session, trial_id)

    def _check_ours(self, session: Session, number: int) -> None:
        if not self._held(session, [self.ids[number]]):
            raise TrialTakenError(f"trial {number} is another driver's")

    def _held(self, session: Session, ids: Collection[int]) -> Collection[int]:
        return self.leases.held(session, ids)

    def end(self, trial: TrialRecord, attributes: Mapping[str, Any]) -> None:
        """End a trial at once; see `StudyRecord.end`."""
        super().end(trial, attributes)
        try:
            self._write_pending()
        except TrialTakenError:
            self._ends.clear()
            raise

    def _ended(self, session: Session, trial_id: int) -> None:
        self.leases.end(session, trial_id)

    def _goes_on(self, error: Exception, wait: Wait) -> bool:
        again = is_away(error) and wait.goes_on()
        if again:
            wait.tell()
        return again

    def _release(self) -> None:
        self.transact(self.leases.release)
