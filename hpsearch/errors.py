"""Every error the program raises on purpose, each with its exit code and its fix in the message."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return a text on one line, without what could rule a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


class HpsearchError(Exception):
    """Base of all errors raised on purpose; the message is one line and names the fix.

    Control characters (in a file's name, in a key) are replaced: they could rule the terminal.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(HpsearchError):
    """Something the user can mend: a file, a key, a value, a command line. Exit code 2."""

    exit_code = 2


class EnvironmentFailure(HpsearchError):
    """The environment failed (disk, lock, database); the same command resumes. Exit code 3."""

    exit_code = 3
