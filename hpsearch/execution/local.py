"""Run trials in worker processes on this machine, one trial at a time in each.

On the CPU a worker is kept for the next trial. On CUDA each trial gets a new process on one
device, so that no trial leaves memory behind.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from hpsearch.awake import AwakeClock
from hpsearch.errors import EnvironmentFailure, one_line
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Job, Lost, Started
from hpsearch.execution.devices import count_cores, device_names
from hpsearch.interpreter import child_environment, python_command
from hpsearch.json_process import JsonProcess
from hpsearch.training.epoch import EpochResult

MAX_LOG_BYTES = 10_000_000
SILENCE_S = 120.0
"""Longest time without a sign of life; workers send one every two seconds while they train."""
READY = b'{"event": "ready"}'
TURNS = 10
"""A silence must last this many turns of the driver's loop: in one the driver may have slept."""
MAX_FALSE_STARTS = 3
"""Workers killed in a row before they are ready, after which the machine is to blame."""


class _Worker(JsonProcess):
    """One worker process and the trial it runs."""

    slot: int
    trial: int | None = None
    ready = False
    """Whether it has loaded its libraries, so that a trial can be the cause of its end."""


class LocalExecutor:
    """The executor of one machine; see `hpsearch.execution.Executor` for the contract."""

    def __init__(
        self,
        workers: int,
        device: str = "cpu",
        *,
        threads: int | None = None,
        log_folder: Path | None = None,
        silence_s: float = SILENCE_S,
        command: Sequence[str] | None = None,
    ) -> None:
        """Store the settings; processes start with the first trials.

        Args:
            workers: Trials at once, at least 1.
            device: "cpu" or "cuda".
            threads: Threads of each worker; by default the cores divided by the workers.
            log_folder: Where each worker's standard error goes; None drops it.
            silence_s: A worker that gives no sign of life for this time is killed; its trial is
                lost.
            command: Program to run instead of the worker; it must speak the worker's protocol.
        """
        self._device = device
        self._threads = threads or max(1, count_cores() // workers)
        self._log_folder, self._silence_s = log_folder, silence_s
        arguments = [device, str(self._threads)]
        self._command = [*(command or python_command("hpsearch.execution.worker")), *arguments]
        self._workers: list[_Worker | None] = [None] * workers
        self._selector = selectors.DefaultSelector()
        self._clock = AwakeClock(silence_s / TURNS)
        self._false_starts = 0

    @property
    def slots(self) -> int:
        """Trials that can run at once."""
        return len(self._workers)

    def submit(self, job: Job) -> None:
        """Start a trial on a free slot.

        Raises:
            RuntimeError: No slot is free.
            EnvironmentFailure: A worker's process cannot be started.
        """
        slot = next((s for s, w in enumerate(self._workers) if w is None or w.trial is None), None)
        if slot is None:
            raise RuntimeError(f"all {self.slots} slots are busy")
        worker = self._workers[slot]
        if worker is None or worker.process.poll() is not None:
            if worker is not None:
                self._end(worker)
            worker = self._start(slot)
        worker.trial = job.trial
        worker.expect()
        fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
        worker.send({"job": fields})

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last `EpochEnded`; ignored when the trial is gone."""
        for worker in self._running():
            if worker.trial == trial:
                worker.send({"decision": decision.value})

    def events(self, timeout_s: float) -> list[Event]:
        """Return new events in order; wait up to `timeout_s` for the first."""
        self._clock()
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return []
        events: list[Event] = []
        for key, _ in self._selector.select(timeout_s):
            events += self._read(key.data)
        # After reading: a driver that was stopped finds the signs of life in its pipes.
        for worker in self._running():
            worker.write()
            if worker.silent_s > self._silence_s:
                events += self._lose(worker, f"gave no sign of life for {self._silence_s:g} s")
        return events

    def _read(self, worker: _Worker) -> list[Event]:
        events: list[Event] = []
        for line in worker.read():
            worker.ready, self._false_starts = True, 0
            if line == READY:
                continue
            try:
                event = _parse(line, worker.trial)
            except (ValueError, KeyError, TypeError, RecursionError):
                shown = one_line(line.decode(errors="replace"))[:100]
                return [*events, *self._lose(worker, f"sent an invalid message: {shown}")]
            events.append(event)
            if isinstance(event, Ended):
                worker.trial = None
                if self._device == "cuda" or event.ending is Ending.FAILED:
                    self._end(worker)  # the memory it holds may have caused the failure
        if worker.closed:
            code = worker.exit_code()
            cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            events += self._lose(worker, cause, exited=code >= 0)
        return events

    def _lose(self, worker: _Worker, cause: str, *, exited: bool = False) -> list[Lost | Ended]:
        """End a worker, and report its trial as lost.

        A worker that was never ready says nothing about its trial. If it was killed, the trial is
        started again; if it exited by itself, the next worker would exit too.
        """
        trial = worker.trial
        self._end(worker)
        if trial is None:
            return []
        if worker.ready:
            return [Lost(trial, f"worker {cause}")]
        self._false_starts += 1
        cause = f"worker {cause} before it was ready"
        if not exited and self._false_starts < MAX_FALSE_STARTS:
            return [Lost(trial, cause, blameless=True)]
        return [Ended(trial, Ending.ENVIRONMENT, f"{cause}; {self._last_words(worker.slot)}")]

    def _last_words(self, slot: int) -> str:
        """Return the last line of a worker's log, where most programs say why they end."""
        path = self._log_folder / f"worker-{slot}.log" if self._log_folder else None
        try:
            lines = path.read_bytes()[-2000:].split(b"\n") if path else []
        except OSError:
            lines = []
        last = next((line for line in reversed(lines) if line.strip()), b"")
        shown = one_line(last.decode(errors="replace")[:200])
        return f"{path}: {shown or 'empty'}" if path else "it keeps no log"

    def interrupt(self) -> None:
        """Ask every running trial to checkpoint and end within its batch (INTERRUPTED)."""
        for worker in self._running():
            worker.send({"interrupt": True})

    def close(self) -> None:
        """End all workers at once and free everything; may be called twice."""
        for worker in [w for w in self._workers if w is not None]:
            self._end(worker)
        self._selector.close()

    def _running(self) -> list[_Worker]:
        return [w for w in self._workers if w is not None and w.trial is not None]

    def _start(self, slot: int) -> _Worker:
        environment = child_environment(self._threads)
        if self._device == "cuda":
            names = device_names()
            environment["CUDA_VISIBLE_DEVICES"] = names[slot % len(names)] if names else ""
        try:
            with self._open_log(slot) as log:
                worker = _Worker(self._command, environment, self._clock, log)
        except OSError as error:
            raise EnvironmentFailure(
                f"{error.filename or self._command[0]}: a worker cannot be started "
                f"({error.strerror}); fix that, then run the same command again"
            ) from error
        worker.slot = slot
        self._workers[slot] = worker
        self._selector.register(worker, selectors.EVENT_READ, worker)
        return worker

    def _open_log(self, slot: int) -> contextlib.AbstractContextManager[IO[bytes] | int]:
        if self._log_folder is None:
            return contextlib.nullcontext(subprocess.DEVNULL)
        self._log_folder.mkdir(parents=True, exist_ok=True)
        path = self._log_folder / f"worker-{slot}.log"
        too_long = path.exists() and path.stat().st_size > MAX_LOG_BYTES
        return path.open("wb" if too_long else "ab")

    def _end(self, worker: _Worker) -> None:
        """Kill a worker's process and free its slot."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker)
        worker.end()
        if self._workers[worker.slot] is worker:
            self._workers[worker.slot] = None


def _parse(line: bytes, running: int | None) -> Event:
    """Read one message of the worker that runs this trial.

    Raises:
        ValueError: It is no message, or of another trial (also KeyError, TypeError).
    """
    message: dict[str, Any] = json.loads(line)
    trial, kind = int(message["trial"]), message["event"]
    if trial != running:
        raise ValueError(f"trial {trial} is not the worker's")
    if kind == "started":
        curve = tuple(EpochResult.from_json(values) for values in message["curve"])
        provenance = dict(message.get("provenance", {}))
        return Started(trial, message["pid"], message["device"], curve, provenance)
    if kind == "epoch":
        return EpochEnded(trial, EpochResult.from_json(message["result"]))
    scores = message.get("scores")
    ending = Ending(message["ending"])
    return Ended(trial, ending, message["cause"], None if scores is None else dict(scores))
