"""Several drivers on one study, as processes, on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.search.record import StudyView, read_study

DEADLINE_S = 120.0
TRIALS = 60


class Drivers:
    """Starts drivers of one study and reads what they did."""

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage = folder, storage
        self.log = folder / "log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, name: str, *settings: str, own_folder: bool = False) -> subprocess.Popen[str]:
        folder = self.folder / (name if own_folder else "study")
        arguments = [str(folder), self.storage, str(self.log), name, str(TRIALS), *settings]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.search.shared_driver", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.started.append(process)
        return process

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def wait_for_epochs(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.lines()) < count:
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def finish(self) -> list[str]:
        said = [process.communicate(timeout=DEADLINE_S)[0] for process in self.started]
        for process, text in zip(self.started, said, strict=True):
            assert process.returncode in (0, -9), text
        return said

    def study(self, folder: str = "study") -> StudyView:
        return read_study(StudyFolder(self.folder / folder))


def check(drivers: Drivers, view: StudyView) -> None:
    """Exactly the budget, every trial ended, none under two numbers, no epoch trained twice."""
    assert [t.number for t in view.trials] == list(range(TRIALS))
    assert {t.state for t in view.trials} <= {"complete", "pruned"}
    assert len({tuple(t.params.items()) for t in view.trials}) == TRIALS
    epochs = Counter((trial, epoch) for what, trial, epoch, _ in drivers.lines() if what == "epoch")
    assert set(epochs.values()) == {1}
    assert len(epochs) == sum(len(t.values) for t in view.trials)


@pytest.fixture
def drivers(tmp_path: Path, postgres: str) -> Drivers:
    return Drivers(tmp_path, postgres)


def test_two_drivers_spend_one_budget(drivers: Drivers) -> None:
    drivers.start("one")
    drivers.start("two")
    said = drivers.finish()
    check(drivers, drivers.study())
    shares = Counter(name for what, _, _, name in drivers.lines() if what == "submit")
    assert min(shares["one"], shares["two"]) >= 5
    assert all(f"the budget of {TRIALS} trials is spent" in text for text in said)


def test_a_driver_killed_in_the_middle_leaves_its_trials_to_the_other(drivers: Drivers) -> None:
    one = drivers.start("one", "pruner.name=none")
    drivers.start("two", "pruner.name=none")
    drivers.wait_for_epochs(120)
    one.kill()
    drivers.finish()
    view = drivers.study()
    check(drivers, view)
    submits = Counter(trial for what, trial, _, _ in drivers.lines() if what == "submit")
    assert len(submits) == TRIALS
    assert 1 <= sum(submits.values()) - TRIALS <= 2  # what the dead one ran went on elsewhere
