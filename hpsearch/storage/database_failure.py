"""Turns errors of a study's database into messages of one line that name the fix."""

from __future__ import annotations

import sqlite3

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError, shortened
from hpsearch.paths import shell_word
from hpsearch.storage.engine import Database, root_cause

MACHINE = ("disk is full", "disk I/O error", "unable to open", "readonly database", "locked")
"""SQLite's messages for faults of the machine and not of the file."""


def words_of(error: BaseException) -> str:
    """Return the root cause of an error in one short line."""
    return shortened(root_cause(error), 160)


def write_failure(database: Database, error: Exception) -> HpsearchError:
    """Return the error for a write that failed."""
    if isinstance(error, HpsearchError):
        return error
    text = words_of(error)
    if "table schema" in text:  # Optuna's message
        return InputError(
            f"{database}: of another version of Optuna ({text[:100]}); install that version, or "
            f"{database.folder.repair} builds it again for this one"
        )
    return EnvironmentFailure(
        f"{database}: the database failed ({type(error).__name__}: {text}); results are kept "
        "in the trials' folders, run the same command again"
    )


def load_failure(database: Database, error: EnvironmentFailure) -> HpsearchError:
    """Return the error for a history that cannot be read: a fault of the machine, or a bad row."""
    text = words_of(error)
    machine = any(word in text for word in MACHINE)
    if database.is_server or machine or isinstance(root_cause(error), sqlite3.OperationalError):
        return error
    return InputError(
        f"{database}: a row cannot be read ({text}); {database.folder.repair} builds it again "
        "from the trials' folders"
    )


def view_failure(database: Database, name: str, error: Exception) -> HpsearchError:
    """Return the error for a study that a reader other than its driver cannot read."""
    if isinstance(error, HpsearchError):
        return error
    text = words_of(error)
    if any(word in text for word in MACHINE):
        return EnvironmentFailure(
            f"{database}: cannot be read now ({text}); fix that, then run the same command again"
        )
    return InputError(
        f"{database}: cannot be read as the study {name!r} ({text}); hpsearch doctor "
        f"{shell_word(database.folder.root)} says more"
    )
