"""Waits: limits, notices, interrupts."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from hpsearch.waiting import Interrupted, Patience, Wait, end_process

FOREVER = threading.Event()


def test_a_call_is_abandoned_at_its_limit() -> None:
    told: list[str] = []
    patience = Patience(told.append, notice_s=0.01, limit_s=0.1)
    assert patience.call(FOREVER.wait, "it does not answer") is None
    assert told == ["it does not answer; waiting at most 0.1 s"]
    assert patience.lost


def test_a_call_gives_back_what_came_in_time() -> None:
    assert Patience().call(lambda: 7, "it") == 7
    with pytest.raises(ZeroDivisionError):
        Patience().call(lambda: 1 // 0, "it")


def test_an_interrupt_is_heard_in_a_call() -> None:
    patience = Patience(interrupted=lambda: 2)
    with pytest.raises(Interrupted, match="stopped; it does not answer"):
        patience.call(FOREVER.wait, "it does not answer")


def test_one_interrupt_leaves_a_moment_for_what_is_nearly_done() -> None:
    patience = Patience(interrupted=lambda: 1)
    with patience.waiting("it") as wait:
        assert wait.goes_on()
        wait._waited = 2.0
        with pytest.raises(Interrupted):
            wait.goes_on()
        with pytest.raises(Interrupted):  # and the way out is short
            Wait(patience, "another", 60).goes_on()


def test_without_a_limit_nothing_is_waited_for() -> None:
    with Patience(limit_s=0).waiting("it") as wait:
        assert not wait.goes_on()


def test_who_lives_on_waits_again_later() -> None:
    patience = Patience(limit_s=60)
    patience.give_up()
    assert patience.lost
    patience._gave_up -= 61
    with patience.waiting("it") as wait:
        assert wait.goes_on()


def test_a_wait_inside_another_has_its_limit() -> None:
    patience = Patience(limit_s=60)
    with patience.waiting("outer") as outer, patience.waiting("inner") as inner:
        assert inner is outer


def test_time_in_which_this_process_was_stopped_does_not_count() -> None:
    with Patience(limit_s=60).waiting("it") as wait:
        wait._looked -= 3600  # as if it had slept
        assert wait.goes_on()


def test_a_process_is_ended_with_its_own_exit_code_where_it_may() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"])
    end_process(process, 60)
    assert process.returncode == 5
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stopped.send_signal(19)
    began = time.monotonic()
    end_process(stopped)
    assert stopped.returncode == -9
    assert time.monotonic() - began < 10
