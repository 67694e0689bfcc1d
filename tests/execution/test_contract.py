"""What every executor must do with every trainer: see EXECUTORS and TRAINERS in conftest.py.

The tests marked `trainers` are the contract of all of them, the others are the siamese trainer's.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpsearch.execution import (
    Decision,
    Ended,
    Ending,
    EpochEnded,
    Event,
    Executor,
    Lost,
    Started,
)
from hpsearch.training.checkpoint import read
from tests.support.jobs import (
    LONG,
    Jobs,
    again,
    alive,
    follow,
    point,
    points,
    run,
    wait_until,
)
from tests.support.programs import CommandJobs
from tests.support.slow import rest_slow

from .conftest import MakeExecutor

trainers = pytest.mark.trainers


def started(event: object) -> bool:
    return isinstance(event, Started)


def end(events: Sequence[Event]) -> tuple[int, Ending, str | None]:
    """Return how a trial has ended, without what only a program has."""
    last = events[-1]
    assert isinstance(last, Ended), last
    return last.trial, last.ending, last.cause


def after_epoch(number: int):  # type: ignore[no-untyped-def]
    return lambda event: isinstance(event, EpochEnded) and event.result.epoch == number


@trainers
@pytest.mark.shared_disk
def test_a_trial_starts_ends_its_epochs_and_finishes_in_this_order(
    executor: Executor, jobs: Jobs
) -> None:
    events = run(executor, jobs())
    first, *epochs, last = events
    assert isinstance(first, Started)
    assert (first.trial, first.device, first.curve) == (0, "cpu", ())
    assert alive(first.pid)
    assert first.pid != os.getpid()
    assert all(isinstance(event, EpochEnded) for event in epochs)
    assert points(events) == jobs.curve()
    assert end([last]) == (0, Ending.FINISHED, None)


@pytest.mark.shared_disk
def test_the_checkpoint_is_there_when_an_epoch_is_told(executor: Executor, jobs: Jobs) -> None:
    job = jobs()
    executor.submit(job)
    for epoch in (1, 2, 3):
        follow(executor, 0, hold=after_epoch(epoch))
        assert [r.epoch for r in read(job.checkpoint).curve] == list(range(1, epoch + 1))
        executor.decide(0, Decision.GO)
    follow(executor, 0)


@trainers
def test_the_worker_waits_for_a_decision_after_each_epoch(executor: Executor, jobs: Jobs) -> None:
    executor.submit(jobs())
    for epoch in (1, 2, 3):
        follow(executor, 0, hold=after_epoch(epoch))
        assert executor.events(0.2) == []
        executor.decide(0, Decision.GO)
    assert end(follow(executor, 0)) == (0, Ending.FINISHED, None)


@trainers
def test_stop_ends_the_trial_and_frees_its_slot(executor: Executor, jobs: Jobs) -> None:
    events = run(executor, jobs(), {2: Decision.STOP})
    assert points(events) == jobs.curve()[:2]
    assert end(events) == (0, Ending.STOPPED, None)
    assert points(run(executor, jobs(trial=1))) == jobs.curve()


@trainers
@pytest.mark.shared_disk
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_paused_trial_goes_on_to_the_same_curve(
    executor: Executor, jobs: Jobs, epoch: int
) -> None:
    first = run(executor, jobs(), {epoch: Decision.PAUSE})
    assert end(first) == (0, Ending.PAUSED, None)
    second = run(executor, again(jobs(), first))
    assert isinstance(second[0], Started)
    assert [point(r) for r in second[0].curve] == points(first) == jobs.curve()[:epoch]
    assert points(first) + points(second) == jobs.curve()
    assert end(second) == (0, Ending.FINISHED, None)


@pytest.mark.shared_disk
@pytest.mark.parametrize(
    ("decision", "ending"),
    [
        (Decision.GO, Ending.FINISHED),
        (Decision.STOP, Ending.STOPPED),
        (Decision.PAUSE, Ending.PAUSED),
    ],
)
@trainers
def test_an_epoch_that_was_not_decided_on_is_told_again_first(
    executor: Executor, jobs: Jobs, decision: Decision, ending: Ending
) -> None:
    executor.submit(jobs())
    first = follow(executor, 0, hold=after_epoch(2))
    executor.interrupt()
    follow(executor, 0)
    events = run(executor, again(jobs(), first[:-1]), {2: decision})
    assert isinstance(events[0], Started)
    assert [point(r) for r in events[0].curve] == jobs.curve()[:1]
    assert points(events) == jobs.curve()[1 : None if decision is Decision.GO else 2]
    assert end(events) == (0, ending, None)


@trainers
def test_interrupt_ends_a_trial_within_its_batch(executor: Executor, jobs: Jobs) -> None:
    job = jobs.endless()
    executor.submit(job)
    follow(executor, 0, hold=started)
    executor.interrupt()
    assert end(follow(executor, 0)) == (0, Ending.INTERRUPTED, None)
    if job.run is None:
        assert read(job.checkpoint).curve == []


@trainers
def test_interrupt_reaches_a_trial_that_is_still_starting(
    make_executor: MakeExecutor, jobs: Jobs
) -> None:
    executor = make_executor(1)
    executor.submit(jobs.endless())
    executor.interrupt()
    assert end(follow(executor, 0)) == (0, Ending.INTERRUPTED, None)
    executor.close()


@trainers
def test_interrupt_ends_a_trial_that_waits_for_a_decision(executor: Executor, jobs: Jobs) -> None:
    executor.submit(jobs())
    first = follow(executor, 0, hold=after_epoch(1))
    executor.interrupt()
    assert end(follow(executor, 0)) == (0, Ending.INTERRUPTED, None)
    assert points(first) + points(run(executor, again(jobs(), first))) == jobs.curve()


@pytest.mark.shared_disk
def test_a_trial_interrupted_inside_an_epoch_goes_on_to_the_same_curve(
    executor: Executor, jobs: Jobs
) -> None:
    job = jobs(**LONG)
    for _ in range(100):  # until one interrupt has hit the middle of the first epoch
        executor.submit(job)
        follow(executor, 0, hold=started)
        if executor.events(0.05):
            pytest.fail("the first epoch is too short for this test")
        executor.interrupt()
        assert follow(executor, 0) == [Ended(0, Ending.INTERRUPTED)]
        if read(job.checkpoint).state["step"] > 0:
            break
    assert 0 < read(job.checkpoint).state["step"] < 200
    assert points(run(executor, job)) == jobs.curve(**LONG)


@trainers
def test_a_late_interrupt_does_not_touch_the_next_trial(executor: Executor, jobs: Jobs) -> None:
    executor.submit(jobs())
    follow(executor, 0, hold=after_epoch(3))
    executor.decide(0, Decision.GO)
    executor.interrupt()  # the trial may have ended by now, and the executor not know it
    last = end(follow(executor, 0))
    assert last == (0, Ending.FINISHED, None) or isinstance(jobs, CommandJobs)
    executor.interrupt()
    events = run(executor, jobs(trial=1))
    assert points(events) == jobs.curve()
    assert end(events) == (1, Ending.FINISHED, None)


@trainers
@pytest.mark.shared_disk
@pytest.mark.parametrize("moment", rest_slow(["inside an epoch", "between epochs"]))
def test_a_killed_worker_is_lost_and_its_trial_goes_on_to_the_same_curve(
    executor: Executor, jobs: Jobs, moment: str
) -> None:
    executor.submit(jobs.long())
    first = follow(executor, 0, hold=after_epoch(1))
    assert isinstance(first[0], Started)
    if moment == "inside an epoch":
        executor.decide(0, Decision.GO)
    os.kill(first[0].pid, signal.SIGKILL)
    (lost,) = follow(executor, 0)
    assert isinstance(lost, Lost)
    assert "signal 9" in lost.cause
    second = run(executor, again(jobs.long(), first))
    assert isinstance(second[0], Started)
    assert second[0].pid != first[0].pid
    assert len(second[0].curve) == 1
    assert points(first) + points(second) == jobs.long_curve()


@trainers
def test_a_worker_that_dies_idle_is_replaced(executor: Executor, jobs: Jobs) -> None:
    first = run(executor, jobs())
    assert isinstance(first[0], Started)
    if alive(first[0].pid):
        os.kill(first[0].pid, signal.SIGKILL)
        wait_until(lambda: not alive(first[0].pid), "the worker's end")  # type: ignore[union-attr]
    events = run(executor, jobs(trial=1))
    if isinstance(events[-1], Lost):  # seen only when the job was sent
        events = run(executor, jobs(trial=1))
    assert points(events) == jobs.curve()


@trainers
def test_a_trial_beyond_the_slots_is_refused(executor: Executor, jobs: Jobs) -> None:
    assert executor.slots == 1
    executor.submit(jobs())
    with pytest.raises(RuntimeError):
        executor.submit(jobs(trial=1))
    assert points(follow(executor, 0)) == jobs.curve()


@trainers
@pytest.mark.shared_disk
def test_what_the_machine_lacks_is_its_fault_in_one_line_and_the_next_one_runs(
    executor: Executor, jobs: Jobs
) -> None:
    job, why = jobs.unusable()
    _, ending, cause = end(run(executor, job))
    assert ending is Ending.ENVIRONMENT
    assert cause is not None
    assert why in cause
    assert cause.isprintable()
    assert points(run(executor, jobs(trial=1))) == jobs.curve()


@pytest.mark.shared_disk
@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_a_checkpoint_that_cannot_be_written_is_the_environments_fault(
    executor: Executor, jobs: Jobs
) -> None:
    first = run(executor, jobs())[0]
    assert isinstance(first, Started)
    before = resource.prlimit(first.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(
        first.pid, resource.RLIMIT_FSIZE, (100, before[1])
    )  # as a full disk: no log either
    ended = run(executor, jobs(1))[-1]
    resource.prlimit(first.pid, resource.RLIMIT_FSIZE, before)
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.ENVIRONMENT, ended
    assert "cannot be written" in (ended.cause or "")
    assert points(run(executor, jobs(1))) == jobs.curve()


@trainers
def test_a_trial_that_diverges_is_diagnosed(executor: Executor, jobs: Jobs) -> None:
    events = run(executor, jobs.diverging())
    diagnosis = points(events)[-1][-1]
    assert diagnosis is not None
    assert "diverged" in diagnosis
    assert end(events) == (0, Ending.DIAGNOSED, diagnosis)


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_a_trial_out_of_memory_is_told_apart_and_the_next_one_runs(
    executor: Executor, jobs: Jobs
) -> None:
    first = run(executor, jobs())[0]
    assert isinstance(first, Started)
    layers = {"conv1": {"filter_size": 4, "filter_count": 1024}, "fc": {"width": 8}}
    status = Path(f"/proc/{first.pid}/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    before = resource.prlimit(first.pid, resource.RLIMIT_AS)
    resource.prlimit(first.pid, resource.RLIMIT_AS, (used + 300_000_000, before[1]))
    events = run(executor, jobs(1, layers=layers, batch_characters=64, batch_drawings=20))
    resource.prlimit(first.pid, resource.RLIMIT_AS, before)
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.OUT_OF_MEMORY, ended
    assert points(run(executor, jobs(2))) == jobs.curve()


@trainers
def test_two_trials_at_once_do_not_touch_each_other(
    make_executor: MakeExecutor, jobs: Jobs
) -> None:
    executor = make_executor(2)
    for trial in range(2):
        wait_until(lambda: executor.slots > trial, "a free slot")  # noqa: B023
        executor.submit(jobs(trial=trial))
    pids, curves, ended = {}, {0: [], 1: []}, set()  # type: ignore[var-annotated]

    def take() -> bool:
        for event in executor.events(0.5):
            if isinstance(event, Started):
                pids[event.trial] = event.pid
            elif isinstance(event, EpochEnded):
                curves[event.trial].append(point(event.result))
                executor.decide(event.trial, Decision.GO)
            elif isinstance(event, Ended):
                ended.add(event)
        return len(ended) == 2

    wait_until(take, "the end of both")
    assert curves == {0: jobs.curve(), 1: jobs.curve()}
    assert len(set(pids.values())) == 2
    executor.close()


@trainers
def test_nothing_to_tell_is_told_in_time_and_a_decision_for_nobody_is_ignored(
    executor: Executor, jobs: Jobs
) -> None:
    began = time.monotonic()
    executor.decide(99, Decision.STOP)
    assert executor.events(0.1) == []
    assert executor.events(0) == []
    assert time.monotonic() - began < 2
    assert points(run(executor, jobs())) == jobs.curve()


@trainers
def test_close_ends_workers_at_once_and_may_be_called_twice(
    make_executor: MakeExecutor, jobs: Jobs
) -> None:
    executor = make_executor(1)
    executor.submit(jobs.endless())
    first = follow(executor, 0, hold=started)[0]
    assert isinstance(first, Started)
    executor.close()
    wait_until(lambda: not alive(first.pid), "the worker's end")
    executor.close()
