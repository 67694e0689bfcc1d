"""A study that several drivers search: what the others did, and whose trials are free.

Used where the storage is a server. A driver's own history stays in memory; this reads what is new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from optuna.storages._rdb import models
from sqlalchemy import text
from sqlalchemy.orm import Session

from hpsearch.errors import EnvironmentFailure
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.leases import Leases
from hpsearch.trial import TrialRecord

T = TypeVar("T")
FOLLOW_S = 1.0
"""How often the database is asked what is new."""
RENEWALS = 6
"""How often a lease is renewed within its time."""

NEW_REPORTS = """
SELECT reports.trial_id, step, intermediate_value, intermediate_value_type
FROM trial_intermediate_values AS reports
JOIN unnest(CAST(:trials AS INTEGER[]), CAST(:steps AS INTEGER[])) AS known (trial_id, last)
ON reports.trial_id = known.trial_id AND step > last
ORDER BY reports.trial_id, step"""

ENDED = "SELECT trial_id FROM trials WHERE trial_id = ANY(:trials) AND state <> 'RUNNING'"
MARKED = """
SELECT trial_id, key, value_json FROM trial_user_attributes
WHERE trial_id = ANY(:trials) AND key = ANY(:marks)"""

ADD_SECONDS = """
INSERT INTO study_user_attributes (study_id, key, value_json)
VALUES (:study_id, 'driver_seconds', CAST(CAST(:seconds AS DOUBLE PRECISION) AS TEXT))
ON CONFLICT (study_id, key) DO UPDATE SET value_json = CAST(
    CAST(study_user_attributes.value_json AS DOUBLE PRECISION) + :seconds AS TEXT
) RETURNING value_json"""


@dataclass(frozen=True)
class Updates:
    """What has happened to a study since it was last asked.

    Args:
        trials: Trials of other drivers that are new or have ended, and those taken over, whole.
        reports: Epochs of other drivers' running trials: number, epoch, validation error.
        taken: Numbers of trials that this driver now holds and must continue.
        lost: Numbers of trials that another driver has taken from this one.
    """

    trials: tuple[TrialRecord, ...] = ()
    reports: tuple[tuple[int, int, float], ...] = ()
    taken: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()

    def enter_into(self, history: list[TrialRecord]) -> None:
        """Bring a history up to date."""
        for trial in self.trials:
            history[trial.number : trial.number + 1] = [trial]
        for number, epoch, value in self.reports:
            history[number] = history[number].with_value(epoch, value)


NOTHING = Updates()
MARKS = ("paused", "audit")
"""Attributes of a running trial that other drivers must know of."""


@dataclass(frozen=True)
class _Open:
    """An unfinished trial of another driver, as far as it is known."""

    number: int
    epoch: int = 0
    marks: frozenset[tuple[str, str]] | None = None


class Peers:
    """Follows the other drivers of a study, for one driver."""

    def __init__(self, record: StudyRecord, leases: Leases) -> None:
        """Note whose eyes and whose leases these are."""
        self._record, self._leases = record, leases
        self._open: dict[int, _Open] = {}
        self._newest = 0
        self._read = self._renewed = float("-inf")

    def start(self, history: Collection[TrialRecord]) -> None:
        """Take the history as read; every unfinished trial in it is another driver's for now."""
        ids = self._record.ids
        self._newest = max(ids.values(), default=0)
        self._open = {
            ids[t.number]: _Open(t.number, max(t.values, default=0))
            for t in history
            if not t.finished
        }

    def left(self, number: int) -> None:
        """Note that a trial is another driver's; what it did is read from the start."""
        trial_id = self._record.ids[number]
        self._leases.mine.discard(trial_id)
        self._open[trial_id] = _Open(number)

    def claim(self, number: int) -> bool:
        """Take a paused trial before it goes on or ends; say whether it is ours now."""
        trial_id = self._record.ids[number]
        claimed = self._in_session(lambda session: self._leases.claim(session, trial_id))
        if claimed:
            self._open.pop(trial_id, None)
        return claimed

    def release(self, number: int) -> None:
        """Leave a paused trial to whoever goes on with it first."""
        trial_id = self._record.ids[number]
        self._in_session(lambda session: self._leases.end(session, trial_id))
        self.left(number)

    def _in_session(self, action: Callable[[Session], T]) -> T:
        def act() -> T:
            with self._record.session() as session:
                return action(session)

        return self._record.write(act)

    def updates(self, room: int) -> Updates:
        """Return what is new, at most once a second.

        Args:
            room: Trials that this driver could start now; it takes no more over.

        Raises:
            EnvironmentFailure: The study is gone, or the server stayed away too long.
        """
        now = time.monotonic()
        if now - self._read < FOLLOW_S and not self._leases.behind:
            return NOTHING
        self._read, self._leases.behind = now, False
        due = now - self._renewed >= self._leases.lease_s / RENEWALS and self._leases.mine
        if due:
            self._renewed = now
        lost = self._in_session(self._leases.renew) if due else set()
        numbers = {trial_id: number for number, trial_id in self._record.ids.items()}
        gone = [numbers[trial_id] for trial_id in sorted(lost) if trial_id in numbers]
        for number in gone:
            self.left(number)
        taken = self._in_session(lambda s: self._take_free(s, room)) if room > 0 else set()
        trials = self._record.write(lambda: self._read_trials(taken))
        reports = self._in_session(self._read_reports)
        again = [number for number, trial_id in self._record.ids.items() if trial_id in taken]
        return Updates(tuple(trials), tuple(reports), tuple(sorted(again)), tuple(gone))

    def _take_free(self, session: Session, room: int) -> set[int]:
        study = self._record.study_id
        try:
            models.StudyModel.find_or_raise_by_id(study, session, for_update=True)
        except KeyError:
            raise EnvironmentFailure(
                f"{self._record.place}: the study was removed; results are kept in the trials' "
                "folders"
            ) from None
        return self._leases.take_free(session, study, room)

    def _read_trials(self, taken: set[int]) -> list[TrialRecord]:
        """Return the trials that are new, have ended, rest, go on or were taken over, whole."""
        with self._record.session() as session:
            changed = self._changed(session)
        storage, study = self._record.storage, self._record.study_id
        own = self._leases.mine - taken
        found = storage._get_trials(study, None, changed | taken, self._newest)
        self._newest = max([self._newest, *(t._trial_id for t in found)])
        trials = []
        for trial in found:
            trial_id = trial._trial_id
            if trial_id in own:
                continue
            record = self._record.note(trial)
            trials.append(record)
            if trial.state.is_finished() or trial_id in taken:
                self._open.pop(trial_id, None)
            else:
                marks = _marks((k, json.dumps(v)) for k, v in trial.user_attrs.items())
                last = max(record.values, default=0)
                self._open[trial_id] = _Open(trial.number, last, marks)
        return sorted(trials, key=lambda trial: trial.number)

    def _changed(self, session: Session) -> set[int]:
        """Return which of the others' unfinished trials have ended, rest or go on."""
        values = {"trials": list(self._open), "marks": list(MARKS)}
        ended = set(session.execute(text(ENDED), values).scalars())
        marks: dict[int, list[tuple[str, str]]] = {}
        for trial_id, key, value in session.execute(text(MARKED), values):
            marks.setdefault(trial_id, []).append((key, value))
        return ended | {i for i, o in self._open.items() if o.marks != _marks(marks.get(i, []))}

    def _read_reports(self, session: Session) -> list[tuple[int, int, float]]:
        known = {"trials": list(self._open), "steps": [o.epoch for o in self._open.values()]}
        kind = models.TrialIntermediateValueModel
        found = []
        for trial_id, step, value, stored_type in session.execute(text(NEW_REPORTS), known):
            trial = self._open[trial_id]
            self._open[trial_id] = replace(trial, epoch=step)
            of = kind.TrialIntermediateValueType[stored_type]
            found.append((trial.number, step, kind.stored_repr_to_intermediate_value(value, of)))
        return found

    def add_seconds(self, seconds: float) -> float:
        """Add to the time that all drivers have worked; return the sum, in seconds."""
        values = {"study_id": self._record.study_id, "seconds": seconds}
        return self._in_session(
            lambda session: float(session.execute(text(ADD_SECONDS), values).scalar_one())
        )


def _marks(attributes: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((k, v) for k, v in attributes if k in MARKS and v != "null")
