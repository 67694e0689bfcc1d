"""Several drivers on one study of a command, which is kept on a server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.programs import STEPS, write_command_study

TRIALS = 8


@pytest.mark.slow
def test_two_drivers_share_a_command_and_one_may_die(tmp_path: Path, postgres: str) -> None:
    study = write_command_study(
        tmp_path,
        STEPS.replace("  step=", "  sleep 0.1; step="),
        storage=postgres,
        lease_s=2,
        budget={"trials": TRIALS},
    )
    folders = [tmp_path / name for name in ("one", "two")]
    drivers = [
        subprocess.Popen(
            [sys.executable, "-m", "hpsearch", "search", str(study), "--output", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    until = time.monotonic() + 300
    while not list(folders[0].glob("trials/*/report.jsonl")) and time.monotonic() < until:
        time.sleep(0.02)
    drivers[0].send_signal(signal.SIGKILL)
    drivers[0].wait()
    said = drivers[1].communicate(timeout=300)[0]
    assert drivers[1].returncode == 0, said
    found = json.loads(run("status", folders[1], "--json").out)
    assert found["trials"]["complete"] == TRIALS, said
    assert found["best"]["value"] == 0.6
