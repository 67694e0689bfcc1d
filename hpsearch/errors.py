"""The errors that the program raises on purpose: an exit code, and the fix in the message."""

from __future__ import annotations

import re
from urllib.parse import unquote

USER_INFO = re.compile(r"(://[^/\s]*?(?::|%3a))\S*@", re.IGNORECASE)
NO_PORT = re.compile(r"""(://[^\s/@:\[]*:)(?!\d+(?:[/?,\s'"]|$))[^\s/'"*]+""")
NAMELESS = re.compile(r"""(://[^\s?'"]*\?)[^\s=&;'"]+(?=[\s&;'"]|$)""")
SETTING = re.compile(r"""((?:^|[?&;\s'"#])([^\s=?&;'"#]+)=)([^\s&;'"]+)""")
SECRET = re.compile(r"pass|pwd|secret|token|^options$")


def hide_passwords(text: str) -> str:
    """Replace the passwords in the URLs and connection strings of a text by ***."""

    def hide(setting: re.Match[str]) -> str:
        secret = SECRET.search(unquote(setting[2]).lower()) or "=" in unquote(setting[3])
        return f"{setting[1]}***" if secret else setting[0]

    for part in (USER_INFO, NO_PORT, NAMELESS):
        text = part.sub(
            lambda found: f"{found[1]}***{'@' if found[0].endswith('@') else ''}", text
        )
    return SETTING.sub(hide, text) if "://" in text or SECRET.search(text) else text


AGAIN = "run the same command again"


def shortened(value: object, most: int) -> str:
    """Return a value's text on one line, cut after `most` characters."""
    return " ".join(str(value).split())[:most]


def one_line(text: str) -> str:
    """Return a text on one line, without the characters that control a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


class HpsearchError(Exception):
    """Base of all errors raised on purpose; the message is one line and names the fix.

    Control characters, for example in a file's name, are replaced, because a terminal would obey
    them. Passwords are hidden, because logs keep the message.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(hide_passwords(message)))


class InputError(HpsearchError):
    """Something the user can fix: a file, a key, a value, a command line. Exit code 2."""

    exit_code = 2


class EnvironmentFailure(HpsearchError):
    """The environment failed (disk, lock, database); the same command resumes. Exit code 3."""

    exit_code = 3


def cannot(done: str, path: object, error: OSError, fix: str = "fix that") -> EnvironmentFailure:
    """Return the failure of something that cannot be done with a file: "read", "written"."""
    return EnvironmentFailure(f"{path}: cannot be {done} ({error.strerror}); {fix}, then {AGAIN}")
