"""Whose fault the end of a worker is: the configuration's, the machine's, or not to be told yet.

Only a configuration's fault may fail a trial and delete its checkpoint. Imports no torch.
"""

from __future__ import annotations

from enum import Enum

from hpsearch.errors import HpsearchError
from hpsearch.execution import Ended, Ending, Lost

MEMORY_WORDS = ("allocate memory", "out of memory", "std::bad_alloc", "can't start new thread")
"""What messages of exceptions without a type of their own say when memory ran out."""


class Fault(Enum):
    """Whose fault a failure is."""

    CONFIGURATION = "configuration"
    MACHINE = "machine"  # memory of all networks, disk, data, installation
    UNKNOWN = "unknown"  # told by repeating it, see hpsearch.driver.blame


FAULTS = {
    Ending.OUT_OF_MEMORY: Fault.CONFIGURATION,
    Ending.ENVIRONMENT: Fault.MACHINE,
    Ending.FAILED: Fault.UNKNOWN,
}


def fault_of(event: Ended | Lost, *, trained: bool) -> Fault | None:
    """Say whose fault the end of a trial's worker is.

    Args:
        event: How it ended.
        trained: Whether the trial has ended an epoch before: its network then fits into memory.

    Returns:
        None where nothing failed: finished, diagnosed, stopped, paused, interrupted.
    """
    if isinstance(event, Lost):
        return Fault.MACHINE if event.blameless else Fault.UNKNOWN
    if event.ending is Ending.OUT_OF_MEMORY and trained:
        return Fault.UNKNOWN
    return FAULTS.get(event.ending)


def ending_of(error: BaseException) -> Ending:
    """Return how an exception ends a trial.

    The driver checked the configuration before it sent it, so what the program itself refuses in a
    worker is data or disk, never the trial.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    words = str(error)
    if kinds & {"MemoryError", "OutOfMemoryError"} or any(w in words for w in MEMORY_WORDS):
        return Ending.OUT_OF_MEMORY
    machine = isinstance(error, HpsearchError | OSError | ImportError)
    return Ending.ENVIRONMENT if machine else Ending.FAILED
