"""One worker process by itself, spoken to over its two pipes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.execution import Decision
from hpsearch.execution.worker import DriverPipe
from tests.support.jobs import ENDLESS, Jobs, alive, wait_until

WORKER = [sys.executable, "-m", "hpsearch.execution.worker", "cpu", "1", "300"]


class Pipes:
    """A worker, and what it says line by line."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def send(self, **message: Any) -> None:
        self.stdin.write(json.dumps(message).encode() + b"\n")
        self.stdin.flush()

    def submit(self, jobs: Jobs, trial: int, **changes: Any) -> None:
        job = jobs(trial, **changes)
        fields = {**vars(job), "data": str(job.data), "checkpoint": str(job.checkpoint)}
        self.send(job=fields)

    def next(self) -> dict[str, Any]:
        """Return the next message about a trial."""
        while True:
            message: dict[str, Any] = json.loads(self.stdout.readline())
            if message["event"] not in ("alive", "ready"):
                return message


@pytest.fixture(scope="module")
def worker() -> Iterator[Pipes]:
    """Start a worker for two tests, the second of which ends it."""
    pipes = Pipes(WORKER)
    yield pipes
    pipes.process.kill()
    with pipes.process:  # closes its pipes
        pass


def test_a_late_answer_is_not_taken_for_the_next_trials(worker: Pipes, jobs: Jobs) -> None:
    worker.submit(jobs, 0)
    assert [worker.next()["event"] for _ in range(2)] == ["started", "epoch"]
    worker.send(interrupt=True)
    worker.send(decision="stop")  # the driver had decided before it heard of the end
    assert worker.next()["ending"] == "interrupted"
    worker.submit(jobs, 1)
    assert [worker.next()["event"] for _ in range(2)] == ["started", "epoch"]
    for _ in range(2):
        worker.send(decision="go")
        assert worker.next()["event"] == "epoch"
    worker.send(decision="go")
    assert worker.next()["ending"] == "finished"


def test_a_worker_ignores_signals_meant_for_its_driver_and_ends_with_it(
    worker: Pipes, jobs: Jobs
) -> None:
    worker.submit(jobs, 0, images_per_epoch=ENDLESS)
    started = worker.next()
    assert (started["event"], started["pid"]) == ("started", worker.process.pid)
    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGTERM)
    worker.send(interrupt=True)
    assert worker.next() == {
        "event": "ended", "trial": 0, "ending": "interrupted", "cause": None, "scores": None
    }  # fmt: skip
    worker.submit(jobs, 1, images_per_epoch=ENDLESS)
    assert worker.next()["event"] == "started"
    worker.stdin.close()  # in the middle of an epoch
    assert worker.process.wait(30) == 0


def test_half_a_message_ends_a_worker_whose_driver_died_writing_it() -> None:
    worker = Pipes(WORKER)
    _, err = worker.process.communicate(b'{"job": {"trial": 0, "conf', timeout=30)
    assert (worker.process.returncode, err) == (0, b"")


def test_a_look_for_a_decision_leaves_an_interrupt_to_who_waits_for_one() -> None:
    driver = DriverPipe.__new__(DriverPipe)
    driver.messages, driver._marks = queue.Queue(), 0
    assert driver.decision_so_far() is None
    driver.messages.put({"interrupt": True})
    assert driver.decision_so_far() is None
    assert driver.wait_for_decision() is None
    driver.messages.put({"decision": "pause"})
    assert driver.decision_so_far() is Decision.PAUSE


PRINTS = """
import os
from hpsearch.execution.worker import DriverPipe

driver = DriverPipe(300.0)
print("a library prints", flush=True)
os.system("echo a program prints")
driver.send(event="x")
driver.wait_for_job()
"""


def test_what_libraries_print_goes_to_the_log_and_not_among_the_messages() -> None:
    printing = Pipes([sys.executable, "-c", PRINTS])
    assert printing.stdout.readline() == b'{"event": "x"}\n'
    out, err = printing.process.communicate()
    assert (out, err) == (b"", b"a library prints\na program prints\n")


STALLS = """
import time
from hpsearch.execution import driver_pipe

driver_pipe.BEAT_S = 0.05
driver = driver_pipe.DriverPipe(0.5)
driver.busy.set()
driver.wait_for_job()
time.sleep(600)
"""


def test_a_worker_that_takes_no_step_says_so(jobs: Jobs) -> None:
    """It waits for its driver as long as that takes; from then on it must mark its steps."""
    stalling = Pipes([sys.executable, "-c", STALLS])
    told = [json.loads(stalling.stdout.readline())["event"] for _ in range(30)]
    assert set(told) == {"alive"}
    stalling.submit(jobs, 0)
    assert stalling.next()["event"] == "stalled"
    stalling.process.kill()
    stalling.process.communicate()


PARENT = """
import subprocess, sys, time
worker = subprocess.Popen(sys.argv[1:], stdin=0, stdout=subprocess.PIPE)
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's prctl ends it")
def test_a_worker_ends_with_its_driver_even_where_its_pipe_stays_open(jobs: Jobs) -> None:
    reading, writing = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *WORKER], stdin=reading, stdout=subprocess.PIPE
    )
    os.close(reading)
    try:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        # The threads of its pipe say that it is behind `die_with_parent`.
        status = Path(f"/proc/{worker}/status")
        wait_until(
            lambda: int(status.read_text().partition("Threads:")[2].split()[0]) > 1,
            "the worker's start",
        )
        parent.kill()
        parent.wait()
        wait_until(lambda: not alive(worker), "the worker's end")
    finally:
        os.close(writing)
        parent.kill()
        parent.communicate()
