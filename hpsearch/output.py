"""Everything the program prints goes through here, to a terminal, a file or a pipe.

Text from a file cannot send control sequences to the terminal, characters that the encoding lacks
are replaced, and a reader that goes away ends no command. Must not know what is printed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, cast

from hpsearch.waiting import LEAVE_S, LIMIT_S

LOOKALIKES = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
    **{"━": "#", "─": "-", "…": ".", "±": "+-"},
}
"""ASCII for the characters that the program itself prints."""
GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET}
"""Errors of an output whose reader is gone; they are ignored."""
JOINERS = "\u200c\u200d"
"""Kept: they shape the letters of some scripts and move no cursor."""
BEHIND = 4096
"""Texts queued for an output that does not accept them; later ones are dropped."""


class _Plain(dict[int, str]):
    """The replacement of each character: none for printable ones, a space or ? for controls."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kept = letter.isprintable() or letter in f"\n\t{JOINERS}"
        self[code] = letter if kept else " " if letter.isspace() else "?"
        return self[code]


_PLAIN = _Plain()


def plain(text: str) -> str:
    """Return a text without control characters and lone surrogates; line breaks stay."""
    return "\r\n".join(part.translate(_PLAIN) for part in text.split("\r\n"))


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(letter, "?") for letter in lacking), error.end


codecs.register_error("hpsearch.lookalike", _lookalike)


class _Writer:
    """Writes to an output from its own thread, so that only this thread waits for the reader.

    It writes to a copy of the output's descriptor. Were the output closed meanwhile, a file opened
    later could get its number, and the text would be written into that file.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge, self._number = edge, os.dup(edge.fileno())
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._left_out = 0
        threading.Thread(target=self._run, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Queue a text; drop it if the queue is full."""
        if self._queue.qsize() >= BEHIND:
            self._left_out += data.count(b"\n")
            return
        if self._left_out:
            self._queue.put(f"({self._left_out} lines left out: nobody read)\n".encode())
            self._left_out = 0
        self._queue.put(data)

    def end(self) -> None:
        """Close the copy once everything is written."""
        self._queue.put(None)

    def catch_up(self, interrupted: Callable[[], int]) -> bool:
        """Wait for the reader, up to a limit; return whether everything is written.

        Args:
            interrupted: Returns the number of interrupts so far; after one the limit is short.
        """
        began = time.monotonic()
        while self._queue.unfinished_tasks:
            if time.monotonic() - began > (LEAVE_S if interrupted() else LIMIT_S):
                return False
            time.sleep(0.01)
        return True

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                while data and not self._edge.gone:
                    data = data[os.write(self._number, data) :]
            except OSError as error:
                self._edge.lose(error)
            finally:
                self._queue.task_done()
        os.close(self._number)
        self._queue.task_done()


class Edge(io.TextIOBase):
    """Standard output or standard error, as the program sees it.

    Args:
        stream: The real output.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: OSError | None = None
        """The error of an output whose reader is still there, such as a full disk."""
        self.gone = False
        """Whether nothing can be written any more."""
        self._writer: _Writer | None = None
        self._waits = True
        self._interrupted: Callable[[], int] = lambda: 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The output's encoding."""
        return self.stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Print a text that may come from a file."""
        self.put(plain(text))
        return len(text)

    def put(self, text: str) -> None:
        """Print a text with the program's own control characters."""
        data = text.encode(self.encoding, "hpsearch.lookalike")
        if self._writer is not None and not self._waits:
            self._writer.write(data)
        else:
            self._try(self.stream.write, data.decode(self.encoding))

    def flush(self) -> None:
        """Flush the output."""
        self._try(self.stream.flush)

    def _try(self, call: Callable[..., object], *arguments: str) -> None:
        if self.gone:
            return
        writer = self._writer if self._waits else None
        if writer is not None and not writer.catch_up(self._interrupted):
            self.gone = True
            return
        try:
            call(*arguments)
        except OSError as error:
            self.lose(error)
        except ValueError:  # closed meanwhile
            self.gone = True

    def lose(self, error: OSError) -> None:
        """Give up an output that failed; what Python still buffers for it goes to /dev/null."""
        self.gone = True
        if error.errno not in GONE:
            self.failure = error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)

    @contextlib.contextmanager
    def unwaited(self, interrupted: Callable[[], int] = lambda: 0) -> Iterator[None]:
        """Never wait for the reader inside, so that a search goes on while a terminal is stopped.

        Args:
            interrupted: Returns the number of interrupts so far; after one the reader is given up
                soon.
        """
        self._interrupted = interrupted
        writer = None
        with contextlib.suppress(OSError, ValueError):  # a text kept in memory has no file number
            self.flush()
            writer = self._writer = _Writer(self)  # what an earlier one had is written
        self._waits = False
        try:
            yield
        finally:
            self._waits = True
            if writer is not None:
                writer.end()

    def hurry(self) -> None:
        """Give up a stopped reader soon, because the user has stopped the command."""
        self._interrupted = lambda: 1

    def isatty(self) -> bool:
        """Return whether the output is a terminal."""
        try:
            return not self.gone and self.stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the output's file number."""
        return self.stream.fileno()


def say(text: str, *, err: bool = False) -> None:
    """Print a line, above the progress bar if there is one."""
    out = sys.stderr if err else sys.stdout
    out.write(text + "\n")
    out.flush()


def notice(text: str, *, err: bool = True) -> None:
    """Print a line that the user should notice."""
    say(f"NOTE: {text}", err=err)


def say_json(found: Any) -> None:
    """Print a result as one line of JSON."""
    say(json.dumps(found))


def say_table(rows: Sequence[Sequence[str]], align: str) -> None:
    """Print rows as columns.

    Args:
        rows: The cells of each row.
        align: "<" or ">" for each column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, align, widths, strict=True)
        say("  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip())


def unwaited(
    stream: object, interrupted: Callable[[], int]
) -> contextlib.AbstractContextManager[None]:
    """Never wait for a stream's reader inside; see `Edge.unwaited`."""
    return stream.unwaited(interrupted) if isinstance(stream, Edge) else contextlib.nullcontext()


@contextlib.contextmanager
def edges() -> Iterator[tuple[Edge, Edge]]:
    """Route standard output and standard error through an edge; a closed one discards its text."""
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
