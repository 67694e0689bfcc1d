"""Time in which this process ran. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable


class AwakeClock:
    """Counts seconds, but not those in which the process was stopped or the machine asleep.

    A stopped process cannot look at a clock, so of any time between two looks only the first
    `longest_s` seconds count. Whoever uses it looks in every turn of its loop.
    """

    def __init__(self, longest_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """Begin at zero.

        Args:
            longest_s: Seconds that count at most between two looks; above any turn of the loop.
            now: A clock in seconds that is never set.
        """
        self._longest_s, self._now = longest_s, now
        self._seconds, self._looked = 0.0, now()

    def __call__(self) -> float:
        """Return the seconds so far."""
        now = self._now()
        self._seconds += min(now - self._looked, self._longest_s)
        self._looked = now
        return self._seconds
