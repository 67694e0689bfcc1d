"""Runs trials in worker processes of this machine, JSON lines over pipes, one trial at a time each.

On the CPU workers persist and start the next trial at once; on CUDA each trial has a fresh process
on one device, so that a trial cannot leave memory behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hpsearch.awake import AwakeClock
from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Decision, Ended, Ending, EpochEnded, Event, Job, Lost, Started
from hpsearch.execution.devices import count_cores, device_names
from hpsearch.interpreter import child_environment, python_command
from hpsearch.training.epoch import EpochResult
from hpsearch.waiting import end_process

MAX_LOG_BYTES = 10_000_000
SILENCE_S = 120.0
"""How long a worker may give no sign of life; it gives one every few seconds, whatever it trains."""
ALIVE, READY = b'{"event": "alive"}', b'{"event": "ready"}'
TURNS = 10
"""Turns of a driver's loop that a silence must last; one turn may have been a stop of the driver."""
MAX_FALSE_STARTS = 3
"""Workers in a row that are killed before they are ready, after which the machine is to blame."""
GRACE_S = 2.0
"""How long a worker that has closed its pipe may take to exit by itself."""


@dataclass
class _Worker:
    """One worker process and the trial it runs."""

    slot: int
    process: subprocess.Popen[bytes]
    trial: int | None = None
    buffer: bytes = b""
    outgoing: bytearray = field(default_factory=bytearray)
    """What its pipe does not take yet, because it does not read."""
    heard: float = 0.0
    ready: bool = False
    """Whether it has loaded what it needs, so that a trial can be the cause of its end."""
    ended: bool = False


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
        """Note the settings; processes start with the first trials.

        Args:
            workers: Trials at once, at least 1.
            device: "cpu" or "cuda".
            threads: Threads of each worker; by default the cores divided by the workers.
            log_folder: Where each worker's standard error goes; None drops it.
            silence_s: Without a sign of life for so long a worker is ended, and its trial lost.
            command: Program to run instead of the worker, speaking its protocol.
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
        worker.trial, worker.heard = job.trial, self._clock()
        fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
        self._send(worker, {"job": fields})

    def decide(self, trial: int, decision: Decision) -> None:
        """Answer the trial's last `EpochEnded`; ignored when the trial is gone."""
        for worker in self._running():
            if worker.trial == trial:
                self._send(worker, {"decision": decision.value})

    def events(self, timeout_s: float) -> list[Event]:
        """Return what has happened, in order; wait at most `timeout_s` for something."""
        self._clock()
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return []
        events: list[Event] = []
        for key, _ in self._selector.select(timeout_s):
            events += self._read(key.data)
        for worker in self._running():
            self._write(worker)
        # After reading: what a stopped driver finds in its pipes was said while it slept.
        for worker in self._running():
            if self._clock() - worker.heard > self._silence_s:
                events += self._lose(worker, f"gave no sign of life for {self._silence_s:g} s")
        return events

    def _read(self, worker: _Worker) -> list[Event]:
        pipe = worker.process.stdout
        chunk = os.read(pipe.fileno(), 1 << 16) if pipe else b""
        worker.heard = self._clock()
        worker.buffer += chunk
        *lines, worker.buffer = worker.buffer.split(b"\n")
        events: list[Event] = []
        for line in lines:
            if line == ALIVE:
                continue
            worker.ready, self._false_starts = True, 0
            if line == READY:
                continue
            try:
                event = _parse(line, worker.trial)
            except (ValueError, KeyError, TypeError, RecursionError):
                shown = "".join(
                    c if c.isprintable() else "?" for c in line.decode(errors="replace")
                )
                return [*events, *self._lose(worker, f"sent what is no message: {shown[:100]}")]
            events.append(event)
            if isinstance(event, Ended):
                worker.trial = None
                if self._device == "cuda" or event.ending is Ending.FAILED:
                    self._end(worker)  # what it holds may be what failed
        if not chunk:
            code = _exit_code(worker.process)
            cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            events += self._lose(worker, cause, exited=code >= 0)
        return events

    def _lose(self, worker: _Worker, cause: str, *, exited: bool = False) -> list[Lost | Ended]:
        """End a worker that is of no more use; what it trained is lost to it.

        One that never was ready says nothing of its trial: it is started again where something
        killed it, and where it exited by itself the next one would do the same.
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
        last = next((line for line in reversed(lines) if line.strip()), b"").decode(
            errors="replace"
        )
        shown = "".join(c if c.isprintable() else "?" for c in last[:200])
        return f"{path}: {shown or 'empty'}" if path else "it keeps no log"

    def interrupt(self) -> None:
        """Ask every running trial to checkpoint and end within its batch (INTERRUPTED)."""
        for worker in self._running():
            self._send(worker, {"interrupt": True})

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
            with contextlib.ExitStack() as stack:
                log: IO[bytes] | int = subprocess.DEVNULL
                if self._log_folder is not None:
                    log = stack.enter_context(self._open_log(slot))
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                )
        except OSError as error:
            raise EnvironmentFailure(
                f"{error.filename or self._command[0]}: a worker cannot be started "
                f"({error.strerror}); mend that, then run the same command again"
            ) from error
        worker = _Worker(slot, process)
        self._workers[slot] = worker
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        if process.stdout is not None:
            self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _open_log(self, slot: int) -> IO[bytes]:
        folder = self._log_folder or Path()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"worker-{slot}.log"
        too_long = path.exists() and path.stat().st_size > MAX_LOG_BYTES
        return path.open("wb" if too_long else "ab")

    def _end(self, worker: _Worker) -> None:
        """End a worker's process at once and free its slot."""
        if worker.ended:
            return
        worker.ended = True
        end_process(worker.process)
        pipes = (worker.process.stdout, worker.process.stdin)
        with contextlib.suppress(KeyError, ValueError):
            if worker.process.stdout is not None:
                self._selector.unregister(worker.process.stdout)
        for pipe in pipes:
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if self._workers[worker.slot] is worker:
            self._workers[worker.slot] = None

    def _send(self, worker: _Worker, message: dict[str, Any]) -> None:
        worker.outgoing += json.dumps(message).encode() + b"\n"
        self._write(worker)

    @staticmethod
    def _write(worker: _Worker) -> None:
        """Write what the pipe takes now; a worker that is stopped takes nothing."""
        pipe = worker.process.stdin
        with contextlib.suppress(
            BlockingIOError, BrokenPipeError
        ):  # its death arrives as an event
            if pipe is not None and worker.outgoing:
                del worker.outgoing[: os.write(pipe.fileno(), worker.outgoing)]


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


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process that has closed its pipe; it may need to be ended."""
    end_process(process, GRACE_S)
    return -signal.SIGKILL if process.returncode is None else process.returncode
