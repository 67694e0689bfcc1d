"""A study on a server that several drivers search: this reads what the other drivers did.

A driver keeps its history in memory and asks the server only for what is new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.seeding import derive_seed
from hpsearch.storage import optuna_tables as tables
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.file_store import FileStore
from hpsearch.storage.leases import Leases
from hpsearch.storage.trial_store import NOTHING, Updates
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Patience

FOLLOW_S = 1.0
"""How often the database is read."""
RENEWALS = 6
"""Renewals of a lease within its time."""

MARKS = ("paused", "audit")
"""Attributes of a running trial that other drivers follow."""


@dataclass(frozen=True)
class _Open:
    """An unfinished trial of another driver, as last read."""

    number: int
    epoch: int = 0
    marks: frozenset[tuple[str, str]] | None = None


class SharedStore(FileStore):
    """Writes this driver's trials, and follows those of the other drivers."""

    def __init__(
        self, plan: StudyPlan, data: DataPlace, record: StudyRecord, leases: Leases
    ) -> None:
        """Write into a plan's folder and a record that is open, as the holder of its leases."""
        super().__init__(plan, data, record)
        self._leases = leases
        self._open: dict[int, _Open] = {}
        self._newest = 0
        self._looked = self._renewed = float("-inf")

    def load(self) -> list[TrialRecord]:
        """Return the history; every unfinished trial in it is another driver's for now."""
        history, ids = self._read(), self._record.ids
        self._newest = max(ids.values(), default=0)
        unfinished = [t for t in history if not t.finished]
        self._open = {ids[t.number]: _Open(t.number, t.last_epoch) for t in unfinished}
        return history

    def left_running(self, history: Sequence[TrialRecord]) -> list[TrialRecord]:  # noqa: ARG002
        """Return none: `updates` takes over the trials that no driver runs."""
        return []

    def leave(self, number: int) -> None:
        """Accept that another driver has a trial; its epochs are read from the first one on."""
        trial_id = self._record.ids[number]
        self._leases.mine.discard(trial_id)
        self._open[trial_id] = _Open(number)

    def claim(self, number: int) -> bool:
        """Take a paused trial before it continues or ends; return whether this driver has it."""
        trial_id = self._record.ids[number]
        claimed = self._record.transact(lambda session: self._leases.claim(session, trial_id))
        if claimed:
            self._open.pop(trial_id, None)
        return claimed

    def pause(self, number: int, epoch: int) -> None:
        """Record that a trial is paused, and leave it to the first driver that continues it."""
        super().pause(number, epoch)
        trial_id = self._record.ids[number]
        self._record.transact(lambda session: self._leases.end(session, trial_id))
        self.leave(number)

    def updates(self, room: int) -> Updates:
        """Return what other drivers did; read the database at most once a second.

        Args:
            room: The most trials that this driver takes over.

        Raises:
            EnvironmentFailure: The study was removed, or the server did not answer in time.
        """
        now = time.monotonic()
        if now - self._looked < FOLLOW_S and not self._leases.behind:
            return NOTHING
        self._looked, self._leases.behind = now, False
        due = now - self._renewed >= self._leases.lease_s / RENEWALS and self._leases.mine
        if due:
            self._renewed = now
        lost = self._record.transact(self._leases.renew) if due else set()
        numbers = {trial_id: number for number, trial_id in self._record.ids.items()}
        gone = [numbers[trial_id] for trial_id in sorted(lost) if trial_id in numbers]
        for number in gone:
            self.leave(number)
        taken = self._record.transact(lambda s: self._take_free(s, room)) if room > 0 else set()
        changed = self._record.transact(self._changed) | taken
        trials = self._record.write(lambda: self._read_trials(changed, taken))
        reports = self._record.transact(self._read_reports)
        again = [number for number, trial_id in self._record.ids.items() if trial_id in taken]
        return Updates(tuple(trials), tuple(reports), tuple(sorted(again)), tuple(gone))

    def _take_free(self, session: Session, room: int) -> set[int]:
        study = self._record.study_id
        try:
            tables.lock_study(session, study)
        except KeyError:
            raise EnvironmentFailure(
                f"{self._record.database}: the study was removed; results are kept in the trials' "
                "folders"
            ) from None
        return self._leases.take_free(session, study, room)

    def _read_trials(self, changed: set[int], taken: set[int]) -> list[TrialRecord]:
        """Return the whole trials that are new, ended, paused, continued or taken over."""
        storage, study = self._record.storage, self._record.study_id
        own = self._leases.mine - taken
        found = tables.read_trials(storage, study, changed, self._newest)
        self._newest = max([self._newest, *map(tables.trial_id_of, found)])
        trials = []
        for trial in found:
            trial_id = tables.trial_id_of(trial)
            if trial_id in own:
                continue
            record = self._record.note(trial)
            trials.append(record)
            if trial.state.is_finished() or trial_id in taken:
                self._open.pop(trial_id, None)
            else:
                marks = _marks((k, json.dumps(v)) for k, v in trial.user_attrs.items())
                self._open[trial_id] = _Open(trial.number, record.last_epoch, marks)
        return sorted(trials, key=lambda trial: trial.number)

    def _changed(self, session: Session) -> set[int]:
        """Return which unfinished trials of other drivers have ended, paused or continued."""
        values = {"trials": list(self._open), "marks": list(MARKS)}
        ended = set(session.execute(tables.ENDED, values).scalars())
        marks: dict[int, list[tuple[str, str]]] = {}
        for trial_id, key, value in session.execute(tables.MARKED, values):
            marks.setdefault(trial_id, []).append((key, value))
        return ended | {i for i, o in self._open.items() if o.marks != _marks(marks.get(i, []))}

    def _read_reports(self, session: Session) -> list[tuple[int, int, float]]:
        known = {"trials": list(self._open), "steps": [o.epoch for o in self._open.values()]}
        found = []
        for trial_id, step, value, stored_type in session.execute(tables.NEW_REPORTS, known):
            trial = self._open[trial_id]
            self._open[trial_id] = replace(trial, epoch=step)
            found.append((trial.number, step, tables.report_of(value, stored_type)))
        return found

    def save_seconds(self, total: float, since: float) -> float:  # noqa: ARG002
        """Add to the time that all drivers have worked; return the sum."""
        values = {"study_id": self._record.study_id, "seconds": since}
        return self._record.transact(
            lambda session: float(session.execute(tables.ADD_SECONDS, values).scalar_one())
        )


def _marks(attributes: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((k, v) for k, v in attributes if k in MARKS and v != "null")


def open_store(plan: StudyPlan, data: DataPlace, patience: Patience | None = None) -> FileStore:
    """Open the store of a study: its own folder's, or one that drivers share.

    Args:
        plan: The study.
        data: The packed data set.
        patience: How long to wait for the database, and who is told of it.

    Raises:
        InputError: A server's study of this name has another configuration, space or data set.
        EnvironmentFailure: The database cannot be opened.
    """
    config = plan.config
    named = config.shown.stored, config.goals
    record = StudyRecord(
        plan.folder, config.name, config.storage, config.lease_s, patience, *named
    )
    if not isinstance(record.leases, Leases):
        return FileStore(plan, data, record)
    mark = derive_seed(0, plan.fixed_part(), data.fingerprint)
    known = record.attribute("plan")
    if known is None:
        record.set_attribute("plan", mark)
    elif known != mark:
        record.close()
        raise InputError(
            f"{record.database}: holds a study {config.name!r} that was begun with another "
            "configuration, space or data set; set another `name`, or search with the same"
        )
    return SharedStore(plan, data, record, record.leases)
