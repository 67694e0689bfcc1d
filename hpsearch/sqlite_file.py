"""Inspects a study's SQLite file before SQLAlchemy can create or modify it.

Must not know Optuna; only the names of Optuna's tables are used.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

from hpsearch.errors import AGAIN, EnvironmentFailure, InputError, cannot
from hpsearch.paths import StudyFolder, read_file
from hpsearch.waiting import Patience

T = TypeVar("T")
HEAD = b"SQLite format 3\x00"
TABLES = {"studies", "trials", "version_info", "alembic_version"}
"""Optuna's tables; the names of all others start with study_ or trial_."""
STEP_S = 0.1
"""How long SQLite itself waits for a lock; Ctrl-C does not end that wait."""
LOCKED = "is locked by another process, or its disk is slow"
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors of a damaged file; SQLite's message may quote bytes that are not text."""


class PatientConnection(sqlite3.Connection):
    """Waits for a lock in short steps, up to the limit of its patience."""

    patience = Patience()
    where = ""
    """The database, for the notice."""

    def cursor(self, factory: Any = None) -> Any:  # noqa: ARG002
        """Return a cursor that waits like its connection."""
        return super().cursor(_PatientCursor)

    def commit(self) -> None:
        """Commit; wait for readers."""
        self.patiently(super().commit)

    def patiently(self, action: Callable[[], T]) -> T:
        """Run an action; while another process holds a lock, wait and try again.

        Raises:
            sqlite3.OperationalError: The lock was held for too long.
            Interrupted: Ctrl-C was pressed.
        """
        before = self.total_changes
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not self._may_go_again(error, before):
                raise
        with self.patience.waiting(f"{self.where} {LOCKED}") as wait:
            while True:
                began = time.monotonic()
                try:
                    return action()
                except sqlite3.OperationalError as error:
                    # SQLite fails without waiting when two connections wait for each other.
                    deadlock = time.monotonic() - began < STEP_S / 2
                    again = self._may_go_again(error, before) and not deadlock
                    if not again or not wait.goes_on():
                        raise

    def _may_go_again(self, error: sqlite3.OperationalError, before: int) -> bool:
        return (
            is_locked(error) and self.total_changes == before
        )  # executemany has not written a row yet


class _PatientCursor(sqlite3.Cursor):
    connection: PatientConnection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        execute = super().execute
        self.connection.patiently(lambda: execute(sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        rows, execute = list(parameters), super().executemany  # a generator cannot be read twice
        self.connection.patiently(lambda: execute(sql, rows))
        return self


def patiently(path: Path, patience: Patience) -> dict[str, Any]:
    """Return the arguments with which `sqlite3.connect` waits up to the limit of `patience`."""
    own = {"patience": patience, "where": str(path)}
    return {"timeout": STEP_S, "factory": type("Own", (PatientConnection,), own)}


def is_locked(error: BaseException) -> bool:
    """Return whether SQLite failed because of a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def only_begun(folder: StudyFolder) -> bool:
    """Return whether a driver died while it created the database: empty, and without trials."""
    return folder.database.stat().st_size == 0 and not any(folder.trials.glob("*"))


def check_database(path: Path) -> None:
    """Refuse a file that is not a study's database.

    Raises:
        InputError: The file is missing, empty, damaged, or not a study's SQLite database.
    """
    try:
        head = read_file(path, len(HEAD))
    except FileNotFoundError:
        raise InputError(f"{path}: no study database; run `hpsearch search` first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); fix that first") from error
    if head != HEAD:
        what = "an empty file" if not head else "not an SQLite database"
        raise InputError(f"{path}: {what}; {_rebuild(path)}")
    with connect(path, Patience(limit_s=0)) as connection:
        try:
            query = "SELECT name FROM sqlite_master WHERE type='table'"
            names = {str(name) for (name,) in connection.execute(query)}
        except DAMAGED as error:
            if is_locked(error):
                return  # another process writes; the next one to open it waits
            raise InputError(f"{path}: damaged ({error}); {_rebuild(path)}") from error
    foreign = {n for n in names if n not in TABLES and not n.startswith(("study_", "trial_"))}
    if foreign:
        raise InputError(
            f"{path}: holds other tables ({', '.join(sorted(foreign))[:60]}), not a study; "
            "move it away"
        )


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be opened for writing; its content is not checked.

    Raises:
        EnvironmentFailure: It cannot be opened for writing.
    """
    try:
        path.open("r+b").close()
    except OSError as error:
        raise cannot("written", path, error, "fix the permission") from error


def check_whole(path: Path, patience: Patience | None = None) -> None:
    """Refuse a database with a damaged page; SQLite reads every page.

    Raises:
        InputError: A page is damaged.
        EnvironmentFailure: Another process locks it for too long.
    """
    problems = integrity_problems(path, "quick_check", patience)
    if problems:
        raise InputError(f"{path}: damaged ({problems[0][:100]}); {_rebuild(path)}")


def integrity_problems(
    path: Path, pragma: str = "integrity_check", patience: Patience | None = None
) -> list[str]:
    """Return the problems that SQLite finds in a file.

    Args:
        path: The database.
        pragma: `integrity_check`, or `quick_check`, which skips the indexes.
        patience: How long to wait for a lock.

    Raises:
        EnvironmentFailure: Another process locks it for too long.
    """
    with connect(path, patience) as connection:
        try:
            lines = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}(10)")]
            if pragma == "integrity_check":
                foreign = connection.execute("PRAGMA foreign_key_check").fetchmany(10)
                lines += [f"row {row[1]} of {row[0]} refers to nothing" for row in foreign]
        except DAMAGED as error:
            if is_locked(error):
                raise EnvironmentFailure(
                    f"{path}: cannot be read now ({error}); end the process that locks it, then "
                    f"{AGAIN}"
                ) from error
            return [str(error)]
    return [" ".join(line.split()) for line in lines if line != "ok"]


@contextlib.contextmanager
def connect(path: Path, patience: Patience | None = None) -> Iterator[sqlite3.Connection]:
    """Open an existing database; unlike `sqlite3.connect` this never creates one.

    Args:
        path: The database.
        patience: How long to wait for a lock.

    Raises:
        EnvironmentFailure: It cannot be opened.
    """
    try:
        # Not read-only: the first reader must roll back a journal that a power cut left.
        uri = f"file:{quote(os.fsencode(path.resolve()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, **patiently(path, patience or Patience()))
    except sqlite3.OperationalError as error:
        raise EnvironmentFailure(f"{path}: cannot be opened ({error})") from error
    try:
        yield connection
    finally:
        connection.close()


def back_up(path: Path) -> Path:
    """Copy a database with SQLite's backup API into the same folder; return the copy.

    Raises:
        EnvironmentFailure: The copy cannot be written.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    copy = path.with_name(f"{path.name}.backup-{stamp}")
    patience = Patience()

    def look(status: int, _left: int, _all: int) -> None:
        if status & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and not wait.goes_on():
            raise sqlite3.OperationalError("database is locked")

    try:
        with (
            connect(path, patience) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
            patience.waiting(f"{path} {LOCKED}") as wait,
        ):
            source.backup(target, progress=look)  # without `look` it waits for ever
    except DAMAGED as error:
        copy.unlink(missing_ok=True)
        raise EnvironmentFailure(
            f"{copy}: the backup failed ({error}); fix that, then run it again"
        ) from error
    return copy


def _rebuild(path: Path) -> str:
    return f"{StudyFolder(path.parent).repair} builds it again from the trials' folders"
