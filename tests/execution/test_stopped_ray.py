"""OC5: a search on a real Ray cluster whose head is stopped, at every interrupt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpsearch.interpreter import python_command
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study

pytest.importorskip("ray", reason="the extra hpsearch[ray] is not installed")

SETTINGS = (
    "dataset=glyphs", "device=cpu", "trial.max_epochs=3", "trial.images_per_epoch=3000",
    "sampler.name=random", "pruner.name=none",
)  # fmt: skip
AT_ONCE_S = 15.0
"""On a machine however busy; Ray's own shutdown would wait for the head without an end."""


def processes(session: int) -> dict[int, str]:
    """Return the living processes of a session and their names."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, rest = path.read_text().split("(", 1)[1].rsplit(")", 1)
            state, _, _, its_session = rest.split()[:4]
            if int(its_session) == session and state not in "ZX":
                found[int(path.parent.name)] = name
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return what starts the search; whatever still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []
    arguments = ["search", "quickstart", "--trials", "2", "--workers", "1", "--executor", "ray"]
    arguments += [word for setting in SETTINGS for word in ("--set", setting)]
    command = python_command("hpsearch.cli.main", *arguments, "--output", str(tmp_path / "study"))

    def one() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield one
    for driver in started:
        for pid in processes(driver.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        driver.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds Ray's processes in /proc")
def test_OC5_a_search_on_a_stopped_head_hears_every_interrupt(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """130, 130, 143 at once; no process is left, nothing is lost, and the same command goes on"""
    study = StudyFolder(tmp_path / "study")
    for numbers, code in (
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
    ):
        driver = start()
        held = written(study)
        while written(study) == held:
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.02)
        (head,) = [pid for pid, name in processes(driver.pid).items() if name == "gcs_server"]
        os.kill(head, signal.SIGSTOP)
        time.sleep(1.5)  # until something has been asked
        began = time.monotonic()
        for number in numbers:
            driver.send_signal(number)
            time.sleep(0.2)
        said, _ = driver.communicate(timeout=100)
        took = time.monotonic() - began
        assert driver.returncode == code, said
        assert took < AT_ONCE_S
        assert "the same command continues" in said
        assert "Traceback" not in said
        until = time.monotonic() + AT_ONCE_S
        while (left := processes(driver.pid)) and time.monotonic() < until:
            time.sleep(0.1)
        assert left == {}
        assert [v for v in check_invariants(study) if v.standing == "broken"] == []
    assert list(study.root.glob("logs/*/*")), "the node does not see the study's folder"
    driver = start()
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert [t.state for t in read_study(study).trials] == ["complete"] * 2
    assert {v.standing for v in check_invariants(study)} == {"holds"}


def written(study: StudyFolder) -> int:
    """Return how many epochs are written, over all trials."""
    return sum(path.read_text().count("\n") for path in study.trials.glob("*/epochs.jsonl"))
