"""Every error the program raises on purpose, each with its exit code and its fix in the message."""

from __future__ import annotations


class HpsearchError(Exception):
    """Base of all errors raised on purpose; the message is one line and names the fix."""

    exit_code = 1


class InputError(HpsearchError):
    """Something the user can mend: a file, a key, a value, a command line. Exit code 2."""

    exit_code = 2


class EnvironmentFailure(HpsearchError):
    """The environment failed (disk, lock, database); the same command resumes. Exit code 3."""

    exit_code = 3
