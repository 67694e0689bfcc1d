"""Turns errors of a study's database into messages of one line that name the fix."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hpsearch.errors import EnvironmentFailure, HpsearchError, InputError, shortened
from hpsearch.paths import StudyFolder, shell_word
from hpsearch.storage.engine import root_cause

MACHINE = ("disk is full", "disk I/O error", "unable to open", "readonly database", "locked")
"""SQLite's messages for faults of the machine and not of the file."""


def words_of(error: BaseException) -> str:
    """Return the root cause of an error in one short line."""
    return shortened(root_cause(error), 160)


def write_failure(place: str, error: Exception) -> HpsearchError:
    """Return the error for a write that failed."""
    if isinstance(error, HpsearchError):
        return error
    text = words_of(error)
    if "table schema" in text:  # Optuna's message
        return InputError(
            f"{place}: of another version of Optuna ({text[:100]}); install that version, or "
            f"{StudyFolder(Path(place).parent).repair} builds it again for this one"
        )
    return EnvironmentFailure(
        f"{place}: the database failed ({type(error).__name__}: {text}); results are kept "
        "in the trials' folders, run the same command again"
    )


def load_failure(place: str, error: EnvironmentFailure, *, server: bool) -> HpsearchError:
    """Return the error for a history that cannot be read: a fault of the machine, or a bad row."""
    text = words_of(error)
    machine = any(word in text for word in MACHINE)
    if server or machine or isinstance(root_cause(error), sqlite3.OperationalError):
        return error
    return InputError(
        f"{place}: a row cannot be read ({text}); {StudyFolder(Path(place).parent).repair} "
        "builds it again from the trials' folders"
    )


def view_failure(place: str, name: str, folder: Path, error: Exception) -> HpsearchError:
    """Return the error for a study that a reader other than its driver cannot read."""
    if isinstance(error, HpsearchError):
        return error
    text = words_of(error)
    if any(word in text for word in MACHINE):
        return EnvironmentFailure(
            f"{place}: cannot be read now ({text}); fix that, then run the same command again"
        )
    return InputError(
        f"{place}: cannot be read as the study {name!r} ({text}); hpsearch doctor "
        f"{shell_word(folder)} says more"
    )
