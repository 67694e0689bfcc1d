"""A whole search with real workers, killed in the middle and run again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpsearch.cli.search import trials as trials_command
from hpsearch.configfile import read_yaml
from hpsearch.data import open_packed, split_drawers
from hpsearch.driver.driver import Driver
from hpsearch.execution.local import LocalExecutor
from hpsearch.paths import StudyFolder
from hpsearch.provenance import PACKAGES, software
from hpsearch.storage.trial_files import read_provenance
from hpsearch.storage.view import read_study
from hpsearch.study.lock import study_lock
from hpsearch.study.plan import DataPlace, plan_study, save_plan
from tests.support.jobs import alive, wait_until
from tests.support.observer import Silent

SETTINGS = {
    "dataset": "glyphs",
    "trial.max_epochs": 2,
    "trial.images_per_epoch": 640,
    "sampler.startup_trials": 2,  # so that the last two trials come from the model
    "budget.trials": 4,
    "workers": 1,
    "device": "cpu",
}


def search_here(
    folder: Path, packed: Path, settings: dict[str, Any], threads: int | None = None
) -> None:
    """Search in this process, with one worker, to the end of the budget."""
    plan = plan_study("quickstart", folder, settings)
    dataset = open_packed(packed)
    executor = LocalExecutor(1, threads=threads)
    try:
        with study_lock(plan.folder):
            facts = {"kind": "glyphs", "fingerprint": dataset.fingerprint, "packed": str(packed)}
            save_plan(plan, {**facts, "source": None})
            place = DataPlace(str(packed), dataset.fingerprint)
            Driver(plan, place, executor, Silent(), lambda: 0).run()
    finally:
        executor.close()


def start_search(folder: Path) -> subprocess.Popen[str]:
    """Start the same search as a person does."""
    command = [sys.executable, "-m", "hpsearch.cli.main", "search", "quickstart"]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    return subprocess.Popen(
        [*command, "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def table(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `hpsearch trials FOLDER --csv` prints."""
    capsys.readouterr()
    trials_command(str(folder), csv=True)
    return capsys.readouterr().out


def assert_told_where(folder: Path, number: int, packed: Path) -> None:
    """Look at every field of a trial's provenance."""
    held = read_provenance(StudyFolder(folder).trial(number))
    assert len(held) == 1  # killed and gone on with, on one machine and the same source
    view, dataset = read_study(StudyFolder(folder)), open_packed(packed)
    config = read_yaml(StudyFolder(folder).trial(number).config)
    validation = dataset.validation(config["input_size"])
    training, others = split_drawers(20, config["drawers"], view.config.seed)
    told = held[0]
    threads = told.pop("threads")
    assert 1 <= threads <= (os.cpu_count() or 1)
    source = {key: told[key] for key in ("commit", "dirty")}  # may change while the tests run
    assert told == {
        **software(),
        **source,
        "host": socket.gethostname(),
        "device": "cpu",
        "precision": "float32",
        "fingerprint": dataset.fingerprint,
        "objective": "tasks_320",
        "seed": view.attributes[number]["seed"],
        "study_seed": view.config.seed,
        "split": {
            "training_drawers": list(training),
            "validation_drawers": list(others),
            "validation_alphabets": list(validation.alphabets),
        },
    }
    assert set(told["versions"]) == {"hpsearch", "python", *PACKAGES}
    assert (told["commit"] is None) == (told["dirty"] is None)
    assert told["dirty"] in (None, True, False)
    assert told["commit"] is None or len(told["commit"]) == 40
    shown = view.attributes[number]
    assert (shown["host"], shown["device"], shown["threads"]) == (told["host"], "cpu", threads)


@pytest.mark.slow
def test_a_search_killed_in_the_middle_and_run_again_makes_the_same_trials(
    tmp_path: Path, glyphs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    driver = start_search(killed)
    second = StudyFolder(killed).trial(1)
    wait_until(lambda: second.checkpoint.exists() or driver.poll() is not None, "the second trial")
    helpers = children(driver.pid)
    driver.kill()
    said, _ = driver.communicate()
    assert driver.returncode == -9, said
    wait_until(lambda: not any(map(alive, helpers)), "the end of the workers")
    left = read_study(StudyFolder(killed)).trials
    assert sum(t.finished for t in left) < 4, "killed too late for this test"

    again = start_search(killed)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    search_here(straight, glyphs, SETTINGS)  # with all cores, as the command line
    expected = table(straight, capsys)
    assert table(killed, capsys) == expected
    assert expected.count("\n") == 5
    trials = read_study(StudyFolder(killed)).trials
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert all(t.finished for t in trials)
    if Path("/proc/self").exists():
        assert len(helpers) >= 1
    for number in range(4):
        assert_told_where(killed, number, glyphs)
