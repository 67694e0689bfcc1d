"""A Ray cluster whose head or daemon does not answer: given up in time, left at once on Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.app.search import interrupts
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Ended, Ending, Event, Job
from hpsearch.paths import StudyFolder
from hpsearch.waiting import Caught, Interrupted

pytest.importorskip("ray", reason="the extra hpsearch[ray] is not installed")

from hpsearch.cluster import connection as ray_cluster
from hpsearch.cluster.connection import Cluster
from hpsearch.cluster.executor import RayExecutor, RaySettings
from tests.support.fake_ray import QUESTIONS, FakeRay, fake_ray
from tests.support.slow import rest_slow

NUMBERS = {
    "one Ctrl-C": [signal.SIGINT],
    "two Ctrl-C": [signal.SIGINT, signal.SIGINT],
    "SIGTERM": [signal.SIGTERM],
}
AT_ONCE_S = 10.0
"""On a machine however busy; the limit that must not be waited for is ten minutes here."""


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 600.0)
    with fake_ray(monkeypatch) as fake:
        yield fake


@pytest.fixture
def at_exit(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Return what Python would call at its end."""
    calls: list[Callable[[], None]] = []

    def register(call: Callable[..., None], *arguments: Any) -> None:
        if call is ray_cluster._end_at_once:
            calls.append(lambda: call(*arguments))

    monkeypatch.setattr(ray_cluster.atexit, "register", register)
    return calls


@pytest.fixture
def cluster(ray: FakeRay) -> Cluster:
    return Cluster(Caught())


def exit_code(calls: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return with which exit code the process would end."""
    codes: list[int] = []
    monkeypatch.setattr(ray_cluster.os, "_exit", codes.append)
    (call,) = calls
    call()
    return codes[0]


def make(ray: FakeRay, folder: Path, caught: Caught) -> RayExecutor:
    return RayExecutor(RaySettings(workers=1, device="cpu"), folder, caught)


class Driver:
    """Does with an executor what a search does, in short."""

    def __init__(self, folder: Path, caught: Caught) -> None:
        data = folder / "data"
        data.mkdir()
        (data / "meta.json").write_text("{}")  # which no node has
        self.job = Job(0, {}, 1, data, 0, folder / "checkpoint")
        self.caught, self.events = caught, list[Event]()

    def run(self, executor: RayExecutor, at_work: Callable[[], None]) -> None:
        """Train one trial until an interrupt."""
        executor.submit(self.job)
        while not self.caught.count:
            assert executor.slots == 1
            self.events += executor.events(0.05)
            if self.events:
                at_work()
        executor.interrupt()
        while self.caught.count < 2 and not any(isinstance(e, Ended) for e in self.events):
            self.events += executor.events(0.05)


def signal_when_asked(ray: FakeRay, numbers: list[signal.Signals], caught: Caught) -> list[float]:
    """Send the signals as soon as the silent question is asked; return when the first was sent."""
    began: list[float] = []

    def send() -> None:
        ray.asked.wait()
        began.append(time.monotonic())
        for place, number in enumerate(numbers):
            os.kill(os.getpid(), number)
            while caught.count <= place:
                time.sleep(0.01)

    threading.Thread(target=send, daemon=True).start()
    return began


@pytest.mark.parametrize("interrupt", NUMBERS)
@pytest.mark.parametrize("question", rest_slow(QUESTIONS))
def test_OC5_an_interrupt_ends_every_question_to_ray(
    question: str,
    interrupt: str,
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """heard at once; the trial stays in the queue, and the exit code is the signal's"""
    numbers, caught = NUMBERS[interrupt], Caught()
    monkeypatch.setattr(ray_cluster, "SHUTDOWN_S", 0.5)
    monkeypatch.setattr("hpsearch.cluster.executor.LOOK_AROUND_S", 0.05)
    driver = Driver(tmp_path, caught)

    def fall_silent() -> None:
        ray.silent = question
        if question in ("kill", "shutdown"):  # asked at the end only
            os.kill(os.getpid(), numbers[0])

    if question in ("remote", "put", "get"):  # asked before the trial is at work
        ray.silent = question
    with interrupts(caught):
        executor = make(ray, tmp_path / "study", caught)
        left = numbers[question in ("kill", "shutdown") :]
        began = signal_when_asked(ray, left, caught)
        try:
            driver.run(executor, fall_silent)
        finally:
            executor.close()
    assert time.monotonic() - began[0] < AT_ONCE_S
    assert (caught.count, caught.signal) == (len(numbers), numbers[-1])
    endings = [event.ending for event in driver.events if isinstance(event, Ended)]
    assert set(endings) <= {Ending.INTERRUPTED}
    assert endings or len(numbers) == 2
    assert exit_code(at_exit, monkeypatch) == 128 + numbers[-1]
    assert list((tmp_path / "study").iterdir()) == []


@pytest.mark.parametrize("question", ["nodes", "available_resources"])
def test_OC5_an_interrupt_ends_the_questions_at_the_start(
    question: str,
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caught, ray.silent = Caught(), question
    with interrupts(caught):
        began = signal_when_asked(ray, [signal.SIGTERM], caught)
        with pytest.raises(Interrupted):
            make(ray, tmp_path / "study", caught)
    assert time.monotonic() - began[0] < AT_ONCE_S
    assert exit_code(at_exit, monkeypatch) == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_OC5_an_interrupt_ends_the_start_of_ray(
    number: signal.Signals,
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(*_: Any, **__: Any) -> None:
        def own_handler(*_: Any) -> None:
            raise SystemExit(15)

        signal.signal(signal.SIGTERM, own_handler)  # as Ray does
        os.kill(os.getpid(), number)
        time.sleep(AT_ONCE_S)

    monkeypatch.setattr(ray, "init", init)
    caught = Caught()
    with interrupts(caught):
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="Ray was starting"):
            make(ray, tmp_path / "study", caught)
        assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert (caught.count, caught.signal) == (1, number)
    assert exit_code(at_exit, monkeypatch) == 128 + number


@pytest.mark.parametrize("interrupt", NUMBERS)
def test_OC5_an_interrupt_ends_the_way_into_a_cluster(
    interrupt: str,
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: ray.nodes())
    caught, ray.silent = Caught(), "nodes"
    with interrupts(caught):
        signal_when_asked(ray, NUMBERS[interrupt], caught)
        with pytest.raises(Interrupted, match="the Ray cluster at HOST:1 does not answer"):
            RayExecutor(RaySettings(address="HOST:1"), tmp_path / "study", caught)
    assert exit_code(at_exit, monkeypatch) == 128 + NUMBERS[interrupt][-1]


def test_OC5_a_cluster_that_cannot_be_joined_is_given_up(
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpsearch.waiting.LIMIT_S", 0.1)
    monkeypatch.setattr(ray, "init", lambda *_, **__: ray.nodes())
    ray.silent = "nodes"
    with pytest.raises(InputError, match="HOST:1 does not answer"):
        RayExecutor(RaySettings(address="HOST:1"), tmp_path / "study", Caught())
    assert exit_code(at_exit, monkeypatch) == 2


def test_ob7_a_head_that_does_not_answer_is_given_up(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.05)
    cluster, ray.silent = Cluster(Caught()), "nodes"
    with pytest.raises(EnvironmentFailure, match=r"its head has not answered for 0.05 s"):
        cluster.nodes()
    assert cluster.dead


def test_ob7_the_limit_is_below_the_minute_after_which_ray_ends_this_process() -> None:
    assert ray_cluster.ANSWER_S < 60


@pytest.mark.parametrize(
    "nodes",
    [[], [{"NodeID": "1", "Alive": False}], [{"NodeID": "2", "Alive": True}]],
    ids=["none", "dead", "another's"],
)
def test_ob7_a_daemon_of_this_machine_that_died_is_given_up(
    cluster: Cluster, nodes: list[dict[str, Any]], ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(EnvironmentFailure, match="its daemon on this machine"):
        cluster.nodes()
    assert cluster.dead


def test_another_node_may_come_and_go(
    cluster: Cluster, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [{"NodeID": "1", "Alive": True}, {"NodeID": "2", "Alive": False}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert cluster.nodes() == nodes[:1]


def test_an_error_of_a_question_is_its_own(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError):
        cluster.ask(lambda: 1 // 0)
    assert cluster.ask(lambda: 7) == 7
    assert not cluster.dead


def test_a_search_that_failed_keeps_its_exit_code_where_ray_cannot_be_unloaded(
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.05)
    executor = make(ray, tmp_path / "study", Caught())
    ray.silent = "nodes"
    try:
        raise EnvironmentFailure("the cluster is lost")
    except EnvironmentFailure:
        executor.close()
    assert exit_code(at_exit, monkeypatch) == 3


def test_a_search_that_is_done_ends_well_beside_a_silent_head(
    ray: FakeRay,
    at_exit: list[Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.05)
    executor = make(ray, tmp_path / "study", Caught())
    ray.silent = "nodes"
    executor.close()
    assert exit_code(at_exit, monkeypatch) == 0


def test_a_cluster_that_answers_is_left_properly(
    ray: FakeRay, at_exit: list[Callable[[], None]], tmp_path: Path
) -> None:
    executor = make(ray, tmp_path / "study", Caught())
    executor.close()
    executor.close()
    assert not ray.up
    assert at_exit == []


def test_nodes_see_the_folder_although_opening_its_database_clears_it(
    ray: FakeRay, tmp_path: Path
) -> None:
    study = StudyFolder(tmp_path / "study")
    executor = make(ray, study.root, Caught())
    for left in study.temporary_files():  # as a search does when it opens the database
        left.unlink()
    (tmp_path / "data").mkdir()
    executor.submit(Job(0, {}, 1, tmp_path / "data", 0, tmp_path / "checkpoint"))
    assert len(study.temporary_files()) == 1
    executor.close()
    assert study.temporary_files() == []
