"""The study's database: a durable, browsable record of what the driver decided.

Only drivers write it, and they write reports in groups. Optuna's own tables are used, so that
`optuna.load_study` and Optuna Dashboard can open it.
"""

from __future__ import annotations

import datetime
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from hpsearch.errors import EnvironmentFailure
from hpsearch.paths import StudyFolder
from hpsearch.sqlite_file import LOCKED, check_database, check_whole, is_locked, only_begun
from hpsearch.storage import optuna_tables as tables
from hpsearch.storage.database_failure import load_failure, write_failure
from hpsearch.storage.engine import open_storage, place, root_cause
from hpsearch.storage.leases import LEASE_S, NumberTakenError, TrialTakenError
from hpsearch.storage.optuna_trial import to_record
from hpsearch.storage.own_study import create_own
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Interrupted, Patience, Wait

GROUP_S = 0.1
"""Reports reach the database at most this many seconds after they were made."""
T = TypeVar("T")
RETRY_S = 0.5


class StudyRecord:
    """Writes one study's database file, as its only driver. `ServerRecord` shares a server's."""

    shared = False
    """Whether other drivers may write the study too."""
    busy = LOCKED
    """Why a wait for the database takes long."""

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
            lease_s: On a server, seconds after which the trials of a silent driver are free.
            patience: How long to wait for the database.

        Raises:
            InputError: The file is there and is not this study's database.
            EnvironmentFailure: It cannot be opened.
            Interrupted: Ctrl-C came during the wait.
        """
        self.place, self._patience = place(folder, storage), patience or Patience()
        self._waited_for = f"{self.place} {self.busy}"
        with self._patience.waiting(self._waited_for):
            self._check_before_opening(folder)
            try:
                self.storage = open_storage(folder, storage, lease_s, self._patience)
                self._study = create_own(self.storage, folder, name, self.place)
                if self._study.metric_names is None:
                    with warnings.catch_warnings():  # an experimental function; it names the axis
                        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                        self._study.set_metric_names(["validation error"])
                self.study_id = tables.study_id_of(self._study)
                self._prepare(lease_s)
            except Exception as error:
                raise write_failure(self.place, error) from error
        self.seed: int | None = None
        """The study's seed: it distinguishes the study's trials from those that Optuna added."""
        self.enqueued: list[FrozenTrial] = []
        """Trials that Optuna's own function enqueued and that have not started."""
        self.ids: dict[int, int] = {}
        self._pending: list[tuple[int, int, float]] = []
        self._ends: list[tuple[TrialRecord, Mapping[str, Any]]] = []
        self._reported: set[tuple[int, int]] = set()
        self._flushed = time.monotonic()

    def _check_before_opening(self, folder: StudyFolder) -> None:
        if folder.database.exists() and not only_begun(folder):
            check_database(folder.database)
            check_whole(folder.database, self._patience)

    def _prepare(self, lease_s: float) -> None:
        """Set up what a shared database needs: here nothing."""

    def notice(self, text: str) -> None:
        """Show one line to the user."""
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
            raise load_failure(self.place, error, server=self.shared) from error
        return [self.note(trial) for trial in trials]

    def note(self, trial: FrozenTrial) -> TrialRecord:
        """Remember a trial's id and reports, and return the search's record of it."""
        self.ids[trial.number] = tables.trial_id_of(trial)
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
        frozen = _running(trial, distributions, attributes)
        trial_id = self.transact(lambda session: self._insert(session, trial.number, frozen))
        if trial_id is None:
            raise self._number_taken(trial.number)
        self.ids[trial.number] = trial_id
        if not self.shared:
            self._forget_pending()

    def _number_taken(self, number: int) -> Exception:
        return EnvironmentFailure(
            f"{self.place}: trial {number} is there already: something else writes to this "
            "study; stop it, then run the same command again"
        )

    def _insert(self, session: Session, number: int, frozen: FrozenTrial) -> int | None:
        """Insert a trial if its number is the next; return its id, None when it is not."""
        tables.lock_study(session, self.study_id)
        if tables.count_trials(session, self.study_id) != number:
            return self._inserted_before(session, number)
        if not self.shared:
            self._insert_pending(session)  # one commit for both
        trial_id = tables.insert_trial(self.storage, session, self.study_id, frozen)
        self._entered(session, trial_id)
        return trial_id

    def _inserted_before(self, session: Session, number: int) -> int | None:  # noqa: ARG002
        """Return the id of a trial that an attempt whose answer was lost has inserted."""
        return None

    def _entered(self, session: Session, trial_id: int) -> None:
        """Take a trial that this transaction inserted."""

    def add_as_it_is(self, trial: FrozenTrial) -> None:
        """Insert a trial as another database holds it."""
        storage, study = self.storage, self.study_id
        self.transact(lambda session: tables.insert_trial(storage, session, study, trial))

    def start(
        self,
        trial: TrialRecord,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
    ) -> None:
        """Give a trial that Optuna enqueued its parameters, and let it run."""
        frozen, trial_id = _running(trial, distributions, attributes), self.ids[trial.number]
        self.transact(lambda session: tables.start(self.storage, session, trial_id, frozen))

    def session(self) -> AbstractContextManager[Session]:
        """Return one transaction: committed at its end, rolled back on an exception."""
        return tables.transaction(self.storage)

    def transact(self, action: Callable[[Session], T]) -> T:
        """Run an action in one transaction; see `write`."""

        def act() -> T:
            with self.session() as session:
                return action(session)

        return self.write(act)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of an unfinished trial, after the reports made before it.

        Raises:
            TrialTakenError: Another driver of the server's study has taken the trial over.
            EnvironmentFailure: The database failed.
        """

        def write(session: Session) -> None:
            self._check_ours(session, number)
            self._insert_pending(session)
            tables.set_attribute(self.storage, session, self.ids[number], key, value)

        self.transact(write)
        self._forget_pending()

    def _check_ours(self, session: Session, number: int) -> None:
        """Refuse to write about a trial that another driver has taken over."""

    def _held(self, session: Session, ids: Collection[int]) -> Collection[int]:  # noqa: ARG002
        """Return which of these trials this driver may report on."""
        return ids

    def report(self, number: int, epoch: int, value: float) -> None:
        """Remember an epoch's validation error; `flush` or the next group writes it."""
        if (number, epoch) not in self._reported:
            self._reported.add((number, epoch))
            self._pending.append((number, epoch, value))

    def flush(self, *, force: bool = False) -> None:
        """Write the remembered reports and ends in one transaction, when due or at once."""
        due = force or time.monotonic() - self._flushed >= GROUP_S
        if (self._pending or self._ends) and due and not self._patience.lost:
            self._write_pending()

    def _write_pending(self) -> None:
        self.transact(self._insert_pending)
        self._forget_pending()

    def _forget_pending(self) -> None:
        self._pending.clear()  # only after the commit
        self._ends.clear()
        self._flushed = time.monotonic()

    def _insert_pending(self, session: Session) -> None:
        """Write what is remembered; reports of trials that other drivers hold now are dropped."""
        reports = [(self.ids[number], epoch, value) for number, epoch, value in self._pending]
        ids = {trial_id for trial_id, _, _ in reports}
        held = self._held(session, ids) if ids else ids
        tables.insert_reports(session, [report for report in reports if report[0] in held])
        for trial, attributes in self._ends:
            self._write_end(session, trial, attributes)

    def end(self, trial: TrialRecord, attributes: Mapping[str, Any]) -> None:
        """End a trial, after its reports, in one transaction.

        A file gets it with the next group, because the trial's folder has its result already. A
        server gets it at once, because another driver may hold the trial now.

        Raises:
            TrialTakenError: Another driver of the server's study has taken the trial over.
            EnvironmentFailure: The database refused it.
        """
        self._ends.append((trial, attributes))

    def _write_end(
        self, session: Session, trial: TrialRecord, attributes: Mapping[str, Any]
    ) -> None:
        trial_id = self.ids[trial.number]
        row = tables.lock_trial(session, trial_id)
        if row.state.is_finished():
            return  # a first attempt was committed, and its answer was lost
        self._check_ours(session, trial.number)
        tables.end_trial(self.storage, session, row, trial, attributes)
        self._ended(session, trial_id)

    def _ended(self, session: Session, trial_id: int) -> None:
        """Let go of a trial that this transaction ended."""

    def write(self, action: Callable[[], T]) -> T:
        """Use the database; while it is away or locked, wait and try again.

        Raises:
            EnvironmentFailure: It failed, or the wait reached its limit.
            Interrupted: Ctrl-C came during the wait.
        """
        with self._patience.waiting(self._waited_for) as wait:
            while True:
                try:
                    return action()
                except (NumberTakenError, TrialTakenError, Interrupted):
                    raise
                except Exception as error:
                    if not self._goes_on(error, wait):
                        raise write_failure(self.place, error) from error
                    time.sleep(min(RETRY_S, self._patience.limit_s))

    def _goes_on(self, error: Exception, wait: Wait) -> bool:
        """Return whether another attempt may succeed, and the wait has time left."""
        return is_locked(root_cause(error)) and wait.goes_on()

    def close(self) -> None:
        """Write what is remembered and close the database; after a wait in vain only close it."""
        if not self._patience.lost:
            self.flush(force=True)
            self._release()
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _release(self) -> None:
        """Leave this driver's trials to the others."""


def _running(
    trial: TrialRecord,
    distributions: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
) -> FrozenTrial:
    frozen = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.params),
        distributions=dict(distributions),
        user_attrs=dict(attributes),
    )
    frozen.datetime_start = datetime.datetime.now()  # local: Optuna turns it into UTC
    return frozen
