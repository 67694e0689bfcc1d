"""Epochs are written and reported beside training; a fake driver, and writes that can be held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import EnvironmentFailure
from hpsearch.execution import Decision, Ending
from hpsearch.execution.reports import Reports
from hpsearch.training import checkpoint
from hpsearch.training.checkpoint import Checkpoint
from hpsearch.training.epoch import EpochResult
from tests.support.jobs import wait_until

STATE = Checkpoint({}, {})
EPOCH = EpochResult(1, 0.5, 0.25, 1.0, 10, 100)


class Driver:
    """The driver's end: what was sent, and the decision that has come."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.decision: Decision | None = None
        self.interrupts = False

    def send(self, **message: Any) -> None:
        self.sent.append(message["result"]["epoch"])

    def asked_to_stop(self) -> bool:
        return self.interrupts

    def decision_so_far(self) -> Decision | None:
        return self.decision

    def wait_for_decision(self) -> Decision | None:
        return None if self.interrupts else self.decision


class Disk:
    """Writes of checkpoints, which wait until they are let go and may fail."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.fails = False

    def save(self, _: Checkpoint, path: Path) -> None:
        self.free.wait(30)
        if self.fails:
            raise EnvironmentFailure("no space")
        path.touch()


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(checkpoint, "save", disk.save)
    return disk


@pytest.fixture
def reports(driver: Driver, disk: Disk, tmp_path: Path) -> Iterator[Reports]:
    reports = Reports(driver, tmp_path / "checkpoint", 7)
    yield reports
    disk.free.set()
    reports.close()


def written(reports: Reports, disk: Disk) -> None:
    """Let an epoch be written and reported to its end."""
    reports.begin(STATE, EPOCH)
    disk.free.set()
    assert reports._written is not None
    wait_until(reports._written.done, "the report")


def test_training_goes_on_while_a_checkpoint_is_written_and_its_report_comes_after_it(
    reports: Reports, driver: Driver, disk: Disk, tmp_path: Path
) -> None:
    assert reports.settle() is None  # nothing is open
    reports.begin(STATE, EPOCH)
    assert not reports.stop_training()
    assert (driver.sent, list(tmp_path.iterdir())) == ([], [])
    disk.free.set()
    driver.decision = Decision.GO
    assert reports.settle() is None
    assert (driver.sent, [p.name for p in tmp_path.iterdir()]) == ([1], ["checkpoint"])


@pytest.mark.parametrize(
    ("decision", "ending"),
    [(Decision.STOP, Ending.STOPPED), (Decision.PAUSE, Ending.PAUSED), (Decision.GO, None)],
)
def test_a_decision_reaches_the_next_epoch_between_its_steps(
    reports: Reports, driver: Driver, disk: Disk, decision: Decision, ending: Ending | None
) -> None:
    written(reports, disk)
    assert not reports.stop_training()
    driver.decision = decision
    assert [reports.stop_training(), reports.stop_training()] == [ending is not None] * 2
    assert reports.settle() == ending


def test_a_failed_write_stops_training_and_is_raised(
    reports: Reports, driver: Driver, disk: Disk
) -> None:
    disk.fails = True
    written(reports, disk)
    assert reports.stop_training()
    assert driver.sent == []
    with pytest.raises(EnvironmentFailure, match="no space"):
        reports.settle()


def test_an_interrupt_needs_no_decision_but_waits_for_the_write(
    reports: Reports, driver: Driver, disk: Disk
) -> None:
    reports.begin(STATE, EPOCH)
    driver.interrupts = True
    assert reports.stop_training()
    threading.Timer(0.05, disk.free.set).start()
    assert reports.settle(interrupted=True) is None
    assert driver.sent == [1]
    assert reports.settle() == Ending.INTERRUPTED  # at an epoch's end, in place of a decision


def test_a_decision_to_stop_counts_more_than_an_interrupt(
    reports: Reports, driver: Driver, disk: Disk
) -> None:
    written(reports, disk)
    driver.decision = Decision.STOP
    assert reports.stop_training()
    driver.interrupts = True
    assert reports.settle(interrupted=True) == Ending.STOPPED
