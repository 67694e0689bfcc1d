"""The waits of a search with their real limits: notice after 10 s, end after 55 s or by Ctrl-C.

The tests inject limits of fractions of a second; here the documented ones are measured.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.drill_search import PATIENCE_S, DrillFailed, children, write_study
from hpsearch.interpreter import python_command
from hpsearch.paths import StudyFolder
from hpsearch.waiting import LIMIT_S, NOTICE_S

LATE_S = 15.0
"""How much later than its limit a wait may end on a busy machine."""
INTERRUPT_S = 10.0
"""How long Ctrl-C may take, as docs/reliability.md says."""


class Waiting:
    """One search whose peer is stopped, and what it said when."""

    def __init__(self, folder: Path, trials: int) -> None:
        """Start it, and wait until its first trial has ended."""
        folder.mkdir(parents=True)
        self.study = StudyFolder(folder / "study")
        self._log = folder / "said.txt"
        command = [*python_command("hpsearch.cli.main"), "search", str(write_study(folder, 1))]
        self.command = [*command, "--trials", str(trials), "--output", str(self.study.root)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self.until("trial 0 complete", PATIENCE_S)

    def said(self) -> str:
        """Return all it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def until(self, words: str, limit_s: float) -> float:
        """Wait until it has said something; return the seconds that took.

        Raises:
            DrillFailed: It did not.
        """
        began = time.monotonic()
        while words not in self.said():
            if time.monotonic() - began > limit_s or self.process.poll() is not None:
                raise DrillFailed(
                    f"{words!r} was not said within {limit_s:g} s: {self.said()[-300:]}"
                )
            time.sleep(0.05)
        return time.monotonic() - began

    def end(self, code: int, limit_s: float) -> float:
        """Wait for its end; return the seconds that took.

        Raises:
            DrillFailed: It goes on, or ended with another exit code.
        """
        began = time.monotonic()
        try:
            found = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise DrillFailed(f"no end within {limit_s:g} s: {self.said()[-300:]}") from None
        if found != code:
            raise DrillFailed(f"exit {found} instead of {code}: {self.said()[-300:]}")
        return time.monotonic() - began

    def goes_on(self) -> None:
        """Run the same command to its end.

        Raises:
            DrillFailed: It did not end with exit code 0.
        """
        done = subprocess.run(self.command, capture_output=True, timeout=PATIENCE_S, check=False)
        if done.returncode:
            raise DrillFailed(
                f"the same command ended with {done.returncode}: {done.stderr[-300:]!r}"
            )


@contextmanager
def locked(search: Waiting) -> Iterator[None]:
    """Hold the study's database for somebody else."""
    with closing(sqlite3.connect(search.study.database, timeout=PATIENCE_S)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.rollback()


@contextmanager
def stopped(search: Waiting) -> Iterator[None]:
    """Stop the process that asks for suggestions."""
    (asking,) = [pid for pid, line in children(search.process.pid) if "ask_process" in line]
    os.kill(asking, signal.SIGSTOP)
    yield


def limit_of_a_locked_database(search: Waiting) -> str:
    """A locked database: a notice after 10 s, exit 3 after 55 s, and the same command goes on."""
    with locked(search):
        told = search.until("waiting at most", NOTICE_S + LATE_S)
        ended = told + search.end(3, LIMIT_S + LATE_S)
    search.goes_on()
    return f"told of after {told:.1f} s, exit 3 after {ended:.1f} s, continued"


def limit_of_a_stopped_asker(search: Waiting) -> str:
    """A stopped asking process: a notice after 10 s, started again after 55 s."""
    with stopped(search):
        told = search.until("waiting at most", NOTICE_S + LATE_S)
        again = told + search.until("it is started again", LIMIT_S + LATE_S)
    search.end(0, PATIENCE_S)
    return f"told of after {told:.1f} s, started again after {again:.1f} s, ended well"


def interrupted(peer: Callable[..., object]) -> Callable[[Waiting], str]:
    """Return a case: Ctrl-C while a peer is waited for."""

    def case(search: Waiting) -> str:
        with peer(search):  # type: ignore[attr-defined]
            search.until("waiting at most", NOTICE_S + LATE_S)
            search.process.send_signal(signal.SIGINT)
            ended = search.end(130, INTERRUPT_S)
        search.goes_on()
        return f"Ctrl-C heard: exit 130 after {ended:.1f} s, continued"

    return case


CASES: dict[str, Callable[[Waiting], str]] = {
    "locked database": limit_of_a_locked_database,
    "stopped sampler": limit_of_a_stopped_asker,
    "locked database, Ctrl-C": interrupted(locked),
    "stopped sampler, Ctrl-C": interrupted(stopped),
}


def drill_waits(say: Callable[[str], None]) -> None:
    """Run every case, two at once.

    Raises:
        DrillFailed: A wait had no end, came too late, or was not told of.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hpsearch-waits-") as name,
        ThreadPoolExecutor(2) as pool,
    ):

        def run(item: tuple[int, str]) -> str:
            place, case = item
            return f"{case}: {CASES[case](Waiting(Path(name) / str(place), 40))}"

        for line in pool.map(run, enumerate(CASES)):
            say(line)
