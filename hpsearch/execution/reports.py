"""Write and report an epoch while the next one trains. Must not know the driver's reasons."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.execution import Decision, Ending

if TYPE_CHECKING:
    from hpsearch.training.checkpoint import Checkpoint
    from hpsearch.training.epoch import EpochResult

ENDINGS = {Decision.STOP: Ending.STOPPED, Decision.PAUSE: Ending.PAUSED}


class Pipe(Protocol):
    """What is needed of the pipes to the driver."""

    def send(self, **message: Any) -> None:
        """Send a message; any thread may."""

    def asked_to_stop(self) -> bool:
        """Return whether the driver interrupts; called before each step."""

    def decision_so_far(self) -> Decision | None:
        """Return the driver's decision if it has come."""

    def wait_for_decision(self) -> Decision | None:
        """Return the driver's decision, None when it interrupts instead."""


class Reports:
    """The reports of a trial's epochs, one at a time.

    An epoch is reported when its checkpoint is on the disk, so a kill loses nothing that was
    reported. Training goes on meanwhile. What it does beyond an epoch at which the driver stops it
    is thrown away: the checkpoint of the next epoch is not written before that decision.
    """

    def __init__(self, driver: Pipe, path: Path, trial: int) -> None:
        """Start without an open report; `path` is the trial's checkpoint."""
        self._driver, self._path, self._trial = driver, path, trial
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._written: Future[None] | None = None
        self._decision: Decision | None = None

    def begin(self, checkpoint: Checkpoint, result: EpochResult) -> None:
        """Write and report an epoch in a thread; call `settle` before."""
        self._decision = None
        self._written = self._thread.submit(self._write, checkpoint, result)

    def send(self, result: EpochResult) -> None:
        """Report an epoch whose checkpoint is on the disk."""
        self._decision = None
        self._written = self._thread.submit(self._send, result)

    def _write(self, checkpoint: Checkpoint, result: EpochResult) -> None:
        from hpsearch.training.checkpoint import save

        save(checkpoint, self._path)
        self._send(result)

    def _send(self, result: EpochResult) -> None:
        self._driver.send(event="epoch", trial=self._trial, result=result.to_json())

    def stop_training(self) -> bool:
        """Return whether to stop before the next step: why, `settle` says."""
        if self._driver.asked_to_stop():
            return True
        if self._written is None or not self._written.done():
            return False
        if self._written.exception() is None and self._decision is None:
            self._decision = self._driver.decision_so_far()
            return self._decision in ENDINGS
        return self._decision is not Decision.GO

    def settle(self, *, interrupted: bool = False) -> Ending | None:
        """Wait until the epoch is written and decided on; return the ending, None to go on.

        Args:
            interrupted: Whether the driver has interrupted, so that no decision need come.

        Raises:
            EnvironmentFailure: The checkpoint could not be written.
        """
        if self._written is None:
            return None
        self._written.result()
        if self._decision is None and interrupted:
            return None
        if self._decision is None:
            self._decision = self._driver.wait_for_decision()
        if self._decision is None:
            return Ending.INTERRUPTED
        return ENDINGS.get(self._decision)

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown()
