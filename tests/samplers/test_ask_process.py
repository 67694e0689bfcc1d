"""OC1: the process that is asked, stopped, slow or dead, never stops the driver."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hpsearch.errors import EnvironmentFailure
from hpsearch.samplers import ask_process as asking
from hpsearch.samplers.ask_process import Asker
from hpsearch.samplers.config import SamplerConfig
from hpsearch.trial import TrialRecord
from hpsearch.waiting import Patience
from tests.support.problems import random_params, shipped_problem

PROBLEM = shipped_problem("quickstart")
TRIAL = TrialRecord(0, "complete", random_params(PROBLEM, 1)[0], values={1: 0.5}, value=0.5)
HISTORY = [replace(TRIAL, number=number) for number in range(2000)]
"""More than a pipe takes."""


class Asked:
    """A helper, and what a person is told of it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.patience = Patience(self.tell)
        self.asker = Asker(
            PROBLEM, SamplerConfig(name="random"), 1, patience=self.patience
        )  # fmt: skip
        self.asker.ask([], 0)
        self.first = self.answer()  # it has loaded its libraries

    def tell(self, text: str) -> None:
        """Keep what is told; a new process may take its time."""
        self.told.append(text)
        if "started again" in text:
            self.patience.notice_s = self.patience.limit_s = 60

    def stop(self, number: signal.Signals = signal.SIGSTOP) -> int:
        """Send the helper a signal."""
        process = self.asker._process
        assert process is not None
        os.kill(process.process.pid, number)
        return process.process.pid

    def answer(self) -> dict[str, object]:
        """Wait for the answer."""
        while (answer := self.asker.answer(0.1)) is None:
            pass
        return answer


@pytest.fixture
def asked() -> Iterator[Asked]:
    found = Asked()
    yield found
    found.asker.close()


def test_oc1_a_stopped_helper_takes_no_driver_with_it(asked: Asked) -> None:
    """with 2,000 trials, of which the pipe does not take half"""
    asked.stop()
    asked.patience.notice_s = 0.2
    began = time.monotonic()
    asked.asker.ask(HISTORY, 2000)
    assert asked.asker.answer(0.01) is None
    assert time.monotonic() - began < 10
    while not asked.told:
        assert asked.asker.answer(0.05) is None
    assert asked.told == ["the sampler's process gives no sign of life; waiting at most 55 s"]
    asked.stop(signal.SIGCONT)
    assert asked.answer().keys() == asked.first.keys()
    assert len(asked.told) == 1


def test_oc1_one_that_stays_silent_is_started_again_and_says_the_same(asked: Asked) -> None:
    asked.asker.ask(HISTORY, 2000)
    usual = asked.answer()
    stopped = asked.stop()
    asked.patience.notice_s, asked.patience.limit_s = 0.1, 0.3
    asked.asker.ask(HISTORY, 2000)
    assert asked.answer() == usual
    assert asked.told == [
        "the sampler's process gives no sign of life; waiting at most 0.3 s",
        "the sampler's process gives no sign of life; it is started again",
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)


def test_oc1_the_time_in_which_all_were_stopped_does_not_count(asked: Asked) -> None:
    asked.stop()
    asked.asker.ask([], 1)
    asked.asker._clock._looked -= 3600
    assert asked.asker.answer(0) is None
    asked.stop(signal.SIGCONT)
    assert asked.answer()
    assert not any("started again" in text for text in asked.told)


def test_oc1_a_suggestion_that_never_comes_has_a_limit_too(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.stop()
    asked.asker.ask([], 1)
    monkeypatch.setattr(asking, "ANSWER_S", -1.0)
    with pytest.raises(EnvironmentFailure, match="trial 1: no suggestion within"):
        asked.asker.answer(0)


def test_oc1_a_helper_at_work_gives_signs_of_life(asked: Asked) -> None:
    """so that a sampler may take long"""
    asked.asker.close()
    asked.asker.ask([], 0)
    process = asked.asker._process
    assert process is not None
    begun = process._heard
    assert process.exchange(10) == []  # and not yet an answer
    assert process._heard > begun
    asked.answer()
