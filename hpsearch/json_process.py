"""Exchange JSON lines with a child process: the parent's end of the pipes, and the child's.

No call of the parent waits for a child that does not read. Must not know what the messages mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, cast

from hpsearch.waiting import end_process

ALIVE = b'{"event": "alive"}'
"""The line that a child sends as a sign of life."""
BEAT_S = 2.0
"""Seconds between two signs of life."""
GRACE_S = 2.0
"""How long a child that has closed its pipe may take to exit by itself."""


class JsonProcess:
    """The parent's end: a child process that sends and receives JSON lines."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        clock: Callable[[], float],
        log: IO[bytes] | int | None = None,
    ) -> None:
        """Start the process.

        Args:
            command: The program and its arguments.
            environment: All environment variables of the process.
            clock: Measures silence, in seconds.
            log: Where standard error goes; None shares the parent's.

        Raises:
            OSError: The process cannot be started.
        """
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            bufsize=0,
        )
        self._in, self._out = (
            cast(IO[bytes], pipe) for pipe in (self.process.stdin, self.process.stdout)
        )
        os.set_blocking(self._in.fileno(), False)
        self._buffer, self._outgoing = b"", bytearray()
        self.closed = False
        """Whether the child has closed its end of the pipe."""
        self._clock, self._heard = clock, clock()

    def fileno(self) -> int:
        """Return the descriptor on which a selector waits for messages."""
        return self._out.fileno()

    @property
    def silent_s(self) -> float:
        """Seconds since the last message or sign of life, or since `expect`."""
        return self._clock() - self._heard

    def expect(self) -> None:
        """Start to measure silence now."""
        self._heard = self._clock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; write as much as the pipe takes now."""
        self._outgoing += json.dumps(message).encode() + b"\n"
        self.write()

    def write(self) -> None:
        """Write as much of the queue as the pipe takes; `read` reports a dead child."""
        try:
            with contextlib.suppress(BlockingIOError):
                if self._outgoing:
                    del self._outgoing[: os.write(self._in.fileno(), self._outgoing)]
        except BrokenPipeError:
            self._outgoing.clear()

    def read(self) -> list[bytes]:
        """Return new lines, without signs of life; set `closed` if the child closed the pipe."""
        chunk = os.read(self.fileno(), 1 << 16)
        self.closed = not chunk
        self.expect()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [line for line in lines if line != ALIVE]

    def exchange(self, timeout_s: float) -> list[bytes]:
        """Wait for lines while the queue is written; return none when `timeout_s` have passed."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._out, selectors.EVENT_READ)
            if self._outgoing:
                ready.register(self._in, selectors.EVENT_WRITE)
            pipes = [key.fileobj for key, _ in ready.select(timeout_s)]
        self.write()
        return self.read() if self._out in pipes else []

    def exit_code(self) -> int:
        """Return the exit code of a child that has closed its pipe; kill it where it stays."""
        end_process(self.process, GRACE_S)
        code = self.process.returncode
        return -signal.SIGKILL if code is None else code

    def end(self) -> None:
        """Kill the process and close the pipes; may be called twice."""
        end_process(self.process)
        self._in.close()
        self._out.close()


class ParentPipe:
    """The child's end. It takes standard output for messages; other output goes to stderr."""

    def __init__(self) -> None:
        """Redirect standard output, and prepare the signs of life."""
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._writing = threading.Lock()
        self.busy = threading.Event()
        """While it is set, signs of life are sent; a child that hangs or is stopped sends none."""
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while self.busy.wait():
            self.send(event="alive")
            time.sleep(BEAT_S)

    def send(self, **message: Any) -> None:
        """Send one message; exit where the parent is gone."""
        try:
            with self._writing:
                self._out.write(json.dumps(message).encode() + b"\n")
                self._out.flush()
        except OSError:
            os._exit(0)

    def receive(self) -> Iterator[dict[str, Any]]:
        """Yield the parent's messages until it closes the pipe, or dies within a line."""
        for line in sys.stdin.buffer:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)
