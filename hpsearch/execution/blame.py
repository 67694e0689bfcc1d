"""Classify why a worker ended: the configuration's fault, the machine's, or unknown.

Only a fault of the configuration may fail a trial and delete its checkpoint. `card_errors` has the
table of a card's errors. Imports no torch.
"""

from __future__ import annotations

from hpsearch.errors import HpsearchError
from hpsearch.execution import Ended, Ending, Lost
from hpsearch.trainers.card_errors import Fault, fault_in

__all__ = ["Fault", "ending_of", "fault_of"]

MEMORY_WORDS = ("allocate memory", "out of memory", "std::bad_alloc", "can't start new thread")
"""Texts by which an exception without a type of its own says that memory ran out."""
DISK_WORDS = ("No space left on device", "Disk quota exceeded")
"""Texts by which a program says that it could not write: every trial would."""
FAULTS = {
    Ending.OUT_OF_MEMORY: Fault.CONFIGURATION,
    Ending.LIMIT: Fault.CONFIGURATION,
    Ending.ENVIRONMENT: Fault.MACHINE,
    Ending.FAILED: Fault.UNKNOWN,
    Ending.CROWDED: Fault.UNKNOWN,
    Ending.DEVICE: Fault.UNKNOWN,
}
"""Where a trial is not alone to blame, it is repeated: elsewhere, or once there is memory."""
ENDINGS = {
    Fault.NEIGHBOUR: Ending.CROWDED,
    Fault.DEVICE: Ending.DEVICE,
    Fault.MACHINE: Ending.ENVIRONMENT,
    Fault.UNKNOWN: Ending.FAILED,
}


def fault_of(event: Ended | Lost, *, trained: bool) -> Fault | None:
    """Return whose fault the end of a trial's worker is.

    Args:
        event: How the worker ended.
        trained: Whether the trial has ended an epoch before, so that its network fits into memory.

    Returns:
        None where nothing failed: finished, diagnosed, stopped, paused, interrupted.
    """
    if isinstance(event, Lost):
        return Fault.MACHINE if event.blameless else Fault.UNKNOWN
    if event.ending is Ending.OUT_OF_MEMORY and trained:
        return Fault.UNKNOWN
    return FAULTS.get(event.ending)


def ending_of_words(words: str) -> Ending:
    """Return how the last words of a program end its trial."""
    memory = ("MemoryError", "OutOfMemoryError", *MEMORY_WORDS)
    if any(full in words for full in DISK_WORDS):
        return Ending.ENVIRONMENT
    if fault := fault_in(words):
        of_memory = any(word in words.lower() for word in MEMORY_WORDS)
        own = Ending.OUT_OF_MEMORY if of_memory else Ending.FAILED
        return Ending.FAILED if fault is Fault.MACHINE else ENDINGS.get(fault, own)
    return Ending.OUT_OF_MEMORY if any(word in words for word in memory) else Ending.FAILED


def ending_of(error: BaseException) -> Ending:
    """Return how an exception ends a trial.

    The driver has checked the configuration. So an error that the program itself raises in a
    worker concerns data or disk, never the trial.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    words = str(error)
    if fault := fault_in(words):
        of_memory = any(word in words.lower() for word in MEMORY_WORDS)
        own = Ending.OUT_OF_MEMORY if of_memory else Ending.FAILED
        return ENDINGS.get(fault, own)
    if kinds & {"MemoryError", "OutOfMemoryError"} or any(w in words for w in MEMORY_WORDS):
        return Ending.OUT_OF_MEMORY
    machine = isinstance(error, HpsearchError | OSError | ImportError)
    return Ending.ENVIRONMENT if machine else Ending.FAILED
