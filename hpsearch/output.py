"""The program's edge: all it prints goes through here, on its way to a terminal, a file or a pipe.

What came out of a file cannot rule the terminal, what an encoding lacks is written otherwise, and
a reader that goes away ends nothing. Must not know what is printed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO, cast

from hpsearch.waiting import LEAVE_S, LIMIT_S

LOOKALIKES = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
    **{"━": "#", "─": "-", "…": ".", "±": "+-"},
}
"""ASCII for the characters that the program itself prints."""
GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET}
"""Errors of an output whose reader is gone: nobody misses what is not written."""
JOINERS = "\u200c\u200d"
"""Shape the letters of some scripts, and move nothing."""
BEHIND = 4096
"""Texts kept for an output that takes nothing; what comes then is left out."""


class _Plain(dict[int, str]):
    """What stands for each character where a text must not rule the terminal."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kept = letter.isprintable() or letter in f"\n\t{JOINERS}"
        self[code] = letter if kept else " " if letter.isspace() else "?"
        return self[code]


_PLAIN = _Plain()


def plain(text: str) -> str:
    """Return a text without control characters and halves of pairs; its lines stay."""
    return "\r\n".join(part.translate(_PLAIN) for part in text.split("\r\n"))


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(letter, "?") for letter in lacking), error.end


codecs.register_error("hpsearch.lookalike", _lookalike)


class _Writer:
    """Writes to an output from a thread of its own, so that nobody else waits for its reader."""

    def __init__(self, edge: Edge) -> None:
        self._edge, self._number = edge, edge.fileno()
        self._queue: queue.Queue[bytes] = queue.Queue(BEHIND)
        self._left_out = 0
        threading.Thread(target=self._run, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Write, or leave out what the reader is too far behind for."""
        try:
            if self._left_out:
                self._queue.put_nowait(
                    f"({self._left_out} lines left out: nobody read)\n".encode()
                )
                self._left_out = 0
            self._queue.put_nowait(data)
        except queue.Full:
            self._left_out += data.count(b"\n")

    def catch_up(self, interrupted: Callable[[], int]) -> bool:
        """Wait for the reader, but not for ever; say whether all is written.

        Args:
            interrupted: Says how many interrupts have come: after one the wait is short.
        """
        began = time.monotonic()
        while self._queue.unfinished_tasks:
            if time.monotonic() - began > (LEAVE_S if interrupted() else LIMIT_S):
                return False
            time.sleep(0.01)
        return True

    def _run(self) -> None:
        while True:
            data = self._queue.get()
            try:
                while data:
                    data = data[os.write(self._number, data) :]
            except OSError as error:
                self._edge.lose(error)
            finally:
                self._queue.task_done()


class Edge(io.TextIOBase):
    """Standard output or standard error, as everything in the program sees it.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | None = None
        """What an output failed with whose reader is still there, such as a full disk."""
        self._gone = False
        self._writer: _Writer | None = None
        self._waits = True
        self._interrupted: Callable[[], int] = lambda: 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The output's encoding."""
        return self.stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Print a text that may come out of a file."""
        self.put(plain(text))
        return len(text)

    def put(self, text: str) -> None:
        """Print a text whose control characters are our own."""
        data = text.encode(self.encoding, "hpsearch.lookalike")
        if self._writer is not None and not self._waits:
            self._writer.write(data)
        else:
            self._try(self.stream.write, data.decode(self.encoding))

    def flush(self) -> None:
        """Hand on what is written."""
        self._try(self.stream.flush)

    def _try(self, call: Callable[..., object], *arguments: str) -> None:
        if self._gone:
            return
        if (
            self._writer is not None
            and self._waits
            and not self._writer.catch_up(self._interrupted)
        ):
            self._gone = True
            return
        try:
            call(*arguments)
        except OSError as error:
            self.lose(error)
        except ValueError:  # closed meanwhile
            self._gone = True

    def lose(self, error: OSError) -> None:
        """Let an output be that fails; what Python still holds for it goes nowhere."""
        self._gone = True
        if error.errno not in GONE:
            self.failure = error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)

    @contextlib.contextmanager
    def unwaited(self, interrupted: Callable[[], int] = lambda: 0) -> Iterator[None]:
        """Never wait for the reader meanwhile: a search goes on while a terminal is stopped.

        Args:
            interrupted: Says how many interrupts have come: after one the reader is given up soon.
        """
        self._interrupted = interrupted
        with contextlib.suppress(OSError, ValueError):  # not of a text kept in memory
            self.flush()
            self._writer = self._writer or _Writer(self)
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def hurry(self) -> None:
        """Give up a reader that stands still soon: the person has stopped the command."""
        self._interrupted = lambda: 1

    def isatty(self) -> bool:
        """Say whether a person looks on."""
        try:
            return not self._gone and self.stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the output's number."""
        return self.stream.fileno()


def unwaited(
    stream: object, interrupted: Callable[[], int]
) -> contextlib.AbstractContextManager[None]:
    """Let nothing that is written to a stream inside wait for its reader; see `Edge.unwaited`."""
    return stream.unwaited(interrupted) if isinstance(stream, Edge) else contextlib.nullcontext()


@contextlib.contextmanager
def edges() -> Iterator[tuple[Edge, Edge]]:
    """Put an edge before standard output and standard error; one that is closed goes nowhere."""
    for number in range(3):  # a file opened later must not become the output
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before, hangup = (sys.stdout, sys.stderr), signal.getsignal(signal.SIGHUP)
    out, err = (Edge(stream or open(os.devnull, "w")) for stream in before)  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, hangup)
