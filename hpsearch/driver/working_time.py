"""The driver time of a study: summed over all runs and all drivers."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.storage.trial_store import TrialStore

SAVE_S = 5.0
"""How often the time is written; a kill loses at most this much."""


class WorkingTime:
    """The seconds that count against a budget of hours."""

    def __init__(self, store: TrialStore, clock: Callable[[], float]) -> None:
        """Start counting after the seconds of earlier runs."""
        self._store, self._clock = store, clock
        self._before = store.seconds()
        self._began = self._saved = clock()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self._before + self._clock() - self._began

    def save(self, *, force: bool = False) -> None:
        """Write the seconds when it is time, or at once."""
        since = self._clock() - self._saved
        if force or since > SAVE_S:
            self._saved += since
            own = self._saved - self._began
            self._before = self._store.save_seconds(self._before + own, since) - own
