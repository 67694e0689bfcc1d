"""The study's database: a durable, browsable record of what the driver decided.

Drivers alone write it, reports in groups; everybody else reads. Optuna's own tables are used,
so `optuna.load_study` and Optuna Dashboard open it as it is.
"""

from __future__ import annotations

import datetime
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from hpsearch.errors import EnvironmentFailure
from hpsearch.paths import StudyFolder
from hpsearch.sqlite_file import LOCKED, check_database, check_whole, is_locked, only_begun
from hpsearch.storage.database_failure import load_failure, write_failure
from hpsearch.storage.engine import is_away, is_server, open_storage, place, root_cause
from hpsearch.storage.leases import LEASE_S, Leases, NumberTakenError, TrialTakenError
from hpsearch.storage.optuna_trial import CONSTRAINT, STATES, to_record
from hpsearch.storage.own_study import create_own
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Interrupted, Patience

GROUP_S = 0.1
"""Reports reach the database at most this many seconds after they were made."""
T = TypeVar("T")
RETRY_S = 0.5


class StudyRecord:
    """Writes one study's database: the one driver of a file, or one of several of a server."""

    def __init__(
        self,
        folder: StudyFolder,
        name: str,
        storage: str = "sqlite",
        lease_s: float = LEASE_S,
        patience: Patience | None = None,
    ) -> None:
        """Open or create the database.

        Args:
            folder: The study's folder.
            name: The study's name in the database.
            storage: "sqlite" for the folder's own file, or a postgresql:// URL.
            lease_s: On a server, seconds after which a silent driver's trials are free.
            patience: How long the database is waited for.

        Raises:
            InputError: The file is there and is not this study's database.
            EnvironmentFailure: It cannot be opened.
            Interrupted: Ctrl-C came while it was waited for.
        """
        self.place, self._patience = place(folder, storage), patience or Patience()
        away = f"{self.place} does not answer"
        self._waited_for = away if is_server(storage) else f"{self.place} {LOCKED}"
        with self._patience.waiting(self._waited_for):
            self._open(folder, name, storage, lease_s)
        self.seed: int | None = None  # the study's; tells its trials from what Optuna added
        self.enqueued: list[FrozenTrial] = []  # by Optuna's own function, not yet begun
        self.ids: dict[int, int] = {}
        self._pending: list[tuple[int, int, float]] = []
        self._ends: list[tuple[TrialRecord, Mapping[str, Any]]] = []
        self._reported: set[tuple[int, int]] = set()
        self._flushed = time.monotonic()

    def _open(self, folder: StudyFolder, name: str, storage: str, lease_s: float) -> None:
        if not is_server(storage) and folder.database.exists() and not only_begun(folder):
            check_database(folder.database)
            check_whole(folder.database, self._patience)
        try:
            self.storage = open_storage(folder, storage, lease_s, self._patience)
            self._study = create_own(self.storage, folder, name, self.place)
            if self._study.metric_names is None:
                with warnings.catch_warnings():  # an experimental function; it names the axis
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    self._study.set_metric_names(["validation error"])
            self.study_id = self._study._study_id
            self.leases = Leases(self.storage.engine, lease_s) if is_server(storage) else None
        except Exception as error:
            raise write_failure(self.place, error) from error

    def notice(self, text: str) -> None:
        """Tell a person one line."""
        self._patience.tell(text)

    def load(self) -> list[TrialRecord]:
        """Return the history as the database holds it, by number.

        Raises:
            InputError: A row cannot be read.
            EnvironmentFailure: The database failed.
        """
        self.flush(force=True)
        try:
            trials = self.write(lambda: self.storage.get_all_trials(self.study_id, deepcopy=False))
        except EnvironmentFailure as error:
            server = self.leases is not None
            raise load_failure(self.place, error, server=server) from error
        return [self.note(trial) for trial in trials]

    def note(self, trial: FrozenTrial) -> TrialRecord:
        """Remember what the database holds of a trial, and return the search's record of it."""
        self.ids[trial.number] = trial._trial_id
        if trial.state is TrialState.WAITING:
            self.enqueued.append(trial)
        self._reported |= {(trial.number, step) for step in trial.intermediate_values}
        return to_record(trial, self.seed)

    def attribute(self, key: str, default: Any = None) -> Any:
        """Return one of the study's user attributes."""
        return self.write(lambda: self._study.user_attrs).get(key, default)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one of the study's user attributes."""
        self.write(lambda: self._study.set_user_attr(key, value))

    def add(
        self,
        trial: TrialRecord,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
    ) -> None:
        """Enter a running trial in one transaction; on a server it is leased in the same one.

        Raises:
            NumberTakenError: Another driver of the server's study was first.
            EnvironmentFailure: The database refused it, or gave it another number.
        """
        frozen = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(trial.params),
            distributions=dict(distributions),
            user_attrs=dict(attributes),
        )
        frozen.datetime_start = datetime.datetime.now()  # local: Optuna turns it into UTC
        trial_id = self.write(lambda: self._insert(trial.number, frozen))
        if trial_id is not None:
            self.ids[trial.number] = trial_id
            if self.leases is None:
                self._forget_pending()
        elif self.leases:
            self.leases.behind = True
            raise NumberTakenError(f"trial {trial.number} was entered by another driver")
        else:
            raise EnvironmentFailure(
                f"{self.place}: trial {trial.number} is there already: something else writes "
                "to this study; stop it, then run the same command again"
            )

    def _insert(self, number: int, frozen: FrozenTrial) -> int | None:
        """Insert a trial if its number is the next; return its id, None when it is not."""
        with self.session() as session:
            models.StudyModel.find_or_raise_by_id(self.study_id, session, for_update=True)
            trials = models.TrialModel
            rows = session.query(trials).filter(trials.study_id == self.study_id)
            if rows.count() != number:
                if self.leases is None:
                    return None
                # An insert whose answer was lost on the way is ours by its lease.
                there = rows.filter(trials.number == number).one_or_none()
                found = self.leases.held(session, [int(there.trial_id)]) if there else set()
                return next(iter(found), None)
            if self.leases is None:
                self._insert_pending(session)  # one commit for both
            inserted = self.storage._get_prepared_new_trial(self.study_id, frozen, session)
            trial_id = int(inserted.trial_id)
            if self.leases:
                self.leases.take(session, trial_id)
            return trial_id

    def session(self) -> AbstractContextManager[Session]:
        """Return one transaction: committed at its end, rolled back on an exception."""
        return _create_scoped_session(self.storage.scoped_session)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of an unfinished trial, after the reports that it speaks of.

        Raises:
            TrialTakenError: Another driver of the server's study has taken the trial over.
            EnvironmentFailure: The database failed.
        """
        self.write(lambda: self._set_trial_attribute(number, key, value))
        self._forget_pending()

    def _set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        trial_id = self.ids[number]
        with self.session() as session:
            self._check_ours(session, number)
            self._insert_pending(session)
            self.storage._set_trial_attr_without_commit(
                session, models.TrialUserAttributeModel, trial_id, key, value
            )

    def _check_ours(self, session: Session, number: int) -> None:
        if self.leases and not self.leases.held(session, [self.ids[number]]):
            raise TrialTakenError(f"trial {number} is another driver's")

    def report(self, number: int, epoch: int, value: float) -> None:
        """Note an epoch's validation error; `flush` or the next group writes it."""
        if (number, epoch) not in self._reported:
            self._reported.add((number, epoch))
            self._pending.append((number, epoch, value))

    def flush(self, *, force: bool = False) -> None:
        """Write the noted reports and ends in one transaction when it is due, or at once."""
        due = force or time.monotonic() - self._flushed >= GROUP_S
        if (self._pending or self._ends) and due and not self._patience.lost:
            self.write(self._write_pending)

    def _write_pending(self) -> None:
        with self.session() as session:
            self._insert_pending(session)
        self._forget_pending()

    def _forget_pending(self) -> None:
        self._pending.clear()  # only after the commit
        self._ends.clear()
        self._flushed = time.monotonic()

    def _insert_pending(self, session: Session) -> None:
        """Write what is noted; reports of trials that other drivers hold now are dropped."""
        ids = {self.ids[number] for number, _, _ in self._pending}
        if self.leases and ids:
            ids = self.leases.held(session, ids)
        kind = models.TrialIntermediateValueModel
        rows = []
        for number, epoch, value in self._pending:
            if self.ids[number] not in ids:
                continue
            stored, stored_type = kind.intermediate_value_to_stored_repr(value)
            rows.append(
                {
                    "trial_id": self.ids[number],
                    "step": epoch,
                    "intermediate_value": stored,
                    "intermediate_value_type": stored_type,
                }
            )
        if rows:
            dialect = postgresql if self.leases else sqlite
            insert = dialect.insert(
                kind.__table__
            )  # rows may be there: an answer may have been lost
            session.execute(insert.on_conflict_do_nothing(), rows)
        for trial, attributes in self._ends:
            self._tell_end(session, trial, attributes)

    def end(self, trial: TrialRecord, attributes: Mapping[str, Any]) -> None:
        """End a trial, after its reports, in one transaction.

        On a server at once, because another driver may hold the trial now; in a file with the next
        group, because the trial's folder has its result already.

        Raises:
            TrialTakenError: Another driver of the server's study has taken the trial over.
            EnvironmentFailure: The database refused it.
        """
        self._ends.append((trial, attributes))
        try:
            if self.leases:
                self.write(self._write_pending)
        except TrialTakenError:
            self._ends.clear()
            raise

    def _tell_end(self, session: Session, trial: TrialRecord, told: Mapping[str, Any]) -> None:
        trial_id = self.ids[trial.number]
        row = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if row.state.is_finished():
            return  # told before, and the answer was lost
        self._check_ours(session, trial.number)
        for key, value in told.items():
            self.storage._set_trial_attr_without_commit(
                session, models.TrialUserAttributeModel, trial_id, key, value
            )
        if not trial.trainable:
            self.storage._set_trial_attr_without_commit(
                session, models.TrialSystemAttributeModel, trial_id, CONSTRAINT, 1.0
            )
        if trial.value is not None and trial.state != "failed":
            self.storage._set_trial_value_without_commit(session, row, 0, trial.value)
        row.state = STATES[trial.state]
        now = datetime.datetime.now(datetime.UTC)  # or later: the clock may have been set back
        row.datetime_complete = max(now, (row.datetime_start or now).astimezone(datetime.UTC))
        if self.leases:
            self.leases.end(session, trial_id)

    def write(self, action: Callable[[], T]) -> T:
        """Do something with the database; while it is away or locked, wait and do it again.

        Raises:
            EnvironmentFailure: It failed, or was waited for in vain.
            Interrupted: Ctrl-C came while it was waited for.
        """
        with self._patience.waiting(self._waited_for) as wait:
            while True:
                try:
                    return action()
                except (NumberTakenError, TrialTakenError, Interrupted):
                    raise
                except Exception as error:
                    server, cause = self.leases is not None, root_cause(error)
                    away = is_away(error) if server else is_locked(cause)
                    if not away or not wait.goes_on():
                        raise write_failure(self.place, error) from error
                    if server:
                        wait.tell()
                    time.sleep(min(RETRY_S, self._patience.limit_s))

    def close(self) -> None:
        """Write what is noted and let the file go; what was waited for in vain is not tried again."""
        if not self._patience.lost:
            self.flush(force=True)
            if self.leases:
                self.write(self._release)
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _release(self) -> None:
        if self.leases:
            with self.session() as session:
                self.leases.release(session)
