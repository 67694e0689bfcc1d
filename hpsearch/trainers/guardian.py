"""Starts programs, ends them whole, and reports how each ended. Standard library only.

Run as a file by a worker: `python -I -S guardian.py`. Standard input is a pipe from the worker:
one JSON line starts a program, `T` asks for SIGTERM, `K` for SIGKILL, the pipe's end means that
the worker is gone. Standard error takes the programs' output. Standard output takes one JSON line
for each program: `code` (negative: the signal that ended it), `memory` (the most bytes of the
program and its children), `over` (whether that was too much), or `error` where the program could
not be started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_S = 0.25
"""Seconds between two looks at the memory."""
COSTLY = 10
"""A look at the memory is followed by none for this many times the processor time it took."""
KILL_S = 5.0
"""Longest time to kill what a program leaves behind; one that hangs in the kernel dies later."""


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; only Linux has it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def children() -> dict[int, list[int]]:
    """Return the children of every process, by parent; nothing where there is no /proc."""
    found: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 (pathlib is slow to load)
    except OSError:
        return found
    for name in filter(str.isdigit, names):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state = file.read().rpartition(b")")[2].split()
            found.setdefault(int(state[1]), []).append(int(name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def descendants(root: int) -> list[int]:
    """Return all processes below one, parents first."""
    below, found = children(), []
    left = list(below.get(root, ()))
    while left:
        pid = left.pop()
        found.append(pid)
        left += below.get(pid, ())
    return found


def memory_of(pids: list[int]) -> int:
    """Return the resident memory of processes, bytes."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
                pages += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def share_of(pid: int) -> int:
    """Return the memory of a process, bytes; of pages that it shares, its share.

    The kernel counts each page for this, so it takes much longer than `memory_of`.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            return sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
    except (OSError, ValueError, IndexError):
        return memory_of([pid])


def memory_against(pids: list[int], most: int) -> int:
    """Return the memory of processes, bytes.

    What they share is counted for each of them, but only once before more than `most` is said.
    """
    memory = memory_of(pids)
    return sum(map(share_of, pids)) if 0 < most < memory else memory


def kill_below() -> None:
    """Kill all descendants of this process, and reap them."""
    until = time.monotonic() + KILL_S
    while time.monotonic() < until:
        left = descendants(os.getpid())
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(0.002)


def kill_group(pid: int, number: int) -> None:
    """Send a signal to a program's process group."""
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def start(order: dict[str, Any]) -> int:
    """Start a program in a session of its own; return its process id.

    Args:
        order: Its `words`, `directory` and `environment`.

    Raises:
        OSError: It cannot be started.
    """
    parent, words = os.getpid(), order["words"]
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            os.chdir(order["directory"])
            os.execvpe(words[0], words, order["environment"])
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(writing)
    told = os.read(reading, 32)
    os.close(reading)
    if told:
        os.waitpid(pid, 0)
        raise OSError(int(told), os.strerror(int(told)))
    return pid


class Pipe:
    """The lines that the worker sends."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._buffer, self.lines = b"", list[bytes]()
        self.closed = False

    def read(self) -> None:
        """Read what there is, or wait for it; `closed` when the worker is gone."""
        chunk = os.read(0, 1 << 16)
        self.closed = not chunk
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        self.lines += lines


def watch(pid: int, most: int, woken: int, pipe: Pipe) -> dict[str, Any]:
    """Wait for the program's end; obey the worker; return the report.

    Args:
        pid: The program.
        most: Most memory, bytes; 0 for any.
        woken: Becomes readable when a child has ended.
        pipe: The worker's orders.
    """
    memory, over, look = 0, False, time.monotonic() + LOOK_S
    while True:
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            break
        if time.monotonic() > look:
            began = time.process_time()
            now = memory_against(descendants(os.getpid()), most)
            memory, over = max(memory, now), over or 0 < most < now
            look = time.monotonic() + max(LOOK_S, COSTLY * (time.process_time() - began))
        ready, _, _ = select.select([woken, *([] if pipe.closed else [0])], [], [], LOOK_S)
        if woken in ready:
            os.read(woken, 4096)
        if 0 in ready:
            pipe.read()
        asked, pipe.lines = pipe.lines, []
        if b"T" in asked:
            kill_group(pid, signal.SIGTERM)
            kill_group(pid, signal.SIGCONT)  # one that is stopped could not obey
        if b"K" in asked or pipe.closed or over:
            kill_group(pid, signal.SIGKILL)
    kill_group(pid, signal.SIGKILL)
    kill_below()
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "memory": max(memory, peak), "over": over}


def main() -> None:
    """Run one program after the other until the worker is gone."""
    os.setsid()  # what a terminal sends to the driver's group is the driver's to handle
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    pipe = Pipe()
    while not pipe.closed:
        orders, pipe.lines = pipe.lines, []
        for order in (json.loads(line) for line in orders if line.startswith(b"{")):
            try:
                report = watch(start(order), order["most"], woken, pipe)
            except OSError as error:
                report = {"error": error.strerror}
            os.write(1, json.dumps(report).encode() + b"\n")
        if not pipe.lines:
            pipe.read()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the worker is gone
        main()
