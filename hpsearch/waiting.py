"""Waits for others: a process, a database, a network. Each wait has a limit, and hears Ctrl-C.

Whoever is stopped, or gone without a word, must not stop us.
"""

from __future__ import annotations

import contextlib
import logging
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from hpsearch.errors import HpsearchError

T = TypeVar("T")
NOTICE_S = 10.0
"""How long a wait may take before a person is told what is waited for."""
LIMIT_S = 60.0
"""How long somebody else is waited for."""
LEAVE_S = 1.0
"""How long a wait may still take once Ctrl-C has come."""
POLL_S = 0.05
TURN_S = 1.0
"""What counts at most between two looks at a wait: the rest, this process was stopped itself."""
KILLED_S = 5.0
"""How long a killed process is waited for: one that hangs in its kernel dies when it can."""
log = logging.getLogger(__name__)


class Interrupted(HpsearchError):
    """A wait was given up because Ctrl-C or SIGTERM has come."""

    exit_code = 130


class Wait:
    """One wait: begun now, over at its limit."""

    def __init__(self, patience: Patience, what: str, limit_s: float) -> None:
        """Note what is waited for."""
        self._patience, self._what, self._limit_s = patience, what, limit_s
        self._waited, self._looked = 0.0, time.monotonic()

    def tell(self) -> None:
        """Tell a person what is waited for, once, and not again right after."""
        patience, now = self._patience, time.monotonic()
        if now - patience.told > self._limit_s:
            patience.told = now
            patience.tell(f"{self._what}; waiting at most {self._limit_s:g} s")

    def goes_on(self) -> bool:
        """Say whether to wait on, False once the limit is reached.

        Raises:
            Interrupted: Ctrl-C has come.
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
    """How long one's others are waited for, who is told of it, and who may end it.

    Right after a wait that was in vain no other one is begun: the way out must be short.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = log.warning,
        interrupted: Callable[[], int] = lambda: 0,
        *,
        notice_s: float | None = None,
        limit_s: float | None = None,
    ) -> None:
        """Note who is told, and how many interrupts have come.

        Args:
            tell: Tells a person one line.
            interrupted: Says how many interrupts have come. Where Ctrl-C raises KeyboardInterrupt,
                nobody needs to.
            notice_s: Seconds after which a person is told; None is `NOTICE_S`.
            limit_s: Seconds after which a wait is given up; None is `LIMIT_S`.
        """
        self.tell, self.interrupted = tell, interrupted
        self.notice_s = NOTICE_S if notice_s is None else notice_s
        self.limit_s = LIMIT_S if limit_s is None else limit_s
        self._gave_up = -math.inf
        self.told = -math.inf
        """When a person was told of a wait."""
        self._current = threading.local()

    @property
    def lost(self) -> bool:
        """Whether a wait was in vain a moment ago; whoever lives on waits again later."""
        return time.monotonic() - self._gave_up < self.limit_s

    def give_up(self) -> None:
        """Note that a wait was in vain."""
        self._gave_up = time.monotonic()

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Wait]:
        """Begin a wait, or join the one that is under way: one limit and one notice for both.

        Args:
            what: What may take long and why, for the notice.
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
        """Do what cannot be interrupted in a thread, which is abandoned when it takes too long.

        Returns:
            What the action returns, None when the limit came first.

        Raises:
            Interrupted: Ctrl-C has come; also whatever the action raises.
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
    """Kill a process, and wait for its end, but not for ever.

    Args:
        process: The process.
        grace_s: Seconds in which it may end by itself.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILLED_S)
