"""F04: Ctrl-C once and twice, SIGTERM; a real search that goes on after each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.search.invariants import check_invariants
from hpsearch.search.record import read_study

from .cases import STUDY, write_study

See = Callable[[object], None]
LONG = STUDY.replace("images_per_epoch: 64", "images_per_epoch: 3000").replace(
    "budget: {trials: 4}", "budget: {trials: 2}"
)
BUSY = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def start(folder: Path, images: Path) -> subprocess.Popen[str]:
    """Start the search of LONG."""
    command = ["search", str(folder / "small.yaml"), "--output", str(folder / "study")]
    return subprocess.Popen(
        [sys.executable, "-m", "hpsearch.cli.main", *command, "--data", str(images)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_epoch(driver: subprocess.Popen[str], folder: StudyFolder, count: int) -> None:
    """Wait until so many epochs are written, over all trials."""
    deadline = time.monotonic() + 60 * BUSY
    while driver.poll() is None and time.monotonic() < deadline:
        lines = [p.read_text().count("\n") for p in folder.trials.glob("*/epochs.jsonl")]
        if sum(lines) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no epoch in time: {driver.poll()}")


@pytest.mark.timeout(60 + 60 * BUSY)
def test_F04_interrupted_once_twice_and_terminated(
    tmp_path: Path, images: Path, see: See
) -> None:
    """130 within 10 s; 130 at once; 143; each time the same command goes on, 2 trials in all"""
    write_study(tmp_path, LONG)
    folder = StudyFolder(tmp_path / "study")
    took = []
    for epochs, numbers, code in (
        (1, [signal.SIGINT], 130),
        (2, [signal.SIGINT, signal.SIGINT], 130),
        (3, [signal.SIGTERM], 143),
    ):
        driver = start(tmp_path, images)
        wait_for_epoch(driver, folder, epochs)
        began = time.monotonic()
        for number in numbers:
            os.kill(driver.pid, number)
            time.sleep(0.1)
        said, _ = driver.communicate(timeout=60 * BUSY)
        took.append(time.monotonic() - began)
        assert driver.returncode == code, said
        if len(numbers) == 1:  # twice ends it at once, without a word
            assert "the same command continues" in said
        assert "Traceback" not in said
        broken = [v for v in check_invariants(folder) if v.standing == "broken"]
        assert broken == []
    driver = start(tmp_path, images)
    said, _ = driver.communicate(timeout=60 * BUSY)
    assert driver.returncode == 0, said
    assert [t.state for t in read_study(folder).trials] == ["complete"] * 2
    assert {v.standing for v in check_invariants(folder)} == {"holds"}
    for number in range(2):
        lines = folder.trial(number).epochs.read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    see("ended after " + ", ".join(f"{seconds:.1f} s" for seconds in took))
    assert max(took) < 10 * BUSY
