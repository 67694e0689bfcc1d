"""Run trials in worker processes on this machine, one trial at a time in each.

On the CPU a worker is kept for the next trial. On CUDA each trial gets a new process on one
device, so that no trial leaves memory behind. A trial that runs out of memory beside others is
tried once more, alone on its device.
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
from hpsearch.execution.cards import Cards
from hpsearch.execution.devices import count_cores, device_names
from hpsearch.interpreter import child_environment, python_command
from hpsearch.json_process import JsonProcess
from hpsearch.training.epoch import EpochResult

MAX_LOG_BYTES = 10_000_000
SILENCE_S = 120.0
"""Longest time without a sign of life; workers send one every two seconds while they train."""
STEP_TIMEOUT_S = 300.0
"""Longest time without a step, an evaluated chunk or a written checkpoint, as on a hung card."""
READY = b'{"event": "ready"}'
STALLED = b'{"event": "stalled"}'
TURNS = 10
"""A silence must last this many turns of the driver's loop: in one the driver may have slept."""
MAX_FALSE_STARTS = 3
"""Workers killed in a row before they are ready, after which the machine is to blame."""


class _Worker(JsonProcess):
    """One worker process and the trial it runs."""

    slot: int
    trial: int | None = None
    job: Job | None = None
    """The job, until it has ended an epoch: it can then be started again from its beginning."""
    alone = False
    """Whether its device is kept for its trial."""
    shared = False
    """Whether another trial has run on its device meanwhile."""
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
        step_timeout_s: float = STEP_TIMEOUT_S,
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
            step_timeout_s: So does one that takes no step for this time: its card hangs.
            command: Program to run instead of the worker; it must speak the worker's protocol.
        """
        self._device = device
        self._threads = threads or max(1, count_cores() // workers)
        self._log_folder, self._silence_s = log_folder, silence_s
        self._step_timeout_s = step_timeout_s
        arguments = [device, str(self._threads), str(step_timeout_s)]
        self._command = [*(command or python_command("hpsearch.execution.worker")), *arguments]
        self._workers: list[_Worker | None] = [None] * workers
        self._cards = Cards(device_names() if device == "cuda" else (), workers)
        self._queue: list[Job] = []  # submitted while their device is kept for one trial
        self._alone: dict[int, Job] = {}  # by slot: waits until its device is free
        self._withdrawn: list[Event] = []
        self._selector = selectors.DefaultSelector()
        self._clock = AwakeClock(silence_s / TURNS)
        self._false_starts = 0

    @property
    def slots(self) -> int:
        """Trials that can run at once, without the devices that are set aside."""
        return len(self._cards.usable())

    def submit(self, job: Job) -> None:
        """Start a trial on a free slot.

        Raises:
            RuntimeError: No slot is free.
            EnvironmentFailure: A worker's process cannot be started.
        """
        if len(self._running()) + len(self._queue) + len(self._alone) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are busy")
        self._queue.append(job)
        self._start_queued()

    def _start_queued(self) -> None:
        """Start the trials that wait to be alone, then others on devices that nobody waits for."""
        for slot, job in list(self._alone.items()):
            if slot not in self._cards.usable():
                self._queue.append(self._alone.pop(slot))
            elif all(self._is_free(s) for s in (slot, *self._cards.beside(slot))):
                del self._alone[slot]
                self._submit_on(slot, job, alone=True)
        for slot in self._cards.usable():
            if self._queue and self._is_free(slot) and not self._is_kept(slot):
                self._submit_on(slot, self._queue.pop(0))

    def _is_free(self, slot: int) -> bool:
        worker = self._workers[slot]
        return worker is None or worker.trial is None

    def _is_kept(self, slot: int) -> bool:
        """Return whether a trial has a slot's device for itself, or waits for that."""
        beside = [self._workers[s] for s in self._cards.beside(slot)]
        running = any(w is not None and w.trial is not None and w.alone for w in beside)
        return running or any(s in self._alone for s in (slot, *self._cards.beside(slot)))

    def _submit_on(self, slot: int, job: Job, *, alone: bool = False) -> None:
        worker = self._workers[slot]
        if worker is None or worker.process.poll() is not None:
            if worker is not None:
                self._end(worker)
            worker = self._start(slot)
        worker.trial, worker.job, worker.alone = job.trial, job, alone
        beside = [self._workers[s] for s in self._cards.beside(slot)]
        others = [w for w in beside if w is not None and w.trial is not None]
        worker.shared = bool(others)
        for other in others:
            other.shared = True
        worker.expect()
        fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
        worker.send({"job": fields})

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last `EpochEnded`; ignored when the trial is gone."""
        for worker in self._running():
            if worker.trial == trial:
                worker.send({"decision": decision.value})
        if decision is Decision.STOP:
            self._withdraw(Ending.STOPPED, trial)

    def events(self, timeout_s: float) -> list[Event]:
        """Return new events in order; wait up to `timeout_s` for the first."""
        self._clock()
        self._start_queued()
        events, self._withdrawn = self._withdrawn, []
        if not self._selector.get_map():
            self._check_left()
            time.sleep(timeout_s)
            return events
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
            if line == STALLED:
                cause = f"took no step for {self._step_timeout_s:g} s"
                return [*events, *self._lose(worker, cause, hung=True)]
            try:
                event = _parse(line, worker.trial)
            except (ValueError, KeyError, TypeError, RecursionError):
                shown = one_line(line.decode(errors="replace"))[:100]
                return [*events, *self._lose(worker, f"sent an invalid message: {shown}")]
            if isinstance(event, EpochEnded):
                worker.job = None
            if isinstance(event, Ended):
                events += self._judged(worker, event)
                worker.trial = None
                if self._device == "cuda" or event.ending is Ending.FAILED:
                    self._end(worker)  # the memory it holds may have caused the failure
            else:
                events.append(event)
        if worker.closed:
            code = worker.exit_code()
            cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            events += self._lose(worker, cause, exited=code >= 0)
        return events

    def _judged(self, worker: _Worker, ended: Ended) -> list[Lost | Ended]:
        """Return what to report of an end: nothing for a trial that will be tried alone."""
        memory = ended.ending in (Ending.OUT_OF_MEMORY, Ending.CROWDED)
        if memory and worker.job is not None and worker.shared and not worker.alone:
            self._alone[worker.slot] = worker.job
            return []
        if ended.ending is Ending.DEVICE:
            return [self._blame_device(worker, ended.trial, ended.cause or ended.ending.value)]
        return [ended]

    def _blame_device(self, worker: _Worker, trial: int, cause: str) -> Lost | Ended:
        """Count a failure of a worker's device; its trial goes on elsewhere while there is one."""
        aside = self._cards.note_failure(worker.slot)
        cause = f"{cause}; {aside}" if aside else cause
        if self._cards.usable():
            return Lost(trial, cause, blameless=True)
        return Ended(trial, Ending.ENVIRONMENT, f"{cause}; no device is left")

    def _check_left(self) -> None:
        """Give up when no slot is left.

        Raises:
            EnvironmentFailure: Killed workers hang on every slot.
        """
        if not self._cards.usable():
            raise EnvironmentFailure(
                "killed workers hang in the kernel on every slot; restart the machine, then run "
                "the same command again"
            )

    def _lose(
        self, worker: _Worker, cause: str, *, exited: bool = False, hung: bool = False
    ) -> list[Lost | Ended]:
        """End a worker, and report its trial as lost.

        A worker that was never ready says nothing about its trial. If it was killed, the trial is
        started again; if it exited by itself, the next worker would exit too.
        """
        trial = worker.trial
        self._end(worker)
        if trial is None:
            return []
        if hung and self._device == "cuda":
            return [self._blame_device(worker, trial, f"worker {cause}")]
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
        self._withdraw(Ending.INTERRUPTED)

    def _withdraw(self, ending: Ending, trial: int | None = None) -> None:
        """End trials that wait for a device, all or one, before they start."""
        waiting = [*self._queue, *self._alone.values()]
        gone = [job.trial for job in waiting if trial in (None, job.trial)]
        self._queue = [job for job in self._queue if job.trial not in gone]
        self._alone = {s: job for s, job in self._alone.items() if job.trial not in gone}
        self._withdrawn += [Ended(number, ending) for number in gone]

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
            environment["CUDA_VISIBLE_DEVICES"] = self._cards.name(slot) or ""
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
        """Kill a worker's process and free its slot, unless the process hangs in the kernel."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(worker)
        worker.end()
        self._cards.park(worker.slot, worker.process)
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
        note = str(message.get("note", ""))
        return Started(trial, message["pid"], message["device"], curve, provenance, note)
    if kind == "epoch":
        return EpochEnded(trial, EpochResult.from_json(message["result"]))
    scores = message.get("scores")
    ending = Ending(message["ending"])
    of_a_program = {key: message.get(key) for key in ("result", "ended_by", "memory")}
    return Ended(trial, ending, message["cause"], scores and dict(scores), **of_a_program)
