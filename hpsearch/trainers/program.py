"""The worker's end of a guardian: starts a program, follows it, ends it, keeps its output."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from hpsearch.errors import one_line
from hpsearch.interpreter import bare_command
from hpsearch.trainers import guardian

HEAD_BYTES = 1_000_000
"""Output that is kept from the start of each run of a program."""
TAIL_BYTES = 20_000
"""Output that is kept from the end of a longer one."""
LOOKS_S = 2.0
"""Seconds in which a program may see its verdict and end by itself, before SIGTERM."""
TERM_S = 6.0
"""Seconds after SIGTERM in which a program may save its state, before SIGKILL."""
GONE_S = 10.0
"""Longest wait for the report after SIGKILL."""
LINES = 3
"""Last lines of the output that a cause of failure names."""
LOG_CHARACTERS = 300


class GuardianGoneError(Exception):
    """The guardian was killed, and with it the program."""


@dataclass(frozen=True)
class End:
    """How a program ended.

    Args:
        code: Its exit code; negative for the signal that ended it.
        memory: The most memory of the program and its children, bytes.
        over: Whether that was more than it may take.
    """

    code: int
    memory: int
    over: bool

    def in_words(self) -> str:
        """Describe the end."""
        return f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"


class Output:
    """Copies a program's output to its log: the start, and the last lines of a long one."""

    def __init__(self, pipe: int) -> None:
        """Read from a pipe in a thread of its own."""
        self._pipe, self._lock = pipe, threading.Lock()
        self._file: IO[bytes] | None = None
        self._kept, self._left_out = 0, 0
        self._tail = collections.deque[bytes]()
        self.failure: OSError | None = None
        self._closed = False  # no guardian writes any more
        threading.Thread(target=self._copy, daemon=True).start()

    def begin(self, path: Path) -> None:
        """Write the output of the next program to a file, behind that of its earlier runs.

        Raises:
            OSError: The file cannot be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        long = path.exists() and path.stat().st_size > HEAD_BYTES + TAIL_BYTES
        with self._lock:
            self._file = path.open("wb" if long else "ab", buffering=0)
            self._kept, self._left_out, self.failure = 0, 0, None
            self._tail.clear()

    def _copy(self) -> None:
        while chunk := os.read(self._pipe, 1 << 16):
            with self._lock:
                self._keep(chunk)
        self._closed = True

    def _keep(self, chunk: bytes) -> None:
        self._tail.append(chunk)
        while sum(map(len, self._tail)) - len(self._tail[0]) > TAIL_BYTES:
            self._tail.popleft()
        head = chunk[: max(0, HEAD_BYTES - self._kept)]
        self._kept += len(chunk)
        self._left_out += len(chunk) - len(head)
        if self._file is not None and head and self.failure is None:
            try:
                self._file.write(head)
            except OSError as error:
                self.failure = error

    def end(self) -> list[str]:
        """Take what is left in the pipe, close the file, and return the last lines."""
        while not self._closed and select.select([self._pipe], [], [], 0)[0]:
            time.sleep(0.001)  # the thread reads it; nobody writes any more
        with self._lock:
            tail = b"".join(self._tail)[-TAIL_BYTES:]
            if self._file is not None:
                if self._left_out and self.failure is None:
                    note = f"\n... of {self._kept} bytes the end:\n".encode()
                    with contextlib.suppress(OSError):
                        self._file.write(note + tail[-self._left_out :])
                self._file.close()
                self._file = None
        lines = (one_line(line).strip() for line in tail.decode(errors="replace").split("\n"))
        return [line for line in lines if line][-LINES:]


class Guardian:
    """One guardian, which runs one program at a time."""

    def __init__(self) -> None:
        """Start the guardian; this process becomes the parent of what it may leave behind.

        Raises:
            OSError: It cannot be started.
        """
        guardian.prctl(guardian.PR_SET_CHILD_SUBREAPER, 1)
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                bare_command(guardian.__file__),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=writing,
                bufsize=0,
                cwd="/",
            )
        finally:
            os.close(writing)
        self._in, self._out = (
            cast(IO[bytes], pipe) for pipe in (self._process.stdin, self._process.stdout)
        )
        self._output = Output(reading)
        self._report = b""
        self.running = False
        self.memory: int | None = None
        """The most memory of the last program that has ended, bytes."""

    def start(
        self,
        words: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        log: Path,
        most_bytes: int = 0,
    ) -> None:
        """Start a program.

        Args:
            words: The program and its arguments.
            directory: Where it runs.
            environment: All its variables.
            log: Where its output goes.
            most_bytes: Most memory, bytes; 0 for any.

        Raises:
            OSError: The log cannot be opened.
            GuardianGoneError: The guardian was killed while it ran nothing.
        """
        self._output.begin(log)
        order = {"words": list(words), "directory": str(directory), "most": most_bytes}
        try:
            self._send(json.dumps({**order, "environment": dict(environment)}).encode())
        except BrokenPipeError:
            self._gone()
        self._report, self.running, self.memory = b"", True, None

    def _send(self, line: bytes) -> None:
        with memoryview(line + b"\n") as left:
            sent = 0
            while sent < len(left):
                sent += os.write(self._in.fileno(), left[sent:])

    def ended(self, timeout_s: float) -> End | None:
        """Wait for the program's end; None where it still runs.

        Raises:
            OSError: The program cannot be started.
            GuardianGoneError: The guardian was killed, with all that it ran.
        """
        if not select.select([self._out], [], [], timeout_s)[0]:
            return None
        chunk = os.read(self._out.fileno(), 1 << 16)
        self._report += chunk
        if not chunk:
            self._gone()
        if not self._report.endswith(b"\n"):
            return None
        self.running = False
        told: dict[str, Any] = json.loads(self._report)
        if "error" in told:
            raise OSError(told["error"])
        self.memory = told["memory"]
        return End(told["code"], told["memory"], told["over"])

    def _gone(self) -> NoReturn:
        self.running = False
        self._process.wait()
        guardian.kill_below()
        raise GuardianGoneError("the program's guardian was killed")

    def signal(self, letter: bytes) -> None:
        """Ask for SIGTERM (`T`) or SIGKILL (`K`); a guardian that is gone needs none."""
        with contextlib.suppress(BrokenPipeError):
            self._send(letter)

    def stop(self, looks_s: float = LOOKS_S) -> str:
        """End the program: wait for it, then SIGTERM, then SIGKILL; return what ended it.

        Args:
            looks_s: How long the program may take to see its verdict and end by itself.
        """
        if not self.running:
            return "verdict"
        for step, wait_s in (("verdict", looks_s), ("SIGTERM", TERM_S), ("SIGKILL", GONE_S)):
            if step != "verdict":
                self.signal(step[3:4].encode())
            until = time.monotonic() + wait_s
            while (left_s := until - time.monotonic()) > 0:
                if self.ended(left_s):
                    return step
        return "nothing"

    def kill(self) -> None:
        """End the program at once."""
        self.signal(b"K")
        until = time.monotonic() + GONE_S
        while self.running and (left_s := until - time.monotonic()) > 0:
            self.ended(left_s)

    def last_lines(self) -> str:
        """Return the last lines of the output of the program that has ended, in short."""
        return " | ".join(self._output.end())[-LOG_CHARACTERS:]

    @property
    def log_failure(self) -> OSError | None:
        """Why the log could not be written, None where it could."""
        return self._output.failure

    def close(self) -> None:
        """End the guardian and what it runs."""
        with contextlib.suppress(OSError):
            self._in.close()
        self._process.wait()
        guardian.kill_below()
        self._out.close()
