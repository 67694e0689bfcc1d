"""The study's database: a durable, browsable record of what the driver decided.

Only drivers write it, and they write reports in groups. Optuna's own tables are used, so that
`optuna.load_study` and Optuna Dashboard can open it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from hpsearch.errors import EnvironmentFailure
from hpsearch.front import ONE, Goals
from hpsearch.measure import VALIDATION_ERROR
from hpsearch.paths import StudyFolder
from hpsearch.sqlite_file import LOCKED, is_locked, only_begun
from hpsearch.storage import optuna_tables as tables
from hpsearch.storage.engine import Database, closing, is_away, root_cause
from hpsearch.storage.leases import LEASE_S, Leases, NoLeases, NumberTakenError, TrialTakenError
from hpsearch.storage.optuna_trial import to_record
from hpsearch.storage.own_study import create_own
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Interrupted, Patience, Wait

GROUP_S = 0.1
"""Reports reach the database at most this many seconds after they were made."""
T = TypeVar("T")
RETRY_S = 0.5


class StudyRecord:
    """Writes one study's database: a file as its only driver, a server as one of several.

    On a server each driver writes about the trials that it has leased.
    """

    def __init__(
        self,
        folder: StudyFolder,
        name: str,
        storage: str = "sqlite",
        lease_s: float = LEASE_S,
        patience: Patience | None = None,
        measure: str = VALIDATION_ERROR.stored,
        goals: Goals = ONE,
    ) -> None:
        """Open or create the database.

        Args:
            folder: The study's folder.
            name: The study's name in the database.
            storage: "sqlite" for the folder's own file, or a postgresql:// URL.
            lease_s: On a server, seconds after which the trials of a silent driver are free.
            patience: How long to wait for the database.
            measure: Name of the trials' values.
            goals: The study's objectives.

        Raises:
            InputError: The file is there and is not this study's database.
            EnvironmentFailure: It cannot be opened.
            Interrupted: Ctrl-C came during the wait.
        """
        self.database, self._patience = Database(folder, storage), patience or Patience()
        self.shared, self._goals = self.database.is_server, goals
        self._waited_for = f"{self.database} {'does not answer' if self.shared else LOCKED}"
        with self._patience.waiting(self._waited_for):
            if folder.database.exists() and not only_begun(folder):
                self.database.check(self._patience, whole=True)
            try:
                self.storage = self.database.open(lease_s, self._patience)
                self._study = create_own(self.storage, self.database, name, 1 + len(goals.others))
                if self._study.metric_names is None:
                    with warnings.catch_warnings():  # an experimental function; it names the axis
                        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                        others = [goal.stored for goal in goals.others]
                        self._study.set_metric_names([measure, *others])
                self.study_id = tables.study_id_of(self._study)
                self.leases = Leases(self.storage.engine, lease_s) if self.shared else NoLeases()
            except Exception as error:
                raise self.database.write_failure(error) from error
        self.seed: int | None = None
        """The study's seed: it distinguishes the study's trials from those that Optuna added."""
        self.enqueued: list[FrozenTrial] = []
        """Trials that Optuna's own function enqueued and that have not started."""
        self.ids: dict[int, int] = {}
        self._pending: list[tuple[int, int, float]] = []
        self._ends: list[tuple[TrialRecord, Mapping[str, Any]]] = []
        self._flushed = time.monotonic()

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
            raise self.database.load_failure(error) from error
        return [self.note(trial) for trial in trials]

    def note(self, trial: FrozenTrial) -> TrialRecord:
        """Remember a trial's id, and return the search's record of it."""
        self.ids[trial.number] = tables.trial_id_of(trial)
        if trial.state is TrialState.WAITING:
            self.enqueued.append(trial)
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
        if trial_id is None and self.shared:
            self.leases.behind = True
            raise NumberTakenError(f"trial {trial.number} was entered by another driver")
        if trial_id is None:
            raise EnvironmentFailure(
                f"{self.database}: trial {trial.number} is there already: something else writes "
                "to this study; stop it, then run the same command again"
            )
        self.ids[trial.number] = trial_id
        if not self.shared:
            self._forget_pending()

    def _insert(self, session: Session, number: int, frozen: FrozenTrial) -> int | None:
        """Insert a trial if its number is the next; return its id, None when it is not."""
        tables.lock_study(session, self.study_id)
        if tables.count_trials(session, self.study_id) != number:
            return self._inserted_before(session, number)
        if not self.shared:
            self._insert_pending(session)  # one commit for both
        trial_id = tables.insert_trial(self.storage, session, self.study_id, frozen)
        self.leases.take(session, trial_id)
        return trial_id

    def _inserted_before(self, session: Session, number: int) -> int | None:
        """Return the id of a trial that this driver entered before, on a server that then failed.

        The transaction was committed, but its answer was lost.
        """
        found = tables.find_trial(session, self.study_id, number) if self.shared else None
        return found if found is not None and self.leases.held(session, [found]) else None

    def insert(self, trials: Iterable[FrozenTrial]) -> None:
        """Insert whole trials in one transaction, by number from 0."""
        held = list(trials)

        def write(session: Session) -> None:
            for trial in held:
                tables.insert_trial(self.storage, session, self.study_id, trial)

        self.transact(write)

    def start(
        self,
        trial: TrialRecord,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
    ) -> None:
        """Give a trial that Optuna enqueued its parameters, and let it run."""
        frozen, trial_id = _running(trial, distributions, attributes), self.ids[trial.number]
        self.transact(lambda session: tables.start(self.storage, session, trial_id, frozen))

    def transact(self, action: Callable[[Session], T]) -> T:
        """Run an action in one transaction; see `write`."""

        def act() -> T:
            with tables.transaction(self.storage) as session:
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
            tables.set_attributes(session, self.ids[number], {key: value})

        self.transact(write)
        self._forget_pending()

    def _check_ours(self, session: Session, number: int) -> None:
        """Refuse to write about a trial that another driver has taken over."""
        if not self.leases.held(session, [self.ids[number]]):
            raise TrialTakenError(f"trial {number} is another driver's")

    def report(self, number: int, epoch: int, value: float) -> None:
        """Remember an epoch's validation error; `flush` or the next group writes it once."""
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
        held = self.leases.held(session, ids) if ids else ids
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
        if self.shared:
            try:
                self._write_pending()
            except TrialTakenError:
                self._ends.clear()
                raise

    def _write_end(
        self, session: Session, trial: TrialRecord, attributes: Mapping[str, Any]
    ) -> None:
        trial_id = self.ids[trial.number]
        row = tables.lock_trial(session, trial_id)
        if row.state.is_finished():
            return  # a first attempt was committed, and its answer was lost
        self._check_ours(session, trial.number)
        tables.end_trial(self.storage, session, row, trial, attributes, self._goals)
        self.leases.end(session, trial_id)

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
                        raise self.database.write_failure(error) from error
                    time.sleep(min(RETRY_S, self._patience.limit_s))

    def _goes_on(self, error: Exception, wait: Wait) -> bool:
        """Return whether another attempt may succeed, and the wait has time left."""
        busy = is_away(error) if self.shared else is_locked(root_cause(error))
        again = busy and wait.goes_on()
        if again and self.shared:
            wait.tell()
        return again

    def close(self) -> None:
        """Write what is remembered and close the database; after a wait in vain only close it."""
        with closing(self.storage):
            if not self._patience.lost:
                self.flush(force=True)
                self.transact(self.leases.release)


def _running(
    trial: TrialRecord,
    distributions: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.params),
        distributions=dict(distributions),
        user_attrs=dict(attributes),
    )
