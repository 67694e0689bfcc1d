"""Opens a study's database: a file in its folder, or a PostgreSQL server.

Passwords come from PGPASSWORD, PGPASSFILE or ~/.pgpass, never from a URL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.pool import NullPool

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError, shortened
from hpsearch.paths import StudyFolder, shell_word
from hpsearch.sqlite_file import check_database, check_whole, check_writable, patiently
from hpsearch.study.config import StudyConfig
from hpsearch.study.lock import SEARCH, study_lock
from hpsearch.waiting import Patience

MACHINE = ("disk is full", "disk I/O error", "unable to open", "readonly database", "locked")
"""SQLite's messages for faults of the machine and not of the file."""
IDLE_S = 30.0
"""How long a driver that stops inside a transaction may block the others."""
SETUP_LOCK = 7_235_091_641
"""Key of the advisory lock under which one driver at a time creates tables; any number works."""
AWAY = ("08", "25P03", "53300", "55P03", "57P0", "40")
"""SQLSTATEs after which a second attempt may succeed.

They are lost connections, time-outs, overload, restarts and deadlocks.
"""
REFUSED = ("password", "authentication", "does not exist", "permission denied", "pg_hba.conf")
"""PostgreSQL's messages for mistakes that no second attempt fixes."""


@dataclass(frozen=True)
class Database:
    """Where a study's trials are recorded: a file in its folder, or a server."""

    folder: StudyFolder
    storage: str = "sqlite"
    """A postgresql:// URL, or "sqlite" for the folder's own file."""

    @classmethod
    def of(cls, folder: StudyFolder) -> Database:
        """Return the database that a folder's study file names; the file without a study file.

        Raises:
            InputError: The folder's study file cannot be read.
        """
        saved = folder.study_file
        return cls(folder, StudyConfig.from_yaml(saved).storage) if saved.exists() else cls(folder)

    def __str__(self) -> str:
        """Return its place, for messages."""
        return self.storage if self.is_server else str(self.folder.database)

    @property
    def is_server(self) -> bool:
        """Whether it is a server, which several drivers may share."""
        return self.storage.startswith("postgresql")

    @property
    def restored_by(self) -> str:
        """How to restore trials that only the folder knows, for messages."""
        if self.is_server:
            root, there = shell_word(self.folder.root), shell_word(self.storage)
            return f"`hpsearch copy {root} --to {there}` takes them along"
        return f"{self.folder.repair} builds it again"

    def check(self, patience: Patience | None = None, *, whole: bool = False) -> None:
        """Refuse a file that is not a study's database; a server's tables are not checked.

        Args:
            patience: How long to wait for a lock.
            whole: Whether SQLite reads every page of the file.

        Raises:
            InputError: The file is missing, empty, damaged, or not a study's SQLite database.
            EnvironmentFailure: Another process locks it for too long.
        """
        if not self.is_server:
            check_database(self.folder.database)
            if whole:
                check_whole(self.folder.database, patience)

    def check_usable(self, name: str) -> None:
        """Refuse a database that a search cannot use, before the search writes anything.

        Raises:
            InputError: The extra is missing, the server refuses user, password or database, or it
                lacks a study whose trials the folder holds.
            EnvironmentFailure: The server does not answer, or the file is not writable.
        """
        if self.is_server:
            with self.opened() as storage:
                self.refuse_lost(name, (study.study_name for study in storage.get_all_studies()))
        elif self.folder.database.is_file():
            check_writable(self.folder.database)

    def refuse_lost(self, name: str, there: Iterable[str]) -> None:
        """Refuse a database that lacks a study whose trials the folder holds.

        Args:
            name: The study's name.
            there: The names of the database's studies.

        Raises:
            InputError: The study is not among them.
        """
        if self.folder.trial_numbers() and name not in there:
            raise InputError(
                f"{self}: holds no study {name!r}, and {self.folder.root} has trials of it; "
                f"{self.restored_by}"
            )

    def lock(self, command: str = SEARCH) -> AbstractContextManager[None]:
        """Lock a file's study for its one writer; a server's leases coordinate its drivers."""
        return nullcontext() if self.is_server else study_lock(self.folder, command)

    def open(self, idle_s: float = IDLE_S, patience: Patience | None = None) -> RDBStorage:
        """Open the storage; create missing tables.

        Args:
            idle_s: Seconds after which the server ends an idle transaction, so that a driver that
                stops inside one does not block the others.
            patience: How long to wait for a lock, or for a server that does not answer.

        Raises:
            InputError: The extra is missing, or the server refuses user, password or database.
            EnvironmentFailure: The server does not answer.
        """
        if self.is_server:
            return _open_server(self.storage, idle_s, patience or Patience())
        return open_file(self.folder.database, patience)

    @contextmanager
    def opened(self) -> Iterator[RDBStorage]:
        """Open the storage, and close it at the end; see `open`."""
        with closing(self.open()) as storage:
            yield storage

    def write_failure(self, error: Exception) -> HpsearchError:
        """Return the error for a write that failed."""
        if isinstance(error, HpsearchError):
            return error
        text = words_of(error)
        if "table schema" in text:  # Optuna's message
            return InputError(
                f"{self}: of another version of Optuna ({text[:100]}); install that version, or "
                f"{self.folder.repair} builds it again for this one"
            )
        return EnvironmentFailure(
            f"{self}: the database failed ({type(error).__name__}: {text}); results are kept "
            "in the trials' folders, run the same command again"
        )

    def load_failure(self, error: EnvironmentFailure) -> HpsearchError:
        """Return the error for a history that cannot be read: the machine's fault or a bad row."""
        text = words_of(error)
        machine = any(word in text for word in MACHINE)
        if self.is_server or machine or isinstance(root_cause(error), sqlite3.OperationalError):
            return error
        return InputError(
            f"{self}: a row cannot be read ({text}); {self.folder.repair} builds it again "
            "from the trials' folders"
        )

    def view_failure(self, name: str, error: Exception) -> HpsearchError:
        """Return the error for a study that a reader other than its driver cannot read."""
        if isinstance(error, HpsearchError):
            return error
        text = words_of(error)
        if any(word in text for word in MACHINE):
            return EnvironmentFailure(
                f"{self}: cannot be read now ({text}); fix that, then run the same command again"
            )
        return InputError(
            f"{self}: cannot be read as the study {name!r} ({text}); hpsearch doctor "
            f"{shell_word(self.folder.root)} says more"
        )


def open_file(path: Path, patience: Patience | None = None) -> RDBStorage:
    """Open an SQLite storage: rollback journal, synchronous FULL, waits for locks."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    quoted = str(path.resolve()).replace("%", "%25").replace("?", "%3F")  # for SQLAlchemy
    escaped = quoted.replace("{", "{{").replace("}", "}}")  # Optuna formats URLs
    connect_args = patiently(path, patience or Patience())
    return RDBStorage(f"sqlite:///{escaped}", engine_kwargs={"connect_args": connect_args})


def _open_server(url: str, idle_s: float, patience: Patience) -> RDBStorage:
    try:
        from hpsearch.storage.patient_postgres import connecting
    except ImportError:
        raise InputError(
            f"storage: {url}: needs psycopg; make install-cluster, or pip install "
            "'psycopg[binary]>=3.2,<4'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    settings = {
        "idle_in_transaction_session_timeout": f"{int(1000 * min(idle_s, IDLE_S))}",
        "lock_timeout": f"{int(1000 * patience.limit_s)}",
    }
    dialect = "postgresql+psycopg://"  # `connect` knows the rest
    try:
        connect = connecting(url, patience, settings)
        engine = sqlalchemy.create_engine(dialect, poolclass=NullPool, creator=connect)
        with patience.waiting(f"{url} does not answer"), _setting_up(engine):
            # A connection that the server closed is opened again.
            kwargs: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 2, "creator": connect}
            return RDBStorage(dialect, engine_kwargs=kwargs)
    except Exception as error:
        raise server_failure(url, error) from error


@contextmanager
def closing(storage: RDBStorage) -> Iterator[RDBStorage]:
    """Close an open storage at the end."""
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _setting_up(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Hold the lock under which one driver at a time creates tables."""
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": SETUP_LOCK})
        connection.commit()
        yield  # closing the connection releases the lock


def is_away(error: Exception) -> bool:
    """Return whether another attempt may succeed: the server restarts or is overloaded."""
    import psycopg

    cause = root_cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is not None:
        return cause.sqlstate.startswith(AWAY)
    lost = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return lost and not any(word in str(cause) for word in REFUSED)


def root_cause(error: BaseException) -> BaseException:
    """Return the error that SQLAlchemy and Optuna wrapped.

    After a lost connection Optuna uses the session once more. SQLAlchemy's error for that is not
    the cause: it was raised while the cause was handled.
    """
    while True:
        second = isinstance(error, PendingRollbackError)
        behind = error.__cause__ or (error.__context__ if second else None)
        if behind is None:
            return error
        error = behind


def words_of(error: BaseException) -> str:
    """Return the root cause of an error in one short line."""
    return shortened(root_cause(error), 160)


def server_failure(storage: str, error: Exception) -> HpsearchError:
    """Return the error for a server that failed, with the fix."""
    if isinstance(error, HpsearchError):
        return error
    text = shortened(root_cause(error), 200)
    if any(word in text for word in REFUSED):
        return InputError(
            f"storage: {storage}: refused ({text}); check the user, the database and the password "
            "in PGPASSWORD or ~/.pgpass"
        )
    return EnvironmentFailure(
        f"storage: {storage}: the server failed ({text}); fix that, then run the same command "
        "again"
    )
