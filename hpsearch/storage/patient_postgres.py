"""A connection to PostgreSQL that does not wait for ever. Needs psycopg, so it is imported late.

When a network drops packets, a server neither answers nor closes the connection.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.conninfo import conninfo_to_dict

from hpsearch.waiting import Interrupted, Patience

T = TypeVar("T")
ANSWER_S = 20.0
"""Longest time for a statement; then another connection is tried."""
CONNECT_S = 10
"""Longest time to connect."""
LOOK_S = 0.1
"""How often a wait checks for Ctrl-C."""
KEEP_ALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A host that has gone is noticed within half a minute. Seconds; the last in milliseconds."""


class PatientConnection(psycopg.Connection[Any]):
    """Waits at most `ANSWER_S` for a server that sends nothing."""

    patience = Patience()
    silence = "the server does not answer"
    """The reason for a wait, for messages."""

    def wait(self, gen: Generator[Any, Any, T], *_: Any, **__: Any) -> T:
        """Run psycopg's generator to its end; close the connection if that fails."""
        try:
            return waiting.wait(self._watched(gen), self.pgconn.socket, interval=LOOK_S)
        except (KeyboardInterrupt, Interrupted, psycopg.errors.ConnectionTimeout):
            self.pgconn.finish()
            raise

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Pass on psycopg's requests and answers; fail after too long a silence."""
        heard, wait = time.monotonic(), None
        with contextlib.ExitStack() as stack:
            try:
                asked = next(gen)
                while True:
                    ready = yield asked
                    if ready:
                        heard = time.monotonic()
                    else:  # only here, because most answers come at once
                        wait = wait or stack.enter_context(self.patience.waiting(self.silence))
                        silent_s = time.monotonic() - heard
                        if not wait.goes_on() or silent_s > ANSWER_S:
                            raise psycopg.errors.ConnectionTimeout(
                                f"no answer in {silent_s:.0f} s"
                            )
                    asked = gen.send(ready)
            except StopIteration as end:
                result: T = end.value
                return result


def connecting(
    url: str, patience: Patience, settings: dict[str, str]
) -> Callable[[], PatientConnection]:
    """Return the function with which SQLAlchemy opens connections.

    Args:
        url: The server and its database.
        patience: How long to wait for it.
        settings: Settings of the session, by PostgreSQL's names.
    """
    given = conninfo_to_dict(url)
    limit_s, silence = patience.limit_s, f"the server at {given.get('host')} does not answer"

    class Own(PatientConnection):
        """A connection with this patience."""

    Own.patience, Own.silence = patience, silence
    arguments: dict[str, Any] = {
        "connect_timeout": max(2, int(min(CONNECT_S, limit_s))),  # libpq's shortest is 2
        "application_name": "hpsearch",
        **KEEP_ALIVE,
        **given,
        "options": " ".join(f"-c {key}={value}" for key, value in settings.items()),
    }

    def connect() -> PatientConnection:
        # In a thread: the look-up of a host name cannot be interrupted.
        connection = patience.call(lambda: Own.connect(**arguments), silence)
        if connection is None:
            raise psycopg.errors.ConnectionTimeout(f"no connection in {limit_s:g} s")
        return connection

    return connect
