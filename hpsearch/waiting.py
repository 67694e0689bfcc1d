"""Waits for a process, a database or a network, with a time limit; Ctrl-C ends every wait.

Another process that is stopped or gone must not block this one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from hpsearch.errors import HpsearchError

T = TypeVar("T")
NOTICE_S = 10.0
"""Seconds of waiting after which the user is told the reason."""
LIMIT_S = 55.0
"""Longest wait, so that the program ends within a minute."""
LEAVE_S = 1.0
"""Longest wait after Ctrl-C."""
POLL_S = 0.05
TURN_S = 1.0
"""The most that counts between two checks of a wait. In the rest this process was stopped."""
KILLED_S = 5.0
"""Longest wait for a killed process: one that hangs in the kernel dies later."""
log = logging.getLogger(__name__)


@dataclass
class Caught:
    """Number of interrupts so far, and the last signal."""

    count: int = 0
    signal: int = 0

    def note(self, number: int, _: FrameType | None = None) -> None:
        """Count a signal, as its handler."""
        self.count += 1
        self.signal = number

    @property
    def exit_code(self) -> int:
        """The exit code of a program that the last signal stopped; 0 before the first."""
        return 128 + self.signal if self.count else 0


class Interrupted(HpsearchError):
    """Ctrl-C or SIGTERM ended a wait."""

    exit_code = 130


class Wait:
    """One wait: it starts now and is over at its limit."""

    def __init__(self, patience: Patience, what: str, limit_s: float) -> None:
        """Start the wait.

        Args:
            patience: Its settings.
            what: The reason for the wait, for messages.
            limit_s: Longest wait in seconds.
        """
        self._patience, self._what, self._limit_s = patience, what, limit_s
        self._waited, self._looked = 0.0, time.monotonic()

    def tell(self) -> None:
        """Show the reason for the wait, at most once per limit."""
        patience, now = self._patience, time.monotonic()
        if now - patience.told > self._limit_s:
            patience.told = now
            patience.tell(f"{self._what}; waiting at most {self._limit_s:g} s")

    def goes_on(self) -> bool:
        """Return whether to wait longer: False once the limit is reached.

        Raises:
            Interrupted: Ctrl-C was pressed.
        """
        patience, now = self._patience, time.monotonic()
        self._waited, self._looked = self._waited + min(now - self._looked, TURN_S), now
        interrupts = patience.interrupted()
        if interrupts and (interrupts > 1 or self._waited > LEAVE_S or patience.lost):
            patience.give_up()
            raise Interrupted(f"stopped; {self._what}")
        over = self._waited > self._limit_s or patience.lost
        if over:
            patience.give_up()
        return not over


class Patience:
    """Settings of all waits: their limit, who sees the notice, and what interrupts them.

    After a wait has reached its limit, the next ones fail at once, so that the program ends soon.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = log.warning,
        interrupted: Callable[[], int] = lambda: 0,
        *,
        notice_s: float | None = None,
        limit_s: float | None = None,
    ) -> None:
        """Set up the waits.

        Args:
            tell: Shows one line to the user.
            interrupted: Returns the number of interrupts so far; always 0 where Ctrl-C raises
                KeyboardInterrupt.
            notice_s: Seconds after which the user is told; None means `NOTICE_S`.
            limit_s: Longest wait in seconds; None means `LIMIT_S`.
        """
        self.tell, self.interrupted = tell, interrupted
        self.notice_s = NOTICE_S if notice_s is None else notice_s
        self.limit_s = LIMIT_S if limit_s is None else limit_s
        self._gave_up = -math.inf
        self.told = -math.inf
        """When the user was last told of a wait."""
        self._current = threading.local()

    @property
    def lost(self) -> bool:
        """Whether a wait reached its limit within the last `limit_s` seconds."""
        return time.monotonic() - self._gave_up < self.limit_s

    def give_up(self) -> None:
        """Remember that a wait reached its limit."""
        self._gave_up = time.monotonic()

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Wait]:
        """Start a wait, or join the current one: both then share one limit and one notice.

        Args:
            what: The reason for the wait, for the notice.
        """
        current: Wait | None = getattr(self._current, "wait", None)
        if current is not None:
            yield current
            return
        self._current.wait = wait = Wait(self, what, self.limit_s)
        notice = threading.Timer(self.notice_s, wait.tell)
        notice.daemon = True
        if not self.lost:
            notice.start()
        try:
            yield wait
        finally:
            notice.cancel()
            self._current.wait = None

    def call(self, action: Callable[[], T], what: str) -> T | None:
        """Run an action that cannot be interrupted in a thread; abandon it at the limit.

        Returns:
            The result of the action, None when the limit came first.

        Raises:
            Interrupted: Ctrl-C was pressed. Errors of the action are raised too.
        """
        found: list[T] = []
        failed: list[BaseException] = []
        done = threading.Event()

        def act() -> None:
            try:
                found.append(action())
            except BaseException as error:
                failed.append(error)
            done.set()

        with self.waiting(what) as wait:
            threading.Thread(target=act, daemon=True).start()
            while not done.wait(POLL_S) and wait.goes_on():
                pass
        if failed:
            raise failed[0]
        return found[0] if found else None


def end_process(process: subprocess.Popen[bytes], grace_s: float = 0.0) -> None:
    """Kill a process and wait for its end, at most `KILLED_S` seconds.

    Args:
        process: The process.
        grace_s: Seconds that it has to end by itself.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILLED_S)
