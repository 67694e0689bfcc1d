"""Looks at a study's SQLite file before anything opens, and so creates or extends, it.

Must not know Optuna; the names of its tables are all that is used.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.paths import StudyFolder, read_file, shell_word

HEAD = b"SQLite format 3\x00"
TABLES = {"studies", "trials", "version_info", "alembic_version"}
"""Optuna's tables; all others begin with study_ or trial_."""
BUSY_S = 60
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What Python raises for a damaged file: SQLite's message may quote bytes that are no text."""


def only_begun(folder: StudyFolder) -> bool:
    """Say whether the database is what a driver leaves that died while it made the file."""
    return folder.database.stat().st_size == 0 and not any(folder.trials.glob("*"))


def check_database(path: Path) -> None:
    """Refuse what is not a study's database.

    Raises:
        InputError: The file is missing, empty, no SQLite database, damaged, or another program's.
    """
    try:
        head = read_file(path, len(HEAD))
    except FileNotFoundError:
        raise InputError(f"{path}: no study database; run `hpsearch search` first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); mend that first") from error
    if head != HEAD:
        what = "an empty file" if not head else "not an SQLite database"
        raise InputError(f"{path}: {what}; {_mend(path)}")
    with connect(path) as connection:
        try:
            names = {
                str(row[0])
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            }
        except DAMAGED as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                return  # another process writes: whoever opens it next waits
            raise InputError(f"{path}: damaged ({error}); {_mend(path)}") from error
    foreign = {n for n in names if n not in TABLES and not n.startswith(("study_", "trial_"))}
    if foreign:
        raise InputError(
            f"{path}: holds other tables ({', '.join(sorted(foreign))[:60]}), not a study; move it "
            "away"
        )


def check_writable(path: Path) -> None:
    """Refuse a file that only may be read; whether it is a database is not looked at.

    Raises:
        EnvironmentFailure: It cannot be opened to be written.
    """
    try:
        path.open("r+b").close()
    except OSError as error:
        raise EnvironmentFailure(
            f"{path}: cannot be written ({error.strerror}); mend the permission, then run the same "
            "command again"
        ) from error


def check_whole(path: Path) -> None:
    """Have SQLite read every page of a study's database.

    Raises:
        InputError: A page is damaged.
    """
    problems = integrity_problems(path, "quick_check")
    if problems:
        raise InputError(f"{path}: damaged ({problems[0][:100]}); {_mend(path)}")


def integrity_problems(path: Path, pragma: str = "integrity_check") -> list[str]:
    """Return what SQLite finds wrong with a file, nothing when it is whole.

    Args:
        path: The database.
        pragma: `integrity_check`, or `quick_check`, which leaves the indexes out.
    """
    with connect(path) as connection:
        try:
            lines = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}(10)")]
            if pragma == "integrity_check":
                foreign = connection.execute("PRAGMA foreign_key_check").fetchmany(10)
                lines += [f"row {row[1]} of {row[0]} refers to nothing" for row in foreign]
        except DAMAGED as error:
            return [str(error)]
    return [" ".join(line.split()) for line in lines if line != "ok"]


@contextlib.contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database; unlike SQLite's own way this never makes an empty one.

    Raises:
        EnvironmentFailure: It cannot be opened.
    """
    try:
        # Not read-only: a journal left by a power cut must be rolled back by the first reader.
        uri = f"file:{quote(os.fsencode(path.resolve()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S)
    except sqlite3.OperationalError as error:
        raise EnvironmentFailure(f"{path}: cannot be opened ({error})") from error
    try:
        yield connection
    finally:
        connection.close()


def back_up(path: Path) -> Path:
    """Copy a database by SQLite's backup API, beside it; return the copy.

    Raises:
        EnvironmentFailure: The copy cannot be written.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    copy = path.with_name(f"{path.name}.backup-{stamp}")
    try:
        with connect(path) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except DAMAGED as error:
        copy.unlink(missing_ok=True)
        raise EnvironmentFailure(f"{copy}: the backup failed ({error}); free space") from error
    return copy


def _mend(path: Path) -> str:
    repair = f"hpsearch doctor {shell_word(path.parent)} --repair"
    return f"`{repair}` builds it again from the trials' folders"
