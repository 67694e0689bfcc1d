"""The local executor's own promises, most of them with workers that train nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch import json_process
from hpsearch.awake import AwakeClock
from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Ended, Ending, EpochEnded, Event, Lost, Started, local
from hpsearch.execution.devices import count_cores
from hpsearch.execution.local import LocalExecutor
from tests.support import fake_worker
from tests.support.fake_worker import GARBAGE
from tests.support.jobs import ENDLESS, Jobs, alive, follow, points, run, wait_until

FAKE = Path(fake_worker.__file__)
Make = Callable[..., LocalExecutor]


@pytest.fixture
def fake() -> Iterator[Make]:
    """Return a factory of executors whose workers behave as told."""
    made: list[LocalExecutor] = []

    def make(behaviour: str, workers: int = 1, device: str = "cpu", **more: Any) -> LocalExecutor:
        command = (sys.executable, str(FAKE), behaviour)
        made.append(LocalExecutor(workers, device, command=command, **more))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Return what makes jobs for workers that look at no data."""
    return Jobs(tmp_path / "no data", tmp_path)


def pid(events: list[Event]) -> int:
    assert isinstance(events[0], Started)
    return events[0].pid


def environment(events: list[Event]) -> dict[str, str]:
    ended = events[-1]
    assert isinstance(ended, Ended)
    told: dict[str, str] = json.loads(ended.cause or "")
    return told


@pytest.mark.parametrize("workers", [1, 2, 3, 1000])
def test_each_worker_has_its_share_of_the_cores(fake: Make, jobs: Jobs, workers: int) -> None:
    told = environment(run(fake("good", workers), jobs()))
    share = str(max(1, count_cores() // workers))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "threads"):
        assert told[name] == share, name


def test_threads_can_be_set(fake: Make, jobs: Jobs) -> None:
    told = environment(run(fake("good", 2, threads=5), jobs()))
    assert (told["OMP_NUM_THREADS"], told["threads"]) == ("5", "5")


def test_on_the_cpu_a_worker_runs_the_next_trial_too(fake: Make, jobs: Jobs) -> None:
    executor = fake("good")
    assert len({pid(run(executor, jobs(trial))) for trial in range(3)}) == 1


def test_on_cuda_each_trial_has_a_fresh_worker_on_its_slots_device(
    fake: Make, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "device_names", lambda: ("5", "GPU-7"))
    executor = fake("good", 2, "cuda")
    executor.submit(jobs(0))
    executor.submit(jobs(1))
    ended: dict[int, str] = {}
    pids: dict[int, int] = {}

    def take(submitted: int) -> bool:
        for event in executor.events(0.5):
            if isinstance(event, Started):
                assert event.device == "cuda"
                pids[event.trial] = event.pid
            elif isinstance(event, Ended):
                ended[event.trial] = json.loads(event.cause or "")["CUDA_VISIBLE_DEVICES"]
        return len(ended) == submitted

    wait_until(lambda: take(2), "two trials on two devices")
    assert ended == {0: "5", 1: "GPU-7"}
    assert not any(alive(number) for number in pids.values())
    executor.submit(jobs(2))
    wait_until(lambda: take(3), "a third trial")
    assert ended[2] == "5"
    assert len(set(pids.values())) == 3


@pytest.mark.parametrize("kind", list(GARBAGE))
def test_a_worker_that_speaks_nonsense_is_ended_and_its_trial_lost(
    fake: Make, jobs: Jobs, kind: str
) -> None:
    executor = fake(kind)
    executor.submit(jobs(0))
    (lost,) = follow(executor, 0)
    assert isinstance(lost, Lost)
    assert lost.cause.startswith("worker sent an invalid message: ")
    assert lost.cause.isprintable()
    assert len(lost.cause) < 200
    assert isinstance(run(executor, jobs(1))[-1], Ended)


def test_nonsense_from_an_idle_worker_ends_it_quietly(fake: Make, jobs: Jobs) -> None:
    executor = fake("mutters")
    first = pid(run(executor, jobs(0)))
    wait_until(lambda: not executor.events(0.05) and not alive(first), "the worker's end")
    assert pid(run(executor, jobs(1))) != first


def test_messages_may_come_in_pieces(fake: Make, jobs: Jobs) -> None:
    events = run(fake("in pieces"), jobs())
    assert events[-1] == Ended(0, Ending.STOPPED, "é")


def test_a_worker_that_exits_is_lost_with_its_exit_code(fake: Make, jobs: Jobs) -> None:
    assert run(fake("exits"), jobs()) == [Lost(0, "worker exit code 3")]


def test_a_worker_that_cannot_be_loaded_is_the_machines_fault_with_its_last_words(
    fake: Make, jobs: Jobs, tmp_path: Path
) -> None:
    (ended,) = run(fake("exits early", log_folder=tmp_path), jobs())
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.ENVIRONMENT
    assert ended.cause == (
        "worker exit code 1 before it was ready; "
        f"{tmp_path / 'worker-0.log'}: ImportError: no such thing"
    )


def test_workers_that_are_killed_before_they_are_ready_are_started_twice_more(
    fake: Make, jobs: Jobs
) -> None:
    executor = fake("killed early")
    cause = "worker killed by signal 9 before it was ready"
    for _ in range(2):
        assert run(executor, jobs()) == [Lost(0, cause, blameless=True)]
    (ended,) = run(executor, jobs())
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.ENVIRONMENT


def test_ob3_time_in_which_the_driver_did_not_run_is_no_silence(fake: Make, jobs: Jobs) -> None:
    """Ten minutes pass between two looks, and again; only then is the worker silent for 120 s."""
    executor, now = fake("never reads"), [0.0]
    executor._clock = AwakeClock(12.0, lambda: now[0])
    executor.submit(jobs())
    (worker,) = executor._workers
    wait_until(lambda: executor.events(0.05) == [] and worker.ready, "the worker's start")
    for _ in range(5):
        now[0] += 600.0
        assert executor.events(0.0) == []
    heard = []
    for _ in range(200):
        now[0] += 1.0
        heard += executor.events(0.0)
    assert heard == [Lost(0, "worker gave no sign of life for 120 s")]


def test_a_worker_that_only_closes_its_pipe_is_ended(
    fake: Make, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_process, "GRACE_S", 0.2)
    executor = fake("closes")
    executor.submit(jobs())
    worker = executor._workers[0]
    assert worker is not None
    assert follow(executor, 0) == [Lost(0, "worker killed by signal 9")]
    assert not alive(worker.process.pid)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, jobs: Jobs) -> None:
    program = tmp_path / "absent"
    executor = LocalExecutor(1, command=[str(program)])
    with pytest.raises(EnvironmentFailure, match=str(program)):
        executor.submit(jobs())
    executor.close()


def test_a_worker_that_writes_much_to_stderr_is_not_held_up(
    fake: Make, jobs: Jobs, tmp_path: Path
) -> None:
    assert isinstance(run(fake("noisy"), jobs())[-1], Ended)
    logs = tmp_path / "logs"
    executor = fake("noisy", log_folder=logs)
    run(executor, jobs())
    assert (logs / "worker-0.log").stat().st_size == 50 * 12_500 * len("warning ")


def test_a_log_goes_on_and_begins_anew_when_it_is_long(
    fake: Make, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "worker-0.log"
    log.write_text("earlier\n")
    run(fake("good", log_folder=tmp_path), jobs())
    assert log.read_text() == "earlier\n"
    monkeypatch.setattr(local, "MAX_LOG_BYTES", 3)
    run(fake("good", log_folder=tmp_path), jobs())
    assert log.read_text() == ""


def test_a_worker_that_never_reads_does_not_hold_up_the_driver(fake: Make, jobs: Jobs) -> None:
    executor = fake("never reads")
    executor.submit(jobs())
    for _ in range(10_000):  # more than a pipe takes
        executor.interrupt()
    assert executor.events(0.1) == []
    executor.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_workers_inherit_no_open_file_and_close_leaves_none(
    fake: Make, jobs: Jobs, tmp_path: Path
) -> None:
    def opened(process: int | str) -> list[str]:
        links = Path(f"/proc/{process}/fd").iterdir()
        return sorted(str(link.readlink()) for link in links if link.is_symlink())

    with (tmp_path / "study.db").open("w") as database:
        os.set_inheritable(database.fileno(), True)
        before = len(opened("self"))
        executor = fake("good", log_folder=tmp_path)
        worker = pid(run(executor, jobs()))
        assert not any("study.db" in name for name in opened(worker))
        executor.close()
        assert len(opened("self")) == before


DRIVER = """
import json, sys, time
from pathlib import Path
from hpsearch.execution import Job, Started
from hpsearch.execution.local import LocalExecutor

executor = LocalExecutor(1, threads=1)
values = json.loads(sys.argv[1])
job = {**values, "data": Path(values["data"]), "checkpoint": Path(values["checkpoint"])}
executor.submit(Job(**job))
while True:
    for event in executor.events(1):
        print(event.pid if isinstance(event, Started) else event, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_workers_die_with_a_driver_that_is_killed(glyphs: Path, tmp_path: Path) -> None:
    job = Jobs(glyphs, tmp_path)(images_per_epoch=ENDLESS)
    values = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(values)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        assert alive(worker)
    finally:
        driver.kill()
        driver.communicate()
    wait_until(lambda: not alive(worker), "the worker's end")


def test_a_reused_worker_trains_as_a_fresh_one(glyphs: Path, tmp_path: Path) -> None:
    jobs = Jobs(glyphs, tmp_path)
    executor = LocalExecutor(1, threads=1)
    try:
        first = run(executor, jobs(0))
        other = run(executor, jobs(1, input_size=24, drawers=8))
        again = run(executor, jobs(2))
    finally:
        executor.close()
    assert pid(first) == pid(other) == pid(again)
    assert points(first) == points(again) == jobs.curve()
    assert points(other) == jobs.curve(input_size=24, drawers=8) != jobs.curve()
    assert all(isinstance(event, EpochEnded) for event in other[1:-1])
