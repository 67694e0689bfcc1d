"""F04: Ctrl-C once and twice, SIGTERM; a real search that goes on after each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from tests.support.cases import STUDY, write_study
from tests.support.slow import rest_slow

See = Callable[[object], None]
LONG = STUDY.replace("images_per_epoch: 64", "images_per_epoch: 600").replace(
    "budget: {trials: 4}", "budget: {trials: 2}"
)
STOPPING = "stopping: running trials write their checkpoints"


@pytest.fixture
def start(tmp_path: Path, images: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return what starts the search of LONG; whatever still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []
    command = ["search", str(tmp_path / "small.yaml"), "--output", str(tmp_path / "study")]

    def one() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "hpsearch.cli.main", *command, "--data", str(images)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield one
    for driver in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        if driver.stdout is not None:
            driver.stdout.close()


def epochs_in(folder: StudyFolder) -> int:
    """Return how many epochs are written, over all trials."""
    return sum(path.read_text().count("\n") for path in folder.trials.glob("*/epochs.jsonl"))


def wait_for_epoch(driver: subprocess.Popen[str], folder: StudyFolder, count: int) -> None:
    """Wait until so many epochs are written, however long they take."""
    while epochs_in(folder) < count:
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.02)


def send(driver: subprocess.Popen[str], numbers: list[signal.Signals]) -> str:
    """Send signals, each after the one before was heard; return what was said until the end."""
    assert driver.stdout is not None
    said = ""
    for number in numbers:
        os.kill(driver.pid, number)
        while STOPPING not in said and (line := driver.stdout.readline()):
            said += line
    return said + driver.communicate()[0]


ONCE = [([signal.SIGINT], 130)]
TWICE_AND_TERMINATED = [([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGTERM], 143)]


@pytest.mark.parametrize(
    "endings", rest_slow([ONCE, TWICE_AND_TERMINATED]), ids=["once", "twice and terminated"]
)
def test_F04_interrupted_once_twice_and_terminated(
    tmp_path: Path,
    start: Callable[[], subprocess.Popen[str]],
    see: See,
    endings: list[tuple[list[signal.Signals], int]],
) -> None:
    """130, 130, 143, each before another epoch; the same command goes on, 2 trials in all"""
    write_study(tmp_path, LONG)
    folder = StudyFolder(tmp_path / "study")
    took = []
    for numbers, code in endings:
        driver = start()
        wait_for_epoch(driver, folder, epochs_in(folder) + 1)
        held, began = epochs_in(folder), time.monotonic()
        said = send(driver, numbers)
        took.append(time.monotonic() - began)
        assert driver.returncode == code, said
        assert epochs_in(folder) <= held + 1  # the one that was at its end when the signal came
        if len(numbers) == 1:  # twice ends it at once, without a word
            assert "the same command continues" in said
        assert "Traceback" not in said
        broken = [v for v in check_invariants(folder) if v.standing == "broken"]
        assert broken == []
    driver = start()
    said, _ = driver.communicate()
    assert driver.returncode == 0, said
    assert [t.state for t in read_study(folder).trials] == ["complete"] * 2
    assert {v.standing for v in check_invariants(folder)} == {"holds"}
    for number in range(2):
        lines = folder.trial(number).epochs.read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    see("ended after " + ", ".join(f"{seconds:.1f} s" for seconds in took))
