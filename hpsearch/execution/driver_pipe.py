"""The worker's pipes to the driver: jobs and decisions come in, events go out."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any

from hpsearch.awake import AwakeClock
from hpsearch.errors import HpsearchError, one_line
from hpsearch.execution import Decision, Ended, Ending
from hpsearch.json_process import BEAT_S, ParentPipe
from hpsearch.training.epoch import EpochResult


class DriverPipe(ParentPipe):
    """The pipes to the driver: an interrupt is noticed at once, other messages wait in order.

    Signs of life come from a thread, which goes on when a card hangs. So the thread watches the
    work: after `step_timeout_s` without a `mark` it reports that training has stalled.
    """

    def __init__(self, step_timeout_s: float) -> None:
        """Start to listen."""
        self._step_timeout_s, self._marks, self._idle = step_timeout_s, 0, True
        super().__init__()
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.interrupted = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for message in self.receive():
            if "interrupt" in message:
                self.interrupted.set()
            elif "job" in message:  # here, where the order is known: what follows is for this job
                self.interrupted.clear()
            self.messages.put(message)
        os._exit(0)  # the driver is gone

    def _beat(self) -> None:
        clock = AwakeClock(2 * BEAT_S)  # time in which this process was stopped does not count
        seen, since = -1, clock()
        while self.busy.wait():
            now = clock()
            if self._idle or self._marks != seen:
                seen, since = self._marks, now
            stalled = now - since > self._step_timeout_s
            self.send(event="stalled" if stalled else "alive")
            time.sleep(BEAT_S)

    def mark(self, *_: object) -> None:
        """Note that the work goes on: called by steps, evaluation chunks and writes."""
        self._marks += 1
        self._idle = False

    def asked_to_stop(self) -> bool:
        """Return whether the driver interrupts; called before each step."""
        self.mark()
        return self.interrupted.is_set()

    def load(self) -> None:
        """Note that libraries are loaded from here to the next `mark`, which may take long."""
        self._idle = True

    def _next(self) -> dict[str, Any]:
        """Return the next message; waiting for the driver is no stall."""
        self._idle = True
        message = self.messages.get()
        self.mark()
        return message

    def end(self, ended: Ended) -> None:
        """Report how a trial has ended."""
        fields = {**vars(ended), "ending": ended.ending.value}
        only = ("result", "ended_by", "memory")  # of a program
        self.send(
            event="ended", **{k: v for k, v in fields.items() if v is not None or k not in only}
        )

    def wait_for_job(self) -> dict[str, Any]:
        """Return the next job."""
        while True:
            message = self._next()
            if "job" in message:
                job: dict[str, Any] = message["job"]
                return job

    def wait_for_decision(self) -> Decision | None:
        """Return the driver's decision, None when it interrupts instead."""
        while True:
            message = self._next()
            if "interrupt" in message:
                return None
            if "decision" in message:
                return Decision(message["decision"])

    def decision_so_far(self) -> Decision | None:
        """Return the driver's decision if it has come; leave an interrupt to who waits for one."""
        while not self.messages.empty():
            message = self.messages.get()
            if "decision" in message:
                return Decision(message["decision"])
            if "interrupt" in message:
                self.messages.put(message)
                return None
        return None

    def report(self, trial: int, result: EpochResult) -> Ending | None:
        """Report an epoch; return the ending that the driver decides on, None to go on."""
        self.send(event="epoch", trial=trial, result=result.to_json())
        decision = self.wait_for_decision()
        if decision is None:
            return Ending.INTERRUPTED
        return {Decision.STOP: Ending.STOPPED, Decision.PAUSE: Ending.PAUSED}.get(decision)


def one_line_of(error: Exception) -> str:
    """Write an exception's traceback to the log; return the message as one printable line."""
    with contextlib.suppress(OSError):  # the disk of the log may be full
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
    name = "" if isinstance(error, HpsearchError) else f"{type(error).__name__}: "
    return one_line(" ".join(f"{name}{error}".split()))[:300]
