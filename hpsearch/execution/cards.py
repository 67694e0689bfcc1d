"""Which slots of an executor may run a trial: their cards, failures, and processes left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

MAX_FAILURES = 2
"""Failures of a card after which no trial starts on it."""


class Cards:
    """The cards of an executor's slots, in turn; without cards every slot is its own."""

    def __init__(self, names: Sequence[str], slots: int) -> None:
        """Start with all cards healthy.

        Args:
            names: What CUDA_VISIBLE_DEVICES may hold, one for each card; none on the CPU.
            slots: Trials at once.
        """
        self._names = [names[slot % len(names)] if names else None for slot in range(slots)]
        self._failures: dict[str, int] = {}
        self._parked: dict[int, subprocess.Popen[bytes]] = {}

    def name(self, slot: int) -> str | None:
        """Return what CUDA_VISIBLE_DEVICES holds for a slot, None without cards."""
        return self._names[slot]

    def beside(self, slot: int) -> list[int]:
        """Return the other slots of the same card."""
        name = self._names[slot]
        if name is None:
            return []
        return [s for s, other in enumerate(self._names) if other == name and s != slot]

    def usable(self) -> list[int]:
        """Return the slots that may run a trial, those of cards without failures first."""
        for slot, process in list(self._parked.items()):
            if process.poll() is not None:
                del self._parked[slot]
        slots = [s for s in range(len(self._names)) if s not in self._parked]
        left = [s for s in slots if self._failed(s) < MAX_FAILURES]
        return sorted(left, key=lambda slot: (self._failed(slot), slot))

    def _failed(self, slot: int) -> int:
        return self._failures.get(self._names[slot] or "", 0)

    def note_failure(self, slot: int) -> str:
        """Count a failure of a slot's card; return what follows, in words, empty for nothing."""
        name = self._names[slot]
        if name is None:
            return ""
        self._failures[name] = self._failures.get(name, 0) + 1
        if self._failures[name] != MAX_FAILURES:  # others that ran on it may fail later
            return ""
        return f"device {name} failed {self._failures[name]} times and is set aside"

    def park(self, slot: int, process: subprocess.Popen[bytes]) -> None:
        """Leave a slot to a killed process that hangs in the kernel, until it is gone."""
        if process.poll() is None:
            self._parked[slot] = process
