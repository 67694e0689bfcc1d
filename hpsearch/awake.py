"""A clock that stands still while the process is stopped. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable


class AwakeClock:
    """Counts seconds, except those in which the process was stopped or the machine asleep.

    A stopped process cannot read a clock. So of the time between two readings only the first
    `longest_s` seconds count, and a loop must read the clock in every turn.
    """

    def __init__(self, longest_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """Start at zero.

        Args:
            longest_s: The most seconds that count between two readings. A turn of the loop must be
                shorter.
            now: A monotonic clock in seconds.
        """
        self._longest_s, self._now = longest_s, now
        self._seconds, self._looked = 0.0, now()

    def __call__(self) -> float:
        """Return the seconds so far."""
        now = self._now()
        self._seconds += min(now - self._looked, self._longest_s)
        self._looked = now
        return self._seconds
