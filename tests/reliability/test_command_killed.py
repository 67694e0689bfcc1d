"""A search of a program: killed and continued it makes the same trials, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpsearch.paths import StudyFolder
from hpsearch.storage.view import read_study
from tests.support.command_line import run
from tests.support.programs import write_command_study

SCRIPT = """\
while [ $# -gt 1 ]; do case $1 in --x) x=$2;; esac; shift 2; done
c=$HPSEARCH_CHECKPOINT/step; step=$(cat "$c" 2>/dev/null || echo 0)
while [ "$step" -lt 3 ]; do
  step=$((step + 1)); sleep 0.04321
  v=$(awk -v x="$x" -v s="$step" 'BEGIN {print (x - .3)^2 + 1 / s}')
  echo "{\\"step\\": $step, \\"value\\": $v, \\"metrics\\": {\\"s\\": $step}}" >>"$HPSEARCH_REPORT"
  echo "$step" >"$c"
done
"""


def table(folder: Path) -> list[tuple[object, ...]]:
    trials = read_study(StudyFolder(folder)).trials
    return [(t.number, t.state, dict(t.params), dict(t.values), t.value) for t in trials]


def processes() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "0.04321" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        pytest.param("tpe", "none", marks=pytest.mark.slow),
        pytest.param("tpe", "asha-promotion", marks=pytest.mark.slow),
        ("bayes", "expected"),
    ],
)
def test_a_killed_search_makes_the_same_trials(tmp_path: Path, sampler: str, pruner: str) -> None:
    settings = {
        "sampler": {"name": sampler, "startup_trials": 3},
        "pruner": {"name": pruner, "startup_trials": 2, "audit_share": 0},
        "budget": {"trials": 6},
    }
    study = write_command_study(tmp_path, SCRIPT, **settings)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("search", study, "--output", whole).code == 0
    command = [sys.executable, "-m", "hpsearch", "search", str(study), "--output", str(killed)]
    for seconds in (0.3, 0.5):
        search = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))
        until = time.monotonic() + 60
        while not list(killed.glob("trials/*/report.jsonl")) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(seconds)
        search.send_signal(signal.SIGKILL)
        search.wait()
    until = time.monotonic() + 10
    while processes() and time.monotonic() < until:
        time.sleep(0.05)
    assert processes() == []
    assert run("search", study, "--output", killed).code == 0
    assert table(killed) == table(whole)
    assert len(table(whole)) == 6
    assert run("verify", killed).code == 0
    assert run("doctor", killed).code == 0


def test_large_is_good_with_direction_maximize(tmp_path: Path) -> None:
    study = write_command_study(
        tmp_path,
        'echo "{\\"step\\": 1, \\"value\\": $2}\n{\\"result\\": $2}" >>"$HPSEARCH_REPORT"',
        direction="maximize",
        measure="accuracy",
        enqueue=[{"x": 0.25}, {"x": 0.75}, {"x": 0.5}],
    )
    done = run("search", study, "--output", tmp_path / "r")
    assert "best: trial 1, accuracy 0.75" in done.out
    status = run("status", tmp_path / "r", "--json").out
    assert '"best": {"trial": 1, "value": 0.75, "params"' in status
    assert "1,complete,0.75,1," in run("trials", tmp_path / "r", "--csv").out
    assert run("export", tmp_path / "r").code == 0
    assert "value: 0.75" in (tmp_path / "r" / "best.yaml").read_text()
    assert run("doctor", tmp_path / "r").code == 0
