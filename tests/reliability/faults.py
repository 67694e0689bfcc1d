"""Faults at the N-th write: every write below a folder is numbered, and one of them goes wrong.

For forked processes only: what is installed here cannot be taken out again.
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy.exc import OperationalError

Kind = Literal["file", "sql"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.mkdir")
LONG = bool(os.environ.get("HPSEARCH_LONG"))
"""Set by `make soak`: every write and the full counts, instead of some."""
STRIDE = 1 if LONG else 37


def on_write(root: Path, act: Callable[[int, Kind], None]) -> None:
    """Call `act` with a running number before every write below a folder, in this process.

    Files opened to be written, flushed, renamed, deleted; folders made; rows and commits of any
    database.
    """
    count = itertools.count(1)
    prefix = str(root)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (writes or event in CHANGES) and str(arguments[0]).startswith(prefix):
            act(next(count), "file")

    def flush(handle: int) -> None:
        act(next(count), "file")
        real_flush(handle)

    def statement(*arguments: Any) -> None:
        if arguments[2].lstrip().split(None, 1)[0].upper() in (
            "INSERT",
            "UPDATE",
            "DELETE",
            "CREATE",
        ):
            act(next(count), "sql")

    real_flush, os.fsync = os.fsync, flush
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", statement)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", lambda _: act(next(count), "sql"))
    sys.addaudithook(hook)


@dataclass
class Failing:
    """Fails the N-th write, or every one from there on.

    Args:
        nth: From 1.
        number: The system's error number.
        lasting: Whether all later ones fail too.
    """

    nth: int
    number: int
    lasting: bool
    fired: bool = False

    def __call__(self, count: int, kind: Kind) -> None:
        """Fail if it is this write's turn."""
        if count == self.nth or (self.lasting and count > self.nth):
            self.fired = True
            if kind == "file":
                raise OSError(self.number, os.strerror(self.number))
            cause = sqlite3.OperationalError("database or disk is full")
            raise OperationalError("a statement", {}, cause)


@dataclass
class Dying:
    """Kills this process before its N-th write."""

    nth: int
    fired: bool = False

    def __call__(self, count: int, kind: Kind) -> None:
        """Die if it is this write's turn."""
        if count == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)


Act = Failing | Dying
