"""Opens a study's database: a file in its folder, or a PostgreSQL server.

Passwords come from PGPASSWORD, PGPASSFILE or ~/.pgpass, never from a URL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import PendingRollbackError

from hpsearch.configfile import read_yaml
from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError, shortened
from hpsearch.paths import StudyFolder, shell_word
from hpsearch.sqlite_file import check_writable, patiently
from hpsearch.study.config import StudyConfig
from hpsearch.waiting import Patience

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


def is_server(storage: str) -> bool:
    """Return whether a study's storage is a server, which several drivers may share."""
    return storage.startswith("postgresql")


def storage_of(folder: StudyFolder) -> str:
    """Return the storage in a folder's study file; "sqlite" without one.

    Raises:
        InputError: The folder's study file cannot be read.
    """
    if not folder.study_file.exists():
        return "sqlite"
    return StudyConfig.from_values(read_yaml(folder.study_file), folder.study_file).storage


def place(folder: StudyFolder, storage: str) -> str:
    """Return the place of the database, for messages."""
    return storage if is_server(storage) else str(folder.database)


def open_file(path: Path, patience: Patience | None = None) -> RDBStorage:
    """Open an SQLite storage: rollback journal, synchronous FULL, waits for locks."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{_in_url(path.resolve())}"
    connect_args = patiently(path, patience or Patience())
    return RDBStorage(_template(url), engine_kwargs={"connect_args": connect_args})


def open_storage(
    folder: StudyFolder, storage: str, idle_s: float = IDLE_S, patience: Patience | None = None
) -> RDBStorage:
    """Open a study's storage; create missing tables.

    Args:
        folder: The study's folder.
        storage: "sqlite" for the folder's own file, or a postgresql:// URL.
        idle_s: Seconds after which the server ends an idle transaction, so that a driver that
            stops inside one does not block the others.
        patience: How long to wait for a lock, or for a server that does not answer.

    Raises:
        InputError: The extra is missing, or the server refuses user, password or database.
        EnvironmentFailure: The server does not answer.
    """
    if not is_server(storage):
        return open_file(folder.database, patience)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url, patience = server_url(storage), patience or Patience()
    from hpsearch.storage.patient_postgres import connecting

    settings = {
        "idle_in_transaction_session_timeout": f"{int(1000 * min(idle_s, IDLE_S))}",
        "lock_timeout": f"{int(1000 * patience.limit_s)}",
    }
    connect = connecting(url, patience, settings)
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, creator=connect)
        with patience.waiting(f"{storage} does not answer"), _setting_up(engine):
            # A connection that the server closed is opened again.
            kwargs: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 2, "creator": connect}
            return RDBStorage(_template(url.render_as_string()), engine_kwargs=kwargs)
    except Exception as error:
        raise server_failure(storage, error) from error


@contextlib.contextmanager
def closing(storage: RDBStorage) -> Iterator[RDBStorage]:
    """Close an open storage at the end."""
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check_usable(folder: StudyFolder, storage: str, name: str) -> None:
    """Refuse a database that a search cannot use, before the search writes anything.

    Raises:
        InputError: The extra is missing, the server refuses user, password or database, or it
            lacks a study whose trials the folder holds.
        EnvironmentFailure: The server does not answer, or the file is not writable.
    """
    if is_server(storage):
        with closing(open_storage(folder, storage)) as opened:
            there = {study.study_name for study in opened.get_all_studies()}
        if name not in there and folder.trial_numbers():
            raise InputError(
                f"{storage}: holds no study {name!r}, and {folder.root} has trials of it; "
                f"`hpsearch copy {shell_word(folder.root)} --to {shell_word(storage)}` takes them "
                "along"
            )
    elif folder.database.is_file():
        check_writable(folder.database)


def server_url(storage: str) -> sqlalchemy.URL:
    """Return SQLAlchemy's URL of a server, which names the driver psycopg.

    Raises:
        InputError: psycopg is not installed.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise InputError(
            f"storage: {storage}: needs psycopg; make install-cluster, or pip install "
            "'psycopg[binary]>=3.2,<4'"
        ) from None
    parts = urlsplit(storage)
    query = {k: v for k, _, v in (p.partition("=") for p in parts.query.split("&")) if k}
    return sqlalchemy.URL.create(
        "postgresql+psycopg",
        username=unquote(parts.username) if parts.username else None,
        host=parts.hostname,
        port=parts.port,
        database=unquote(parts.path.lstrip("/")) or None,
        query={key: unquote(value) for key, value in query.items()},
    )


@contextlib.contextmanager
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


def _in_url(path: Path) -> str:
    """Quote a file's name for a URL, so that SQLAlchemy reads no option or %41 in it."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def _template(url: str) -> str:
    """Escape braces: Optuna formats URLs."""
    return url.replace("{", "{{").replace("}", "}}")
