"""OC: the whole search, its group or terminal stopped or its pipe full, at every interrupt."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from tests.support.cases import write_study

from .test_signals import LONG, epochs_in

Search = Callable[[int | IO[bytes]], "subprocess.Popen[bytes]"]
Peer = Callable[
    [Search, StudyFolder], contextlib.AbstractContextManager["subprocess.Popen[bytes]"]
]


@pytest.fixture
def search(tmp_path: Path, images: Path) -> Iterator[Search]:
    """Return what starts the search of LONG; whatever still runs at the end is ended."""
    started: list[subprocess.Popen[bytes]] = []
    command = [
        "search",
        write_study(tmp_path, LONG),
        "--output",
        tmp_path / "study",
        "--data",
        images,
    ]

    def one(output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "hpsearch.cli.main", *map(str, command)]
        started.append(
            subprocess.Popen(program, stdout=output, stderr=output, start_new_session=True)
        )
        return started[-1]

    yield one
    for driver in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def wait_for_epoch(driver: subprocess.Popen[bytes], study: StudyFolder) -> None:
    """Wait until one more epoch is written."""
    held = epochs_in(study)
    while epochs_in(study) <= held and driver.poll() is None:
        time.sleep(0.02)


@contextmanager
def stopped_group(search: Search, study: StudyFolder) -> Iterator[subprocess.Popen[bytes]]:
    """Driver, workers and sampler stopped, as by Ctrl-Z; the signal comes while they are."""
    driver = search(subprocess.DEVNULL)
    wait_for_epoch(driver, study)
    os.killpg(driver.pid, signal.SIGSTOP)
    yield driver


@contextmanager
def full_pipe(search: Search, study: StudyFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A pipe that takes nothing more, and whose reader stands still."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    driver = search(writing)
    os.close(writing)
    wait_for_epoch(driver, study)
    yield driver
    os.close(reading)


@contextmanager
def stopped_terminal(search: Search, study: StudyFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A terminal after Ctrl-S."""
    ours, theirs = pty.openpty()
    driver = search(theirs)
    wait_for_epoch(driver, study)
    termios.tcflow(theirs, termios.TCOOFF)
    yield driver
    os.close(theirs)
    os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize("peer", [stopped_group, full_pipe, stopped_terminal])
def test_OC1_the_whole_search_hears_every_interrupt(
    peer: Peer, search: Search, tmp_path: Path
) -> None:
    """130, 130, 143 whatever is stopped; nothing is lost, and the same command goes on"""
    study = StudyFolder(tmp_path / "study")
    for numbers, code in (
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
    ):
        with peer(search, study) as driver:  # the same command goes on
            os.kill(driver.pid, numbers[0])
            os.killpg(driver.pid, signal.SIGCONT)
            while (
                len(numbers) > 1 and driver.poll() is None
            ):  # one sent too soon would be the first
                time.sleep(0.2)
                os.kill(driver.pid, numbers[1])
            assert driver.wait(120) == code
    if peer is stopped_group:
        assert search(subprocess.DEVNULL).wait(300) == 0
        assert [t.state for t in read_study(study).trials] == ["complete"] * 2
