"""The job loop that a search and a confirmation share: fill slots, handle events, stop.

Read `JobLoop.run` first. It knows executors by their interface only.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from hpsearch.driver.progress import RunningTrial
from hpsearch.execution import Decision, Ended, EpochEnded, Event, Executor, Job, Lost, Started
from hpsearch.training.epoch import EpochResult
from hpsearch.waiting import Interrupted

INTERRUPT_S = 10.0
"""Longest time for workers to checkpoint after Ctrl-C."""
TICK_S = 0.1


class JobLoop(ABC):
    """Runs jobs on an executor until none is left or the user interrupts."""

    jobs = "trials"
    """Name of the jobs in messages."""

    def __init__(
        self, executor: Executor, tell: Callable[[str], None], interrupted: Callable[[], int]
    ) -> None:
        """Start without jobs.

        Args:
            executor: Runs the jobs; closed by the caller.
            tell: Shows a one-line message.
            interrupted: Returns the number of interrupts so far. After the first one jobs
                checkpoint and the loop ends, after the second it ends immediately.
        """
        self._executor, self._tell, self._interrupted = executor, tell, interrupted
        self._clock: Callable[[], float] = time.monotonic
        self._waiting: list[int] = []
        self._running: dict[int, RunningTrial] = {}
        self._abandoned = set[int]()  # still on a worker, which has been told to stop

    def run(self) -> str | None:
        """Run all jobs; return why the loop ended, in words, or None after an interrupt."""
        try:
            self._begin()
            while (reason := self._over()) is None:
                if self._interrupted():
                    raise Interrupted("while nothing was waited for")
                self._fill_slots()
                for event in self._executor.events(TICK_S):
                    self._handle(event)
                self._flush()
            return reason
        except Interrupted:
            self._interrupt()
            return None

    @abstractmethod
    def _over(self) -> str | None:
        """Return why the loop ends, None while it goes on; called at the start of each turn."""

    @abstractmethod
    def _job(self, number: int) -> Job:
        """Return the job of this number."""

    @abstractmethod
    def _answer(self, number: int, result: EpochResult) -> Decision:
        """Note an epoch; decide what its job does next."""

    @abstractmethod
    def _ended(self, running: RunningTrial, event: Ended | Lost) -> None:
        """Note the end of a job or of its worker."""

    def _begin(self) -> None:  # noqa: B027
        """Prepare; called once, before the first turn."""

    def _started(self, event: Started) -> None:  # noqa: B027
        """Note that a worker has started a job."""

    def _flush(self) -> None:  # noqa: B027
        """Write what is due; called after the events of each turn."""

    def _busy(self) -> int:
        return len(self._running) + len(self._abandoned)

    def _fill_slots(self) -> None:
        """Start waiting jobs while slots are free."""
        until = self._clock() + TICK_S  # then workers that wait for a decision are served
        # The last worker of an abandoned job must have ended.
        ready = [n for n in self._waiting if n not in self._abandoned]
        while ready and self._busy() < self._executor.slots and self._clock() < until:
            self._waiting.remove(ready[0])
            self._submit(ready.pop(0))

    def _submit(self, number: int) -> None:
        job = self._job(number)
        self._running[number] = RunningTrial(number, self._clock())
        self._executor.submit(job)

    def _handle(self, event: Event) -> None:
        number, running = event.trial, self._running.get(event.trial)
        if running is None:
            if isinstance(event, Ended | Lost):
                self._abandoned.discard(number)
        elif isinstance(event, Started):
            self._running[number] = replace(
                running, device=event.device, curve=event.curve, provenance=event.provenance
            )
            self._started(event)
        elif isinstance(event, EpochEnded):
            self._running[number] = replace(running, curve=(*running.curve, event.result))
            self._executor.decide(number, self._answer(number, event.result))
        else:
            del self._running[number]
            self._ended(running, event)

    def _interrupt(self) -> None:
        """Ask for checkpoints and handle what arrives; the jobs stay unfinished."""
        self._tell(f"stopping: running {self.jobs} write their checkpoints")
        self._executor.interrupt()
        deadline = time.monotonic() + INTERRUPT_S
        while self._running and self._interrupted() < 2 and time.monotonic() < deadline:
            for event in self._executor.events(TICK_S):
                with contextlib.suppress(Interrupted):  # the job's folder has everything
                    if isinstance(event, Lost):
                        self._running.pop(event.trial, None)
                    else:
                        self._handle(event)
            self._flush()
