"""F01, F05, F06, F09, F11 to F15, F19: checkpoints, locks, memory, stopped workers, drivers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from hpsearch import waiting
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Ended, Ending, EpochEnded, Event, Job, Lost, Started
from hpsearch.execution.local import LocalExecutor
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.database import StudyRecord
from hpsearch.storage.view import read_study
from hpsearch.study.lock import study_lock
from hpsearch.training.checkpoint import Checkpoint, load, save
from hpsearch.training.checkpoint_file import previous
from tests.support.cases import DATASET, ENQUEUED, Silent, refused, search, table, write_study
from tests.support.command_line import run
from tests.support.fake_executor import FakeExecutor
from tests.support.trainings import tiny_config

See = Callable[[object], None]
SETTINGS = {"enqueue": ENQUEUED[:4], "budget__trials": 4}


def checkpoint(epoch: int) -> Checkpoint:
    return Checkpoint(
        {"weights.x": torch.full((50,), float(epoch))}, {"epoch": epoch, "curve": []}
    )


CUTS: dict[str, Callable[[bytes], bytes | None]] = {
    **{f"cut at {n} of 16": lambda c, n=n: c[: len(c) * n // 16] for n in range(16)},
    "tail of zeros": lambda c: c[: len(c) // 2] + bytes(len(c) - len(c) // 2),
    "a byte changed": lambda c: c[:-5] + bytes([c[-5] ^ 4]) + c[-4:],
    "only the one aside": lambda _: None,
}


@pytest.mark.parametrize("case", CUTS)
def test_F05_power_cut_in_a_checkpoint(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """the checkpoint before is used, one warning names the file"""
    path = tmp_path / "checkpoint"
    save(checkpoint(1), path)
    save(checkpoint(2), path)
    content = CUTS[case](path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (tmp_path / ".checkpoint.tmp").write_bytes(b"torn")
    found = load(path)
    assert found is not None
    assert found.state["epoch"] == 1
    assert len(caplog.records) == (content is not None)
    assert all(str(path) in one.getMessage() for one in caplog.records)


def test_F05_a_checkpoint_lost_for_good_is_told(tmp_path: Path, see: See) -> None:
    """never a silent epoch 0: the driver says where the trial goes on"""
    output = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        search(output, FakeExecutor(die_after_epochs=2), **SETTINGS)
    for path in output.glob("trials/00000/checkpoint*"):
        path.unlink()
    observer = Silent()
    search(output, observer=observer, **SETTINGS)
    told = [line for line in observer.messages if "missing or damaged" in line]
    assert told == [
        "trial 0: its checkpoint is missing or damaged, see the logs; it continues after epoch 0 "
        "instead of 2"
    ]
    see(told[0])


def test_F06_power_cut_with_a_hot_journal(tmp_path: Path, see: See) -> None:
    """journal kept: opens, every acknowledged row is there; journal lost: told by the check"""
    output = tmp_path / "study"
    before = table(search(output, **SETTINGS))
    folder = StudyFolder(output)
    cut = tmp_path / "cut"
    with closing(sqlite3.connect(folder.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE filling (x BLOB)")
        for _ in range(200):
            connection.execute("INSERT INTO filling VALUES (randomblob(3000))")
        connection.execute("UPDATE trial_values SET value = 0.0001")
        shutil.copytree(output, cut)
        connection.execute("ROLLBACK")
    assert (cut / "study.db-journal").stat().st_size > 512
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    shutil.copytree(cut, whole)
    shutil.copytree(cut, lost)
    (lost / "study.db-journal").unlink()
    assert table(read_study(StudyFolder(whole))) == before
    assert {v.standing for v in check_invariants(StudyFolder(whole))} == {"holds"}
    told = run("doctor", lost)
    assert told.code == 2, told
    assert run("doctor", lost, "--repair").code == 0
    assert table(read_study(StudyFolder(lost))) == before
    see(f"kept: {len(before)} trials there; lost: {told.err}")


def lock_for(path: Path, seconds: float) -> threading.Thread:
    """Hold a database's lock from another connection."""
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            held.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    return thread


def test_F09_a_database_locked_for_2_s_is_waited_for_with_one_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, see: See
) -> None:
    """waits and says so once, then goes on"""
    monkeypatch.setattr(waiting, "NOTICE_S", 0.5)
    observer = Silent()
    output = tmp_path / "study"
    executor = LockedAtTheEnd(StudyFolder(output).database, 2)
    assert len(search(output, executor, observer=observer, **SETTINGS).trials) == 4
    told = [text for text in observer.messages if "locked by another process" in text]
    assert len(told) == 1
    see(told[0])


class LockedAtTheEnd(FakeExecutor):
    """Locks the database when the first trial ends."""

    def __init__(self, path: Path, seconds: float = 4) -> None:
        super().__init__()
        self.path, self.seconds, self.thread = path, seconds, None

    def _step(self, trial: int) -> None:
        super()._step(trial)
        if self.thread is None and any(isinstance(e, Ended) for e in self._events):
            self.thread = lock_for(self.path, self.seconds)


def test_F09_locked_longer_is_exit_3_and_the_result_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, see: See
) -> None:
    """exit 3; the result waits in its folder and is adopted by the next run"""
    monkeypatch.setattr(waiting, "LIMIT_S", 0.3)
    output = tmp_path / "study"
    executor = LockedAtTheEnd(output / "study.db")
    with pytest.raises(EnvironmentFailure, match=r"study\.db: the database failed") as caught:
        search(output, executor, **SETTINGS)
    assert executor.thread is not None
    executor.thread.join()
    folder = StudyFolder(output)
    assert read_study(folder).trials[0].state == "running"
    assert folder.trial(0).result.exists()
    monkeypatch.undo()
    again = FakeExecutor()
    view = search(output, again, **SETTINGS)
    assert 0 not in again.submitted
    assert view.trials[0].state == "complete"
    see(f"exit {caught.value.exit_code}: {caught.value}; adopted")


def test_F11_out_of_memory_is_a_failure_and_not_tried_again(tmp_path: Path, see: See) -> None:
    """FAIL with the cause, submitted once; the others unaffected"""
    executor = FakeExecutor()
    executor.failing = {1: Ending.OUT_OF_MEMORY}
    view = search(tmp_path / "study", executor, **SETTINGS)
    assert executor.submitted.count(1) == 1
    assert view.trials[1].state == "failed"
    assert [t.state for t in view.trials].count("complete") == 3
    see(view.trials[1].cause)


def test_F07_a_worker_whose_disk_is_full_ends_the_search(tmp_path: Path, see: See) -> None:
    """exit 3 with its cause, no trial has failed; the same command goes on to the same trials"""
    straight = table(search(tmp_path / "straight", **SETTINGS))
    executor = FakeExecutor()
    executor.failing = {2: Ending.ENVIRONMENT}
    output = tmp_path / "study"
    with pytest.raises(EnvironmentFailure, match="trial 2: told to") as caught:
        search(output, executor, **SETTINGS)
    assert [t.state for t in read_study(StudyFolder(output)).trials] == ["complete"] * 2 + [
        "running"
    ]
    assert {v.standing for v in check_invariants(StudyFolder(output))} <= {"holds", "pending"}
    assert table(search(output, **SETTINGS)) == straight
    see(f"exit {caught.value.exit_code}: {caught.value}; went on")


def test_F12_all_trials_fail(tmp_path: Path, see: See) -> None:
    """exit 3 after 5 in a row, first and last cause; export: exit 2, no completed trial"""
    executor = FakeExecutor()
    executor.failing = dict.fromkeys(range(9), Ending.FAILED)
    output = tmp_path / "study"
    with pytest.raises(
        EnvironmentFailure, match="the first: told to; the last: told to"
    ) as caught:
        search(output, executor, enqueue=ENQUEUED[:9], budget__trials=9)
    assert caught.value.exit_code == 3
    see(f"{caught.value}; {refused(tmp_path, 'no completed trial', 'export', output)}")


@pytest.fixture
def job(packed: Path, tmp_path: Path) -> Callable[[int], Job]:
    """Make jobs of many short epochs on own images."""
    config = tiny_config(drawers=2, max_epochs=400, patience=400)
    return lambda trial: Job(
        trial, config.plain(), 1, packed, 0, tmp_path / f"{trial}" / "checkpoint"
    )


@contextlib.contextmanager
def executor(**settings: float) -> Iterator[LocalExecutor]:
    made = LocalExecutor(1, threads=1, **settings)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def next_event(made: LocalExecutor, kind: type[Event], seconds: float = 600) -> Event:
    """Return the next event of a kind; epochs on the way may go on."""
    from hpsearch.execution import Decision

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in made.events(0.05):
            if isinstance(event, kind):
                return event
            if isinstance(event, EpochEnded):
                made.decide(event.trial, Decision.GO)
    raise AssertionError(f"no {kind.__name__} in time")


@pytest.mark.slow
def test_F14_a_stopped_worker_is_lost_once(job: Callable[[int], Job], see: See) -> None:
    """lost after the time it may be silent, ended, and its trial goes on elsewhere"""
    with executor(silence_s=5.0) as made:
        made.submit(job(0))
        started = next_event(made, Started)
        assert isinstance(started, Started)
        next_event(made, EpochEnded)
        os.kill(started.pid, signal.SIGSTOP)
        lost = next_event(made, Lost)
        assert isinstance(lost, Lost)
        assert "no sign of life for 5 s" in lost.cause
        with pytest.raises(ProcessLookupError):
            os.kill(started.pid, signal.SIGCONT)
        made.submit(job(0))
        again = next_event(made, Started)
        assert isinstance(again, Started)
        assert len(again.curve) >= 1
        see(f"{lost.cause}; goes on after epoch {len(again.curve)}")


@pytest.mark.slow
def test_F01_from_a_workers_death_to_its_trial_running_again(
    job: Callable[[int], Job], see: See
) -> None:
    """at most 6 s (on a quiet machine), seen as killed by signal 9"""
    with executor() as made:
        made.submit(job(0))
        started = next_event(made, Started)
        assert isinstance(started, Started)
        next_event(made, EpochEnded)
        os.kill(started.pid, signal.SIGKILL)
        began = time.monotonic()
        lost = next_event(made, Lost)
        seen = time.monotonic() - began
        made.submit(job(0))
        again = next_event(made, Started)
        took = time.monotonic() - began
        assert isinstance(lost, Lost)
        assert isinstance(again, Started)
        assert lost.cause == "worker killed by signal 9"
        assert len(again.curve) >= 1
        see(f"seen after {seen:.2f} s, running again after {took:.1f} s")


@pytest.mark.slow
def test_F07_F08_a_worker_that_cannot_write_its_checkpoint_says_so(
    job: Callable[[int], Job], see: See
) -> None:
    """its machine's failure, not the trial's, in one line that names the file"""
    hopeless = job(0)
    hopeless.checkpoint.parent.write_text("a file where the trial's folder should be")
    with executor() as made:
        made.submit(hopeless)
        ended = next_event(made, Ended)
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.ENVIRONMENT
    assert ended.cause is not None
    assert str(hopeless.checkpoint.parent) in ended.cause
    assert "cannot be written" in ended.cause
    see(ended.cause)


def test_F15_a_second_driver_is_refused(tmp_path: Path, see: See) -> None:
    """exit 2, names the holder; freed by the kernel when it dies"""
    output = tmp_path / "study"
    search(output, **SETTINGS)
    with (
        study_lock(StudyFolder(output)),
        pytest.raises(InputError, match=f"held by pid {os.getpid()}") as caught,
    ):
        search(output, **SETTINGS)
    search(output, **SETTINGS)
    see(f"exit {caught.value.exit_code}: {caught.value}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads Linux's /proc")
def test_F19_a_worker_inherits_no_handle_of_the_database(
    tmp_path: Path, job: Callable[[int], Job]
) -> None:
    """neither database nor lock among the worker's open files"""
    write_study(tmp_path / "file")
    folder = StudyFolder(tmp_path / "study")
    with study_lock(folder), executor() as made:
        database = StudyRecord(folder, "small")
        database.load()
        made.submit(job(0))
        started = next_event(made, Started)
        assert isinstance(started, Started)
        own, theirs = (open_files(pid) for pid in (os.getpid(), started.pid))
        database.close()
    assert any("study.lock" in name for name in own)
    assert not [name for name in theirs if str(folder.root) in name]


def open_files(pid: int) -> list[str]:
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(link.readlink()))
    return names


def test_the_description_of_the_data_is_whole() -> None:
    assert {"kind", "fingerprint", "packed", "n_tasks"} <= DATASET.keys()
    assert previous(Path("checkpoint")).name == "checkpoint.previous"
