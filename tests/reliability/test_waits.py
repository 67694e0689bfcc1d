"""Every peer stopped, at every interrupt: told of after a while, given up at the limit.

An interrupt is heard at once. The limits are injected; `make drill` has the real ones.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpsearch import waiting
from hpsearch.app.search import Caught, interrupts
from hpsearch.driver import job_loop
from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Ended, Executor, Job
from hpsearch.execution.local import LocalExecutor
from hpsearch.json_process import JsonProcess
from hpsearch.paths import StudyFolder
from hpsearch.samplers import ask_process
from hpsearch.storage.view import read_study
from hpsearch.waiting import Interrupted, Wait
from tests.support.cases import STUDY, Silent, search, table, write_study
from tests.support.fake_executor import FakeExecutor
from tests.support.slow import rest_slow
from tests.support.swallowing import Swallowing

See = Callable[[object], None]
NUMBERS = {
    "one Ctrl-C": [signal.SIGINT],
    "two Ctrl-C": [signal.SIGINT, signal.SIGINT],
    "SIGTERM": [signal.SIGTERM],
}
AT_ONCE_S = 10.0
"""On a machine however busy; the limits that must not be waited for are a minute and more."""
ASKING = STUDY[: STUDY.index("enqueue:")]
"""A study whose trials a sampler proposes."""


class Signalling(Silent):
    """Interrupts this process as soon as a person is told that something is waited for."""

    def __init__(self, peer: Peer, numbers: list[signal.Signals], caught: Caught) -> None:
        super().__init__()
        self.peer, self.numbers, self.caught = peer, list(numbers), caught
        self.began = 0.0

    def message(self, text: str) -> None:
        super().message(text)
        if "waiting at most" in text and self.peer.stopped and self.peer.words in text:
            self.interrupt()

    def interrupt(self) -> None:
        """Send all signals, the next when the last was heard."""
        self.began = self.began or time.monotonic()
        while self.numbers:
            count = self.caught.count
            os.kill(os.getpid(), self.numbers.pop(0))
            while self.caught.count == count:
                time.sleep(0.01)


class Stopped(FakeExecutor):
    """Stops a peer when the first trial ends."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self.stop: Callable[[], None] | None = stop

    def _step(self, trial: int) -> None:
        super()._step(trial)
        if self.stop is not None and any(isinstance(e, Ended) for e in self._events):
            self.stop, stop = None, self.stop
            stop()


class DeafWorker(LocalExecutor):
    """One worker that does not read; the observer is told as soon as it has a trial."""

    def __init__(self, notice: Callable[[], None]) -> None:
        super().__init__(
            1, command=[sys.executable, "-m", "tests.support.fake_worker", "never reads"]
        )
        self.notice = notice

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.notice()


class Peer:
    """One that can be stopped, and goes on again for the next run."""

    file: Path | None = None
    storage = "sqlite"
    words = ""
    """How a person is told of it."""
    stopped = False

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.output, self.patch = folder / "study", patch
        self.lock: sqlite3.Connection | None = None

    def executor(self, observer: Signalling) -> Executor:
        """Return the executor under which the peer is stopped."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Let the peer go on."""
        self.patch.undo()


class AskerStopped(Peer):
    words = "the sampler's process"

    def executor(self, observer: Signalling) -> Executor:
        self.file = write_study(self.output.parent / "asking", ASKING)
        start = ask_process.JsonProcess

        def stopped(*arguments: Any) -> JsonProcess:
            process = start(*arguments)
            process.process.send_signal(signal.SIGSTOP)
            self.stopped = True
            return process

        self.patch.setattr(ask_process, "JsonProcess", stopped)
        return FakeExecutor()


class DatabaseLocked(Peer):
    words = "is locked by another process"

    def executor(self, observer: Signalling) -> Executor:
        return Stopped(self._lock)

    def _lock(self) -> None:
        path = StudyFolder(self.output).database
        self.lock = sqlite3.connect(path, isolation_level=None, timeout=60)
        self.lock.execute("BEGIN EXCLUSIVE")
        self.stopped = True

    def go_on(self) -> None:
        super().go_on()
        if self.lock is not None:
            self.lock.close()


class WorkerStopped(Peer):
    def executor(self, observer: Signalling) -> Executor:
        self.patch.setattr(job_loop, "INTERRUPT_S", 0.3)
        return DeafWorker(observer.interrupt)


class NetworkGone(Peer):
    words = "does not answer"

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, url: str) -> None:
        super().__init__(folder, patch)
        self.direct, self.network = url, Swallowing(url)
        self.storage = self.network.url

    def executor(self, observer: Signalling) -> Executor:
        return Stopped(self._swallow)

    def _swallow(self) -> None:
        self.network.swallow()
        self.stopped = True

    def go_on(self) -> None:
        super().go_on()
        self.network.forward()
        import psycopg

        with psycopg.connect(self.direct) as connection:  # the next run waits for no lease
            connection.execute("DROP TABLE IF EXISTS hpsearch_leases")


PEERS = {
    "asker": AskerStopped,
    "database": DatabaseLocked,
    "worker": WorkerStopped,
    "network": NetworkGone,
}


@pytest.fixture
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "NOTICE_S", 0.1)
        if request.param == "network":
            found: Peer = NetworkGone(tmp_path, patch, request.getfixturevalue("postgres"))
        else:
            if request.param == "asker":
                request.getfixturevalue("asks_apart")
            found = PEERS[request.param](tmp_path, patch)
        yield found
        found.go_on()
        if isinstance(found, NetworkGone):
            found.network.close()


def begin(peer: Peer, numbers: list[signal.Signals]) -> tuple[Signalling, Caught]:
    """Run a search beside a stopped peer until it ends."""
    caught = Caught()
    observer = Signalling(peer, numbers, caught)
    executor = peer.executor(observer)
    goes_on = Wait.goes_on

    def looked_at(wait: Wait) -> bool:
        if peer.stopped:
            observer.interrupt()
        return goes_on(wait)

    peer.patch.setattr(Wait, "goes_on", looked_at)
    with interrupts(caught):
        try:
            search(
                peer.output, executor, file=peer.file, interrupted=lambda: caught.count,
                observer=observer, storage=peer.storage,
            )  # fmt: skip
        except Interrupted:
            assert caught.count
        finally:
            executor.close()
    return observer, caught


def check_the_same_command_goes_on(peer: Peer, tmp_path: Path) -> None:
    peer.go_on()
    again = search(peer.output, file=peer.file, storage=peer.storage)
    straight = search(tmp_path / "straight" / "study", file=peer.file)
    assert table(again) == table(straight)


@pytest.mark.parametrize("interrupt", rest_slow(NUMBERS))
@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_OC_an_interrupt_ends_every_wait(
    peer: Peer, interrupt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, see: See
) -> None:
    """heard while the peer is stopped; the same command goes on, with the same trials"""
    monkeypatch.setattr(
        "tests.support.cases.read_study", lambda _: None
    )  # a peer's wait of its own
    observer, caught = begin(peer, NUMBERS[interrupt])
    took = time.monotonic() - observer.began
    assert (caught.count, caught.signal) == (len(NUMBERS[interrupt]), NUMBERS[interrupt][-1])
    assert took < AT_ONCE_S
    monkeypatch.undo()
    check_the_same_command_goes_on(peer, tmp_path)
    see(f"ended after {took:.1f} s")


@pytest.mark.parametrize("peer", ["asker", "database", "network"], indirect=True)
def test_OC_every_wait_has_a_limit(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, see: See
) -> None:
    """one notice, then exit 3 in one line; the same command goes on, with the same trials"""
    monkeypatch.setattr(waiting, "LIMIT_S", 1.0)
    observer = Signalling(peer, [], Caught())
    began = time.monotonic()
    with pytest.raises(EnvironmentFailure, match="run the same command again") as failure:
        search(
            peer.output, peer.executor(observer), file=peer.file, observer=observer,
            storage=peer.storage,
        )  # fmt: skip
    assert time.monotonic() - began < 6 * AT_ONCE_S
    assert "\n" not in str(failure.value)
    told = [t for t in observer.messages if peer.words in t and "waiting at most 1 s" in t]
    assert told, observer.messages
    monkeypatch.undo()
    check_the_same_command_goes_on(peer, tmp_path)
    see(f"{told[0]}; exit {failure.value.exit_code}: {failure.value}")


def test_OC2_a_locked_database_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """whoever only reads waits too, and says exit 3"""
    from hpsearch.maintenance.repair import repair
    from tests.support.command_line import run

    search(tmp_path / "study")
    path = StudyFolder(tmp_path / "study").database
    before = path.read_bytes()
    monkeypatch.setattr(waiting, "LIMIT_S", 0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for command in ("status", "doctor", "report", "trials"):
            done = run(command, tmp_path / "study")
            assert (done.code, done.err.count("\n")) == (3, 1), done
            assert str(path) in done.err
            assert "locked" in done.err
        with pytest.raises(EnvironmentFailure, match="locked"):
            repair(StudyFolder(tmp_path / "study"))
    assert path.read_bytes() == before
    assert len(read_study(StudyFolder(tmp_path / "study")).trials) == 4
