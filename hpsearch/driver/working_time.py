"""How long a study has been worked on: over all runs, and all of its drivers."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.storage.database import StudyRecord
from hpsearch.storage.peers import Peers

SAVE_S = 5.0
"""How often the time is written; a kill loses at most this much."""


class WorkingTime:
    """The seconds that count against a budget of hours."""

    def __init__(
        self, record: StudyRecord, peers: Peers | None, clock: Callable[[], float]
    ) -> None:
        """Begin to count, after what earlier runs have written."""
        self._record, self._peers, self._clock = record, peers, clock
        self._before = float(record.attribute("driver_seconds", 0.0))
        self._began = self._saved = clock()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self._before + self._clock() - self._began

    def save(self, *, force: bool = False) -> None:
        """Write the seconds when it is time, or at once; where there are others, add to theirs."""
        since = self._clock() - self._saved
        if not force and since <= SAVE_S:
            return
        self._saved += since
        if self._peers is None:
            self._record.set_attribute("driver_seconds", round(self.seconds(), 1))
        else:
            self._before = self._peers.add_seconds(since) - (self._saved - self._began)
